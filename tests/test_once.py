"""Once means once: the cases people argue about, then thousands of chance calls and real ones.

Every refusal here is also held to its word: the same call is refused one microsecond before its
``next_at`` and pays at it.
"""

from __future__ import annotations

import csv
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, time, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from flask_sqlalchemy import SQLAlchemy

from flask_coins import Coins, IdempotencyConflict, InsufficientCoins, Outcome, Receipt
from flask_coins._models import log
from flask_coins._verify import faults
from flask_coins.windows import Between, Day, Month, Week

from .apps import Clock
from .once_oracle import Answer, Kind, Oracle, Row

UTC = timezone.utc
TICK = timedelta(microseconds=1)
NEVER = "never"
BERLIN, KIRITIMATI, HONOLULU = "Europe/Berlin", "Pacific/Kiritimati", "Pacific/Honolulu"


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@dataclass
class Life:
    """A user's days: calls at stated moments and places, each committed."""

    db: SQLAlchemy
    coins: Coins
    clock: Clock
    zone: str = "UTC"

    def at(self, moment: str | datetime, zone: str | None = None) -> Life:
        self.clock.now = utc(moment) if isinstance(moment, str) else moment
        self.zone = zone or self.zone
        return self

    def call(self, window: Any = "day", reason: str = "goal", **more: Any) -> Receipt:
        receipt = self.coins.award_once("7", 10, reason, window, **more)
        self.db.session.commit()
        if receipt.next_at and receipt.next_at > self.clock.now:
            self._keeps_its_word(receipt.next_at, window, reason, more)
        return receipt

    def _keeps_its_word(self, opens: datetime, window: Any, reason: str, more: Any) -> None:
        now = self.clock.now
        for moment, pays in ((opens - TICK, False), (opens, True)):
            self.clock.now = moment
            assert bool(self.coins.award_once("7", 10, reason, window, **more)) is pays
            self.db.session.rollback()
        self.clock.now = now

    def row(self, at: str, amount: int = 5, **more: Any) -> None:
        """A row that the package did not write."""
        values = {"user_id": "7", "currency": "coins", "reason": "goal", "subject": ""} | more
        values |= {"amount": amount, "balance_after": 5, "created_at": utc(at)}
        self.db.session.connection().execute(sa.insert(log), values)
        self.db.session.commit()

    def names(self) -> list[str | None]:
        """The window that each entry claims, in order."""
        rows = self.db.session.execute(sa.select(log.c.once_key).order_by(log.c.id))
        return [name for (name,) in rows]


@pytest.fixture
def life(ctx: None, db: SQLAlchemy, coins: Coins, clock: Clock) -> Iterator[Life]:
    life = Life(db, coins, clock)
    coins.timezone_loader(lambda user_id: life.zone)
    return life


def said(receipt: Receipt) -> str:
    """ "paid", when it opens again, or "never"."""
    if receipt:
        return "paid"
    return receipt.next_at.replace(tzinfo=None).isoformat() if receipt.next_at else NEVER


WINTER = Between("winter-2026", datetime(2026, 12, 1), datetime(2027, 3, 1))
SPRINT = Between("sprint.1", utc("2026-12-01T06:00"), utc("2026-12-02T06:00"))

