"""The figures of an economy: what moved, by day and reason, what there is, and how it is spread."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import date, datetime, time, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from flask import Flask
from flask_sqlalchemy import SQLAlchemy

from flask_coins import CoinEntry, Coins, Flows, InvalidInput, ReasonFlows
from flask_coins._models import log
from flask_coins._state import current_state
from flask_coins._stats import compared
from flask_coins.windows import Day

from .apps import NOON, Clock, create_app
from .economy_oracle import Entries, board, entries, is_payment, live, within
from .statements import statements

KINDS = ("minted", "burned", "taken_back", "given_back", "transferred")


@pytest.fixture
def lite(db: SQLAlchemy, coins: Coins) -> Iterator[Flask]:
    """A host on SQLite alone, for what no engine does in its own way."""
    app = create_app(
        "sqlite://",
        db,
        coins,
        COINS_BUDGETS=[
            {"most": 30, "window": "day", "per": "app", "reason": "goal"},
            {"most": 90, "window": "week", "per": "app"},
            {"most": 9, "window": "week", "per": "app", "currency": "gems"},
            {"most": 50, "window": "day"},
        ],
    )
    with app.app_context():
        db.create_all()
        yield app
        db.session.rollback()


def kind(entry: CoinEntry) -> str | None:
    if entry.counterparty is not None:
        return "transferred" if entry.amount < 0 and entry.reverses_id is None else None
    if entry.reverses_id is None:
        return "minted" if entry.amount > 0 else "burned"
    return "taken_back" if entry.amount < 0 else "given_back"


def flows(found: Iterable[CoinEntry]) -> dict[str, int]:
    sums = Counter[str]()
    for entry in found:
        sums[kind(entry) or "none"] += abs(entry.amount)
    return {each: sums[each] for each in KINDS}


def told(it: Flows) -> dict[str, int]:
    return {each: getattr(it, each) for each in KINDS}


# -- against plain Python -------------------------------------------------------------------------


@pytest.mark.usefixtures("ctx")
def test_two_periods_are_compared_by_what_the_log_says(
    db: SQLAlchemy, coins: Coins, clock: Clock
) -> None:
    live(db, coins, clock)
    today = clock.now.date()
    found = entries(db)
    for days in (1, 3, 9):
        since = today - timedelta(days=days - 1)
        start = datetime.combine(since, time(), timezone.utc)
        first = start - timedelta(days=days)
        with statements(db.engine) as sent:
            *told, until = compared(current_state(), since, days, "coins")
        assert (until, len(sent)) == (first + (clock.now - start), 1)
        later = clock.now + timedelta(days=1)
        some = [filter(within(low, high), found) for low, high in ((first, until), (start, later))]
        assert told == [activity(each) for each in some]


def activity(found: Iterable[CoinEntry]) -> tuple[int, int, int]:
    moved = [it for it in found if it.currency == "coins" and kind(it) in ("minted", "burned")]
    sums = flows(moved)
    return sums["minted"], sums["burned"], len({it.user_id for it in moved})


@pytest.mark.usefixtures("ctx")
def test_all_figures_are_what_the_log_says(db: SQLAlchemy, coins: Coins, clock: Clock) -> None:
    live(db, coins, clock)
    found, until = entries(db), clock.now - timedelta(days=2)
    since = NOON + timedelta(days=3, hours=1)
    for start, end in ((None, None), (since, None), (None, until), (since, until)):
        low, high = start or NOON, end or clock.now + timedelta(days=1)
        some = [entry for entry in found if low <= entry.created_at < high]
        stats = coins.stats(start, end)
        assert (stats.since, stats.until) == (start, end)
        assert told(stats.total) == flows(some)
        assert {it.day: told(it) for it in stats.days} == days(some)
        assert {it.reason: reason(it) for it in stats.reasons} == reasons(found, some)
        assert list(stats.top_earners) == board(found, within(low, high))[:10]


def days(found: Entries) -> dict[date, dict[str, int]]:
    by_day: dict[date, Entries] = defaultdict(list)
    for entry in found:
        by_day[entry.created_at.date()].append(entry)
    return {day: flows(each) for day, each in by_day.items()}


def reason(it: ReasonFlows) -> tuple[int, dict[str, int]]:
    return it.payments, told(it)


def reasons(found: Entries, some: Entries) -> dict[str, tuple[int, dict[str, int]]]:
    by_id = {entry.id: entry for entry in found}
    by_reason: dict[str, Entries] = defaultdict(list)
    for entry in some:
        if entry.counterparty is None:
            by_reason[by_id[entry.reverses_id or entry.id].reason].append(entry)
    return {it: (sum(map(is_payment, each)), flows(each)) for it, each in by_reason.items()}


@pytest.mark.usefixtures("ctx")
def test_what_moved_comes_to_what_there_is(db: SQLAlchemy, coins: Coins, clock: Clock) -> None:
    live(db, coins, clock)
    coins.award("ann", 50)
    coins.hold("ann", 20, "shop")
    stats = coins.stats()
    everybody = {entry.user_id for entry in entries(db)}
    held = sorted(it for it in coins.balances(everybody).values() if it)
    assert stats.in_circulation == stats.total.net == sum(held)
    assert (stats.held, stats.holders) == (20, len(held))
    assert stats.concentration
    assert stats.concentration.gini == pytest.approx(gini(held))
    assert stats.concentration.top_1_percent == pytest.approx(held[-1] / sum(held))
    assert stats.concentration.top_10 == pytest.approx(sum(held[-10:]) / sum(held))


def gini(held: list[int]) -> float:
    """By its definition: half the mean difference of any two, as a part of the mean."""
    differences = sum(abs(one - other) for one in held for other in held)
    return differences / (2 * len(held) * sum(held))


# -- days are those of a calendar -------------------------------------------------------------------

ZONES = {
    "Europe/Berlin": (datetime(2026, 3, 27, tzinfo=timezone.utc), 5),
    "America/Havana": (datetime(2025, 10, 31, tzinfo=timezone.utc), 5),  # falls back at 01:00
    "America/Sao_Paulo": (datetime(2018, 2, 16, tzinfo=timezone.utc), 4),  # and here at midnight
    "America/Santiago": (datetime(2026, 9, 4, tzinfo=timezone.utc), 4),  # a day without midnight
    "Pacific/Apia": (datetime(2011, 12, 28, tzinfo=timezone.utc), 5),  # no 30 December
    "Asia/Kathmandu": (datetime(2026, 1, 1, tzinfo=timezone.utc), 2),
    "Africa/Monrovia": (datetime(1972, 1, 5, tzinfo=timezone.utc), 4),  # 44 minutes 30 seconds
}


@pytest.mark.usefixtures("ctx")
@pytest.mark.parametrize("name", ZONES)
def test_days_are_right_where_clocks_change(
    app: Flask, db: SQLAlchemy, coins: Coins, name: str
) -> None:
    zone, day = ZoneInfo(name), Day()
    begin, length = ZONES[name]
    right: dict[date, int] = defaultdict(int)
    rows = list(moments(zone, begin, length))
    for row in rows:
        right[day.date_of(row["created_at"], zone)] += row["amount"]
    db.session.execute(log.insert(), rows)
    state = app.extensions["coins"]
    state.settings = replace(state.settings, timezone=name)
    assert {it.day: it.minted for it in coins.stats().days} == right
    first, *_, last = right
    in_between = coins.stats(first + timedelta(days=1), last - timedelta(days=1))
    assert {it.day: it.minted for it in in_between.days} == {
        it: coins for it, coins in right.items() if it not in (first, last)
    }


def moments(zone: ZoneInfo, begin: datetime, length: int) -> Iterator[dict[str, Any]]:
    """An entry in each half-hour, and on either side of the instant at which a day begins."""
    day, tick = Day(), timedelta(microseconds=1)
    found = [begin + number * timedelta(minutes=30) for number in range(48 * length)]
    starts = {day.start(day.date_of(it, zone), zone) for it in found[24:]}
    found += [*starts, *(start - tick for start in starts)]
    for number, moment in enumerate(sorted(found), 1):
        paid = {"user_id": "ann", "currency": "coins", "reason": "goal", "balance_after": 0}
        yield {**paid, "amount": number, "created_at": moment}


def test_a_date_is_a_whole_day_and_a_moment_is_that(
    lite: Flask, coins: Coins, clock: Clock
) -> None:
    coins.award("ann", 5)
    today = date(2026, 11, 22)
    assert coins.stats(today, today).total.minted == 5
    assert coins.stats(today + timedelta(days=1)).total.minted == 0
    assert coins.stats(NOON, NOON + timedelta(microseconds=1)).total.minted == 5
    assert coins.stats(until=NOON).total.minted == 0


# -- budgets, names, and what is not there ------------------------------------------------------------


def test_budgets_of_the_app_tell_what_they_have_paid(
    lite: Flask, coins: Coins, clock: Clock
) -> None:
    coins.award("ann", 20, "goal")
    coins.award("bob", 7, "quiz")
    clock.forward(hours=12)  # the week is over, too
    coins.award("cid", 4, "goal")
    found = [(it.reason, it.window, it.minted, it.most) for it in coins.stats().budgets]
    assert found == [("goal", "day", 4, 30), (None, "week", 4, 90)]
    assert coins.stats().budgets[0].start == datetime(2026, 11, 23, tzinfo=timezone.utc)
    assert [it.most for it in coins.stats(currency="gems").budgets] == [9]


def test_who_is_hidden_is_among_the_earners_and_who_is_erased_is_not(
    lite: Flask, coins: Coins
) -> None:
    coins.award("ann", 20)
    coins.award("bob", 7)
    coins.hide_from_leaderboard("ann")
    coins.forget("bob")
    coins.user_names_loader(lambda user_ids: {"ann": "Ann"})
    assert [(it.user_id, it.name) for it in coins.stats().top_earners] == [("ann", "Ann")]


def test_an_empty_economy_has_figures(lite: Flask, coins: Coins) -> None:
    stats = coins.stats()
    assert (stats.total, stats.days, stats.reasons, stats.top_earners) == (Flows(), (), (), ())
    assert (stats.in_circulation, stats.held, stats.holders) == (0, 0, 0)
    assert stats.concentration is None


def test_where_all_have_the_same_nothing_is_concentrated(lite: Flask, coins: Coins) -> None:
    coins.award_many([{"user": number, "amount": 1, "currency": "gold"} for number in range(100)])
    found = coins.stats(currency="gold").concentration
    assert found
    assert found.gini == pytest.approx(0)
    assert (found.top_1_percent, found.top_10) == (0.01, 0.1)


WRONG: dict[str, Callable[[Coins], object]] = {
    "since is a date": lambda coins: coins.stats(datetime(2026, 1, 1)),
    "until is a date": lambda coins: coins.stats(until="2026-01-01"),  # type: ignore[arg-type]
    "years 1001 to 9998": lambda coins: coins.stats(date(9999, 12, 31)),
    "until must lie behind": lambda coins: coins.stats(date(2026, 2, 1), date(2026, 1, 1)),
    "A currency must": lambda coins: coins.stats(currency=""),
}


@pytest.mark.parametrize("words", WRONG)
def test_bad_input_is_told(lite: Flask, coins: Coins, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        WRONG[words](coins)


def test_statements_and_rows_do_not_grow_with_the_log(
    lite: Flask, db: SQLAlchemy, coins: Coins
) -> None:
    for number in range(12):
        coins.award(f"user {number}", 1, f"reason {number % 3}")
    with statements(db.engine) as sent:
        stats = coins.stats()
    assert len(sent) == 6
    assert (len(stats.days), len(stats.reasons), len(stats.top_earners)) == (1, 3, 10)
