"""``flask coins verify`` names every contradiction in the tables, raises no false alarm, and mends."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, time, timedelta, timezone
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo, available_timezones

import pytest
import sqlalchemy as sa
from click.testing import Result
from flask import Flask, current_app
from flask_sqlalchemy import SQLAlchemy

from flask_coins import Coins, Receipt
from flask_coins._models import balances, holds, log
from flask_coins._state import current_state
from flask_coins._verify import Fault, Since, entries_since, examine, faults, newest
from flask_coins._verify_fix import mend
from flask_coins._verify_labels import STANDARD_TIME, span
from flask_coins._verify_scopes import Owner
from flask_coins.windows import Between, Day, Forever, Hour, Month, Week, Window, Year

from .apps import NOON, Clock
from .races import Racers

MINUTE = timedelta(minutes=1)


class Books:
    """The tables of a test, to be spoilt by hand."""

    def __init__(self, connection: sa.Connection, ids: dict[str, int]) -> None:
        self.connection, self.ids = connection, ids

    def entry(self, name: str, **values: Any) -> None:
        """Overwrite an entry."""
        self.connection.execute(sa.update(log).where(log.c.id == self.ids[name]).values(values))

    def hold(self, name: str, **values: Any) -> None:
        """Overwrite a hold."""
        self.connection.execute(sa.update(holds).where(holds.c.id == self.ids[name]).values(values))

    def balance(self, **values: Any) -> None:
        """Overwrite Ada's balance."""
        self.connection.execute(sa.update(balances).where(*OF_ADA).values(values))

    def lose(self, name: str) -> None:
        """Delete an entry."""
        self.connection.execute(sa.delete(log).where(log.c.id == self.ids[name]))

    def add(self, **values: Any) -> None:
        """Add an entry that keeps Ada's chain, and her balance with it."""
        held = self.connection.execute(sa.select(balances).where(*OF_ADA)).one()
        row = {"user_id": "ada", "currency": "coins", "reason": "planted", "created_at": NOON}
        amount = values["amount"]
        row |= {"balance_after": held.balance + amount, **values}
        self.connection.execute(sa.insert(log), [row])
        sums = {"earned": held.earned + max(amount, 0), "spent": held.spent - min(amount, 0)}
        self.balance(balance=held.balance + amount, **sums)

    def found(self, **options: Any) -> list[Fault]:
        """What verification says of them."""
        return list(faults(self.connection, **options))


OF_ADA = (balances.c.user_id == "ada", balances.c.currency == "coins")


def fill(coins: Coins, clock: Clock) -> dict[str, int]:
    """Movements of every kind, in order; the ids of entries and holds by names."""
    entries = {
        "quest": coins.award("ada", 50, "quest"),
        "gems": coins.award("ada", 5, currency="gems"),
    }
    entries["daily"] = coins.award_once("ada", 10, "daily", "day")
    for n in (1, 2, 3):
        entries[f"quiz {n}"] = coins.award_once("ada", 5, "quiz", "day", limit=3)
    entries["shop"] = coins.spend("ada", 4, "shop", idempotency_key="k")
    entries["undo"] = coins.reverse(entries["shop"], amount=1)
    entries["bob"] = coins.award("bob", 20)
    entries["sent"], entries["received"] = coins.transfer("ada", "bob", 7)
    entries["given back"] = coins.reverse(entries["received"], amount=2)
    on_hold = {"open": coins.hold("ada", 3, "auction", expires_in=timedelta(days=1))}
    on_hold["captured"], on_hold["released"] = (coins.hold("ada", 6, "auction") for _ in "ab")
    entries["capture"] = coins.capture(on_hold["captured"], 5)
    coins.release(on_hold["released"])
    on_hold["expired"] = coins.hold("ada", 2, "auction", expires_in=MINUTE)
    clock.forward(minutes=2)
    entries["last"] = coins.spend("ada", 58, "shop")
    ids = {name: receipt.entry.id for name, receipt in entries.items() if receipt.entry}
    return ids | {name: hold.id for name, hold in on_hold.items()}


@pytest.fixture
def books(ctx: None, db: SQLAlchemy, coins: Coins, clock: Clock) -> Books:
    """Ada and Bob with entries and holds of every kind, all in order."""
    ids = fill(coins, clock)
    db.session.commit()
    return Books(db.session.connection(), ids)


def test_books_in_order_have_no_faults(books: Books) -> None:
    assert books.found(now=NOON) == []
    assert books.found(since=Since(1), now=NOON) == []