SCENES: dict[str, tuple[Any, str, list[tuple[str, str]]]] = {
    # what happens: window, zone, then moments in UTC and what is said
    "a day that lost an hour": (
        "day",
        BERLIN,
        [
            ("2026-03-28T22:59:59.999999", "paid"),
            ("2026-03-28T23:00:00", "paid"),
            ("2026-03-29T21:59:59.999999", "2026-03-29T22:00:00"),
            ("2026-03-29T22:00:00", "paid"),
        ],
    ),
    "a day that gained an hour": (
        "day",
        BERLIN,
        [
            ("2026-10-24T22:00:00", "paid"),
            ("2026-10-25T22:59:00", "2026-10-25T23:00:00"),
            ("2026-10-25T23:00:00", "paid"),
        ],
    ),
    "spring in New York": (
        "day",
        "America/New_York",
        [
            ("2026-03-08T05:00:00", "paid"),
            ("2026-03-09T03:59:00", "2026-03-09T04:00:00"),
            ("2026-03-09T04:00:00", "paid"),
        ],
    ),
    "autumn in New York": (
        "day",
        "America/New_York",
        [
            ("2026-11-01T04:00:00", "paid"),
            ("2026-11-02T04:59:00", "2026-11-02T05:00:00"),
            ("2026-11-02T05:00:00", "paid"),
        ],
    ),
    "no midnight in Havana": (
        "day",
        "America/Havana",
        [
            ("2026-03-08T04:59:59", "paid"),
            ("2026-03-08T05:00:00", "paid"),
            ("2026-03-08T05:30:00", "2026-03-09T04:00:00"),
        ],
    ),
    "two midnights in Havana": (
        "day",
        "America/Havana",
        [
            ("2026-11-01T04:00:00", "paid"),
            ("2026-11-01T05:00:00", "2026-11-02T05:00:00"),
            ("2026-11-02T05:00:00", "paid"),
        ],
    ),
    "half an hour back on Lord Howe": (
        "day",
        "Australia/Lord_Howe",
        [
            ("2026-04-04T13:00:00", "paid"),
            ("2026-04-05T13:15:00", "2026-04-05T13:30:00"),
            ("2026-04-05T13:30:00", "paid"),
        ],
    ),
    "back across midnight in Newfoundland": (
        "day",
        "America/St_Johns",
        [
            ("2006-10-29T02:30:00", "paid"),
            ("2006-10-29T02:31:00", "2006-10-30T03:30:00"),
        ],
    ),
    "a day that Apia never had": (
        "day",
        "Pacific/Apia",
        [
            ("2011-12-30T09:59:00", "paid"),
            ("2011-12-30T10:00:00", "paid"),
            ("2011-12-30T10:01:00", "2011-12-31T10:00:00"),
        ],
    ),
    "week 53": (
        "week",
        "UTC",
        [
            ("2026-12-27T23:59:00", "paid"),
            ("2026-12-28T00:00:00", "paid"),
            ("2027-01-03T23:59:00", "2027-01-04T00:00:00"),
            ("2027-01-04T00:00:00", "paid"),
        ],
    ),
    "a day from four o'clock": (
        Day(starts_at=time(4)),
        "UTC",
        [
            ("2026-11-22T03:59:00", "paid"),
            ("2026-11-22T04:00:00", "paid"),
            ("2026-11-23T03:59:00", "2026-11-23T04:00:00"),
        ],
    ),
    "a day from half past two, which spring skips": (
        Day(starts_at=time(2, 30)),
        BERLIN,
        [
            ("2026-03-29T00:59:00", "paid"),
            ("2026-03-29T01:00:00", "paid"),
            ("2026-03-29T12:00:00", "2026-03-30T00:30:00"),
        ],
    ),
    "a week and a month of one's own": (
        Week(starts_at=time(6)),
        BERLIN,
        [
            ("2026-10-26T04:59:00", "paid"),
            ("2026-10-26T05:00:00", "paid"),
            ("2026-10-27T05:00:00", "2026-11-02T05:00:00"),
        ],
    ),
    "a month": (
        "month",
        BERLIN,
        [
            ("2026-10-31T22:59:00", "paid"),
            ("2026-10-31T23:00:00", "paid"),
            ("2026-11-30T22:59:00", "2026-11-30T23:00:00"),
        ],
    ),
    "a month from noon": (
        Month(starts_at=time(12)),
        "UTC",
        [
            ("2026-11-01T11:59:00", "paid"),
            ("2026-11-01T12:00:00", "paid"),
            ("2026-11-01T12:01:00", "2026-12-01T12:00:00"),
        ],
    ),
    "a year": (
        "year",
        "America/New_York",
        [
            ("2027-01-01T04:59:00", "paid"),
            ("2027-01-01T05:00:00", "paid"),
            ("2027-06-01T00:00:00", "2028-01-01T05:00:00"),
        ],
    ),
    "an hour that comes twice": (
        "hour",
        BERLIN,
        [
            ("2026-10-25T00:30:00", "paid"),
            ("2026-10-25T00:59:00", "2026-10-25T01:00:00"),
            ("2026-10-25T01:00:00", "paid"),
            ("2026-10-25T01:30:00", "2026-10-25T02:00:00"),
        ],
    ),
    "an hour that was cut in half": (
        "hour",
        "Australia/Lord_Howe",
        [
            ("2026-04-04T14:59:00", "paid"),
            ("2026-04-04T15:00:00", "paid"),
            ("2026-04-04T15:29:00", "2026-04-04T15:30:00"),
        ],
    ),
    "for ever": (
        "forever",
        "UTC",
        [("2026-11-22T12:00:00", "paid"), ("2126-11-22T12:00:00", NEVER)],
    ),
    "a cooldown": (
        timedelta(hours=8),
        BERLIN,
        [
            ("2026-10-24T20:00:00", "paid"),
            ("2026-10-25T03:59:59.999999", "2026-10-25T04:00:00"),
            ("2026-10-25T04:00:00", "paid"),
            ("2026-10-25T04:00:00", "2026-10-25T12:00:00"),
        ],
    ),
    "a season by the user's clock": (
        WINTER,
        BERLIN,
        [
            ("2026-11-30T22:59:00", "2026-11-30T23:00:00"),
            ("2026-11-30T23:00:00", "paid"),
            ("2027-02-28T22:59:00", NEVER),
            ("2027-02-28T23:00:00", NEVER),
        ],
    ),
    "a season by one clock for all": (
        SPRINT,
        KIRITIMATI,
        [
            ("2026-11-01T00:00:00", "2026-12-01T06:00:00"),
            ("2026-12-02T05:59:59.999999", "paid"),
            ("2026-12-02T06:00:00", NEVER),
        ],
    ),
    "a clock that is set back": (
        "day",
        "UTC",
        [
            ("2026-11-25T00:00:00", "paid"),
            ("2026-11-22T12:00:00", "2026-11-26T00:00:00"),
        ],
    ),
}


