"""Paying many at once: what one call after the other would have done, and nothing else."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from itertools import groupby
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flask_coins import (
    Coins,
    CoinsError,
    CoinsRetry,
    IdempotencyConflict,
    InvalidAmount,
    InvalidInput,
    NoUserError,
    Outcome,
    Receipt,
    _bulk,
)
from flask_coins._models import MAX_AMOUNT, balances, budgets, log
from flask_coins._verify import faults
from flask_coins.windows import Between, Day

from .apps import NOON, Clock
from .races import Racers, reconcile
from .statements import before, statements

UTC = timezone.utc
SMALL = 3
"""A part's size that a few rows exceed."""


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_bulk, "_AT_ONCE", SMALL)


def row(user: Any, amount: int = 10, reason: str = "goal", **more: Any) -> dict[str, Any]:
    return {"user": user, "amount": amount, "reason": reason, **more}


def entries(db: SQLAlchemy, *names: str) -> list[tuple[Any, ...]]:
    columns = [log.c[name] for name in names]
    return [tuple(each) for each in db.session.execute(sa.select(*columns).order_by(log.c.id))]


# -- the call --------------------------------------------------------------------------------


def test_each_row_is_paid_as_its_own_call_would(ctx: None, db: SQLAlchemy, coins: Coins) -> None:
    rows = [
        row("bob", 5, idempotency_key="k", details={"a": [1, "ü"]}),
        row(7, 10, window="day", subject="x"),
        {"user": "bob", "amount": 3},
        row("bob", 4, currency="gems", window="week", limit=2),
    ]
    assert coins.award_many(rows) == 4
    db.session.commit()
    (gems,) = coins.history("bob", currency="gems")
    bonus, gift = coins.history("bob")
    (goal,) = coins.history(7)
    assert (gift.amount, gift.details, gift.balance_after) == (5, {"a": [1, "ü"]}, 5)
    assert (bonus.reason, bonus.balance_after, bonus.subject) == ("xp_bonus", 8, None)
    assert (goal.subject, goal.balance_after, goal.created_at) == ("x", 10, NOON)
    assert (gems.balance_after, coins.balance("bob", "gems")) == (4, 4)
    assert not coins.award_once("bob", 4, "goal", "week", currency="gems")
    assert not coins.award("bob", 5, "goal", idempotency_key="k")


@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize("make", [list, tuple, iter])
def test_any_iterable_of_any_length_will_do(
    ctx: None, db: SQLAlchemy, coins: Coins, number: int, make: Any
) -> None:
    assert coins.award_many(make([row("ann")] * number)) == number
    db.session.commit()
    assert coins.balance("ann") == 10 * number


@pytest.mark.parametrize("rows", ["ann", b"ann", {"user": "ann", "amount": 1}, 5, None])
def test_what_is_no_list_of_rows_is_refused(ctx: None, coins: Coins, rows: Any) -> None:
    with pytest.raises(InvalidInput, match="list or another iterable of dicts"):
        coins.award_many(rows)


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        ("ann", InvalidInput),
        ({"user": "ann"}, InvalidInput),
        ({"amount": 1}, InvalidInput),
        (row("ann", note="hello"), InvalidInput),
        (row("ann", 0), InvalidAmount),
        (row("ann", -5), InvalidAmount),
        (row("ann", 1.0), InvalidAmount),
        (row("ann", True), InvalidAmount),
        (row("ann", MAX_AMOUNT + 1), InvalidAmount),
        (row("ann", reason=""), InvalidInput),
        (row("ann", reason="goal "), InvalidInput),
        (row("ann", subject=1.5, window="day"), InvalidInput),
        (row("ann", window="fortnight"), InvalidInput),
        (row("ann", window="day", limit=0), InvalidInput),
        (row("ann", limit=2), InvalidInput),
        (row("ann", window="day", idempotency_key="k"), InvalidInput),
        ({"user": "ann", "amount": 1, "window": "day"}, InvalidInput),
        (row("ann", currency="x" * 17), InvalidInput),
        (row("ann", details={"a": float("nan")}), InvalidInput),
        (row(None), NoUserError),
        (row(1.5), InvalidInput),
    ],
)
def test_a_bad_row_is_named_and_nothing_is_sent(
    ctx: None, db: SQLAlchemy, coins: Coins, bad: Any, error: type[Exception]
) -> None:
    with statements(db.engine) as sent, pytest.raises(error, match=r"^Row 2: "):
        coins.award_many([row("ann"), row("bob"), bad, row("cid")])
    assert sent == []


