"""Holds: coins set aside at once, spent by capture alone, and free again by themselves."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask, abort
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.exc import DBAPIError

from flask_coins import (
    Coins,
    CoinsError,
    CoinsRetry,
    CoinsWarning,
    Hold,
    HoldClosed,
    HoldExpired,
    IdempotencyConflict,
    InsufficientCoins,
    InvalidAmount,
    InvalidInput,
    NoUserError,
    Outcome,
    Receipt,
)
from flask_coins._models import balances, holds
from flask_coins._state import state_of

from .apps import NOON, Clock
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

HOUR = timedelta(hours=1)


@pytest.fixture
def ten(books: None, db: SQLAlchemy, coins: Coins) -> None:
    """User 7 has 10 coins."""
    coins.award(7, 10, "start")
    db.session.commit()


def held(db: SQLAlchemy) -> int:
    """What the balance row of user 7 says is held."""
    of = balances.c.user_id == "7"
    return db.session.connection().scalar(sa.select(balances.c.held).where(of)) or 0


def statuses(db: SQLAlchemy) -> list[str]:
    rows = db.session.connection().scalars(sa.select(holds.c.status).order_by(holds.c.id))
    return list(rows)


def expire(app: Flask, db: SQLAlchemy, coins: Coins) -> int:
    return state_of(app).holds.expire(db.session(), coins.now())


# -- setting aside ---------------------------------------------------------------------------


def test_a_hold_is_a_row_that_moves_no_coins(ten: None, db: SQLAlchemy, coins: Coins) -> None:
    hold = coins.hold(7, 4, "bet", expires_in=HOUR, subject="game:1", details={"odds": 2})
    db.session.commit()
    assert hold == Hold(
        hold.id, "7", "coins", 4, "bet", "game:1", "open", NOON, NOON + HOUR, None, {"odds": 2}
    )
    assert coins.holds(7) == [hold]
    assert (coins.balance(7), coins.available(7), held(db), entries(db)) == (10, 6, 4, 1)


def test_two_holds_of_all_are_one_too_many(ten: None, db: SQLAlchemy, coins: Coins) -> None:
    hold = coins.hold(7, 10, "bet")
    with pytest.raises(InsufficientCoins, match="10 coins are needed, 0 are there") as caught:
        coins.hold(7, 10, "bet")
    assert (caught.value.balance, caught.value.amount, caught.value.code) == (0, 10, 402)
    db.session.commit()
    assert coins.holds(7) == [hold]


TAKING = {
    "spend": lambda coins, n: coins.spend(7, n, "shop"),
    "transfer": lambda coins, n: coins.transfer(7, 8, n),
    "transfer to a lower id": lambda coins, n: coins.transfer(7, 1, n),
    "reverse": lambda coins, n: coins.reverse(coins.history(7)[-1], amount=n),
    "hold": lambda coins, n: coins.hold(7, n, "bet"),
}


@pytest.mark.parametrize("name", TAKING)
def test_nothing_takes_what_is_held(ten: None, db: SQLAlchemy, coins: Coins, name: str) -> None:
    coins.hold(7, 4, "bet")
    db.session.commit()
    seen = everything(db)
    with pytest.raises(InsufficientCoins, match="7 coins are needed, 6 are there"):
        TAKING[name](coins, 7)
    db.session.commit()
    assert everything(db)[0] == seen[0]
    assert (coins.balance(7), coins.available(7), held(db)) == (10, 6, 4)
    assert TAKING[name](coins, 6)
    db.session.commit()
    assert coins.available(7) == 0


def test_a_hold_that_cannot_be_leaves_the_session_usable(
    ten: None, db: SQLAlchemy, coins: Coins
) -> None:
    coins.award(7, 1)
    for user in (7, "nobody"):
        with pytest.raises(InsufficientCoins):
            coins.hold(user, 12, "bet")
    db.session.commit()
    assert (coins.balance(7), coins.available("nobody"), coins.holds("nobody")) == (11, 0, [])


def test_currencies_are_held_apart(ten: None, db: SQLAlchemy, coins: Coins) -> None:
    coins.award(7, 3, currency="gems")
    coins.hold(7, 10, "bet")
    gems = coins.hold(7, 3, "bet", currency="gems")
    assert coins.capture(gems).currency == "gems"
    db.session.commit()
    assert (coins.balance(7), coins.balance(7, "gems"), coins.available(7)) == (10, 0, 0)


def test_the_database_itself_keeps_what_is_held(ten: None, db: SQLAlchemy, coins: Coins) -> None:
    coins.hold(7, 4, "bet")
    db.session.commit()
    for change in ({"held": 11}, {"held": -1}, {"balance": 3}):
        with pytest.raises(DBAPIError, match="ck_coin_balance_held"):
            db.session.connection().execute(sa.update(balances).values(change))
        db.session.rollback()


@pytest.mark.parametrize("call", ["capture", "release"])
def test_a_row_that_was_spoilt_by_hand_is_no_lost_race(
    ten: None, db: SQLAlchemy, coins: Coins, call: str
) -> None:
    hold = coins.hold(7, 4, "bet")
    db.session.connection().execute(sa.update(balances).values(held=3))
    db.session.commit()
    with pytest.raises(CoinsError, match="flask coins verify") as caught:
        getattr(coins, call)(hold)
    assert type(caught.value) is CoinsError
    assert (held(db), statuses(db)) == (3, ["open"])
    db.session.connection().execute(sa.update(balances).values(held=4))
    db.session.commit()


# -- capturing and releasing -----------------------------------------------------------------


def test_a_capture_spends_what_was_held(ten: None, db: SQLAlchemy, coins: Coins) -> None:
    hold = coins.hold(7, 4, "bet", subject="game:1", details={"odds": 2})
    db.session.commit()
    receipt = coins.capture(hold)
    assert receipt
    assert receipt.entry
    assert (receipt.outcome, receipt.amount, receipt.balance) == (Outcome.SPENT, -4, 6)
    assert (receipt.reason, receipt.subject, receipt.entry.details) == (
        "bet",
        "game:1",
        {"odds": 2},
    )
    db.session.commit()
    assert coins.history(7)[0] == receipt.entry
    assert (coins.available(7), held(db), coins.holds(7), statuses(db)) == (6, 0, [], ["captured"])


@pytest.mark.parametrize("by", ["hold", "id"])
def test_a_part_is_captured_and_the_rest_is_free(
    ten: None, db: SQLAlchemy, coins: Coins, by: str
) -> None:
    hold = coins.hold(7, 10, "bet")
    assert coins.capture(hold if by == "hold" else hold.id, 3).amount == -3
    db.session.commit()
    assert (coins.balance(7), coins.available(7), held(db)) == (7, 7, 0)
    assert coins.spend(7, 7, "shop")


def test_a_second_capture_is_replayed(ten: None, db: SQLAlchemy, coins: Coins) -> None:
    hold = coins.hold(7, 4, "bet")
    first = coins.capture(hold)
    db.session.commit()
    coins.award(7, 1)
    again = coins.capture(hold)
    assert (again.outcome, again.amount, again.balance) == (Outcome.REPLAYED, -4, 7)
    assert again.entry == first.entry
    with pytest.raises(HoldClosed, match="captured already, for 4"):
        coins.capture(hold, 3)
    with pytest.raises(InvalidAmount, match="has 4 coins, not 5"):
        coins.capture(hold, 5)
    db.session.commit()
    assert (coins.balance(7), held(db)) == (7, 0)


def test_more_than_was_held_is_not_captured(ten: None, db: SQLAlchemy, coins: Coins) -> None:
    hold = coins.hold(7, 4, "bet")
    db.session.commit()
    with pytest.raises(InvalidAmount, match=rf"Hold {hold.id} has 4 coins, not 5"):
        coins.capture(hold, 5)
    db.session.commit()
    assert coins.capture(hold)
    db.session.commit()


def test_a_released_hold_is_free_and_cannot_be_captured(
    ten: None, db: SQLAlchemy, coins: Coins
) -> None:
    hold = coins.hold(7, 10, "bet")
    released = coins.release(hold)
    assert (released.id, released.status) == (hold.id, "released")
    assert coins.release(hold.id) == released
    db.session.commit()
    with pytest.raises(HoldClosed, match="was released: make a new one") as caught:
        coins.capture(hold)
    assert not isinstance(caught.value, HoldExpired)
    db.session.commit()
    assert (coins.available(7), held(db)) == (10, 0)
    assert coins.hold(7, 10, "bet").id != hold.id


def test_what_was_captured_is_not_released(ten: None, db: SQLAlchemy, coins: Coins) -> None:
    hold = coins.hold(7, 10, "bet")
    entry = coins.capture(hold).entry
    assert entry
    with pytest.raises(HoldClosed, match=f"reverse entry {entry.id} instead"):
        coins.release(hold)
    assert coins.reverse(entry).balance == 10
    db.session.commit()


# -- expiry ----------------------------------------------------------------------------------


def test_an_overdue_hold_counts_no_more(
    ten: None, db: SQLAlchemy, coins: Coins, clock: Clock
) -> None:
    coins.hold(7, 10, "bet", expires_in=HOUR)
    db.session.commit()
    clock.forward(minutes=59, seconds=59.999999)
    assert (coins.available(7), len(coins.holds(7))) == (0, 1)
    clock.forward(microseconds=1)
    assert (coins.available(7), coins.holds(7)) == (10, [])


@pytest.mark.parametrize("name", TAKING)
def test_an_overdue_hold_frees_itself_when_its_coins_are_needed(
    ten: None, db: SQLAlchemy, coins: Coins, clock: Clock, name: str
) -> None:
    coins.hold(7, 4, "bet", expires_in=HOUR)
    kept = coins.hold(7, 2, "bet", expires_in=2 * HOUR)
    db.session.commit()
    clock.forward(hours=1)
    assert TAKING[name](coins, 8)
    db.session.commit()
    assert coins.available(7) == 0
    assert statuses(db)[:2] == ["expired", "open"]
    assert coins.capture(kept).amount == -2
    db.session.commit()
    closed = sa.select(holds.c.closed_at).where(holds.c.status == "expired")
    assert db.session.connection().scalar(closed) == NOON + HOUR


@pytest.mark.parametrize("name", TAKING)
def test_an_overdue_hold_that_does_not_suffice_is_not_counted_either(
    ten: None, db: SQLAlchemy, coins: Coins, clock: Clock, name: str
) -> None:
    if name == "reverse":
        coins.award(7, 90)
        coins.spend(7, 90, "shop")
        coins.award(7, 5)
        coins.reverse(coins.history(7)[0])
    coins.hold(7, 4, "bet", expires_in=HOUR)
    coins.hold(7, 2, "bet")
    db.session.commit()
    clock.forward(hours=1)
    # With the four that are free again there are eight: also where ten would not have been enough.
    for amount in (10, 9) if name == "reverse" else (11, 9):
        with pytest.raises(InsufficientCoins, match=f"{amount} coins are needed, 8 are there"):
            TAKING[name](coins, amount)
    db.session.commit()
    assert coins.available(7) == 8


def test_an_overdue_hold_is_not_captured_though_nobody_swept(
    ten: None, db: SQLAlchemy, coins: Coins, clock: Clock
) -> None:
    hold = coins.hold(7, 10, "bet", expires_in=HOUR)
    db.session.commit()
    clock.forward(hours=1)
    with pytest.raises(HoldExpired, match="its coins are free again"):
        coins.capture(hold)
    db.session.commit()
    assert (coins.balance(7), coins.available(7), entries(db)) == (10, 10, 1)
    coins.spend(7, 10, "shop")
    db.session.commit()
    with pytest.raises(HoldExpired):
        coins.capture(hold)


@pytest.mark.parametrize("swept", [True, False])
def test_a_hold_that_expired_stays_so_when_it_is_released(
    ten: None, app: Flask, db: SQLAlchemy, coins: Coins, clock: Clock, swept: bool
) -> None:
    hold = coins.hold(7, 10, "bet", expires_in=HOUR)
    db.session.commit()
    clock.forward(hours=1)
    if swept:
        assert expire(app, db, coins) == 1
    assert coins.release(hold).status == "expired"
    db.session.commit()
    assert (held(db), statuses(db)) == (0, ["expired"])
    with pytest.raises(HoldExpired):
        coins.capture(hold)


def test_a_sweep_frees_what_is_overdue_and_nothing_else(
    ten: None, app: Flask, db: SQLAlchemy, coins: Coins, clock: Clock
) -> None:
    coins.award(8, 10)
    for user in (7, 8):
        coins.hold(user, 3, "bet", expires_in=HOUR)
        coins.hold(user, 2, "bet", expires_in=HOUR)
        coins.hold(user, 1, "bet", expires_in=2 * HOUR)
        coins.hold(user, 1, "bet")
    coins.release(coins.hold(7, 1, "bet", expires_in=HOUR))
    db.session.commit()
    assert expire(app, db, coins) == 0
    clock.forward(hours=1)
    assert expire(app, db, coins) == 2
    assert expire(app, db, coins) == 0
    db.session.commit()
    assert (held(db), coins.available(7), coins.available(8)) == (2, 8, 8)
    assert statuses(db) == ["expired", "expired", "open", "open"] * 2 + ["released"]


def test_a_sweep_locks_users_in_the_order_that_transfers_do(
    ten: None, app: Flask, db: SQLAlchemy, coins: Coins, clock: Clock
) -> None:
    users = ["a", "B", "_", "Z", "é", "b"]
    for user in users:
        coins.award(user, 1)
        coins.hold(user, 1, "bet", expires_in=HOUR)
    db.session.commit()
    clock.forward(hours=1)
    asked: list[str] = []

    def note(*args: Any) -> None:
        if "held=(" in args[2]:
            asked.extend(user for user in users if user in list(_values(args[3])))

    sa.event.listen(db.engine, "before_cursor_execute", note)
    assert expire(app, db, coins) == len(users)
    sa.event.remove(db.engine, "before_cursor_execute", note)
    assert asked == sorted(users)
    db.session.commit()


def _values(params: Any) -> Any:
    return params.values() if isinstance(params, dict) else params


# -- keys ------------------------------------------------------------------------------------


def test_a_key_holds_once_and_answers_with_the_hold_as_it_is(
    ten: None, db: SQLAlchemy, coins: Coins, clock: Clock
) -> None:
    first = coins.hold(7, 10, "bet", idempotency_key="k")
    db.session.commit()
    clock.forward(days=1)
    assert coins.hold(7, 10, "bet", idempotency_key="k") == first
    entry = coins.capture(first).entry
    again = coins.hold(7, 10, "bet", idempotency_key="k")
    assert entry
    assert (again.id, again.status, again.entry_id) == (first.id, "captured", entry.id)
    db.session.commit()


CHANGES = [{"amount": 6}, {"reason": "other"}, {"subject": "y"}, {"subject": None}]


@pytest.mark.parametrize("change", [*CHANGES, {"currency": "gems"}])
def test_a_key_used_otherwise_is_a_conflict(
    ten: None, db: SQLAlchemy, coins: Coins, change: dict[str, Any]
) -> None:
    call = {"amount": 5, "reason": "bet", "subject": "x", "idempotency_key": "k"}
    coins.hold(7, **call)
    with statements(db.engine) as seen, pytest.raises(IdempotencyConflict, match="use a new key"):
        coins.hold(7, **call | change)
    assert all(sql.startswith("SELECT") for sql in seen)
    db.session.commit()
    assert coins.available(7) == 5


def test_a_key_of_a_hold_is_none_of_an_entry(ten: None, db: SQLAlchemy, coins: Coins) -> None:
    coins.award(8, 5)
    assert coins.spend(7, 1, "shop", idempotency_key="k")
    coins.hold(7, 5, "bet", idempotency_key="k")
    coins.hold(8, 5, "bet", idempotency_key="k")
    db.session.commit()
    assert (coins.available(7), coins.available(8)) == (4, 0)


@pytest.mark.parametrize("start", [10, 25])
@pytest.mark.parametrize("amount", [10, 9])
def test_a_key_used_between_look_and_lock_is_answered_or_a_conflict(
    books: None, db: SQLAlchemy, coins: Coins, elsewhere: Elsewhere, start: int, amount: int
) -> None:
    elsewhere(lambda: coins.award(7, start))
    made: list[Hold] = []

    def other() -> None:
        made.append(elsewhere(lambda: coins.hold(7, amount, "bet", idempotency_key="k")))

    # The snapshot is taken by now: on MariaDB the other's hold cannot be seen by a plain look.
    assert entries(db) == 1
    with before(db.engine, "held=(", other):
        if amount == 10:
            assert [coins.hold(7, 10, "bet", idempotency_key="k")] == made
        else:
            with pytest.raises(IdempotencyConflict, match="use a new key"):
                coins.hold(7, 10, "bet", idempotency_key="k")
    assert db.session().in_transaction()
    db.session.commit()
    assert (coins.available(7), len(coins.holds(7))) == (start - amount, 1)


@pytest.mark.parametrize("start", [10, 25])
def test_a_key_whose_hold_was_captured_between_look_and_lock_is_answered(
    books: None, db: SQLAlchemy, coins: Coins, elsewhere: Elsewhere, start: int
) -> None:
    elsewhere(lambda: coins.award(7, start))

    def hold() -> Hold:
        return coins.hold(7, 10, "bet", idempotency_key="k")

    assert entries(db) == 1
    with before(db.engine, "held=(", lambda: elsewhere(lambda: coins.capture(hold()))):
        assert hold().status == "captured"
    db.session.commit()
    assert (coins.balance(7), coins.available(7)) == (start - 10, start - 10)


# -- input -----------------------------------------------------------------------------------

BAD_AMOUNTS = [0, -1, True, 1.0, "5", None, float("nan"), 10**15]
BAD_EXPIRY = [timedelta(0), -HOUR, 3600, "1h", timedelta(days=3651), NOON]


@pytest.mark.parametrize("amount", BAD_AMOUNTS, ids=repr)
def test_an_amount_that_cannot_be_is_refused_before_any_sql(
    ten: None, db: SQLAlchemy, coins: Coins, amount: Any
) -> None:
    hold = coins.hold(7, 4, "bet")
    with statements(db.engine) as seen:
        with pytest.raises(InvalidAmount):
            coins.hold(7, amount, "bet")
        if amount is not None:
            with pytest.raises(InvalidAmount):
                coins.capture(hold, amount)
    assert seen == []


@pytest.mark.parametrize("expires_in", BAD_EXPIRY, ids=repr)
def test_an_expiry_that_cannot_be_is_refused_before_any_sql(
    ten: None, db: SQLAlchemy, coins: Coins, expires_in: Any
) -> None:
    with statements(db.engine) as seen, pytest.raises(InvalidInput, match="timedelta above zero"):
        coins.hold(7, 1, "bet", expires_in=expires_in)
    assert seen == []


@pytest.mark.parametrize("hold", ["1", 1.0, True, None, 0, -1, 2**63, {}], ids=repr)
@pytest.mark.parametrize("call", ["capture", "release"])
def test_what_is_no_hold_is_refused_before_any_sql(
    ten: None, db: SQLAlchemy, coins: Coins, call: str, hold: Any
) -> None:
    with statements(db.engine) as seen, pytest.raises(InvalidInput, match="a Hold or its id"):
        getattr(coins, call)(hold)
    assert seen == []


@pytest.mark.parametrize("call", ["capture", "release"])
def test_an_unknown_hold_is_refused(ten: None, db: SQLAlchemy, coins: Coins, call: str) -> None:
    coins.award(8, 1)
    with pytest.raises(InvalidInput, match="no hold 12345"):
        getattr(coins, call)(12345)


@pytest.mark.parametrize(
    "bad",
    [
        {"reason": ""},
        {"reason": "x" * 65},
        {"subject": ""},
        {"subject": "x" * 129},
        {"idempotency_key": ""},
        {"idempotency_key": 5},
        {"currency": "x" * 17},
        {"currency": "\x00"},
        {"details": {1, 2}},
        {"details": float("inf")},
        {"user": None},
        {"user": ""},
        {"user": 1.5},
    ],
    ids=repr,
)
def test_what_cannot_be_kept_is_refused_before_any_sql(
    ten: None, db: SQLAlchemy, coins: Coins, bad: dict[str, Any]
) -> None:
    with statements(db.engine) as seen, pytest.raises((InvalidInput, NoUserError)):
        coins.hold(**{"user": 7, "amount": 1, "reason": "bet"} | bad)
    assert seen == []


# -- the host's transaction ------------------------------------------------------------------


def test_a_rollback_takes_hold_capture_and_release_along(
    ten: None, db: SQLAlchemy, coins: Coins
) -> None:
    coins.hold(7, 10, "bet")
    db.session.rollback()
    assert (coins.available(7), coins.holds(7)) == (10, [])
    hold = coins.hold(7, 10, "bet")
    db.session.commit()
    for close in (coins.capture, coins.release):
        close(hold)
        db.session.rollback()
        assert (coins.balance(7), coins.available(7), coins.holds(7)) == (10, 0, [hold])
    assert coins.capture(hold)
    db.session.commit()


def test_a_savepoint_takes_a_hold_along(
    savepoints: None, ten: None, db: SQLAlchemy, coins: Coins
) -> None:
    first = coins.hold(7, 3, "bet")
    with db.session.begin_nested() as savepoint:
        coins.hold(7, 4, "bet")
        coins.capture(first)
        savepoint.rollback()
    assert (coins.balance(7), coins.available(7), held(db)) == (10, 7, 3)
    with db.session.begin_nested():
        coins.release(first)
    db.session.commit()
    assert (coins.available(7), held(db)) == (10, 0)


FAILURES = [RuntimeError("lost"), KeyboardInterrupt(), GeneratorExit()]
STEPS = {
    "hold": ["held=(", "INSERT INTO coin_hold"],
    "capture": ["held=(", "balance=(", "INSERT INTO coin_log", "UPDATE coin_hold"],
    "release": ["held=(", "UPDATE coin_hold"],
    "spend": ["UPDATE coin_hold", "held=(", "INSERT INTO coin_log"],
}


@pytest.mark.parametrize("failure", FAILURES, ids=repr)
@pytest.mark.parametrize(
    ("name", "step"), [(name, step) for name, steps in STEPS.items() for step in steps]
)
def test_a_failure_in_the_middle_leaves_nothing_half_done(
    ten: None,
    db: SQLAlchemy,
    coins: Coins,
    clock: Clock,
    name: str,
    step: str,
    failure: BaseException,
) -> None:
    hold = coins.hold(7, 6, "bet", expires_in=HOUR)
    db.session.commit()
    if name == "spend":  # which frees an overdue one
        clock.forward(hours=1)
    calls = {
        "hold": lambda: coins.hold(7, 4, "bet"),
        "capture": lambda: coins.capture(hold, 2),
        "release": lambda: coins.release(hold),
        "spend": lambda: coins.spend(7, 10, "shop"),
    }
    seen = everything(db)

    def fail() -> None:
        raise failure

    with before(db.engine, step, fail), pytest.raises(type(failure)) as caught:
        calls[name]()
    assert caught.value is failure
    assert not db.session().in_transaction()
    assert everything(db) == seen
    assert calls[name]()
    db.session.commit()


def test_a_hold_that_nobody_committed_is_an_error_under_test(
    ten: None, app: Flask, coins: Coins
) -> None:
    with pytest.raises(CoinsError, match=r"never committed \(bet of user 7\)"), app.app_context():
        coins.hold(7, 4, "bet")
    assert coins.available(7) == 10


@pytest.mark.parametrize("call", ["capture", "release"])
def test_a_hold_that_was_closed_and_not_committed_warns(
    ten: None, app: Flask, db: SQLAlchemy, coins: Coins, call: str
) -> None:
    hold = coins.hold(7, 4, "bet")
    db.session.commit()
    app.config["TESTING"] = False
    with pytest.warns(CoinsWarning, match=r"\(bet\)"), app.app_context():
        getattr(coins, call)(hold)


@pytest.mark.parametrize("call", ["hold", "release"])
def test_a_request_that_failed_may_lose_a_hold_without_a_word(
    app: Flask, db: SQLAlchemy, coins: Coins, call: str
) -> None:
    with app.app_context():
        coins.award(7, 10)
        hold = coins.hold(7, 1, "bet")
        db.session.commit()

    @app.post("/")
    def view() -> str:
        coins.hold(7, 4, "bet") if call == "hold" else coins.release(hold)
        abort(409)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert app.test_client().post("/").status_code == 409
    with app.app_context():
        assert coins.available(7) == 9


def test_a_capture_is_told_once_committed_and_a_hold_is_not(
    app: Flask, db: SQLAlchemy, coins: Coins
) -> None:
    with app.app_context():
        coins.award(7, 10)
        db.session.commit()

    @app.post("/")
    def view() -> str:
        coins.release(coins.hold(7, 1, "bet"))
        coins.capture(coins.hold(7, 4, "hat"), 3)
        db.session.commit()
        return "ok"

    shown = app.test_client().post("/").headers.getlist("Coins-Awarded")
    assert shown == ["hat;amount=-3;balance=7;outcome=spent"]


# -- old snapshots ---------------------------------------------------------------------------


@pytest.mark.parametrize("movement", ["hold", "capture", "release", "sweep", "spend"])
def test_a_window_paid_elsewhere_is_not_paid_again_after_a_hold(
    ten: None,
    app: Flask,
    db: SQLAlchemy,
    coins: Coins,
    clock: Clock,
    elsewhere: Elsewhere,
    engine: str,
    movement: str,
) -> None:
    if engine != "mariadb":
        pytest.skip("MariaDB alone shows a row as changed beside a log that is old")
    hold = coins.hold(7, 4, "bet", expires_in=HOUR)
    if movement in ("sweep", "spend"):
        clock.forward(hours=1)
    db.session.commit()
    calls = {
        "hold": lambda: coins.hold(7, 1, "bet"),
        "capture": lambda: coins.capture(hold),
        "release": lambda: coins.release(hold),
        "sweep": lambda: expire(app, db, coins),
        "spend": lambda: coins.spend(7, 15, "shop"),
    }

    def prize() -> Receipt:
        return coins.award_once(7, 5, "prize", timedelta(days=1))

    with isolated(db, "REPEATABLE READ"):
        elsewhere(prize)
        assert calls[movement]()
        assert prize().outcome is Outcome.ALREADY
        db.session.commit()


@pytest.mark.parametrize("name", ["hold", "capture", "release"])
def test_an_old_snapshot_gives_up_or_sees_what_is_held_now(
    ten: None, db: SQLAlchemy, coins: Coins, elsewhere: Elsewhere, engine: str, name: str
) -> None:
    if engine == "sqlite":
        pytest.skip("SQLite has one level")
    hold = elsewhere(lambda: coins.hold(7, 8, "bet"))
    calls: dict[str, tuple[Any, Any, Any]] = {
        "hold": (coins.hold, (7, 8, "bet"), InsufficientCoins),
        "capture": (coins.capture, (hold,), HoldClosed),
        "release": (coins.release, (hold,), HoldClosed),
    }
    call, args, error = calls[name]
    rival = (lambda: coins.capture(hold)) if name == "release" else (lambda: coins.release(hold))
    if name == "hold":
        elsewhere(lambda: coins.release(hold))
        rival = lambda: coins.hold(7, 8, "bet")  # noqa: E731
    with isolated(db, "REPEATABLE READ"):
        elsewhere(rival)
        with pytest.raises(error if engine == "mariadb" else CoinsRetry):
            call(*args)
        assert engine == "mariadb" or not db.session().in_transaction()
    db.session.rollback()
    with pytest.raises(error):
        call(*args)


def test_serializable_gives_up_whole(
    ten: None, db: SQLAlchemy, coins: Coins, elsewhere: Elsewhere, engine: str
) -> None:
    if engine != "postgresql":
        pytest.skip("only PostgreSQL detects this at once")
    hold = elsewhere(lambda: coins.hold(7, 8, "bet"))
    with isolated(db, "SERIALIZABLE"):
        coins.award(8, 1, "lost with the race")
        elsewhere(lambda: coins.release(hold))
        with pytest.raises(CoinsRetry):
            coins.capture(hold)
    assert not db.session().in_transaction()
    assert (coins.balance(8), coins.available(7)) == (0, 10)


def test_a_release_before_the_lock_is_seen(
    ten: None, db: SQLAlchemy, coins: Coins, elsewhere: Elsewhere, engine: str
) -> None:
    hold = elsewhere(lambda: coins.hold(7, 8, "bet"))
    lock = "UPDATE coin_balance" if engine == "sqlite" else "FOR UPDATE"
    with before(db.engine, lock, lambda: elsewhere(lambda: coins.release(hold))):  # noqa: SIM117
        with pytest.raises(HoldClosed):
            coins.capture(hold)
    db.session.commit()
    assert (coins.balance(7), held(db)) == (10, 0)


@pytest.mark.parametrize("name", TAKING)
def test_coins_that_somebody_else_freed_meanwhile_are_there(
    ten: None,
    db: SQLAlchemy,
    coins: Coins,
    clock: Clock,
    elsewhere: Elsewhere,
    engine: str,
    name: str,
) -> None:
    if engine != "postgresql":
        pytest.skip("where the first try fails, the other engines have locked the row by then")
    coins.hold(7, 10, "bet", expires_in=HOUR)
    db.session.commit()
    clock.forward(hours=1)
    # Between the first try, which fails, and the look at why it did.
    look = "SELECT coin_balance.balance, coin_balance.earned, coin_balance.spent, coin_balance.held"
    with before(db.engine, look, lambda: elsewhere(lambda: coins.spend(7, 5, "shop"))):
        assert TAKING[name](coins, 5)
    db.session.commit()
    assert coins.available(7) == 0


# -- races -----------------------------------------------------------------------------------

Race = Callable[..., dict[str, int]]


def hold_all(coins: Coins, user: str) -> Receipt:
    return Receipt(Outcome.AWARDED, coins.hold(user, 10, "bet").status)


def hold_some(coins: Coins, user: str) -> Receipt:
    return Receipt(Outcome.AWARDED, coins.hold(user, 3, "bet").status)


def hold_with_key(coins: Coins, user: str) -> Receipt:
    return Receipt(Outcome.AWARDED, coins.hold(user, 10, "bet", idempotency_key="k").status)


def capture(coins: Coins, user: str) -> Receipt:
    return coins.capture(int(user.partition("#")[2]))


def release(coins: Coins, user: str) -> Receipt:
    coins.release(int(user.partition("#")[2]))
    return Receipt(Outcome.AWARDED, "released")


def spend_of_hold(coins: Coins, user: str) -> Receipt:
    return coins.spend(user.partition("#")[0], 5, "shop")


@pytest.fixture
def race(app: Flask, db: SQLAlchemy, coins: Coins, racers: Racers) -> Iterator[Race]:
    """``race(*calls)``: how often what was said; then the books. Everybody has 10 coins."""
    with app.app_context():
        for user in USERS:
            coins.award(user, 10, "start")
        db.session.commit()

    def run(*calls: Any, users: list[str] = USERS) -> dict[str, int]:
        url = app.config["SQLALCHEMY_DATABASE_URI"]
        return the_same_for_all(racers.race(url, calls, users))

    yield run
    with app.app_context(), db.engine.connect() as connection:
        assert books_faults(connection) == []


@pytest.fixture
def with_holds(
    race: Race, app: Flask, db: SQLAlchemy, coins: Coins, clock: Clock
) -> Callable[[timedelta | None], list[str]]:
    """Each user and the id of a hold of 10, as ``user#id``; made two hours ago."""

    def make(expires_in: timedelta | None) -> list[str]:
        with app.app_context():
            clock.forward(hours=-2)
            made = [
                f"{user}#{coins.hold(user, 10, 'bet', expires_in=expires_in).id}" for user in USERS
            ]
            db.session.commit()
            clock.forward(hours=2)
            return made

    return make