@pytest.mark.parametrize("scene", SCENES)
def test_a_window_is_civil_time(life: Life, scene: str) -> None:
    window, zone, steps = SCENES[scene]
    life.zone = zone
    assert [(moment, said(life.at(moment).call(window))) for moment, _ in steps] == steps


JOURNEYS: dict[str, list[tuple[str, str, str]]] = {
    # moments in UTC, the zone the user is in by then, what is said of "day"
    "east, into a day that has begun": [
        ("2026-11-22T12:00:00", HONOLULU, "paid"),
        ("2026-11-22T12:01:00", KIRITIMATI, "2026-11-23T10:00:00"),
        ("2026-11-23T10:00:00", KIRITIMATI, "paid"),
    ],
    "east, before today's payment": [
        ("2026-11-22T09:00:00", HONOLULU, "paid"),
        ("2026-11-22T10:00:00", KIRITIMATI, "paid"),
        ("2026-11-22T10:00:00", HONOLULU, "2026-11-24T10:00:00"),
    ],
    "west, into the day that was paid": [
        ("2026-11-22T09:59:00", KIRITIMATI, "paid"),
        ("2026-11-22T10:00:00", HONOLULU, "2026-11-23T10:00:00"),
        ("2026-11-23T10:00:00", HONOLULU, "paid"),
    ],
    "west, where tomorrow is paid": [
        ("2026-11-22T10:00:00", KIRITIMATI, "paid"),
        ("2026-11-22T10:01:00", HONOLULU, "2026-11-24T10:00:00"),
        ("2026-11-23T12:00:00", HONOLULU, "2026-11-24T10:00:00"),
        ("2026-11-24T10:00:00", HONOLULU, "paid"),
    ],
    "west, where the day after tomorrow is paid": [
        ("2026-11-22T10:00:00", KIRITIMATI, "paid"),
        ("2026-11-22T10:00:00", "Etc/GMT+12", "2026-11-22T12:00:00"),
        ("2026-11-22T12:00:00", "Etc/GMT+12", "paid"),
        ("2026-11-22T12:01:00", "Etc/GMT+12", "2026-11-24T12:00:00"),
        ("2026-11-23T12:00:00", "Etc/GMT+12", "2026-11-24T12:00:00"),
    ],
    "there and back again": [
        ("2026-11-22T08:00:00", BERLIN, "paid"),
        ("2026-11-22T09:00:00", "Asia/Tokyo", "2026-11-22T15:00:00"),
        ("2026-11-22T15:00:00", "Asia/Tokyo", "paid"),
        ("2026-11-22T16:00:00", BERLIN, "2026-11-23T23:00:00"),
    ],
}