def test_thousands_are_paid_and_their_entries_stand_in_order(
    ctx: None, db: SQLAlchemy, coins: Coins
) -> None:
    rows = [row(f"u{n % 1500:04}", 1 + n % 7, idempotency_key=f"k{n}") for n in range(3500)]
    assert coins.award_many(rows) == 3500
    assert coins.award_many(rows) == 0
    assert coins.award_many([row(f"u{n:04}", window="day") for n in range(2500)]) == 1000
    db.session.commit()
    assert list(faults(db.session.connection())) == []
    keys = entries(db, "user_id", "idempotency_key")[:3500]
    assert keys == sorted(keys, key=lambda it: (it[0], int(it[1][1:])))


def test_one_user_may_fill_many_parts(ctx: None, db: SQLAlchemy, coins: Coins) -> None:
    rows = [row("ann", 1, idempotency_key=f"k{n}", subject=str(n)) for n in range(2200)]
    rows += [row("ann", 1, f"goal-{n}", window="forever", limit=2) for n in range(50)] * 3
    assert coins.award_many(rows) == 2200 + 100
    db.session.commit()
    assert coins.balance("ann") == 2300
    assert list(faults(db.session.connection())) == []


@pytest.mark.parametrize(
    "details", ["\x00", {"a\x00": ["\x00"]}, {"a": "\\u0000"}, [], 5, "😀", [None], {"x": {"y": 1}}]
)
def test_details_come_back_as_from_a_single_call(
    ctx: None, db: SQLAlchemy, coins: Coins, details: Any
) -> None:
    coins.award("ann", 1, "one", details={"it": details})
    coins.award_many([row("bob", details={"it": details}), row("bob", details=None)])
    db.session.commit()
    assert coins.history("bob")[1].details == coins.history("ann")[0].details
    assert coins.history("bob")[0].details is None


# -- the transaction -------------------------------------------------------------------------


def test_it_joins_the_transaction_and_a_rollback_takes_all(
    ctx: None, db: SQLAlchemy, coins: Coins
) -> None:
    coins.award("ann", 1, "start")
    coins.award_many([row("ann"), row("bob", window="day")])
    assert coins.balances(["ann", "bob"]) == {"ann": 11, "bob": 10}
    db.session.rollback()
    assert coins.balances(["ann", "bob"]) == {"ann": 0, "bob": 0}
    assert coins.award_many([row("ann"), row("bob", window="day")]) == 2
    db.session.commit()


def test_what_was_paid_and_not_committed_is_pointed_out(app: Flask, coins: Coins) -> None:
    with pytest.raises(CoinsError, match="award_many of 2 rows"), app.app_context():
        coins.award_many([row("ann"), row("bob")])


def test_a_conflict_takes_the_whole_batch_back(ctx: None, db: SQLAlchemy, coins: Coins) -> None:
    coins.award("bob", 1, "goal", idempotency_key="k")
    db.session.commit()
    with pytest.raises(IdempotencyConflict, match="'k' of user bob"):
        coins.award_many([row("ann"), row("bob", 2, idempotency_key="k"), row("cid")])
    db.session.commit()
    assert entries(db, "user_id") == [("bob",)]


def test_a_conflict_within_the_batch_takes_it_back_too(
    ctx: None, db: SQLAlchemy, coins: Coins
) -> None:
    with pytest.raises(IdempotencyConflict):
        coins.award_many(
            [row("ann", 1, idempotency_key="k"), row("ann", 2, idempotency_key="k"), row("a")]
        )
    assert entries(db, "user_id") == []


@pytest.mark.usefixtures("small")
def test_a_failure_in_a_later_part_takes_the_earlier_back(
    ctx: None, db: SQLAlchemy, coins: Coins
) -> None:
    coins.award("u9", MAX_AMOUNT, "rich")
    db.session.commit()
    with pytest.raises(InvalidAmount, match="cannot pass"):
        coins.award_many([row(f"u{n}") for n in range(10)])
    assert entries(db, "user_id") == [("u9",)]


def test_a_sum_beyond_all_numbers_is_an_error_of_ours(
    ctx: None, db: SQLAlchemy, coins: Coins
) -> None:
    with pytest.raises(InvalidAmount, match="cannot pass"):
        coins.award_many([row("ann", MAX_AMOUNT, subject=str(n)) for n in range(1, 12_000)])
    assert entries(db, "user_id") == []


