"""Moving coins: what is written, what is refused, and what stays whole when something goes wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from flask_coins import (
    Coins,
    CoinsRetry,
    IdempotencyConflict,
    InsufficientCoins,
    InvalidAmount,
    Outcome,
    Receipt,
)
from flask_coins._claims import Claim
from flask_coins._ledger import Ledger
from flask_coins._models import Base, log
from flask_coins._writes import Movement
from flask_coins.windows import Day, zone_of

from .apps import NOON, Clock
from .movements import Elsewhere
from .races import reconcile
from .statements import before, statements

MOST = 999_999_999_999_999


@pytest.fixture
def note(db: SQLAlchemy) -> Any:
    """A table of the host's own, made by ``app``."""

    class Note(db.Model):  # type: ignore[name-defined,misc]
        id = sa.Column(sa.Integer, primary_key=True)
        text = sa.Column(sa.String(50), nullable=False)

    return Note


def entries(db: SQLAlchemy) -> int:
    return db.session.scalar(sa.select(sa.func.count()).select_from(log)) or 0


# -- what a movement is ----------------------------------------------------------------------


def test_an_award_is_an_entry_and_a_balance(books: None, db: SQLAlchemy, coins: Coins) -> None:
    receipt = coins.award(7, 15, "gift", subject="x", details={"by": "ada"})
    assert receipt
    assert receipt.entry
    assert (receipt.outcome, receipt.amount, receipt.balance) == (Outcome.AWARDED, 15, 15)
    assert (receipt.reason, receipt.subject, receipt.currency) == ("gift", "x", "coins")
    db.session.commit()
    assert coins.history(7) == [receipt.entry]
    assert receipt.entry.created_at == NOON
    assert receipt.entry.details == {"by": "ada"}


def test_a_spend_is_an_entry_below_zero(books: None, db: SQLAlchemy, coins: Coins) -> None:
    coins.award(7, 15)
    receipt = coins.spend(7, 15, "shop")
    assert receipt
    assert receipt.entry
    assert (receipt.outcome, receipt.amount, receipt.balance) == (Outcome.SPENT, -15, 0)
    assert (receipt.entry.amount, receipt.entry.balance_after) == (-15, 0)
    db.session.commit()


def test_microseconds_and_utc_are_kept(
    books: None, db: SQLAlchemy, coins: Coins, clock: Clock
) -> None:
    for moment in ("2026-11-22T23:59:59.999999+00:00", "2026-10-25T02:30:00.000001+02:00"):
        clock.now = datetime.fromisoformat(moment)
        coins.award(7, 1)
        db.session.commit()
        assert coins.history(7, 1)[0].created_at == clock.now
        assert coins.history(7, 1)[0].created_at.utcoffset() == timedelta(0)


def test_currencies_are_apart(books: None, db: SQLAlchemy, coins: Coins) -> None:
    coins.award(7, 1)
    coins.award(7, 2, currency="gems")
    with pytest.raises(InsufficientCoins, match="3 gems are needed, 2 are there"):
        coins.spend(7, 3, "shop", currency="gems")
    db.session.commit()
    assert (coins.balance(7), coins.balance(7, "gems"), coins.balance(7, "x")) == (1, 2, 0)


def test_ids_of_the_log_only_grow(books: None, db: SQLAlchemy, coins: Coins) -> None:
    ids = [coins.award(user, 1).entry.id for user in (1, 2, 1, 3, 1)]  # type: ignore[union-attr]
    db.session.commit()
    assert ids == sorted(set(ids))


def test_xp_are_coins_rounded_down(books: None, db: SQLAlchemy, coins: Coins) -> None:
    assert [coins.award_xp(7, xp).amount for xp in (10, 19, 100)] == [1, 1, 10]
    small = coins.award_xp(7, 9)
    assert (bool(small), small.outcome, small.entry) == (False, Outcome.NOTHING_DUE, None)
    assert coins.award_xp(7, 0).outcome is Outcome.NOTHING_DUE
    db.session.commit()
    assert coins.balance(7) == 12


def test_a_user_who_is_not_eligible_is_excluded(books: None, db: SQLAlchemy, coins: Coins) -> None:
    asked: list[tuple[str, str]] = []
    coins.eligible_check(lambda *who: bool(asked.append(who)) or who[0] != "staff")
    refused = [coins.award("staff", 1), coins.award_once("staff", 1, "goal")]
    refused += [coins.award_xp("staff", 100)]
    assert {receipt.outcome for receipt in refused} == {Outcome.EXCLUDED}
    assert coins.award("ada", 1)
    assert asked == [(u, r) for u, r in asked if type(u) is str]
    assert asked[:2] == [("staff", "xp_bonus"), ("staff", "goal")]
    assert coins.balance("staff") == 0
    db.session.commit()