def test_an_empty_row_is_no_fault(books: Books) -> None:
    empty = {"user_id": "eve", "currency": "coins", "updated_at": NOON}
    books.connection.execute(sa.insert(balances), empty | {"balance": 0, "earned": 0, "spent": 0})
    assert books.found() == []


def test_an_overdue_hold_that_nobody_has_swept_is_no_fault(books: Books, clock: Clock) -> None:
    clock.forward(days=2)
    assert books.found(now=clock()) == []


# -- what is planted --------------------------------------------------------------------------------


class Plant(NamedTuple):
    """Something wrong, put into the tables by hand."""

    how: Callable[[Books], object]
    kinds: set[str]
    says: str
    """Found in what one of the faults says."""
    is_seen_lately: bool = True
    """Whether ``--since`` finds it too, when the entries concerned are new."""


PLANTS = {
    "a wrong balance": Plant(
        lambda b: b.balance(balance=99, held=3), {"balance"}, "coin_balance has 99 "
    ),
    "wrong sums": Plant(lambda b: b.balance(earned=1000), {"balance"}, "earned 1000"),
    "both sums wrong": Plant(
        lambda b: b.balance(earned=balances.c.earned + 1, spent=balances.c.spent + 1),
        {"balance"},
        "coin_balance has",
        is_seen_lately=False,
    ),
    "too much held": Plant(lambda b: b.balance(held=4), {"held"}, "holds 4, the open holds 3"),
    "nothing held": Plant(lambda b: b.balance(held=0), {"held"}, "holds 0, the open holds 3"),
    "no row": Plant(
        lambda b: b.connection.execute(sa.delete(balances).where(*OF_ADA)),
        {"balance", "held"},
        "coin_balance has no row",
    ),
    "a row without a log": Plant(
        lambda b: b.connection.execute(
            sa.insert(balances),
            {"user_id": "eve", "currency": "coins", "updated_at": NOON}
            | {"balance": 3, "earned": 3, "spent": 0},
        ),
        {"balance"},
        "the log 0",
        is_seen_lately=False,
    ),
    "a lost first entry": Plant(lambda b: b.lose("quest"), {"balance", "chain"}, "0 +10 is not 60"),
    "a lost last entry": Plant(lambda b: b.lose("last"), {"balance"}, "the log 62"),
    "a changed amount": Plant(
        lambda b: b.entry("quest", amount=51), {"balance", "chain"}, "0 +51 is not 50"
    ),
    "a broken chain": Plant(
        lambda b: b.entry("daily", balance_after=99), {"chain"}, "50 +10 is not 99"
    ),
    "a balance below zero": Plant(
        lambda b: b.entry("quest", amount=-1, balance_after=-1),
        {"balance", "chain"},
        "0 -1 is below zero",
    ),
    "a day that was not": Plant(
        lambda b: b.entry("daily", once_key="day:2026-11-25"), {"window"}, "no zone had that then"
    ),
    "a day that was long ago": Plant(
        lambda b: b.entry("daily", once_key="day:2026-11-19"), {"window"}, "no zone had that then"
    ),
    "a day that is none": Plant(
        lambda b: b.entry("daily", once_key="day:2026-11-31"), {"window"}, "no window is called so"
    ),
    "a window of another make": Plant(
        lambda b: b.entry("daily", once_key="fortnight:7"), {"window"}, "no window is called so"
    ),
    "a lost slot": Plant(
        lambda b: b.entry("quiz 2", once_key=None), {"window"}, "'day:2026-11-22#3', and a slot"
    ),
    "a lost first slot": Plant(
        lambda b: b.entry("quiz 1", once_key=None), {"window"}, "'day:2026-11-22#2', and a slot"
    ),
    "slot 1": Plant(
        lambda b: b.entry("daily", once_key="day:2026-11-22#1"), {"window"}, "is called so"
    ),
    "a spend that claims a window": Plant(
        lambda b: b.entry("shop", once_key="forever"), {"entry"}, "'forever', and is no payment"
    ),
    "a reversal that claims a window": Plant(
        lambda b: b.entry("undo", once_key="forever"), {"entry"}, "'forever', and is no payment"
    ),
    "a transfer that claims a window": Plant(
        lambda b: b.entry("received", once_key="forever"), {"entry"}, "and is no payment"
    ),
    "an entry without a reason": Plant(
        lambda b: b.entry("quest", reason=""), {"entry"}, "has no user, currency or reason"
    ),
    "an entry of the future": Plant(
        lambda b: b.entry("quest", created_at=NOON + timedelta(days=3)), {"entry"}, "of the future"
    ),
    "a reversal of nothing": Plant(
        lambda b: b.entry("undo", reverses_id=10**9), {"reversal"}, "which this user does not have"
    ),
    "a reversal of another's entry": Plant(
        lambda b: b.entry("undo", reverses_id=b.ids["bob"]), {"reversal"}, "does not have"
    ),
    "a reversal in another currency": Plant(
        lambda b: b.add(amount=-1, reverses_id=b.ids["gems"]), {"reversal"}, "another currency"
    ),
    "a reversal of a reversal": Plant(
        lambda b: b.add(amount=-1, reverses_id=b.ids["undo"]), {"reversal"}, "itself a reversal"
    ),
    "a reversal of what came later": Plant(
        lambda b: b.entry("daily", reverses_id=b.ids["last"], once_key=None),
        {"reversal"},
        "which came later",
    ),
    "a reversal of the same sign": Plant(
        lambda b: b.add(amount=1, reverses_id=b.ids["quest"]), {"reversal"}, "the same sign: +1"
    ),
    "reversals of too much": Plant(
        lambda b: [b.add(amount=n, reverses_id=b.ids["shop"]) for n in (2, 2)],
        {"reversal"},
        "-4: in all +5",
    ),
    "half a reversal of a transfer": Plant(
        lambda b: b.add(amount=1, reverses_id=b.ids["sent"]), {"reversal"}, "the same other user"
    ),
    "a lost recipient": Plant(
        lambda b: b.entry("received", counterparty=None, transfer_id=None),
        {"transfer", "reversal"},
        "who never received it",
    ),
    "a lost sender": Plant(
        lambda b: b.entry("received", transfer_id=10**9), {"transfer"}, "who never sent it"
    ),
    "a second recipient": Plant(
        lambda b: b.add(amount=7, counterparty="bob", transfer_id=b.ids["sent"]),
        {"transfer"},
        "who never sent it",
    ),
    "a sender who means another": Plant(
        lambda b: b.entry("sent", counterparty="eve"),
        {"transfer", "reversal"},
        "who sent it to another",
    ),
    "more received than was sent": Plant(
        lambda b: b.entry("sent", amount=-6),
        {"transfer", "chain", "balance"},
        "sent something else",
    ),
    "a transfer of what was received": Plant(
        lambda b: b.entry("sent", transfer_id=b.ids["bob"]), {"entry", "transfer"}, "receives -7"
    ),
    "a link without a counterparty": Plant(
        lambda b: b.entry("quest", transfer_id=1), {"entry"}, "and no counterparty"
    ),
    "a gift from nowhere": Plant(
        lambda b: b.entry("quest", counterparty="bob"), {"entry", "transfer"}, "sends 50 to 'bob'"
    ),
    "a transfer to oneself": Plant(
        lambda b: b.entry("shop", counterparty="ada"), {"entry", "transfer", "reversal"}, "oneself"
    ),
    "one side of a reversed transfer": Plant(
        lambda b: b.entry("given back", reverses_id=None), {"transfer"}, "only one side reverses"
    ),
    "sides that reverse different transfers": Plant(
        lambda b: b.entry("given back", reverses_id=b.ids["bob"]),
        {"transfer", "reversal"},
        "only one side reverses",
    ),
    "a hold of another status": Plant(
        lambda b: b.hold("released", status="lost"), {"hold"}, "has the status 'lost'"
    ),
    "an open hold that was closed": Plant(
        lambda b: b.hold("open", closed_at=NOON), {"hold"}, "is open, and was closed at"
    ),
    "a released hold that was never closed": Plant(
        lambda b: b.hold("released", closed_at=None), {"hold"}, "is released, and was never closed"
    ),
    "a released hold with an entry": Plant(
        lambda b: b.hold("released", entry_id=b.ids["capture"]), {"hold"}, "is released, with an"
    ),
    "a hold that expired out of time": Plant(
        lambda b: b.hold("expired", expires_at=None), {"hold"}, "was to last for ever"
    ),
    "a captured hold without an entry": Plant(
        lambda b: b.hold("captured", entry_id=None), {"hold"}, "was captured by no entry"
    ),
    "a hold captured by nothing": Plant(
        lambda b: b.hold("captured", entry_id=10**9), {"hold"}, "which this user does not have"
    ),
    "a hold captured by another's entry": Plant(
        lambda b: b.hold("captured", entry_id=b.ids["bob"]), {"hold"}, "does not have"
    ),
    "two holds captured by one entry": Plant(
        lambda b: b.hold("released", status="captured", entry_id=b.ids["capture"]),
        {"hold"},
        "as another hold was",
    ),
    "a hold captured by an award": Plant(
        lambda b: b.hold("captured", entry_id=b.ids["quest"]), {"hold"}, "which is no spend"
    ),
    "a hold captured for something else": Plant(
        lambda b: b.hold("captured", subject="hat"), {"hold"}, "which is for something else"
    ),
    "more captured than was held": Plant(
        lambda b: b.hold("captured", amount=4), {"hold"}, "takes -5 of 4"
    ),
    "a sender who means nobody": Plant(
        lambda b: b.entry("sent", counterparty=None),
        {"transfer", "reversal"},
        "who sent it to another",
    ),
    "sides of a transfer for different reasons": Plant(
        lambda b: b.entry("sent", reason="bribe"), {"transfer"}, "sent it for another reason"
    ),
    "sides of a transfer at different times": Plant(
        lambda b: b.entry("received", created_at=NOON - MINUTE), {"transfer"}, "at another time"
    ),
    "a hold without a reason": Plant(
        lambda b: b.hold("released", reason=""), {"hold"}, "has no user, currency or reason"
    ),
    "a hold that expired before it was made": Plant(
        lambda b: b.hold("open", expires_at=NOON - MINUTE), {"hold"}, "before it was made"
    ),
    "a hold that expired before its time": Plant(
        lambda b: b.hold("expired", closed_at=NOON), {"hold"}, "and expired at 2026-11-22 12:01"
    ),
    "a hold that was captured when it had expired": Plant(
        lambda b: b.hold("captured", created_at=NOON - MINUTE, expires_at=NOON),
        {"hold"},
        "when it had expired",
    ),
    "a hold that was captured at another time than its entry": Plant(
        lambda b: b.hold("captured", closed_at=NOON - MINUTE), {"hold"}, "closed at another time"
    ),
}


