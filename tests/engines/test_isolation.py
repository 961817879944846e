"""Levels of isolation that an app may have chosen: exact on all, on some at the price of retries."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from threading import Barrier
from types import SimpleNamespace
from typing import Any, cast

import pytest
import sqlalchemy as sa
from flask import Flask, current_app, g
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.exc import OperationalError

from flask_coins import Coins, CoinsRetry, InsufficientCoins, Receipt, award_once
from tests.databases import SERVERS
from tests.races import Call, Racers, reconcile

USERS = [f"racer:{number}" for number in range(15)]

QUIET: dict[str, list[dict[str, Any]]] = {
    "postgresql": [{"isolation_level": "READ COMMITTED"}],
    "mariadb": [{"isolation_level": "READ COMMITTED"}, {"isolation_level": "REPEATABLE READ"}],
}
STRICT: dict[str, list[dict[str, Any]]] = {
    "postgresql": [{"isolation_level": "REPEATABLE READ"}, {"isolation_level": "SERIALIZABLE"}],
    "mariadb": [{"connect_args": {"init_command": "SET SESSION innodb_snapshot_isolation=ON"}}],
}


def each(options: dict[str, list[dict[str, Any]]]) -> pytest.MarkDecorator:
    """Parametrise over the servers that are there, and over their engine options."""
    rows = [
        pytest.param(server.values[0], row, marks=server.marks, id=f"{server.values[0]}-{number}")
        for server in SERVERS
        for number, row in enumerate(options[str(server.values[0])])
    ]
    return pytest.mark.parametrize(("engine", "options"), rows, indirect=["engine"])


def prize(coins: Coins, user: str) -> Receipt:
    return coins.award_once(user, 15, "prize", "day")


def at_last(call: Call, coins: Coins, user: str) -> Receipt:
    """Repeat the whole transaction, its commit included, until it is through."""
    session = current_app.extensions["sqlalchemy"].session
    while True:
        try:
            receipt = call(coins, user)
            session.commit()
        except (CoinsRetry, OperationalError):
            session.rollback()
        else:
            return receipt


@each(QUIET)
def test_the_usual_levels_need_no_retry(
    app: Flask, racers: Racers, database_url: str, options: dict[str, Any]
) -> None:
    answers = racers.race(database_url, [prize], USERS, SQLALCHEMY_ENGINE_OPTIONS=options)
    assert Counter(said for _, said in answers) == {"awarded": 15, "already": 105}


@each(STRICT)
def test_at_strict_levels_who_loses_is_told_to_retry(
    app: Flask, racers: Racers, database_url: str, options: dict[str, Any]
) -> None:
    answers = racers.race(database_url, [prize], USERS, SQLALCHEMY_ENGINE_OPTIONS=options)
    said = Counter(said for _, said in answers)
    assert said["awarded"] == 15
    assert said.keys() <= {"awarded", "already", "CoinsRetry", "lost at commit"}


@each(STRICT)
def test_retries_come_through_at_strict_levels(
    app: Flask, db: SQLAlchemy, racers: Racers, database_url: str, options: dict[str, Any]
) -> None:
    answers = racers.race(
        database_url, [partial(at_last, prize)], USERS, SQLALCHEMY_ENGINE_OPTIONS=options
    )
    assert Counter(said for _, said in answers) == {"awarded": 15, "already": 105}
    with app.app_context(), db.engine.connect() as connection:
        assert reconcile(connection) == []


@pytest.mark.parametrize("windows", [("day", "day"), ("day", "forever"), (timedelta(hours=1),) * 2])
def test_a_payment_of_ones_own_hides_none_of_anothers(
    app: Flask, db: SQLAlchemy, coins: Coins, windows: tuple[Any, Any]
) -> None:
    with app.app_context():
        db.session.execute(sa.text("SELECT 1 FROM coin_balance")).all()
        with app.app_context():
            coins.award_once("ada", 15, "prize", windows[0])
            db.session.commit()
        coins.award("ada", 1, "gift")
        assert coins.award_once("ada", 15, "prize", windows[1]).outcome == "already"
        db.session.rollback()


def test_looking_again_waits_for_nobody_before(app: Flask, db: SQLAlchemy, coins: Coins) -> None:
    with app.app_context():
        coins.award_once("ann", 15, "prize", "day", limit=2)
        with app.app_context():
            db.session.execute(sa.text("SELECT 1 FROM coin_balance")).all()
            with app.app_context():
                coins.award_once("bob", 15, "prize", "day", limit=2)
                db.session.commit()
            assert coins.award_once("bob", 15, "prize", "day", limit=2).balance == 30
            db.session.commit()
        db.session.commit()


def test_nobody_behind_waits_for_one_who_looks_again(
    app: Flask, db: SQLAlchemy, coins: Coins
) -> None:
    def elsewhere(user: str, reason: str) -> int | None:
        with app.app_context():
            balance = coins.award_once(user, 5, reason, "day").balance
            db.session.commit()
            return balance

    elsewhere("bob", "middle")
    with app.app_context():
        db.session.execute(sa.text("SELECT 1 FROM coin_log")).all()
        elsewhere("ann", "other")
        assert coins.award_once("ann", 5, "prize", "day").balance == 10
        assert elsewhere("bob", "a reason that sorts before") == 10
        assert coins.award_once("bob", 5, "zeal", "day").balance == 15
        db.session.commit()


@pytest.mark.parametrize("key", [None, "order-1"])
def test_strangers_without_coins_do_not_block_each_other(
    app: Flask, db: SQLAlchemy, coins: Coins, key: str | None
) -> None:
    met = Barrier(2)

    def refused_then_paid(user: str) -> str:
        with app.app_context():
            db.session.execute(sa.text("SELECT 1"))
            with pytest.raises(InsufficientCoins):
                coins.spend(user, 5, "hint", idempotency_key=key)
            met.wait()
            outcome = coins.award(user, 1, "consolation").outcome
            db.session.commit()
            return str(outcome)

    with ThreadPoolExecutor() as pool:
        assert list(pool.map(refused_then_paid, ["ann", "bob"])) == ["awarded"] * 2


def test_a_deadlock_within_a_savepoint_is_one_to_repeat(
    app: Flask, db: SQLAlchemy, coins: Coins
) -> None:
    with app.app_context():
        for user in ("ann", "bob"):
            coins.award(user, 1, "start")
        db.session.commit()
    met = Barrier(2)

    def cross(users: tuple[str, str]) -> str:
        with app.app_context():
            coins.award(users[0], 1)
            met.wait()
            try:
                with db.session.begin_nested():
                    coins.award(users[1], 1)
                db.session.commit()
            except CoinsRetry:
                db.session.rollback()
                return "CoinsRetry"
            return "paid"

    with ThreadPoolExecutor() as pool:
        said = sorted(pool.map(cross, [("ann", "bob"), ("bob", "ann")]))
    assert said == ["CoinsRetry", "paid"]
    with app.app_context(), db.engine.connect() as connection:
        assert reconcile(connection) == []


# -- what the extension repeats by itself, its commit included ------------------------------------

GOAL = award_once(15, "goal", "day")


def visit(coins: Coins, user: str) -> Receipt:
    """A decorated view, in an app context of its own as a request's is."""
    with current_app.app_context():
        g.user = user
        GOAL(lambda: "done")()
        return cast("Receipt", g.coins_receipts[0])