@pytest.mark.parametrize("journey", JOURNEYS)
def test_no_journey_pays_a_day_twice(life: Life, journey: str) -> None:
    steps = JOURNEYS[journey]
    heard = [(moment, zone, said(life.at(moment, zone).call())) for moment, zone, _ in steps]
    assert heard == steps
    names = life.names()
    assert len(names) == len(set(names))


def test_two_days_ahead_may_be_paid_behind_a_newer_row(life: Life) -> None:
    assert life.at("2026-11-22T09:00:00", KIRITIMATI).call()
    assert life.at("2026-11-22T10:00:00").call()
    life.row("2026-11-22T11:00:00")
    late = life.at("2026-11-22T11:30:00", "Etc/GMT+12").call()
    assert said(late) == "2026-11-24T12:00:00"


def test_a_week_and_an_hour_travel_too(life: Life) -> None:
    assert life.at("2026-11-22T10:00:00", KIRITIMATI).call("week")
    assert said(life.at("2026-11-23T10:00:00", HONOLULU).call("week")) == "2026-11-30T10:00:00"
    assert life.at("2026-11-24T10:10:00", "UTC").call("hour", "b")
    assert said(life.at("2026-11-24T10:20:00", "Asia/Kolkata").call("hour", "b")) == (
        "2026-11-24T10:30:00"
    )


# -- limits ----------------------------------------------------------------------------------


def test_a_limit_pays_so_often_and_names_each(life: Life) -> None:
    moments = ["2026-11-22T10:00:00", "2026-11-22T11:00:00", "2026-11-22T12:00:00"]
    assert all(life.at(moment).call(limit=3) for moment in moments)
    assert said(life.call(limit=3)) == "2026-11-23T00:00:00"
    assert life.names() == ["day:2026-11-22", "day:2026-11-22#2", "day:2026-11-22#3"]


def test_the_lowest_free_name_is_taken(life: Life) -> None:
    life.row("2026-11-20T12:00:00", once_key="day:2026-11-22")
    life.row("2026-11-20T12:00:00", once_key="day:2026-11-22#3")
    assert life.at("2026-11-22T12:00:00").call(limit=3)
    assert life.names()[2] == "day:2026-11-22#2"
    assert said(life.call(limit=3)) == "2026-11-23T00:00:00"


def test_a_plain_row_uses_up_a_limit_but_no_name(life: Life) -> None:
    life.row("2026-11-22T01:00:00")
    assert life.at("2026-11-22T12:00:00").call(limit=2)
    assert life.names() == [None, "day:2026-11-22"]
    assert said(life.call(limit=2)) == "2026-11-23T00:00:00"


def test_a_larger_limit_opens_what_a_smaller_one_had_shut(life: Life) -> None:
    assert life.at("2026-11-22T12:00:00").call()
    assert not life.call()
    assert life.call(limit=2)
    assert not life.call(limit=2)


def test_a_limit_holds_across_a_journey(life: Life) -> None:
    assert life.at("2026-11-22T10:00:00", KIRITIMATI).call(limit=2)
    assert life.at("2026-11-22T10:01:00", HONOLULU).call(limit=2)
    assert said(life.call(limit=2)) == "2026-11-23T10:00:00"
    assert life.at("2026-11-23T10:00:00").call(limit=2)
    assert said(life.at("2026-11-23T10:01:00").call(limit=2)) == "2026-11-24T10:00:00"
    assert life.names() == ["day:2026-11-23", "day:2026-11-22", "day:2026-11-23#2"]


def test_a_cooldown_with_a_limit_opens_at_the_oldest_that_counts(life: Life) -> None:
    for moment in ("2026-11-22T10:00:00", "2026-11-22T10:20:00", "2026-11-22T10:50:00"):
        assert life.at(moment).call(timedelta(hours=1), limit=3)
    assert said(life.call(timedelta(hours=1), limit=3)) == "2026-11-22T11:00:00"
    assert life.at("2026-11-22T11:00:00").call(timedelta(hours=1), limit=3)
    assert said(life.call(timedelta(hours=1), limit=3)) == "2026-11-22T11:20:00"
    assert said(life.call(timedelta(hours=1), limit=2)) == "2026-11-22T11:50:00"
    assert life.names() == [None] * 4