@pytest.mark.parametrize("plant", PLANTS.values(), ids=PLANTS.keys())
def test_what_is_planted_is_found(books: Books, plant: Plant) -> None:
    plant.how(books)
    found = books.found(now=NOON)
    assert {fault.kind for fault in found} == plant.kinds
    assert any(plant.says in fault.what for fault in found), found
    lately = {fault.kind for fault in books.found(since=Since(1), now=NOON)}
    assert lately <= plant.kinds
    assert bool(lately) == plant.is_seen_lately


@pytest.mark.parametrize("microsecond", [1, 499_999, 999_499, 999_999])
def test_a_moment_to_the_microsecond_is_no_fault(
    ctx: None, db: SQLAlchemy, coins: Coins, clock: Clock, microsecond: int
) -> None:
    clock.now = datetime(2028, 2, 29, 23, 59, 59, microsecond, timezone.utc)
    fill(coins, clock)
    db.session.commit()
    assert [*faults(db.session.connection(), now=clock())] == []


@pytest.mark.parametrize("since", [None, Since(1)])
@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("coin_log", "amount", "abc"),
        ("coin_log", "amount", 0.5),
        ("coin_log", "once_key", b"abc"),
        ("coin_log", "created_at", "abc"),
        ("coin_log", "created_at", 5),
        ("coin_log", "created_at", "2026-02-31 12:00:00.000000"),
        ("coin_log", "created_at", "2026-02-28 12:00:00.00000x"),
        ("coin_log", "details", "{"),
        ("coin_hold", "expires_at", "abc"),
        ("coin_hold", "entry_id", "abc"),
        ("coin_balance", "balance", 4.5),
        ("coin_balance", "updated_at", "abc"),
    ],
)
def test_what_a_column_cannot_mean_is_named_where_the_database_keeps_it(
    books: Books, table: str, column: str, value: object, since: Since | None
) -> None:
    if books.connection.dialect.name != "sqlite":
        pytest.skip("the others refuse it")
    number = {"coin_log": books.ids["undo"], "coin_hold": books.ids["expired"]}.get(table)
    of = {"coin_log": f"entry {number}", "coin_hold": f"hold {number}"}.get(table, table)
    where = "" if number is None else f" WHERE id = {number}"
    books.connection.exec_driver_sql(f"UPDATE {table} SET {column} = ?{where}", (value,))
    told = {fault.what for fault in books.found(since=since, now=NOON)}
    assert told == {f"{of} has in {column} what cannot be there: {value!r}"}