def command(coins: Coins, user: str) -> Any:
    """``flask coins award``, in this process."""
    args = ["coins", "award", user, "15", "--once", "day", "--reason", "goal", "--json"]
    result = current_app.test_cli_runner().invoke(args=args)
    assert result.exit_code == 0, result.output
    return SimpleNamespace(outcome=json.loads(result.output)["outcome"])


@each(STRICT)
@pytest.mark.parametrize("call", [visit, command])
def test_a_view_and_the_command_line_repeat_what_is_theirs(
    app: Flask, racers: Racers, database_url: str, options: dict[str, Any], call: Any
) -> None:
    answers = racers.race(database_url, [call], USERS, SQLALCHEMY_ENGINE_OPTIONS=options)
    assert Counter(said for _, said in answers) == {"awarded": 15, "already": 105}


@pytest.fixture
def pivot(make_app: Callable[..., Flask], db: SQLAlchemy, coins: Coins) -> Flask:
    """A SERIALIZABLE host; what has read all and then pays cannot be serialized, at the commit."""
    app = make_app(SQLALCHEMY_ENGINE_OPTIONS={"isolation_level": "SERIALIZABLE"})

    def interfere(session: Any) -> None:
        with db.engine.begin() as other:
            other.exec_driver_sql("SELECT * FROM coin_balance").all()
            other.exec_driver_sql("INSERT INTO host_note VALUES ('other')")

    with app.app_context():
        coins.award("eve", 1)
        db.session.execute(sa.text("CREATE TABLE host_note (text VARCHAR(40))"))
        db.session.commit()
        sa.event.listen(db.session, "before_commit", interfere, once=True)
    return app


