"""``flask coins forget``: the person is gone, every total stays, and nobody is paid twice for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import Result
from flask import Flask, current_app
from flask_sqlalchemy import SQLAlchemy

from flask_coins import Coins, CoinsRetry, InvalidInput, Receipt
from flask_coins._forget import Forgotten, forget
from flask_coins._models import balances, budgets, holds, log
from flask_coins._state import current_state
from flask_coins._verify import examine, faults

from .races import Racers
from .statements import before

WHO = "ann@example.org"


def forget_them(user: str = WHO) -> Forgotten:
    state = current_state()
    return forget(state.session, state.table, user, state.now())


@pytest.fixture
def life(ctx: None, db: SQLAlchemy, coins: Coins) -> None:
    """Everything that the tables can keep of a person, and of two others."""
    coins.award(WHO, 100, "quest", subject=WHO, idempotency_key="k1", details={"of": WHO})
    coins.award(WHO, 5, currency="gems")
    for subject in ("a", "b"):
        coins.award_once(WHO, 5, "goal", "day", subject=subject, limit=2)
        coins.award_once(WHO, 5, "goal", "day", subject=subject, limit=2)
    sent, _ = coins.transfer(WHO, "bob", 7, subject="rent")
    coins.award("zed", 3)
    coins.transfer("zed", WHO, 1)
    coins.reverse(sent, amount=2)
    captured = coins.hold(WHO, 6, "auction", subject="hat", details={"of": WHO})
    coins.capture(captured, 5)
    coins.release(coins.hold(WHO, 2, "auction", idempotency_key="k2"))
    coins.hold(WHO, 3, "auction", expires_in=timedelta(days=1))
    coins.award("bob", 1, "quest", subject="b", idempotency_key="k1", details={"is": "bob's"})
    db.session.commit()


def dump(db: SQLAlchemy) -> str:
    """All that the tables hold, as one text."""
    rows = [
        list(map(tuple, db.session.execute(sa.select(it))))
        for it in (balances, log, holds, budgets)
    ]
    return repr(rows)


def totals(db: SQLAlchemy) -> Any:
    per_reason = sa.select(log.c.currency, log.c.reason, sa.func.count(), sa.func.sum(log.c.amount))
    grouped = per_reason.group_by(log.c.currency, log.c.reason).order_by(
        log.c.currency, log.c.reason
    )
    money = sa.select(*(sa.func.sum(balances.c[it]) for it in ("balance", "earned", "spent")))
    return list(map(tuple, db.session.execute(grouped))), tuple(db.session.execute(money).one())


@pytest.mark.usefixtures("life")
def test_nothing_is_left_of_the_person(db: SQLAlchemy) -> None:
    assert WHO in dump(db)
    assert forget_them()
    db.session.commit()
    left = dump(db)
    for trace in (WHO, "hat", "k2", "'of'"):
        assert trace not in left
    alias = db.session.scalars(sa.select(log.c.user_id).where(log.c.reason == "goal")).first()
    assert alias
    assert alias.startswith("forgotten:")
    assert int(alias.removeprefix("forgotten:"), 16) < 2**128
    wiped = sa.select(log.c.subject, log.c.once_key, log.c.idempotency_key, log.c.details)
    rows = set(map(repr, db.session.execute(wiped.where(log.c.user_id == alias))))
    assert rows == {"('', None, None, None)"}


@pytest.mark.usefixtures("life")
def test_totals_and_proof_stay(db: SQLAlchemy, coins: Coins) -> None:
    before, bobs = totals(db), coins.history("bob")
    forget_them()
    assert totals(db) == before
    assert list(faults(db.session.connection())) == []
    now = [(it.id, it.amount, it.reason, it.subject, it.details) for it in coins.history("bob")]
    assert now == [(it.id, it.amount, it.reason, it.subject, it.details) for it in bobs]
    assert all(WHO not in str(it.counterparty) for it in coins.history("bob"))


@pytest.mark.usefixtures("life")
def test_what_was_done_is_counted(db: SQLAlchemy) -> None:
    done = forget_them()
    assert (done.balances, done.holds, done.released, done.counterparts) == (2, 3, 1, 3)
    assert done.entries == 10


@pytest.mark.usefixtures("life")
def test_open_holds_are_released(db: SQLAlchemy) -> None:
    forget_them()
    assert set(db.session.scalars(sa.select(holds.c.status))) == {"captured", "released"}
    assert set(db.session.scalars(sa.select(balances.c.held))) == {0}


@pytest.mark.usefixtures("life")
def test_who_comes_back_is_new(db: SQLAlchemy, coins: Coins) -> None:
    forget_them()
    db.session.commit()
    assert (coins.balance(WHO), coins.history(WHO)) == (0, [])
    assert coins.award_once(WHO, 5, "goal", "day", subject="a")
    assert coins.award(WHO, 1, "quest", idempotency_key="k1").outcome == "awarded"
    db.session.commit()
    assert forget_them()
    db.session.commit()
    assert list(faults(db.session.connection())) == []


@pytest.mark.usefixtures("life")
def test_a_rollback_of_the_hosts_takes_it_back(db: SQLAlchemy) -> None:
    before = dump(db)
    forget_them()
    db.session.rollback()
    assert dump(db) == before


@pytest.mark.usefixtures("life")
def test_both_sides_of_a_transfer_can_be_forgotten(db: SQLAlchemy) -> None:
    for user in (WHO, "zed", "bob"):
        assert forget_them(user)
    db.session.commit()
    left = dump(db)
    assert not any(user in left for user in (WHO, "zed", "bob"))
    assert list(faults(db.session.connection())) == []


def test_thousands_of_transfers_are_followed(ctx: None, db: SQLAlchemy, coins: Coins) -> None:
    coins.award(WHO, 2000)
    for number in range(520):
        coins.transfer(WHO, f"u{number % 7}", 1)
    assert forget_them().counterparts == 520
    assert WHO not in dump(db)


@pytest.mark.usefixtures("ctx")
def test_a_stranger_is_nobody_to_forget() -> None:
    assert not forget_them("nobody")


# -- the id in its place ------------------------------------------------------------------------------


@pytest.fixture
def alias(life: None, db: SQLAlchemy) -> str:
    """The id that took the place."""
    forget_them()
    db.session.commit()
    return str(db.session.scalar(sa.select(log.c.user_id).where(log.c.reason == "goal").limit(1)))


CALLS: dict[str, Callable[[Coins, str], Any]] = {
    "award": lambda coins, user: coins.award(user, 1),
    "award_once": lambda coins, user: coins.award_once(user, 1, "goal", "day"),
    "spend": lambda coins, user: coins.spend(user, 1, "shop"),
    "hold": lambda coins, user: coins.hold(user, 1, "shop"),
    "transfer from": lambda coins, user: coins.transfer(user, "bob", 1),
    "transfer to": lambda coins, user: coins.transfer("bob", user, 1),
    "award_many": lambda coins, user: coins.award_many([{"user": user, "amount": 1}]),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_no_coins_are_moved_there(
    alias: str, db: SQLAlchemy, coins: Coins, call: Callable[[Coins, str], Any]
) -> None:
    before = dump(db)
    for user in (alias, "forgotten:", "forgotten:me"):
        with pytest.raises(InvalidInput, match="was erased"):
            call(coins, user)
    assert dump(db) == before


def test_it_can_be_looked_at(alias: str, coins: Coins) -> None:
    assert coins.balance(alias) == 111
    assert coins.balances([alias])[alias] == 111
    assert len(coins.history(alias)) == 9


# -- the command --------------------------------------------------------------------------------------


def run(app: Flask, *args: str) -> Result:
    return app.test_cli_runner().invoke(args=["coins", "forget", *args])


@pytest.mark.usefixtures("life")
def test_the_command_says_what_it_did_and_not_what_became_of_whom(
    app: Flask, db: SQLAlchemy
) -> None:
    result = run(app, WHO)
    assert result.exit_code == 0
    assert [line.split() for line in result.stdout.splitlines()] == [
        ["balances", "2"],
        ["entries", "10"],
        ["holds", "3"],
        ["released", "1"],
        ["counterparts", "3"],
        ["hidden", "0"],
    ]
    assert WHO not in dump(db)
    assert "forgotten:" not in result.output


@pytest.mark.usefixtures("life")
def test_it_can_be_repeated(app: Flask) -> None:
    first, second = (json.loads(run(app, WHO, "--json").stdout) for _ in "ab")
    assert (first["forgotten"], first["entries"]) == (True, 10)
    assert (second["forgotten"], second["entries"]) == (False, 0)
    result = run(app, WHO)
    assert (result.exit_code, "There is nothing under the id" in result.stdout) == (0, True)


def test_the_command_refuses_an_id_that_was_given_already(app: Flask) -> None:
    assert run(app, "forgotten:" + 32 * "0").exit_code == 2


# -- races --------------------------------------------------------------------------------------------

USERS = [f"racer:{number:02}" for number in range(12)]


class Done:
    """What a racing process has to say."""

    def __init__(self, outcome: str) -> None:
        self.outcome = outcome


def forget_in_race(coins: Coins, user: str) -> Any:
    return at_last(lambda: Done("forgotten" if forget_them(user) else "nobody"))


def pay_in_race(coins: Coins, user: str) -> Any:
    return at_last(lambda: coins.award_once(user, 5, "goal", "day"))


def give_in_race(coins: Coins, user: str) -> Any:
    """Coins go round: everybody gives to the next and to the one before."""
    place = USERS.index(user)
    other = USERS[(place + 1) % len(USERS)]

    def move() -> Receipt:
        coins.award(user, 2)
        coins.award(other, 1)
        return coins.transfer(user, other, 1)[0]

    return at_last(move)


def at_last(move: Callable[[], Any]) -> Any:
    """Repeat the whole transaction until it is through."""
    session = current_app.extensions["sqlalchemy"].session
    session.rollback()
    while True:
        try:
            answer = move()
            session.commit()
        except (CoinsRetry, sa.exc.OperationalError):
            session.rollback()
        else:
            return answer


def test_who_is_paid_while_being_forgotten_is_old_or_new(
    app: Flask, db: SQLAlchemy, coins: Coins, racers: Racers, database_url: str
) -> None:
    with app.app_context():
        for user in USERS:
            coins.award(user, 10, "quest")
        db.session.commit()
    answers = racers.race(database_url, [forget_in_race, pay_in_race], USERS)
    said = {answer.said for answer in answers}
    assert said <= {"forgotten", "nobody", "awarded", "already"}
    with app.app_context():
        assert [*examine(db.session(), log)] == [[]]
        for user in USERS:
            history = coins.history(user)
            assert len(history) <= 1
            assert [entry.reason for entry in history] in ([], ["goal"])
        paid = sa.select(log.c.user_id, sa.func.count()).where(log.c.reason == "goal")
        each = db.session.execute(paid.group_by(log.c.user_id)).all()
        assert {number for _, number in each} <= {1}


def test_forgetting_and_transfers_wait_for_one_another_in_order(
    app: Flask, db: SQLAlchemy, coins: Coins, racers: Racers, database_url: str
) -> None:
    with app.app_context():
        for user in USERS:
            give_in_race(coins, user)
    answers = racers.rush(database_url, [forget_in_race, give_in_race, give_in_race], USERS)
    assert {answer.said for answer in answers} <= {"forgotten", "nobody", "spent"}
    with app.app_context():
        assert [*examine(db.session(), log)] == [[]]
        amounts = sa.select(sa.func.sum(log.c.amount))
        gifts = answers_of(answers, "spent") + len(USERS)
        assert db.session.scalar(amounts) == 3 * gifts


def answers_of(answers: Any, said: str) -> int:
    return sum(answer.said == said for answer in answers)


def forgotten_meanwhile(app: Flask, db: SQLAlchemy, user: str, words: str) -> Any:
    """Somebody else forgets ``user`` just before a statement with ``words`` in it."""

    def forget_one() -> None:
        with app.app_context():
            assert forget_them(user)
            db.session.commit()

    def act() -> None:
        with ThreadPoolExecutor(1) as thread:
            thread.submit(forget_one).result(timeout=60)

    return before(db.engine, words, act)


@pytest.mark.parametrize("who", ["ann", "bob"])
@pytest.mark.parametrize("what", ["hat", "transfer"])
def test_what_is_reversed_while_a_side_is_forgotten_is_theirs_or_not_reversed(
    app: Flask, db: SQLAlchemy, coins: Coins, who: str, what: str
) -> None:
    if db_is_sqlite(app, db):
        pytest.skip("nobody else writes meanwhile")
    with app.app_context():
        for user in ("ann", "bob"):
            coins.award(user, 20, "quest")
        entry = (
            coins.spend("ann", 4, "hat") if what == "hat" else coins.transfer("ann", "bob", 4)[0]
        )
        db.session.commit()
        # The first statement of the write itself, behind the look at the entry.
        with forgotten_meanwhile(app, db, who, "coin_balance.held"):
            coins.reverse(entry)
        db.session.commit()
        assert [*examine(db.session(), log)] == [[]]


@pytest.mark.parametrize("limit", [1, 3])
def test_who_is_forgotten_between_look_and_lock_is_somebody_new(
    app: Flask, db: SQLAlchemy, coins: Coins, limit: int
) -> None:
    if db_is_sqlite(app, db):
        pytest.skip("nobody else writes meanwhile")
    with app.app_context():
        for _ in range(limit - 1):
            coins.award_once("ann", 10, "goal", limit=limit)
        coins.award("ann", 1)
        db.session.commit()
        with forgotten_meanwhile(app, db, "ann", "INSERT INTO coin_balance"):
            assert coins.award_once("ann", 10, "goal", limit=limit)
        db.session.commit()
        assert [*examine(db.session(), log)] == [[]]
        mine = db.session.scalars(sa.select(log.c.once_key).where(log.c.user_id == "ann")).all()
        assert mine == ["day:2026-11-22"]


def db_is_sqlite(app: Flask, db: SQLAlchemy) -> bool:
    with app.app_context():
        return db.engine.dialect.name == "sqlite"


def test_two_who_know_one_another_are_forgotten_at_once(
    app: Flask, db: SQLAlchemy, coins: Coins
) -> None:
    with app.app_context():
        for user, other in (("ann", "bob"), ("bob", "ann")) * 20:
            coins.award(user, 1)
            coins.transfer(user, other, 1)
        db.session.commit()

    def forget_one(user: str) -> bool:
        with app.app_context():
            return bool(at_last(lambda: forget_them(user)))

    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(forget_one, ["ann", "bob"])) == [True, True]
    with app.app_context():
        assert "ann" not in dump(db)
        assert "bob" not in dump(db)
        assert [*examine(db.session(), log)] == [[]]