def test_what_was_planted_before_is_not_looked_for(books: Books) -> None:
    books.entry("daily", balance_after=99, once_key="nonsense")
    books.hold("captured", entry_id=None)
    assert books.found(since=Since(books.ids["last"] + 1)) == []
    assert {fault.kind for fault in books.found(since=Since(books.ids["last"]))} == {"hold"}


def test_the_first_new_entry_is_held_against_the_last_old_one(books: Books) -> None:
    books.entry("capture", balance_after=1)
    (fault,) = books.found(since=Since(books.ids["last"]))
    assert (fault.kind, fault.what) == ("chain", f"entry {books.ids['last']}: 1 -58 is not 4")


@pytest.mark.parametrize("at_once", [1, 2, 100])
def test_chunks_miss_nothing_and_repeat_nothing(
    books: Books, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    for name in ("_AT_ONCE", "_ENTRIES_AT_ONCE", "_VALUES_AT_ONCE"):
        monkeypatch.setattr(f"flask_coins._verify.{name}", at_once)
    for name in ("quest", "bob", "gems", "shop"):
        books.entry(name, reason="", once_key=None)
    found = books.found()
    assert sorted(fault.what.split()[1] for fault in found) == sorted(
        str(books.ids[name]) for name in ("quest", "bob", "gems", "shop")
    )
    newer = [fault.what for fault in books.found(since=Since(1))]
    assert sorted(newer) == sorted(fault.what for fault in found)


def test_ids_may_lie_far_apart(books: Books) -> None:
    books.add(id=2**60, amount=1, reason="")
    seen: list[int] = []

    def see(number: int) -> None:
        seen.append(number)
        assert len(seen) < 10

    (fault,) = faults(books.connection, see, since=Since(books.ids["last"]))
    assert fault.id == 2**60


def test_many_users_are_all_read(ctx: None, db: SQLAlchemy) -> None:
    users = [f"u{n:05}" for n in range(1200)]
    row = {"currency": "coins", "balance": 1, "earned": 1, "spent": 0, "updated_at": NOON}
    connection = db.session.connection()
    connection.execute(sa.insert(balances), [{"user_id": user} | row for user in users])
    assert [fault.user_id for fault in faults(connection)] == users


def test_a_moment_stands_for_the_first_entry_from_then_on(books: Books) -> None:
    assert entries_since(books.connection, NOON) == Since(books.ids["quest"])
    assert entries_since(books.connection, NOON + MINUTE) == Since(books.ids["last"])
    assert entries_since(books.connection, NOON + 3 * MINUTE) == Since(books.ids["last"] + 1)


# -- labels -----------------------------------------------------------------------------------------

LATE = time(23, 59, 59, 999999)
WINDOWS: list[Window] = [Hour(), Forever(), Between("s-1", NOON, NOON + timedelta(days=99_999))]
WINDOWS += [kind(at) for kind in (Day, Week, Month, Year) for at in (time(0), time(4), LATE)]


@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_no_label_of_any_zone_is_called_impossible(window: Window) -> None:
    draw = random.Random(7)
    for zone in sorted(available_timezones()):
        for _ in range(8):
            moment = datetime(1840, 1, 1, tzinfo=timezone.utc)
            moment += timedelta(seconds=draw.randrange(260 * 365 * 86_400))
            period = window.period(moment, ZoneInfo(zone))
            if period:
                for at in (max(period.start, moment), moment):
                    possible = span(str(period.label))
                    assert possible, period
                    assert possible[0] <= at < possible[1], (zone, at, period)


@pytest.mark.slow
def test_the_offsets_are_those_of_the_zones() -> None:
    year = STANDARD_TIME
    zones = [ZoneInfo(name) for name in available_timezones()]
    offsets = set()
    while year.year < 2100:
        offsets |= {year.astimezone(zone).utcoffset() for zone in zones}
        year += timedelta(days=180)
    assert (min(offsets), max(offsets)) == (timedelta(hours=-12), timedelta(hours=14))


@pytest.mark.parametrize(
    ("label", "first", "last"),
    [
        ("day:2026-11-22", "2026-11-21T10:00", "2026-11-24T12:00"),
        ("day:2026-11-22#1000", "2026-11-21T10:00", "2026-11-24T12:00"),
        ("week:2026-W53", "2026-12-27T10:00", "2027-01-05T12:00"),
        ("month:2026-11", "2026-10-31T10:00", "2026-12-02T12:00"),
        ("year:2026", "2025-12-31T10:00", "2027-01-02T12:00"),
        ("hour:2026-10-25T02+02:00", "2026-10-25T00:00", "2026-10-25T01:00"),
        ("hour:2026-10-25T02+05:45", "2026-10-24T20:15", "2026-10-24T21:15"),
    ],
)
def test_a_label_has_its_time(label: str, first: str, last: str) -> None:
    moments = tuple(datetime.fromisoformat(f"{each}+00:00") for each in (first, last))
    assert span(label) == moments


@pytest.mark.parametrize(
    "label",
    [
        *("", "day", "day:", "day:2026-1-2", "day:20260102", "day:2026-02-30", " day:2026-01-02"),
        *("day:2026-01-02 ", "Day:2026-01-02", "week:2026-W00", "week:2025-W53", "week:2026-11"),
        *("month:2026-13", "month:2026", "year:26", "year:02026", "forever:", "forever#"),
        *("forever#0", "forever#1", "forever#02", "forever#1001", "forever#2#3", "between:"),
        *("between:Winter", "between:" + 41 * "a", "hour:2026-10-25T02", "hour:2026-10-25T02Z"),
        *("hour:2026-10-25T24+00:00", "hour:2026-10-25T02+15:00", "hour:2026-10-25T02:00+00:00"),
        *("day:9999-12-31", "rolling:3600", "#2"),
    ],
)
def test_what_is_no_label_is_told(label: str) -> None:
    assert span(label) is None


# -- while the app runs -----------------------------------------------------------------------------

USERS = [f"racer:{number}" for number in range(12)]


def trade(coins: Coins, user: str) -> Receipt:
    """A payment, a transfer, a hold and a reversal, in one transaction."""
    receipt = coins.award(user, 10)
    coins.reverse(receipt, amount=1)
    coins.hold(user, 1, "auction")
    coins.transfer(user, "zoe", 2)
    return receipt


def trade_at_last(coins: Coins, user: str) -> Receipt:
    """Repeat the whole transaction until it is through."""
    session = current_app.extensions["sqlalchemy"].session
    while True:
        try:
            receipt = trade(coins, user)
            session.commit()
        except Exception:  # noqa: BLE001  # a deadlock or a busy database: what it was does not matter
            session.rollback()
        else:
            return receipt


def test_there_is_no_false_alarm_while_processes_pay(
    app: Flask, db: SQLAlchemy, coins: Coins, racers: Racers, database_url: str
) -> None:
    with app.app_context():
        coins.award("zoe", 1)
        db.session.commit()
    with ThreadPoolExecutor(1) as thread, app.app_context():
        race = thread.submit(racers.rush, database_url, [trade_at_last], USERS)
        rounds = 0
        while not race.done() or not rounds:
            for since in (None, Since(1)):
                found = [it for part in examine(db.session(), log, since=since) for it in part]
                assert found == []
            rounds += 1
        said = {answer.said for answer in race.result()}
    assert said == {"awarded"}
    with app.app_context():
        assert coins.balance("zoe") == 1 + 2 * 8 * len(USERS)
        assert [*examine(db.session(), log)] == [[]]


def test_a_chunk_sees_one_moment(
    books: Books, app: Flask, db: SQLAlchemy, coins: Coins, database_url: str
) -> None:
    """What is paid between two of its statements is not in it."""
    db.session.commit()
    if database_url.startswith("sqlite"):
        with db.engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA journal_mode = WAL")
    paid, entries = [], []

    def pay() -> None:
        with app.app_context():
            paid.append(coins.award("ada", 10))
            db.session.commit()

    def pay_meanwhile(connection: Any, cursor: Any, statement: str, *more: Any) -> None:
        if "lag(" in statement and not paid:
            entries.append(newest(connection))
            with ThreadPoolExecutor(1) as thread:
                thread.submit(pay).result(timeout=60)
            entries.append(newest(connection))

    sa.event.listen(db.engine, "before_cursor_execute", pay_meanwhile)
    assert list(examine(db.session(), log)) == [[]]
    assert paid
    assert entries == [books.ids["last"]] * 2


# -- mending ----------------------------------------------------------------------------------------

Run = Callable[..., Result]


@pytest.fixture
def run(app: Flask) -> Run:
    """``run("--fix")``: the command on ``app``, and its document."""

    def verify(*args: str) -> Any:
        result = app.test_cli_runner().invoke(args=["coins", "verify", "--json", *args])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.output
        told = json.loads(result.stdout)
        assert result.exit_code == (0 if told["ok"] else 1)
        return told

    return verify


def entries(db: SQLAlchemy) -> list[Any]:
    rows = db.session.execute(sa.select(log).order_by(log.c.id)).all()
    db.session.rollback()
    return [tuple(row) for row in rows]


def test_the_log_is_made_to_agree_with_what_the_user_has_seen(
    books: Books, run: Run, db: SQLAlchemy, coins: Coins
) -> None:
    books.balance(balance=99, earned=1)
    db.session.commit()
    before = entries(db)
    told = run("--fix")
    assert (told["ok"], told["faults"]) == (True, [])
    *old, new = entries(db)
    assert old == before
    (entry, *_) = coins.history("ada", limit=1)
    assert (entry.id, entry.amount, entry.balance_after) == (new[0], 95, 99)
    assert (entry.reason, entry.subject) == ("correction", None)
    assert "coin_balance has 99 (earned 1," in entry.details["fault"]
    assert coins.balance("ada") == 99
    assert run()["ok"]


def test_a_second_repair_finds_nothing_to_do(books: Books, run: Run, db: SQLAlchemy) -> None:
    books.balance(balance=9, held=0)
    db.session.commit()
    assert [it["user"] for it in run("--fix")["fixed"]] == ["ada", "ada", "ada"]
    after = entries(db)
    assert run("--fix") == {"ok": True, "balances": 3, "faults": [], "fixed": []}
    assert entries(db) == after


def test_a_correction_can_be_reversed(books: Books, run: Run, db: SQLAlchemy, coins: Coins) -> None:
    books.balance(balance=99)
    db.session.commit()
    run("--fix")
    coins.reverse(coins.history("ada", limit=1)[0])
    db.session.commit()
    assert (coins.balance("ada"), run()["ok"]) == (4, True)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"earned": 1000}, "earned 78 and spent 74 now"),
        ({"held": 0}, "holds 3 now"),
        ({"held": 4}, "holds 3 now"),
    ],
)
def test_sums_and_held_are_had_anew_without_an_entry(
    books: Books, run: Run, db: SQLAlchemy, change: dict[str, int], says: str
) -> None:
    books.balance(**change)
    db.session.commit()
    before = entries(db)
    (done,) = run("--fix")["fixed"]
    assert says in done["what"]
    assert entries(db) == before
    assert run()["ok"]