def test_of_eight_holds_of_all_one_is_made(race: Race) -> None:
    assert race(hold_all) == {"awarded": 1, "InsufficientCoins": 7}


def test_holds_and_spends_at_once_take_what_is_there(race: Race) -> None:
    said = race(hold_some)
    assert said == {"awarded": 3, "InsufficientCoins": 5}


def test_a_key_that_is_raced_holds_once(race: Race, app: Flask, coins: Coins) -> None:
    assert race(hold_with_key) == {"awarded": 8}
    with app.app_context():
        assert [len(coins.holds(user)) for user in USERS] == [1] * len(USERS)


@pytest.mark.parametrize("call", [hold_with_key, hold_all])
def test_neighbours_do_not_get_in_each_others_way(
    race: Race, app: Flask, racers: Racers, call: Any
) -> None:
    answers = racers.rush(app.config["SQLALCHEMY_DATABASE_URI"], [call], USERS)
    keyed = call is hold_with_key
    once = {"awarded": 8} if keyed else {"awarded": 1, "InsufficientCoins": 7}
    assert the_same_for_all(answers) == once


def test_a_hold_is_captured_once(
    race: Race, with_holds: Callable[..., list[str]], app: Flask, coins: Coins
) -> None:
    assert race(capture, users=with_holds(None)) == {"spent": 1, "replayed": 7}
    with app.app_context():
        assert amounts(coins, *USERS) == [[10, -10]] * len(USERS)


