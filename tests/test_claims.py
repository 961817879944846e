"""The rule of "once" without a database: what refuses, which name is free, when it opens."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from flask_coins._claims import Claim, Paid
from flask_coins.windows import Between, parse, zone_of

UTC = timezone.utc
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
MIDNIGHT = datetime(2026, 11, 22, tzinfo=UTC)
EARLIER = NOW - timedelta(days=2)


def claim(window: Any = "day", limit: int = 1, zone: str = "UTC") -> Claim:
    window, tz = parse(window), zone_of(zone)
    return Claim(window, tz, window.period(NOW, tz), limit)


def rows(*names: str | None, at: datetime = EARLIER) -> list[Paid]:
    return [Paid(number, at, name) for number, name in enumerate(names, 1)]


@pytest.mark.parametrize(
    ("window", "limit", "names"),
    [
        ("forever", 2, ["forever", "forever#2"]),
        (timedelta(hours=1), 3, []),
        ("day", 1, ["day:2026-11-22", "day:2026-11-23", "day:2026-11-24"]),
        ("week", 1, ["week:2026-W47", "week:2026-W48"]),
        ("hour", 1, ["hour:2026-11-22T12+00:00"]),
        (
            "month",
            2,
            ["month:2026-11", "month:2026-11#2", "month:2026-12", "month:2026-12#2"],
        ),
    ],
)
def test_a_claim_knows_the_names_that_may_be_taken(
    window: Any, limit: int, names: list[str]
) -> None:
    assert claim(window, limit).known_names == names


def test_a_claim_is_for_one_payment_and_is_not_remembered() -> None:
    window = parse("day")
    plain = Claim(window, UTC, window.period(NOW, UTC))
    assert (plain.limit, plain.key) == (1, None)


def test_the_longest_name_fits_its_column() -> None:
    assert max(map(len, claim("hour", 1000, "Asia/Kolkata").known_names)) <= 64


@pytest.mark.parametrize(
    ("limit", "paid", "refuses"),
    [
        (1, [], False),
        (1, rows("day:2026-11-22"), True),
        (1, rows("day:2026-11-21"), False),
        (1, rows(None, at=NOW), True),
        (1, rows(None, at=MIDNIGHT), True),
        (1, rows(None, at=MIDNIGHT - timedelta(microseconds=1)), False),
        (1, rows(None), False),
        (1, rows("day:2026-11-22#2"), False),
        (2, rows("day:2026-11-22#2"), False),
        (2, rows("day:2026-11-22", "day:2026-11-22#2"), True),
        (2, rows("day:2026-11-22") + rows("x", "day:2026-11-22", at=NOW)[1:], True),
        (2, rows("day:2026-11-22", at=NOW), False),
    ],
)
def test_what_refuses(limit: int, paid: list[Paid], refuses: bool) -> None:
    assert claim(limit=limit).refuses(paid) is refuses


def test_the_lowest_free_name() -> None:
    assert claim().free_name([]) == "day:2026-11-22"
    assert claim(limit=3).free_name(rows("day:2026-11-22#2")) == "day:2026-11-22"
    assert claim(limit=3).free_name(rows("day:2026-11-22", None)) == "day:2026-11-22#2"
    assert claim(timedelta(hours=1)).free_name([]) is None


def test_what_is_not_refused_is_open_now_or_when_its_season_begins() -> None:
    assert claim().opens_at([], NOW) == NOW
    spring = Between("spring", NOW + timedelta(days=9), NOW + timedelta(days=99))
    period = spring.period(NOW + timedelta(days=10), UTC)
    assert period is not None
    assert Claim(spring, UTC, period).opens_at([], NOW) == spring.start
    assert Claim(spring, UTC, period).opens_at([], spring.start + timedelta(days=1)) > spring.start


def test_a_season_does_not_open_again_for_what_was_paid_after_its_end() -> None:
    spring = Between("spring", NOW, NOW + timedelta(days=9))
    period = spring.period(NOW, UTC)
    assert period is not None
    assert Claim(spring, UTC, period).opens_at(rows(None, at=spring.end), NOW) is None


def test_it_opens_behind_every_row_and_name() -> None:
    assert claim().opens_at(rows(None, at=NOW), NOW) == datetime(2026, 11, 23, tzinfo=UTC)
    late = rows("day:2026-11-30", at=datetime(2026, 11, 30, 12, tzinfo=UTC))
    assert claim().opens_at(late, NOW) == datetime(2026, 12, 1, tzinfo=UTC)
    named = rows("day:2026-11-22", "day:2026-11-23")
    assert claim().opens_at(named, NOW) == datetime(2026, 11, 24, tzinfo=UTC)
    assert claim("forever").opens_at(rows(None), NOW) is None
    cooldown, hour = claim(timedelta(hours=3), 2), timedelta(hours=1)
    paid = [Paid(n, NOW - n * hour, None) for n in (2, 0, 1)]
    assert cooldown.opens_at(paid, NOW) == NOW + 2 * hour


AHEAD = Paid(1, datetime(2026, 11, 30, 9, tzinfo=UTC), "day:2026-11-30")
"""Paid before the clock was put back."""
TAKEN = Paid(2, EARLIER, "day:2026-12-01")
"""Where another zone's day had begun."""


def named(asked: Claim) -> list[Paid]:
    return [row for row in (AHEAD, TAKEN) if row.once_key in asked.known_names]


def test_names_beyond_those_that_are_known_are_asked_for() -> None:
    opens_at = claim().opens_at([AHEAD], NOW, named)
    assert opens_at == datetime(2026, 12, 2, tzinfo=UTC)


def test_what_opens_later_asks_for_them_too() -> None:
    later = NOW + timedelta(days=1)
    assert claim().reopens([AHEAD], later, named) == datetime(2026, 12, 2, tzinfo=UTC)