@pytest.mark.parametrize("name", ["balance", "earned"])
def test_half_a_coin_in_a_row_is_cut_off(books: Books, run: Run, db: SQLAlchemy, name: str) -> None:
    if db.engine.dialect.name != "sqlite":
        pytest.skip("the others round it")
    books.balance(**{name: balances.c[name] + 0.5})
    db.session.commit()
    before = entries(db)
    assert run("--fix")["fixed"]
    assert entries(db) == before
    assert run()["ok"]


def test_half_a_coin_in_the_log_is_left_and_named(books: Books, run: Run, db: SQLAlchemy) -> None:
    if db.engine.dialect.name != "sqlite":
        pytest.skip("the others round it")
    books.entry("last", amount=-57.5, balance_after=4.5)
    db.session.commit()
    before = entries(db)
    told = run("--fix")
    assert (told["ok"], told["fixed"]) == (False, [])
    assert entries(db) == before


def test_a_lost_row_comes_back_as_the_log_says(
    books: Books, run: Run, db: SQLAlchemy, coins: Coins
) -> None:
    books.connection.execute(sa.delete(balances).where(*OF_ADA))
    db.session.commit()
    before = entries(db)
    assert run("--fix")["ok"]
    assert entries(db) == before
    assert (coins.balance("ada"), coins.available("ada")) == (4, 1)