def test_a_connection_that_commits_each_statement_is_refused(
    make_app: Callable[..., Flask], db: SQLAlchemy, coins: Coins
) -> None:
    app = make_app(SQLALCHEMY_ENGINE_OPTIONS={"isolation_level": "AUTOCOMMIT"})
    with app.app_context():
        with pytest.raises(CoinsError, match="AUTOCOMMIT"):
            coins.award_many([row("ann")])
        assert entries(db, "user_id") == []
        db.session.rollback()


def test_it_is_tried_again_where_the_transaction_is_its_own(
    ctx: None, db: SQLAlchemy, coins: Coins
) -> None:
    def lose() -> None:
        raise CoinsRetry

    with before(db.engine, "coin_log", lose):
        assert coins.award_many([row("ann"), row("bob")]) == 2
    db.session.commit()
    assert coins.balances(["ann", "bob"]) == {"ann": 10, "bob": 10}


# -- the rules, against one call after the other ---------------------------------------------

SEASON = Between("open", NOON, NOON + timedelta(days=4000 * 400))
LATER = Between("later", datetime(9000, 1, 1), datetime(9001, 1, 1))
WINDOWS = ["hour", "day", "week", "month", "year", "forever", timedelta(hours=30), SEASON, LATER]
LIMITS = [
    {"most": 45, "window": "week"},
    {"most": 25, "window": timedelta(days=2), "reason": "a"},
    {"most": 60, "window": "month", "per": "app", "reason": "b"},
    {"most": 40, "window": "day", "per": "app", "currency": "gems"},
]
ZONES = {"1": "Asia/Tokyo", "2": "Pacific/Honolulu", "3": "UTC", "4": "Europe/Berlin"}

USER = st.sampled_from(sorted(ZONES))
COMMON = {
    "user": USER,
    "amount": st.integers(1, 20),
    "reason": st.sampled_from(["a", "a", "b", "c"]),
    "subject": st.sampled_from([None, None, "x", "y"]),
    "currency": st.sampled_from(["coins", "coins", "gems"]),
}
PLAIN = st.fixed_dictionaries(COMMON)
KEYED = st.fixed_dictionaries({**COMMON, "idempotency_key": st.sampled_from(["k", "l", "m", "n"])})
ONCE = st.fixed_dictionaries(
    {**COMMON, "window": st.sampled_from([*WINDOWS, Day()]), "limit": st.integers(1, 3)}
)
ROW = st.one_of(PLAIN, ONCE, ONCE, KEYED)
PAST = st.lists(st.tuples(st.integers(0, 60), ROW), max_size=8)


class Twins:
    """The same rows paid one by one, undone, and then at once."""

    def __init__(self, db: SQLAlchemy, coins: Coins, clock: Clock) -> None:
        self.db, self.coins, self.clock = db, coins, clock
        self.number = 0

    def singly(self, row: dict[str, Any]) -> Receipt:
        pay = self.coins.award_once if "window" in row else self.coins.award
        return pay(**row)

    def begin(self, past: list[tuple[int, dict[str, Any]]]) -> None:
        """A world that nobody was in before, and what had happened there."""
        self.number += 1
        self.clock.now = NOON + timedelta(days=400 * self.number)
        present = self.clock.now
        for hours, each in sorted(past, key=lambda it: -it[0]):
            self.clock.now = present - timedelta(hours=hours)
            with contextlib.suppress(IdempotencyConflict):
                self.singly(self.named(each))
            self.db.session.commit()
        self.clock.now = present

    def named(self, given: dict[str, Any]) -> dict[str, Any]:
        return {**given, "user": f"{self.number}:{given['user']}"}

    def books(self) -> tuple[Any, ...]:
        mine = f"{self.number}:%"
        columns = [column for column in log.columns if column.key != "id"]
        rows = sa.select(*columns).where(log.c.user_id.like(mine)).order_by(log.c.id)
        logged = sorted(
            map(tuple, self.db.session.execute(rows)), key=lambda it: it[:2]
        )  # stable: the order of each owner's is kept
        kept = sa.select(
            balances.c.user_id,
            balances.c.currency,
            balances.c.balance,
            balances.c.earned,
            balances.c.spent,
        ).where(balances.c.user_id.like(mine), balances.c.earned > 0)
        shared = sa.select(budgets.c.currency, budgets.c.reason, budgets.c.period, budgets.c.minted)
        return (
            logged,
            sorted(map(tuple, self.db.session.execute(kept))),
            sorted(map(tuple, self.db.session.execute(shared.where(budgets.c.minted > 0)))),
        )

    def one_by_one(self, rows: list[dict[str, Any]]) -> Any:
        try:
            paid = sum(map(bool, map(self.singly, sorted(rows, key=_by_owner))))
            return paid, self.books()
        except IdempotencyConflict:
            return "conflict"
        finally:
            self.db.session.rollback()

    def at_once(self, rows: list[dict[str, Any]]) -> Any:
        try:
            paid = self.coins.award_many(rows)
            self.db.session.commit()
            return paid, self.books()
        except IdempotencyConflict:
            return "conflict"
        finally:
            self.db.session.rollback()