def test_a_season_has_a_limit_too(life: Life) -> None:
    assert life.at("2026-12-24T18:00:00").call(WINTER, limit=2)
    assert life.call(WINTER, limit=2)
    assert said(life.call(WINTER, limit=2)) == NEVER
    assert life.names() == ["between:winter-2026", "between:winter-2026#2"]


# -- what counts -----------------------------------------------------------------------------


def test_each_subject_is_a_reward_of_its_own(life: Life) -> None:
    life.at("2026-11-22T12:00:00")
    assert life.call("forever", subject="variant-1")
    assert life.call("forever", subject="variant-2")
    assert life.call("forever")
    assert said(life.call("forever", subject="variant-1")) == NEVER
    assert said(life.call("forever", subject=None)) == NEVER


@pytest.mark.parametrize("other", [{"reason": "goal2"}, {"currency": "gems"}, {"subject": "x"}])
def test_another_reason_currency_or_subject_does_not_count(
    life: Life, other: dict[str, str]
) -> None:
    assert life.at("2026-11-22T12:00:00").call()
    assert life.call(**other)


@pytest.mark.parametrize("other", ["Goal", "GOAL", "göal", "goal\u200b", "ＧＯＡＬ"])
def test_texts_that_look_alike_are_different_rewards(life: Life, other: str) -> None:
    assert life.at("2026-11-22T12:00:00").call("forever")
    assert life.call("forever", other)
    assert not life.call("forever", other)


def test_a_plain_award_counts(life: Life) -> None:
    life.at("2026-11-22T12:00:00").coins.award("7", 1, "goal")
    assert said(life.call()) == "2026-11-23T00:00:00"
    assert said(life.call("forever")) == NEVER
    assert said(life.call(timedelta(minutes=5))) == "2026-11-22T12:05:00"


def test_a_row_of_another_system_counts(life: Life) -> None:
    life.row("2026-11-22T00:00:00")
    assert said(life.at("2026-11-22T12:00:00").call()) == "2026-11-23T00:00:00"
    life.row("2026-11-23T23:59:59.999999")
    assert life.at("2026-11-24T00:00:00").call()


def test_a_spend_does_not_count(life: Life) -> None:
    life.at("2026-11-22T12:00:00").coins.award("7", 9, "other")
    life.coins.spend("7", 5, "goal")
    assert life.call()


def test_what_gives_a_spend_back_does_not_count(life: Life) -> None:
    life.row("2026-11-22T01:00:00", reverses_id=1)
    life.row("2026-11-22T01:00:00", -5, reverses_id=2)
    assert life.at("2026-11-22T12:00:00").call()
    assert not life.call()


def test_taking_a_payment_back_does_not_reopen_its_window(life: Life) -> None:
    paid = life.at("2026-11-22T12:00:00").call()
    assert paid.entry
    life.row("2026-11-22T13:00:00", -10, reverses_id=paid.entry.id)
    assert said(life.at("2026-11-22T14:00:00").call()) == "2026-11-23T00:00:00"


def test_windows_of_one_reason_count_each_other(life: Life) -> None:
    assert life.at("2026-11-22T12:00:00").call("forever")
    assert said(life.call("day")) == "2026-11-23T00:00:00"
    assert said(life.call("hour")) == "2026-11-22T13:00:00"
    assert said(life.call("week")) == "2026-11-23T00:00:00"
    assert said(life.call(timedelta(days=2))) == "2026-11-24T12:00:00"
    assert life.at("2026-11-23T00:00:00").call("day")


def test_users_do_not_count_each_other(life: Life) -> None:
    life.at("2026-11-22T12:00:00")
    assert life.call("forever")
    assert life.coins.award_once("70", 10, "goal", "forever")
    assert life.coins.award_once("student:7", 10, "goal", "forever")


def test_what_was_rolled_back_was_not_paid(life: Life) -> None:
    life.at("2026-11-22T12:00:00").coins.award_once("7", 10, "goal", "forever")
    life.db.session.rollback()
    assert life.call("forever")