def test_overdue_holds_are_swept_where_held_is_wrong(
    books: Books, run: Run, db: SQLAlchemy, clock: Clock
) -> None:
    books.balance(held=4)
    db.session.commit()
    clock.forward(days=2)
    assert "holds 0 now" in run("--fix")["fixed"][0]["what"]
    row = db.session.execute(sa.select(holds).where(holds.c.id == books.ids["open"])).one()
    assert (row.status, row.closed_at) == ("expired", row.expires_at)


@pytest.mark.parametrize(
    "name",
    [
        *("a broken chain", "a lost first entry", "a day that was not", "reversals of too much"),
        *("a hold captured by nothing", "a lost recipient"),
    ],
)
def test_what_no_new_entry_can_mend_is_left_and_named(
    books: Books, run: Run, db: SQLAlchemy, name: str
) -> None:
    PLANTS[name].how(books)
    db.session.commit()
    before = entries(db)
    told = run("--fix")
    assert (told["ok"], told["fixed"]) == (False, [])
    assert any(PLANTS[name].says in it["what"] for it in told["faults"])
    assert entries(db) == before


def test_holds_beyond_the_balance_are_left(books: Books, run: Run, db: SQLAlchemy) -> None:
    books.hold("open", amount=50)
    db.session.commit()
    told = run("--fix")
    assert (told["ok"], told["fixed"]) == (False, [])