def test_a_hold_is_captured_or_released(
    app: Flask,
    db: SQLAlchemy,
    coins: Coins,
    race: Race,
    with_holds: Callable[..., list[str]],
    racers: Racers,
) -> None:
    users = with_holds(None)
    url = app.config["SQLALCHEMY_DATABASE_URI"]
    answers = racers.race(url, [capture, release], users)
    with app.app_context():
        for user in users:
            said = sorted(each.said for each in answers if each.user == user)
            if coins.balance(user.partition("#")[0]) == 10:
                assert said == ["HoldClosed"] * 4 + ["awarded"] * 4
            else:
                assert said == ["HoldClosed"] * 4 + ["replayed"] * 3 + ["spent"]


def test_an_overdue_hold_is_freed_once_and_never_captured(
    race: Race, with_holds: Callable[..., list[str]], app: Flask, coins: Coins
) -> None:
    users = with_holds(HOUR)
    assert race(capture, spend_of_hold, release, spend_of_hold, users=users) == {
        "HoldExpired": 2,
        "spent": 2,
        "InsufficientCoins": 2,
        "awarded": 2,
    }
    with app.app_context():
        assert amounts(coins, *USERS) == [[10, -5, -5]] * len(USERS)


def test_times_are_utc(ten: None, db: SQLAlchemy, coins: Coins) -> None:
    expires_at = coins.hold(7, 1, "bet", expires_in=HOUR).expires_at
    assert isinstance(expires_at, datetime)
    db.session.commit()
    assert coins.holds(7)[0].expires_at == expires_at
    assert expires_at.tzinfo is timezone.utc