def test_a_refusal_outside_of_the_season_says_so(life: Life) -> None:
    early = life.at("2026-11-01T00:00:00").call(SPRINT)
    late = life.at("2027-01-01T00:00:00").call(SPRINT)
    assert early.outcome is late.outcome is Outcome.NOT_OPEN
    assert (late.next_at, late.entry, late.amount) == (None, None, 0)


def test_a_season_that_was_paid_in_another_zone_does_not_open_again(life: Life) -> None:
    season = Between("ny", datetime(2026, 1, 1), datetime(2026, 1, 8))
    assert life.at("2025-12-31T11:00:00", "Pacific/Kiritimati").call(season)
    early = life.at("2025-12-31T11:00:00", "America/Los_Angeles").call(season)
    assert (early.outcome, early.next_at) == (Outcome.NOT_OPEN, None)


def test_a_payment_tells_when_the_next_is_due(life: Life) -> None:
    noon = life.at("2026-11-22T12:00:00").clock.now
    assert life.call().next_at == utc("2026-11-23T00:00:00")
    assert life.call("forever", "first").next_at is None
    assert life.call(timedelta(hours=2), "rolling").next_at == noon + timedelta(hours=2)
    assert life.call("day", "twice", limit=2).next_at == noon
    assert life.call("day", "twice", limit=2).next_at == utc("2026-11-23T00:00:00")


# -- by chance -------------------------------------------------------------------------------

ZONES = [BERLIN, KIRITIMATI, HONOLULU, "America/New_York", "Australia/Lord_Howe", "Pacific/Apia"]
ZONES += ["America/Havana", "Asia/Kolkata", "UTC", "Etc/GMT+12"]
SEASON = ("tide", utc("2026-10-26T06:00"), utc("2026-10-27T18:00"))
WINDOWS: list[tuple[Any, Kind]] = [
    ("hour", Kind("hour")),
    ("day", Kind("day")),
    ("week", Kind("week")),
    ("month", Kind("month")),
    ("year", Kind("year")),
    ("forever", Kind("forever")),
    (Day(starts_at=time(4)), Kind("day", starts_at=time(4))),
    (timedelta(hours=5), Kind("rolling", delta=timedelta(hours=5))),
    (timedelta(days=1), Kind("rolling", delta=timedelta(days=1))),
    (Between(*SEASON), Kind("between", season=SEASON)),
]