class Mended(NamedTuple):
    """What a racing process has to say."""

    outcome: str


def mend_ada(coins: Coins, user: str) -> Any:
    state = current_state()
    done = mend(state.session, state.table, Owner(user, "coins"), state.now())
    return Mended("mended" if done else "nothing")


def test_processes_that_mend_at_once_correct_once(
    app: Flask, db: SQLAlchemy, coins: Coins, racers: Racers, database_url: str
) -> None:
    with app.app_context():
        for user in USERS:
            coins.award(user, 10)
        db.session.execute(sa.update(balances).values(balance=17))
        db.session.commit()
    answers = racers.race(database_url, [mend_ada], USERS)
    assert sorted(answer.user for answer in answers if answer.said == "mended") == sorted(USERS)
    assert {answer.said for answer in answers} == {"mended", "nothing"}
    with app.app_context():
        assert {coins.balance(user) for user in USERS} == {17}
        assert {len(coins.history(user)) for user in USERS} == {2}
        assert [*examine(db.session(), log)] == [[]]


def test_mending_takes_no_part_in_what_is_paid_meanwhile(
    app: Flask, db: SQLAlchemy, coins: Coins, racers: Racers, database_url: str
) -> None:
    """Sums that are wrong can be mended while the user is paid; nothing is lost or doubled."""
    with app.app_context():
        for user in USERS:
            coins.award(user, 10)
        db.session.execute(sa.update(balances).values(earned=999, spent=989))
        db.session.commit()
    answers = racers.race(database_url, [mend_ada, pay_one], USERS)
    # MariaDB looks at the row before it pays: sums that have shrunk since are no base to pay on.
    retried = {"CoinsRetry"} if database_url.startswith("mariadb") else set()
    assert {answer.said for answer in answers} <= {"mended", "nothing", "awarded"} | retried
    paid = Counter(answer.user for answer in answers if answer.said == "awarded")
    with app.app_context():
        assert {user: coins.balance(user) - 10 for user in USERS} == {
            user: paid[user] for user in USERS
        }
        assert [*examine(db.session(), log)] == [[]]


