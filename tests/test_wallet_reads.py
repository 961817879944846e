"""What the wallet page reads, on every engine: against plain counts over random logs."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import date, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from flask import Flask
from flask_sqlalchemy import SQLAlchemy

from flask_coins import Coins
from flask_coins._state import State
from flask_coins._wallet_reads import Account, WalletReader
from flask_coins.results import Entry
from flask_coins.windows import Day

from .apps import NOON, Clock

UTC = timezone.utc
BERLIN = ZoneInfo("Europe/Berlin")
Page = Callable[..., list[Entry]]


@pytest.fixture
def state(app: Flask, ctx: None) -> State:
    found = app.extensions["coins"]
    assert isinstance(found, State)
    return found


@pytest.fixture
def reader(state: State) -> WalletReader:
    return WalletReader(state.table)


@pytest.fixture
def log(coins: Coins, db: SQLAlchemy, clock: Clock, state: State) -> list[Entry]:
    """Some 60 entries of user 7, among those of another, in the days around a change of clocks."""
    numbers = random.Random(7)
    clock.now = datetime(2026, 10, 23, 5, tzinfo=UTC)
    entries: list[Entry] = []
    for _ in range(60):
        clock.forward(minutes=numbers.randrange(1, 300))
        coins.award("other", 1000, "noise")
        entries.append(_some_move(coins, numbers).entry)
    db.session.commit()
    return entries


def _some_move(coins: Coins, numbers: random.Random) -> Any:
    reason = f"r{numbers.randrange(4)}"
    if numbers.random() < 0.4 and coins.balance("7") > 9:
        return coins.spend("7", numbers.randrange(1, 9), reason)
    return coins.award("7", numbers.randrange(1, 40), reason)


# -- accounts -------------------------------------------------------------------------------------


def test_accounts_are_a_users_own(
    state: State, reader: WalletReader, coins: Coins, db: SQLAlchemy, clock: Clock
) -> None:
    coins.award("7", 50, "b")
    coins.award("7", 9, "a", currency="gems")
    coins.award("8", 99, "c", currency="stars")
    coins.hold("7", 20, "hat")
    coins.hold("7", 5, "late", expires_in=timedelta(minutes=1))
    db.session.commit()
    clock.forward(minutes=1)
    accounts, reasons = reader.accounts(state.session, "7", "coins", clock())
    assert accounts == {"coins": Account("coins", 50, 20), "gems": Account("gems", 9, 0)}
    assert accounts["coins"].available == coins.available("7") == 30
    assert reasons == ["b"]
    assert reader.accounts(state.session, "nobody", "coins", clock()) == ({}, [])


# -- history --------------------------------------------------------------------------------------


@pytest.fixture
def page(state: State, reader: WalletReader) -> Page:
    def read(limit: int = 1000, **filters: Any) -> list[Entry]:
        return [line.entry for line in reader.page(state.session, "7", "coins", limit, filters)]

    return read


MIDDLE = datetime(2026, 10, 25, 12, tzinfo=UTC)
FILTERS: list[tuple[dict[str, Any], Callable[[Entry], bool]]] = [
    ({}, lambda entry: True),
    ({"of_reason": "r1"}, lambda entry: entry.reason == "r1"),
    ({"earned": True}, lambda entry: entry.amount > 0),
    ({"spent": True, "of_reason": "r2"}, lambda entry: entry.amount < 0 and entry.reason == "r2"),
    ({"since": MIDDLE}, lambda entry: entry.created_at >= MIDDLE),
    ({"until": MIDDLE}, lambda entry: entry.created_at < MIDDLE),
]


def test_filters_leave_out_the_rest(log: list[Entry], page: Page) -> None:
    for filters, passes in FILTERS:
        wanted = [entry for entry in reversed(log) if passes(entry)]
        assert page(**filters) == wanted
        assert wanted


def test_pages_join_without_a_gap_both_ways(log: list[Entry], page: Page) -> None:
    newest = log[::-1]
    assert page(7, before=newest[9].id) == newest[10:17]
    assert page(7, after=newest[17].id) == newest[10:17]
    assert page(7, after=newest[3].id, earned=True) == [e for e in newest[:3] if e.amount > 0]
    assert page(7, after=newest[0].id) == page(7, before=newest[-1].id) == []


def test_a_reversal_knows_what_it_takes_back(
    state: State, reader: WalletReader, coins: Coins, db: SQLAlchemy
) -> None:
    coins.reverse(coins.award("7", 10, "boss_defeated", subject=3).entry)
    coins.reverse(coins.award("7", 10, "daily_login").entry, "mistake", amount=4)
    db.session.commit()
    lines = reader.page(state.session, "7", "coins", 9, {})
    assert [line.undone for line in lines] == [
        ("daily_login", None),
        None,
        ("boss_defeated", "3"),
        None,
    ]


# -- days -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("days", [1, 2, 9])
def test_days_are_those_of_the_users_calendar(
    log: list[Entry], state: State, reader: WalletReader, days: int
) -> None:
    last = log[-1].created_at.astimezone(BERLIN).date()
    dates = [last - timedelta(days=ago) for ago in range(days - 1, -1, -1)]
    starts = [Day().start(day, BERLIN) for day in dates]
    found = reader.daily(state.session, "7", "coins", starts)
    assert found == [_moved(log, day) for day in dates]


def _moved(log: list[Entry], day: date) -> tuple[int, int]:
    amounts = [e.amount for e in log if e.created_at.astimezone(BERLIN).date() == day]
    return sum(a for a in amounts if a > 0), -sum(a for a in amounts if a < 0)


def test_what_is_dated_ahead_counts_for_the_last_day(
    state: State, reader: WalletReader, coins: Coins, db: SQLAlchemy, clock: Clock
) -> None:
    clock.forward(days=9)
    coins.award("7", 5, "ahead")
    db.session.commit()
    starts = [NOON - timedelta(days=1), NOON]
    assert reader.daily(state.session, "7", "coins", starts) == [(0, 0), (5, 0)]


# -- streaks --------------------------------------------------------------------------------------


def test_streaks_are_read_apart(
    state: State, reader: WalletReader, coins: Coins, db: SQLAlchemy, clock: Clock
) -> None:
    coins.award("7", 50, "given", currency="gems")
    coins.award_once("7", 1, "login", "day")
    later = clock.forward(hours=1)
    coins.award("7", 1, "goal", currency="gems")
    kept = coins.spend("7", 1, "freeze", subject="login", currency="gems")
    gone = coins.spend("7", 1, "freeze", subject="goal", currency="gems")
    coins.reverse(gone.entry)
    coins.award("8", 1, "goal", currency="gems")
    db.session.commit()
    rewards = [("coins", "login"), ("gems", "goal"), ("coins", "goal")]
    login, goal, other = reader.tracked(state.session, "7", rewards, "freeze")
    assert login == ([(NOON, "day:2026-11-22")], [kept.entry.created_at])
    assert goal == ([(later, None)], [])
    assert other == ([], [])