@dataclass
class Chance:
    """The same random calls to the package and to the oracle; both must say the same."""

    life: Life
    random: random.Random
    oracle: Oracle

    def run(self, calls: int) -> None:
        homes = {f"u{n}": self.random.choice(ZONES) for n in range(30)}
        self.life.coins.timezone_loader(homes.__getitem__)
        for _ in range(calls):
            user = self.random.choice(sorted(homes))
            if self.random.random() < 0.05:
                homes[user] = self.random.choice(ZONES)
            self._time_passes()
            self._call(user, homes[user])
            self._commit_or_not()

    def _time_passes(self) -> None:
        minutes = self.random.choice([0, 0, 1, 7, 30, 60])
        if self.random.random() < 0.03:
            minutes = -self.random.choice([1, 5, 20])
        self.life.clock.forward(
            minutes=minutes, microseconds=self.random.choice([0, 0, 1, 999_999])
        )

    def _commit_or_not(self) -> None:
        chance = self.random.random()
        if chance < 0.1:
            self.life.db.session.rollback()
            del self.oracle.rows[self.saved :]
        elif chance < 0.7:
            self.life.db.session.commit()
            self.saved = len(self.oracle.rows)

    saved: int = 0

    def _call(self, user: str, zone: str) -> None:
        pick = self.random.choice
        row = Row(
            user=user,
            currency=pick(["coins", "coins", "gems"]),
            amount=pick([1, 10, 15]),
            after=0,
            reason=pick(["goal", "login"]),
            subject=pick(["", "", "x", "y"]),
            at=self.life.clock.now,
        )
        kind = self.random.random()
        if kind < 0.75:
            self._award_once(row, zone)
        elif kind < 0.88:
            self._plain(row, 1)
        else:
            self._plain(row, -1)

    def _award_once(self, row: Row, zone: str) -> None:
        (window, kind), limit = self.random.choice(WINDOWS), self.random.choice([1, 1, 1, 2, 3])
        receipt = self.life.coins.award_once(
            row.user,
            row.amount,
            row.reason,
            window,
            subject=row.subject or None,
            limit=limit,
            currency=row.currency,
        )
        wanted = self.oracle.award_once(row, kind, zone, limit)
        got = Answer(receipt.outcome.value, receipt.balance, wanted.name, receipt.next_at)
        assert got == wanted, (row, kind, zone, limit)

    def _plain(self, row: Row, sign: int) -> None:
        key = self.random.choice([None, None, "k1", "k2"])
        row = Row(**{**vars(row), "amount": sign * row.amount, "key": key})
        wanted = self.oracle.award(row) if sign > 0 else self.oracle.spend(row)
        if wanted.outcome == "conflict":
            # What comes after a write rolls back: end the transaction first.
            self.life.db.session.commit()
            self.saved = len(self.oracle.rows)
        call = self.life.coins.award if sign > 0 else self.life.coins.spend
        try:
            receipt = call(
                row.user,
                abs(row.amount),
                row.reason,
                subject=row.subject or None,
                idempotency_key=key,
                currency=row.currency,
            )
            got = Answer(receipt.outcome.value, receipt.balance)
        except InsufficientCoins as error:
            got = Answer("insufficient", error.balance)
        except IdempotencyConflict:
            got = Answer("conflict")
        assert got == wanted, row


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seed", "start"), [(1, "2026-10-20T00:00"), (2, "2011-12-20T00:00"), (3, "2026-03-01T00:00")]
)
def test_chance_calls_agree_with_an_oracle(life: Life, seed: int, start: str) -> None:
    life.at(start + ":00")
    chance = Chance(life, random.Random(seed), Oracle())
    chance.run(1000)
    life.db.session.commit()
    assert _entries(life) == [_fields(row) for row in chance.oracle.rows]
    assert list(faults(life.db.session.connection())) == []


def _entries(life: Life) -> list[tuple[Any, ...]]:
    names = ("user_id", "currency", "amount", "balance_after", "reason", "subject")
    columns = [log.c[name] for name in (*names, "created_at", "once_key", "idempotency_key")]
    return [tuple(row) for row in life.db.session.execute(sa.select(*columns).order_by(log.c.id))]


def _fields(row: Row) -> tuple[Any, ...]:
    rest = (row.reason, row.subject, row.at, row.name, row.key)
    return (row.user, row.currency, row.amount, row.after, *rest)


# -- real activity ---------------------------------------------------------------------------

ACTIVITY = Path(__file__).parent.parent / "example_app" / "data" / "activity.csv"
REWARDS: list[tuple[str, int, Any, Kind, int]] = [
    ("login", 10, "day", Kind("day"), 1),
    ("weekly", 50, "week", Kind("week"), 2),
    ("burst", 1, timedelta(minutes=30), Kind("rolling", delta=timedelta(minutes=30)), 2),
]


@pytest.mark.slow
def test_real_activity_agrees_with_an_oracle(life: Life) -> None:
    oracle, zones = Oracle(), {}
    life.coins.timezone_loader(lambda user: datetime.fromisoformat(zones[user]).tzinfo)
    with ACTIVITY.open(encoding="utf-8", newline="") as lines:
        events = list(csv.DictReader(lines))[-600:]
    for event in events:
        user, at = event["actor"], datetime.fromisoformat(event["at"]).astimezone(UTC)
        zones[user], life.clock.now = event["at"], at
        for reason, amount, window, kind, limit in REWARDS:
            receipt = life.coins.award_once(user, amount, reason, window, limit=limit)
            row = Row(user, "coins", amount, 0, reason, "", at)
            wanted = oracle.award_once(row, kind, event["at"][-6:], limit)
            assert (receipt.outcome, receipt.balance, receipt.next_at) == (
                wanted.outcome,
                wanted.balance,
                wanted.next_at,
            ), (event, reason)
        life.db.session.commit()
    assert _entries(life) == [_fields(row) for row in oracle.rows]