def read_all(db: SQLAlchemy) -> None:
    db.session.execute(sa.text("SELECT * FROM host_note")).all()


def test_a_view_that_only_read_is_paid_though_its_first_commit_failed(
    pivot: Flask, db: SQLAlchemy, database_url: str, coins: Coins
) -> None:
    if not database_url.startswith("postgresql"):
        pytest.skip("elsewhere nothing is found out at the commit")
    commits: list[Any] = []

    @GOAL
    def view() -> str:
        read_all(db)
        return "done"

    with pivot.app_context():
        sa.event.listen(db.engine, "commit", commits.append)
        g.user = "ann"
        view()
        assert [receipt.outcome for receipt in g.coins_receipts] == ["awarded"]
    assert len(commits) == 3  # the other's, the one that failed, and the last


def test_a_view_with_work_is_told_to_repeat_it_where_its_commit_failed(
    pivot: Flask, db: SQLAlchemy, database_url: str, coins: Coins
) -> None:
    if not database_url.startswith("postgresql"):
        pytest.skip("elsewhere nothing is found out at the commit")

    @GOAL
    def view() -> str:
        read_all(db)
        db.session.execute(sa.text("INSERT INTO host_note VALUES ('mine')"))
        return "done"

    with pivot.app_context():
        g.user = "ann"
        with pytest.raises(CoinsRetry):
            view()
        notes = db.session.execute(sa.text("SELECT text FROM host_note"))
        assert list(notes.scalars()) == ["other"]
        assert coins.balance("ann") == 0
        view()
        assert coins.balance("ann") == 15


# -- spending, and keys ----------------------------------------------------------------------------


def purchase(coins: Coins, user: str) -> Receipt:
    return coins.spend(user, 3, "shop")


def gift(coins: Coins, user: str) -> Receipt:
    return coins.award(user, 10, "gift", idempotency_key="gift-1")


@each({name: [*QUIET[name], *STRICT[name]] for name in QUIET})
@pytest.mark.parametrize(
    ("call", "said"),
    [(purchase, {"spent": 4, "InsufficientCoins": 4}), (gift, {"awarded": 1, "replayed": 7})],
)
def test_spends_and_keys_are_exact_at_every_level(
    app: Flask,
    db: SQLAlchemy,
    coins: Coins,
    racers: Racers,
    database_url: str,
    options: dict[str, Any],
    call: Call,
    said: dict[str, int],
) -> None:
    users = USERS[:6]
    with app.app_context():
        for user in users:
            coins.award(user, 14, "start")
        db.session.commit()
    calls = [partial(at_last, call)]
    answers = racers.race(database_url, calls, users, SQLALCHEMY_ENGINE_OPTIONS=options)
    assert Counter(outcome for _, outcome in answers) == {
        outcome: times * len(users) for outcome, times in said.items()
    }
    with app.app_context(), db.engine.connect() as connection:
        assert reconcile(connection) == []