def pay_one(coins: Coins, user: str) -> Receipt:
    return coins.award(user, 1)


# -- the command ------------------------------------------------------------------------------------


def test_since_takes_an_id_a_day_or_a_moment(books: Books, run: Run, db: SQLAlchemy) -> None:
    last = books.ids["last"]
    books.entry("daily", once_key="nonsense")
    db.session.commit()
    assert run("--since", str(last)) == {"ok": True, "entries": 1, "faults": [], "since": str(last)}
    assert run("--since", "2026-11-22")["ok"] is False
    for moment in ("2026-11-22T12:02", "2026-11-22T12:02Z", "2026-11-22T13:01:30+01:00"):
        assert run("--since", moment)["since"] == str(last)
    assert run("--since", "2027-01-01")["entries"] == 0


@pytest.mark.parametrize("when", ["yesterday", "-1", "2026-11-31", ""])
def test_since_refuses_what_is_no_moment(app: Flask, when: str) -> None:
    result = app.test_cli_runner().invoke(args=["coins", "verify", f"--since={when}"])
    assert (result.exit_code, "2026-11-22" in result.output) == (2, True)


def test_no_more_than_a_thousand_faults_are_told(
    books: Books, run: Run, db: SQLAlchemy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flask_coins._cli_care._SHOWN", 2)
    for name in ("quest", "bob", "gems"):
        books.entry(name, reason="")
    db.session.commit()
    told = run()
    assert (len(told["faults"]), told["more"]) == (2, 1)


def test_people_read_a_table(books: Books, app: Flask, db: SQLAlchemy) -> None:
    books.entry("quest", reason="")
    books.balance(balance=99)
    db.session.commit()
    runner = app.test_cli_runner()
    shown = runner.invoke(args=["coins", "verify", "--fix"]).stdout.splitlines()
    assert shown[0] == "Balances checked: 3."
    assert shown[1].startswith("Fixed: ada, coins: ")
    assert shown[-1].startswith(f"ada   coins     entry {books.ids['quest']} has no user")
    since = runner.invoke(args=["coins", "verify", "--since", str(books.ids["last"])])
    first = f"Entries checked: 2, from {books.ids['last']} on."
    assert since.stdout.splitlines() == [first, "They agree with the log."]