def _by_owner(given: dict[str, Any]) -> tuple[str, str]:
    return given["user"], given["currency"]


@pytest.fixture
def twins(
    make_app: Callable[..., Flask], db: SQLAlchemy, coins: Coins, clock: Clock
) -> Iterator[Twins]:
    app = make_app(COINS_BUDGETS=LIMITS)
    coins.timezone_loader(lambda user_id: ZONES[user_id.partition(":")[2]])
    coins.eligible_check(lambda user_id, reason: not (user_id.endswith("4") and reason == "c"))
    with app.app_context():
        yield Twins(db, coins, clock)
        db.session.rollback()


@pytest.mark.parametrize("at_once", [SMALL, 1000])
def test_all_at_once_is_one_after_the_other(
    twins: Twins, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_bulk, "_AT_ONCE", at_once)

    @settings(
        max_examples=25,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(past=PAST, rows=st.lists(ROW, max_size=25))
    def agree(past: list[tuple[int, dict[str, Any]]], rows: list[dict[str, Any]]) -> None:
        twins.begin(past)
        now = twins.books()
        rows = [twins.named(each) for each in rows]
        wanted = twins.one_by_one(rows)
        assert twins.books() == now
        assert twins.at_once(rows) == wanted
        if wanted == "conflict":
            assert twins.books() == now

    agree()
    assert list(faults(twins.db.session.connection())) == []


def test_a_season_that_is_not_open_costs_no_statement(
    ctx: None, db: SQLAlchemy, coins: Coins
) -> None:
    with statements(db.engine) as sent:
        assert coins.award_many([row(f"u{n}", window=LATER) for n in range(20)]) == 0
    assert sent == []


# -- others at the same time -----------------------------------------------------------------


@pytest.mark.parametrize("window", ["day", timedelta(days=1)])
@pytest.mark.parametrize("limit", [1, 2])
def test_what_was_paid_after_the_look_counts(
    app: Flask, ctx: None, db: SQLAlchemy, coins: Coins, window: Any, limit: int
) -> None:
    def meanwhile() -> None:
        with app.app_context():
            coins.award_once("bob", 10, "goal", window)
            db.session.commit()

    rows = [row(user, window=window, limit=limit) for user in ("ann", "bob", "cid")]
    with before(db.engine, "INTO coin_balance", meanwhile):
        assert coins.award_many(rows) == 1 + limit
    db.session.commit()
    assert coins.balances(["ann", "bob", "cid"]) == {"ann": 10, "bob": 10 * limit, "cid": 10}
    assert list(faults(db.session.connection())) == []


@pytest.mark.parametrize("window", ["day", timedelta(days=1)])
@pytest.mark.parametrize("locked", [False, True])
def test_a_transaction_that_had_begun_sees_what_others_paid(
    app: Flask, ctx: None, db: SQLAlchemy, coins: Coins, window: Any, locked: bool
) -> None:
    coins.award("ann", 5, "start")
    db.session.commit()
    db.session.execute(sa.select(log.c.id)).all()
    with app.app_context():
        coins.award_once("ann", 10, "goal", window)
        coins.award("ann", 1, "gift", idempotency_key="k")
        db.session.commit()
    if locked:
        coins.spend("ann", 1, "shop")
    rows = [row("ann", window=window), row("ann", 1, "gift", idempotency_key="k"), row("bob")]
    assert coins.award_many(rows) == 1
    db.session.commit()
    assert coins.balance("ann") == 16 - locked
    assert list(faults(db.session.connection())) == []


USERS = [f"racer:{number}" for number in range(15)]
TEAM = range(6)


def many(coins: Coins, user: str) -> Receipt:
    rows = [row(f"{user}:{n}", 10, "prize", window="day") for n in reversed(TEAM)]
    rows += [row(f"{user}:{n}", 3, "gift", idempotency_key="gift") for n in TEAM]
    rows += [row(f"{user}:{n}", 2, "rolling", window=timedelta(hours=5), limit=2) for n in TEAM]
    paid = coins.award_many(rows)
    return Receipt(Outcome.AWARDED if paid else Outcome.ALREADY, "many")


def one(coins: Coins, user: str) -> Receipt:
    return coins.award_once(f"{user}:3", 10, "prize", "day")


def key(coins: Coins, user: str) -> Receipt:
    return coins.award(f"{user}:2", 3, "gift", idempotency_key="gift")


@pytest.mark.parametrize("calls", [[many], [many, one, many, key]], ids=["many", "single too"])
@pytest.mark.parametrize("known", [True, False])
def test_batches_that_race_pay_exactly_once(
    app: Flask, ctx: None, db: SQLAlchemy, coins: Coins, racers: Racers, calls: Any, known: bool
) -> None:
    if known:
        coins.award_many([row(f"{user}:{n}", 1, "start") for user in USERS for n in TEAM])
        db.session.commit()
    answers = racers.race(app.config["SQLALCHEMY_DATABASE_URI"], calls, USERS)
    said = Counter(answer.said for answer in answers)
    assert set(said) <= {"awarded", "already", "replayed"}, said
    paid = Counter(entries(db, "user_id", "reason"))
    wanted = {"prize": 1, "gift": 1, "rolling": 2} | ({"start": 1} if known else {})
    assert paid == {
        (f"{user}:{n}", reason): times
        for user in USERS
        for n in TEAM
        for reason, times in wanted.items()
    }
    assert reconcile(db.session.connection()) == []


SHARED = {"most": 400, "window": "day", "per": "app", "reason": "prize"}


def capped(coins: Coins, user: str) -> Receipt:
    rows = [row(f"{user}:{n}", 10, "prize", window="day") for n in TEAM]
    rows += [row(f"{user}:{n}", 1, "free", window="day") for n in TEAM]
    return Receipt(Outcome.AWARDED if coins.award_many(rows) else Outcome.ALREADY, "many")


@pytest.mark.usefixtures("small")
def test_the_budget_of_the_app_is_kept_by_batches_and_no_deadlock_comes_of_it(
    make_app: Callable[..., Flask], db: SQLAlchemy, coins: Coins, racers: Racers
) -> None:
    app = make_app(COINS_BUDGETS=[SHARED])
    with app.app_context():
        coins.award_many([row(f"{user}:{n}", 1, "start") for user in USERS for n in TEAM])
        db.session.commit()
        url = app.config["SQLALCHEMY_DATABASE_URI"]
        answers = racers.race(url, [capped, one], USERS, COINS_BUDGETS=[SHARED])
        assert {answer.said for answer in answers} <= {"awarded", "already", "capped"}
        paid = Counter(reason for (reason,) in entries(db, "reason"))
        assert paid == {"start": 90, "prize": 40, "free": 90}
        assert db.session.scalars(sa.select(budgets.c.minted)).all() == [400]
        assert reconcile(db.session.connection()) == []
        db.session.rollback()


def test_a_payment_that_waits_for_the_budget_does_not_lock_a_batch_out(
    make_app: Callable[..., Flask], db: SQLAlchemy, coins: Coins
) -> None:
    """The users of all parts are locked before the budget is."""
    app = make_app(COINS_BUDGETS=[SHARED])
    with app.app_context(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(_bulk, "_AT_ONCE", SMALL)
        with statements(db.engine) as sent:
            coins.award_many([row(f"u{n}", 10, "prize") for n in range(10)])
        tables = [
            "coin_budget" if "UPDATE coin_budget" in each else "coin_balance"
            for each in sent
            if "INTO coin_balance" in each or "UPDATE coin_budget" in each
        ]
        singly = [table for table, _ in groupby(tables)]
        assert singly[:2] == ["coin_balance", "coin_budget"]
        assert tables.index("coin_budget") >= 4
        db.session.rollback()
