"""Transfers: both entries or none, whatever fails, and whoever else moves coins at the same time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask, g
from flask_sqlalchemy import SQLAlchemy

from flask_coins import (
    Coins,
    CoinsRetry,
    IdempotencyConflict,
    InsufficientCoins,
    InvalidAmount,
    InvalidInput,
    NoUserError,
    Outcome,
    Receipt,
    signals,
)

from .movements import (
    USERS,
    Elsewhere,
    amounts,
    books_faults,
    entries,
    everything,
    isolated,
    the_same_for_all,
)
from .races import Racers
from .statements import before, statements

MOST = 999_999_999_999_999
DIRECTIONS = [("1", "2"), ("2", "1")]
"""From the lower id to the higher, and back."""


@pytest.fixture
def ten(books: None, db: SQLAlchemy, coins: Coins) -> None:
    """Users 1 and 2 have 10 coins each."""
    coins.award(1, 10, "start")
    coins.award(2, 10, "start")
    db.session.commit()


@pytest.mark.parametrize(("sender", "recipient"), DIRECTIONS)
def test_a_transfer_is_two_entries_that_know_each_other(
    ten: None, db: SQLAlchemy, coins: Coins, sender: str, recipient: str
) -> None:
    sent, received = coins.transfer(sender, recipient, 4, subject="loan:1", details={"for": "hat"})
    assert sent.entry
    assert received.entry
    assert (sent.outcome, sent.amount, sent.balance) == (Outcome.SPENT, -4, 6)
    assert (received.outcome, received.amount, received.balance) == (Outcome.AWARDED, 4, 14)
    assert (sent.entry.counterparty, received.entry.counterparty) == (recipient, sender)
    assert (sent.entry.transfer_id, received.entry.transfer_id) == (None, sent.entry.id)
    assert {each.reason for each in (sent, received)} == {"transfer"}
    assert {each.subject for each in (sent, received)} == {"loan:1"}
    db.session.commit()
    assert coins.history(sender)[0] == sent.entry
    assert coins.history(recipient)[0] == received.entry


def test_a_recipient_needs_no_coins_before(ten: None, db: SQLAlchemy, coins: Coins) -> None:
    assert coins.transfer(1, "new", 10)[1].balance == 10
    assert coins.transfer(2, "a", 3, currency="coins")[1].balance == 3
    db.session.commit()
    assert (coins.balance(1), coins.balance("new"), coins.balance("a")) == (0, 10, 3)


@pytest.mark.parametrize("sender", [7, "7"])
@pytest.mark.parametrize("recipient", [7, "7"])
def test_nobody_sends_coins_to_himself(
    ten: None, db: SQLAlchemy, coins: Coins, sender: Any, recipient: Any
) -> None:
    with statements(db.engine) as seen, pytest.raises(InvalidInput, match="has two users, not '7'"):
        coins.transfer(sender, recipient, 1)
    assert seen == []


@pytest.mark.parametrize(("sender", "recipient"), [*DIRECTIONS, ("1", "new"), ("2", "0")])
def test_who_has_less_sends_nothing(
    ten: None, db: SQLAlchemy, coins: Coins, sender: str, recipient: str
) -> None:
    coins.award(8, 1)
    with pytest.raises(InsufficientCoins, match="11 coins are needed, 10 are there") as caught:
        coins.transfer(sender, recipient, 11)
    assert (caught.value.balance, caught.value.code) == (10, 402)
    db.session.commit()
    assert coins.balances([1, 2, 8, "new", "0"]) == {"1": 10, "2": 10, "8": 1, "new": 0, "0": 0}
    assert entries(db) == 3


@pytest.mark.parametrize(("sender", "recipient"), [("none", "1"), ("0", "1"), ("none", "other")])
def test_who_never_had_coins_sends_nothing(
    ten: None, db: SQLAlchemy, coins: Coins, sender: str, recipient: str
) -> None:
    with pytest.raises(InsufficientCoins, match="1 coins are needed, 0 are there"):
        coins.transfer(sender, recipient, 1)
    db.session.commit()
    assert (coins.balance(sender), coins.balance(1), entries(db)) == (0, 10, 2)


@pytest.mark.parametrize(("sender", "recipient"), DIRECTIONS)
def test_a_balance_that_would_pass_the_largest_moves_nothing(
    ten: None, db: SQLAlchemy, coins: Coins, sender: str, recipient: str
) -> None:
    coins.award(recipient, MOST - 10)
    db.session.commit()
    seen = everything(db)
    with pytest.raises(InvalidAmount, match="cannot pass"):
        coins.transfer(sender, recipient, 1)
    assert not db.session().in_transaction()
    assert everything(db) == seen


BAD = [{"amount": bad} for bad in (0, -1, True, 1.0, "5", None, 10**15)]
BAD += [{"reason": ""}, {"reason": "x" * 65}, {"subject": ""}, {"idempotency_key": "x" * 129}]
BAD += [{"currency": ""}, {"details": {1}}, {"sender": None}, {"recipient": None}]
BAD += [{"recipient": ""}, {"recipient": 1.5}, {"sender": "x" * 65}, {"recipient": [2]}]


@pytest.mark.parametrize("bad", BAD, ids=repr)
def test_what_cannot_be_is_refused_before_any_sql(
    ten: None, db: SQLAlchemy, coins: Coins, bad: dict[str, Any]
) -> None:
    with statements(db.engine) as seen, pytest.raises((InvalidInput, NoUserError)):
        coins.transfer(**{"sender": 1, "recipient": 2, "amount": 1} | bad)
    assert seen == []


FAILURES = [RuntimeError("lost"), KeyboardInterrupt(), SystemExit(1), GeneratorExit()]


@pytest.mark.parametrize("failure", FAILURES, ids=repr)
@pytest.mark.parametrize("step", ["first balance", "second balance", "first entry", "second entry"])
@pytest.mark.parametrize(("sender", "recipient"), DIRECTIONS)
def test_a_failure_in_the_middle_moves_nothing(
    ten: None,
    db: SQLAlchemy,
    coins: Coins,
    sender: str,
    recipient: str,
    step: str,
    failure: BaseException,
) -> None:
    seen = everything(db)
    coins.award(8, 1, "goes with it")
    at, table = step.split()
    told: list[str] = []

    def fail(*args: Any) -> None:
        words = args[2]
        changes = words.startswith(("INSERT", "UPDATE")) and "coin_log" not in words
        if changes if table == "balance" else "INSERT INTO coin_log" in words:
            told.append(words)
            if len(told) == (1 if at == "first" else 2):
                raise failure

    sa.event.listen(db.engine, "before_cursor_execute", fail)
    with pytest.raises(type(failure)) as caught:
        coins.transfer(sender, recipient, 4)
    sa.event.remove(db.engine, "before_cursor_execute", fail)
    assert caught.value is failure
    assert not db.session().in_transaction()
    assert everything(db) == seen
    assert coins.transfer(sender, recipient, 4)[0]
    db.session.commit()


# -- keys ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("sender", "recipient"), DIRECTIONS)
def test_a_key_sends_once_and_answers_with_both_entries(
    ten: None, db: SQLAlchemy, coins: Coins, sender: str, recipient: str
) -> None:
    sent, received = coins.transfer(sender, recipient, 10, idempotency_key="k")
    db.session.commit()
    coins.award(recipient, 1)
    again, theirs = coins.transfer(sender, recipient, 10, idempotency_key="k")
    assert (again.outcome, again.amount, again.balance) == (Outcome.REPLAYED, -10, 0)
    assert (theirs.outcome, theirs.amount, theirs.balance) == (Outcome.REPLAYED, 10, 21)
    assert (again.entry, theirs.entry) == (sent.entry, received.entry)
    assert not again
    assert not theirs
    db.session.commit()


CHANGES = [{"amount": 4}, {"reason": "other"}, {"subject": "y"}, {"recipient": 3}]


@pytest.mark.parametrize("change", [*CHANGES, {"currency": "gems"}], ids=repr)
def test_a_key_used_otherwise_is_a_conflict(
    ten: None, db: SQLAlchemy, coins: Coins, change: dict[str, Any]
) -> None:
    call = {"sender": 1, "recipient": 2, "amount": 5, "subject": "x", "idempotency_key": "k"}
    coins.transfer(**call)
    with statements(db.engine) as seen, pytest.raises(IdempotencyConflict, match="use a new key"):
        coins.transfer(**call | change)
    assert all(sql.startswith("SELECT") for sql in seen)
    db.session.commit()
    assert coins.balances([1, 2, 3]) == {"1": 5, "2": 15, "3": 0}


def test_a_key_is_the_senders_and_no_other_movements(
    ten: None, db: SQLAlchemy, coins: Coins
) -> None:
    assert coins.award(2, 1, idempotency_key="k")
    assert coins.transfer(1, 2, 3, "gift", idempotency_key="k")[0]
    assert coins.transfer(2, 3, 3, "gift", idempotency_key="other")[0]
    with pytest.raises(IdempotencyConflict):
        coins.spend(1, 3, "gift", idempotency_key="k")
    with pytest.raises(IdempotencyConflict):
        coins.transfer(2, 1, 3, "gift", idempotency_key="k")
    db.session.commit()


@pytest.mark.parametrize("start", [4, 25])
@pytest.mark.parametrize(("sender", "recipient"), DIRECTIONS)
@pytest.mark.parametrize("amount", [4, 3])
def test_a_key_used_between_look_and_lock_is_replayed_or_a_conflict(
    books: None,
    db: SQLAlchemy,
    coins: Coins,
    elsewhere: Elsewhere,
    engine: str,
    sender: str,
    recipient: str,
    start: int,
    amount: int,
) -> None:
    elsewhere(lambda: coins.award(sender, start))
    theirs: list[Any] = []

    def other() -> None:
        send = lambda: coins.transfer(sender, recipient, amount, idempotency_key="k")  # noqa: E731
        theirs.extend(elsewhere(send))

    lock = "UPDATE coin_balance" if sender < recipient else "INSERT INTO coin_balance"
    # The snapshot is taken by now: on MariaDB the other's entries cannot be seen by a plain look.
    db.session.connection()
    with before(db.engine, lock, other):
        if amount == 4:
            mine = coins.transfer(sender, recipient, 4, idempotency_key="k")
            assert [each.outcome for each in mine] == [Outcome.REPLAYED] * 2
            assert [each.entry for each in mine] == [each.entry for each in theirs]
            assert mine[0].balance == start - 4
        else:
            with pytest.raises(IdempotencyConflict):
                coins.transfer(sender, recipient, 4, idempotency_key="k")
    db.session.commit()
    assert (coins.balance(sender), coins.balance(recipient)) == (start - amount, amount)


# -- what is received is no payment ----------------------------------------------------------


def test_received_coins_fill_no_window(ten: None, db: SQLAlchemy, coins: Coins) -> None:
    coins.transfer(1, 2, 3, "goal")
    for window in ("day", "forever", timedelta(hours=1)):
        subject = str(window)
        coins.transfer(1, 2, 1, "goal", subject=subject)
        assert coins.award_once(2, 5, "goal", window, subject=subject)
        assert not coins.award_once(2, 5, "goal", window, subject=subject)
    assert coins.award_once(2, 5, "goal")
    db.session.commit()


def test_received_coins_count_against_no_budget(
    make_app: Callable[..., Flask], db: SQLAlchemy, coins: Coins
) -> None:
    per_user = {"most": 20, "window": "day"}
    app = make_app(COINS_BUDGETS=[per_user, {"most": 40, "window": "day", "per": "app"}])
    with app.app_context():
        coins.award(1, 20, "start")
        coins.transfer(1, 2, 20, "gift")
        coins.transfer(2, 1, 20, "gift")
        assert coins.award(2, 20, "start")
        assert coins.award(1, 1, "start").outcome is Outcome.CAPPED
        db.session.commit()


# -- telling ---------------------------------------------------------------------------------


def test_each_side_is_told_of_its_own_after_the_commit(
    ten: None, db: SQLAlchemy, coins: Coins
) -> None:
    heard: list[Any] = []

    def hear(sender: Any, receipt: Receipt, user_id: str | None) -> None:
        heard.append((receipt.outcome.value, user_id, receipt.amount))

    with signals.coins_awarded.connected_to(hear), signals.coins_spent.connected_to(hear):
        coins.transfer(1, 2, 3)
        db.session.rollback()
        coins.transfer(1, 2, 4, idempotency_key="k")
        assert heard == []
        db.session.commit()
        coins.transfer(1, 2, 4, idempotency_key="k")
        db.session.commit()
    assert sorted(heard) == [("awarded", "2", 4), ("spent", "1", -4)]


def test_the_response_shows_the_senders_part_alone(
    app: Flask, db: SQLAlchemy, coins: Coins
) -> None:
    with app.app_context():
        coins.award(1, 10)
        coins.award(2, 1000)
        db.session.commit()
    shown: list[Any] = []

    @app.post("/")
    def view() -> str:
        sent, _ = coins.transfer(1, 2, 4, idempotency_key="k")
        db.session.commit()
        shown.append(g.coins_receipts == [sent])
        return "ok"

    client = app.test_client()
    header = client.post("/").headers.getlist("Coins-Awarded")
    assert header == ["transfer;amount=-4;balance=6;outcome=spent"]
    assert "Coins-Awarded" not in client.post("/").headers
    assert shown == [True, True]


# -- isolation -------------------------------------------------------------------------------


@pytest.mark.parametrize(("sender", "recipient"), DIRECTIONS)
def test_an_old_snapshot_cannot_send_what_is_gone(
    ten: None,
    db: SQLAlchemy,
    coins: Coins,
    elsewhere: Elsewhere,
    engine: str,
    sender: str,
    recipient: str,
) -> None:
    if engine == "sqlite":
        pytest.skip("SQLite has one level")
    with isolated(db, "REPEATABLE READ"):
        elsewhere(lambda: coins.spend(sender, 6, "shop"))
        error = InsufficientCoins if engine == "mariadb" else CoinsRetry
        with pytest.raises(error):
            coins.transfer(sender, recipient, 6)
        assert db.session().in_transaction() == (engine == "mariadb")
    db.session.commit()
    assert (coins.balance(sender), coins.balance(recipient)) == (4, 10)


@pytest.mark.parametrize("side", ["1", "2"])
def test_a_window_paid_elsewhere_is_not_paid_again_after_a_transfer(
    ten: None, db: SQLAlchemy, coins: Coins, elsewhere: Elsewhere, engine: str, side: str
) -> None:
    if engine != "mariadb":
        pytest.skip("MariaDB alone shows a row as changed beside a log that is old")

    def prize() -> Receipt:
        return coins.award_once(side, 5, "prize", timedelta(days=1))

    with isolated(db, "REPEATABLE READ"):
        elsewhere(prize)
        assert coins.transfer(1, 2, 3)
        assert prize().outcome is Outcome.ALREADY
        db.session.commit()


def test_serializable_gives_up_whole(
    ten: None, db: SQLAlchemy, coins: Coins, elsewhere: Elsewhere, engine: str
) -> None:
    if engine != "postgresql":
        pytest.skip("only PostgreSQL detects this at once")
    with isolated(db, "SERIALIZABLE"):
        coins.award(8, 1, "lost with the race")
        elsewhere(lambda: coins.award(2, 1))
        with pytest.raises(CoinsRetry):
            coins.transfer(1, 2, 3)
    assert not db.session().in_transaction()
    assert coins.balances([1, 2, 8]) == {"1": 10, "2": 11, "8": 0}


# -- races -----------------------------------------------------------------------------------


def there(coins: Coins, user: str) -> Receipt:
    return coins.transfer(user, f"z{user}", 2)[0]


def back(coins: Coins, user: str) -> Receipt:
    return coins.transfer(f"z{user}", user, 2)[0]


def undo(coins: Coins, user: str) -> Receipt:
    return coins.reverse(coins.history(user)[-2])


def all_of_it(coins: Coins, user: str) -> Receipt:
    return coins.transfer(user, f"a{user}", 10)[0]


def with_key(coins: Coins, user: str) -> Receipt:
    return coins.transfer(user, f"a{user}", 10, idempotency_key="k")[0]


def in_a_ring(coins: Coins, user: str) -> Receipt:
    number = int(user.partition(":")[2])
    return coins.transfer(user, f"racer:{(number + 1) % len(USERS)}", 1)[0]


Race = Callable[..., Any]


@pytest.fixture
def race(app: Flask, db: SQLAlchemy, coins: Coins, racers: Racers) -> Iterator[Race]:
    """``race(*calls)``: how often what was said; then the books. Each pair of users has 20 coins."""
    with app.app_context():
        for user in USERS:
            coins.award(user, 10, "start")
            coins.award(f"z{user}", 10, "start")
        db.session.commit()

    def run(*calls: Any) -> dict[str, int]:
        return the_same_for_all(racers.race(app.config["SQLALCHEMY_DATABASE_URI"], calls, USERS))

    yield run
    with app.app_context(), db.engine.connect() as connection:
        assert books_faults(connection) == []


def test_in_both_directions_at_once_nobody_meets_a_deadlock(
    race: Race, app: Flask, coins: Coins
) -> None:
    assert race(there, back) == {"spent": 8}
    with app.app_context():
        assert [coins.balance(user) + coins.balance(f"z{user}") for user in USERS] == [20] * 12
        assert {tuple(sorted(each)) for each in amounts(coins, *USERS)} == {
            (-2, -2, -2, -2, 2, 2, 2, 2, 10)
        }


def test_transfers_and_a_reversal_at_once_meet_no_deadlock(
    race: Race, app: Flask, db: SQLAlchemy, coins: Coins
) -> None:
    with app.app_context():
        for user in USERS:
            coins.transfer(user, f"z{user}", 1)
        db.session.commit()
    assert race(there, undo) == {"spent": 4, "awarded": 1, "already": 3}
    with app.app_context():
        assert [coins.balance(user) for user in USERS] == [2] * 12


def test_the_last_coins_are_sent_once(race: Race, app: Flask, coins: Coins) -> None:
    assert race(all_of_it) == {"spent": 1, "InsufficientCoins": 7}
    with app.app_context():
        assert [coins.balance(f"a{user}") for user in USERS] == [10] * 12


def test_a_key_that_is_raced_sends_once(race: Race, app: Flask, coins: Coins) -> None:
    assert race(with_key) == {"spent": 1, "replayed": 7}
    with app.app_context():
        assert [coins.balance(f"a{user}") for user in USERS] == [10] * 12


def test_neighbours_in_a_ring_do_not_get_in_each_others_way(
    race: Race, app: Flask, coins: Coins, racers: Racers
) -> None:
    answers = racers.rush(app.config["SQLALCHEMY_DATABASE_URI"], [in_a_ring], USERS)
    assert the_same_for_all(answers) == {"spent": 8}
    with app.app_context():
        assert [coins.balance(user) for user in USERS] == [10] * 12