# -- no overdraft, no overflow ---------------------------------------------------------------


def test_nobody_spends_what_is_not_there(books: None, db: SQLAlchemy, coins: Coins) -> None:
    with pytest.raises(InsufficientCoins) as caught:
        coins.spend("poor", 1, "shop")
    assert (caught.value.balance, caught.value.amount, caught.value.code) == (0, 1, 402)
    coins.award("poor", 5)
    with pytest.raises(InsufficientCoins, match="6 coins are needed, 5 are there"):
        coins.spend("poor", 6, "shop")
    db.session.commit()
    assert coins.balance("poor") == 5


def test_an_empty_purse_leaves_the_transaction_alone(
    note: Any, books: None, db: SQLAlchemy, coins: Coins
) -> None:
    db.session.add(note(text="kept"))
    db.session.flush()
    coins.award(7, 3)
    with pytest.raises(InsufficientCoins):
        coins.spend(7, 4, "shop")
    db.session.commit()
    assert db.session.scalar(sa.select(note.text)) == "kept"
    assert coins.balance(7) == 3


def test_the_largest_balance_is_exact(books: None, db: SQLAlchemy, coins: Coins) -> None:
    assert coins.award(7, MOST).balance == MOST
    db.session.commit()
    assert coins.spend(7, MOST, "shop").balance == 0
    db.session.commit()


@pytest.mark.parametrize("call", ["award", "award_once"])
def test_a_balance_cannot_pass_the_largest(
    books: None, db: SQLAlchemy, coins: Coins, call: str
) -> None:
    coins.award(7, MOST)
    db.session.commit()
    coins.award(8, 1)
    with pytest.raises(InvalidAmount, match=r"cannot pass 999,999,999,999,999.*rolled back"):
        getattr(coins, call)(7, 1, "goal")
    assert (coins.balance(7), coins.balance(8), entries(db)) == (MOST, 0, 1)


# -- keys ------------------------------------------------------------------------------------


def test_a_key_pays_once_and_answers_with_the_first(
    books: None, db: SQLAlchemy, coins: Coins, clock: Clock
) -> None:
    first = coins.award(7, 5, "gift", idempotency_key="k")
    db.session.commit()
    clock.forward(days=400)
    coins.award(7, 1)
    again = coins.award(7, 5, "gift", idempotency_key="k")
    assert (again.outcome, bool(again), again.amount, again.balance) == ("replayed", False, 5, 6)
    assert again.entry == first.entry
    db.session.commit()


def test_a_key_is_replayed_though_the_purse_is_empty_by_now(
    books: None, db: SQLAlchemy, coins: Coins
) -> None:
    coins.award(7, 5)
    coins.spend(7, 5, "shop", idempotency_key="order-1")
    assert coins.spend(7, 5, "shop", idempotency_key="order-1").outcome is Outcome.REPLAYED
    db.session.commit()


def test_a_key_belongs_to_a_user(books: None, db: SQLAlchemy, coins: Coins) -> None:
    assert coins.award(7, 5, idempotency_key="k")
    assert coins.award(8, 5, idempotency_key="k")
    assert coins.award(7, 5, idempotency_key="K")
    db.session.commit()


CHANGES = [{"amount": 6}, {"reason": "other"}, {"subject": "y"}, {"subject": None}]


@pytest.mark.parametrize("change", [*CHANGES, {"currency": "gems"}])
def test_a_key_used_otherwise_is_a_conflict(
    books: None, db: SQLAlchemy, coins: Coins, change: dict[str, Any]
) -> None:
    call = {"amount": 5, "reason": "gift", "subject": "x", "idempotency_key": "k"}
    coins.award(7, **call)
    with (
        statements(db.engine) as seen,
        pytest.raises(IdempotencyConflict, match=r"belongs to entry \d+ \(.*use a new key"),
    ):
        coins.award(7, **call | change)
    assert all(sql.startswith("SELECT") for sql in seen)
    assert coins.award(7, **call).outcome is Outcome.REPLAYED
    db.session.commit()


def test_an_award_and_a_spend_cannot_share_a_key(books: None, db: SQLAlchemy, coins: Coins) -> None:
    coins.award(7, 5, "r", idempotency_key="k")
    with pytest.raises(IdempotencyConflict):
        coins.spend(7, 5, "r", idempotency_key="k")
    db.session.commit()


# -- a payment between look and lock ---------------------------------------------------------

LOCK = "INSERT INTO coin_balance"


@pytest.mark.parametrize("window", ["hour", "day", "forever", timedelta(hours=1)])
@pytest.mark.parametrize("rich", [True, False])
def test_a_window_paid_between_look_and_lock_is_not_paid_again(
    books: None, db: SQLAlchemy, coins: Coins, elsewhere: Elsewhere, window: Any, rich: bool
) -> None:
    if rich:
        elsewhere(lambda: coins.award(7, 100))

    def other() -> object:
        return elsewhere(lambda: coins.award_once(7, 10, "goal", window))

    with before(db.engine, LOCK, other):
        late = coins.award_once(7, 10, "goal", window)
    assert (late.outcome, late.balance) == ("already", 110 if rich else 10)
    db.session.commit()
    assert coins.balance(7) == (110 if rich else 10)


def test_something_else_paid_between_look_and_lock_does_no_harm(
    books: None, db: SQLAlchemy, coins: Coins, elsewhere: Elsewhere
) -> None:
    def other() -> object:
        return elsewhere(lambda: coins.award(7, 1, "other"))

    with before(db.engine, LOCK, other):
        assert coins.award_once(7, 10, "goal").balance == 11
    db.session.commit()


def test_a_spend_and_a_payment_that_cancel_out_are_seen(
    books: None, db: SQLAlchemy, coins: Coins, elsewhere: Elsewhere
) -> None:
    elsewhere(lambda: coins.award(7, 10, "start"))

    def other() -> None:
        coins.award_once(7, 10, "goal")
        coins.spend(7, 10, "shop")

    with before(db.engine, LOCK, lambda: elsewhere(other)):
        assert coins.award_once(7, 10, "goal").outcome is Outcome.ALREADY
    db.session.commit()
    assert coins.balance(7) == 10


def test_a_slot_taken_between_look_and_lock_leaves_the_next(
    books: None, db: SQLAlchemy, coins: Coins, elsewhere: Elsewhere
) -> None:
    def other() -> object:
        return elsewhere(lambda: coins.award_once(7, 10, "goal", limit=2))

    with before(db.engine, LOCK, other):
        assert coins.award_once(7, 10, "goal", limit=2)
    db.session.commit()
    names = db.session.execute(sa.select(log.c.once_key).order_by(log.c.id)).scalars()
    assert list(names) == ["day:2026-11-22", "day:2026-11-22#2"]
    assert not coins.award_once(7, 10, "goal", limit=2)


def test_a_key_used_between_look_and_lock_is_replayed(
    books: None, db: SQLAlchemy, coins: Coins, elsewhere: Elsewhere
) -> None:
    def gift() -> Receipt:
        return coins.award(7, 10, "gift", idempotency_key="k")

    with before(db.engine, LOCK, lambda: elsewhere(gift)):
        assert gift().outcome is Outcome.REPLAYED
    db.session.commit()
    assert coins.balance(7) == 10


@pytest.mark.parametrize("start", [10, 25])
def test_an_order_placed_between_look_and_lock_is_replayed(
    books: None, db: SQLAlchemy, coins: Coins, elsewhere: Elsewhere, start: int
) -> None:
    elsewhere(lambda: coins.award(7, start))

    def order() -> Receipt:
        return coins.spend(7, 10, "shop", idempotency_key="k")

    with before(db.engine, "UPDATE coin_balance", lambda: elsewhere(order)):
        assert order().outcome is Outcome.REPLAYED
    db.session.commit()
    assert coins.balance(7) == start - 10


def test_coins_spent_between_look_and_lock_are_gone(
    books: None, db: SQLAlchemy, coins: Coins, elsewhere: Elsewhere
) -> None:
    elsewhere(lambda: coins.award(7, 10))
    with (
        before(
            db.engine, "UPDATE coin_balance", lambda: elsewhere(lambda: coins.spend(7, 6, "shop"))
        ),
        pytest.raises(InsufficientCoins) as caught,
    ):
        coins.spend(7, 6, "shop")
    assert caught.value.balance == 4


def test_a_conflict_found_under_the_lock_writes_nothing(
    books: None, db: SQLAlchemy, coins: Coins, elsewhere: Elsewhere
) -> None:
    def other() -> object:
        return elsewhere(lambda: coins.award(7, 11, idempotency_key="k"))

    with before(db.engine, LOCK, other), pytest.raises(IdempotencyConflict):
        coins.award(7, 10, idempotency_key="k")
    db.session.commit()
    assert (coins.balance(7), entries(db)) == (11, 1)


# -- isolation -------------------------------------------------------------------------------


@contextmanager
def isolated(db: SQLAlchemy, level: str) -> Iterator[None]:
    """A transaction at ``level`` whose snapshot is taken now."""
    db.session.connection(execution_options={"isolation_level": level})
    assert entries(db) is not None
    yield


def snapshot_calls(coins: Coins) -> dict[str, tuple[Callable[[], Receipt], str]]:
    """Calls that are lost when the same was done since the snapshot, and what they must say."""
    return {
        "once": (lambda: coins.award_once(7, 10, "goal"), "already"),
        "rolling": (lambda: coins.award_once(7, 10, "goal", timedelta(days=1)), "already"),
        "limit": (lambda: coins.award_once(7, 10, "goal", limit=2), "awarded"),
        "key": (lambda: coins.award(7, 10, "gift", idempotency_key="k"), "replayed"),
        "order": (lambda: coins.spend(7, 10, "shop", idempotency_key="o"), "replayed"),
    }


@pytest.mark.parametrize("name", ["once", "rolling", "limit", "key", "order"])
@pytest.mark.parametrize("rich", [True, False])
def test_an_old_snapshot_does_not_pay_twice(
    books: None,
    db: SQLAlchemy,
    coins: Coins,
    elsewhere: Elsewhere,
    engine: str,
    name: str,
    rich: bool,
) -> None:
    if engine == "sqlite":
        pytest.skip("SQLite has one level; see the tests of its modes")
    call, said = snapshot_calls(coins)[name]
    if rich or name == "order":
        elsewhere(lambda: coins.award(7, 25, "start"))
    with isolated(db, "REPEATABLE READ"):
        elsewhere(call)
        if engine == "mariadb":
            assert call().outcome.value == said
            db.session.commit()
        else:
            with pytest.raises(CoinsRetry):
                call()
    assert not db.session().in_transaction() or engine == "mariadb"
    if engine == "postgresql":
        assert call().outcome.value == said
        db.session.commit()


def test_serializable_gives_up_whole(
    note: Any, books: None, db: SQLAlchemy, coins: Coins, elsewhere: Elsewhere, engine: str
) -> None:
    if engine != "postgresql":
        pytest.skip("only PostgreSQL detects this at once")
    with isolated(db, "SERIALIZABLE"):
        db.session.add(note(text="lost with the race"))
        db.session.flush()
        elsewhere(lambda: coins.award_once(7, 10, "goal"))
        with pytest.raises(CoinsRetry, match="gave this transaction up"):
            coins.award_once(7, 10, "goal")
    assert db.session.scalar(sa.select(note.text)) is None
    assert coins.balance(7) == 10


def test_an_old_snapshot_cannot_overspend(
    books: None, db: SQLAlchemy, coins: Coins, elsewhere: Elsewhere, engine: str
) -> None:
    if engine != "mariadb":
        pytest.skip("MariaDB's default, and its alone")
    elsewhere(lambda: coins.award(7, 10))
    with isolated(db, "REPEATABLE READ"):
        elsewhere(lambda: coins.spend(7, 6, "shop"))
        with pytest.raises(InsufficientCoins, match="6 coins are needed, 4 are there"):
            coins.spend(7, 6, "shop")


@pytest.fixture
def wal(ctx: None, db: SQLAlchemy, engine: str) -> Iterator[None]:
    """SQLite with a write-ahead log and explicit, deferred transactions."""
    if engine != "sqlite":
        pytest.skip("a mode of SQLite")
    db.session.execute(sa.text("PRAGMA journal_mode=WAL"))
    db.session.commit()
    db.engine.dispose()

    def no_own_begin(connection: Any, record: Any) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA busy_timeout=50")

    def begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN")

    sa.event.listen(db.engine, "connect", no_own_begin)
    sa.event.listen(db.engine, "begin", begin)
    yield
    db.session.rollback()


def test_sqlite_with_an_old_snapshot_asks_for_a_retry(
    wal: None, db: SQLAlchemy, coins: Coins, elsewhere: Elsewhere
) -> None:
    assert entries(db) == 0
    elsewhere(lambda: coins.award_once(7, 10, "goal"))
    with pytest.raises(CoinsRetry):
        coins.award_once(7, 10, "goal")
    assert not db.session().in_transaction()
    assert coins.award_once(7, 10, "goal").outcome is Outcome.ALREADY


def test_sqlite_in_a_transaction_of_its_own_pays_exactly(
    wal: None, books: None, db: SQLAlchemy, coins: Coins
) -> None:
    assert coins.award_once(7, 10, "goal")
    assert not coins.award_once(7, 10, "goal")
    db.session.rollback()
    assert coins.award_once(7, 10, "goal")
    db.session.commit()
    assert coins.balance(7) == 10


def test_a_busy_database_asks_for_a_retry(
    ctx: None, app: Flask, db: SQLAlchemy, coins: Coins, engine: str
) -> None:
    coins.award(7, 5)
    db.session.commit()
    wait = {"sqlite": "PRAGMA busy_timeout=50", "postgresql": "SET LOCAL lock_timeout = '50ms'"}
    coins.award(7, 1)
    with app.app_context():
        db.session.execute(sa.text(wait.get(engine, "SET innodb_lock_wait_timeout = 1")))
        with pytest.raises(CoinsRetry) as caught:
            coins.award_once(7, 10, "goal")
        assert isinstance(caught.value.__cause__, OperationalError)
        assert not db.session().in_transaction()
    db.session.rollback()
    assert coins.balance(7) == 5


# -- never half a movement -------------------------------------------------------------------

FAILURES = [RuntimeError("lost"), KeyboardInterrupt(), SystemExit(1), GeneratorExit()]


@pytest.mark.parametrize("failure", FAILURES, ids=repr)
@pytest.mark.parametrize("name", ["award", "award_once", "spend"])
def test_a_failure_after_the_first_write_rolls_back(
    note: Any, books: None, db: SQLAlchemy, coins: Coins, name: str, failure: BaseException
) -> None:
    coins.award(7, 10)
    db.session.commit()
    db.session.add(note(text="goes with it"))
    db.session.flush()

    def fail() -> None:
        raise failure

    with before(db.engine, "INSERT INTO coin_log", fail), pytest.raises(type(failure)) as caught:
        getattr(coins, name)(7, 5, "goal")
    assert caught.value is failure
    assert not db.session().in_transaction()
    db.session.commit()
    assert (coins.balance(7), entries(db)) == (10, 1)
    assert db.session.scalar(sa.select(note.text)) is None
    assert getattr(coins, name)(7, 5, "goal")


def test_a_failure_within_a_savepoint_rolls_everything_back(
    books: None, db: SQLAlchemy, coins: Coins
) -> None:
    coins.award(8, 1)

    def fail() -> None:
        raise RuntimeError("lost")

    with pytest.raises(RuntimeError, match="lost"), db.session.begin_nested():  # noqa: SIM117
        with before(db.engine, "INSERT INTO coin_log", fail):
            coins.award(7, 5)
    db.session.commit()
    assert entries(db) == 0


def test_a_name_taken_behind_our_back_is_not_taken_twice(
    books: None, db: SQLAlchemy, coins: Coins
) -> None:
    # Somebody who writes to the log without the lock: the unique index stands underneath.
    row = {"user_id": "7", "currency": "coins", "reason": "goal", "subject": "", "amount": 1}
    row |= {"balance_after": 1, "once_key": "day:2026-11-22", "created_at": NOON}

    def other() -> None:
        db.session.connection().execute(sa.insert(log), row)

    db.session.connection()
    with before(db.engine, "INSERT INTO coin_log", other), pytest.raises(CoinsRetry):
        coins.award_once(7, 10, "goal")
    assert entries(db) == 0


# -- on a bare session -----------------------------------------------------------------------


def test_the_ledger_needs_no_flask(database_url: str) -> None:
    engine, ledger = sa.create_engine(database_url), Ledger()
    Base.metadata.create_all(engine)
    day, zone = Day(), zone_of("UTC")
    claim = Claim(day, zone, day.period(NOON, zone))
    movement = Movement("7", 10, "goal", NOON, "", "coins")
    with Session(engine) as session:
        assert ledger.award_once(session, movement, claim)
        assert not ledger.award_once(session, movement, claim)
        assert ledger.award(session, movement).balance == 20
        assert ledger.spend(session, Movement("7", -20, "shop", NOON, "", "coins")).balance == 0
        session.commit()
        assert reconcile(session.connection()) == []
    engine.dispose()
