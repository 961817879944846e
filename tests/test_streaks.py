"""Streaks: how many periods in a row were paid, against a plain count, and read from real logs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, time, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
from flask_sqlalchemy import SQLAlchemy
from hypothesis import given, settings
from hypothesis import strategies as st

from flask_coins import Coins, InvalidInput, Streak
from flask_coins._models import log
from flask_coins._streaks import counted
from flask_coins.windows import Between, Dated, Day, Month, Week, Year

from .apps import Clock
from .once_oracle import Kind, Span, span_of

UTC = timezone.utc
TICK = timedelta(microseconds=1)
APIA, KIRITIMATI, HONOLULU = "Pacific/Apia", "Pacific/Kiritimati", "Pacific/Honolulu"

# -- against a plain count -------------------------------------------------------------------

WINDOWS: list[tuple[Dated, Kind, int]] = [
    # window, the same for the oracle, hours that are about a period
    (Day(), Kind("day"), 24),
    (Day(starts_at=time(4)), Kind("day", starts_at=time(4)), 24),
    (Week(), Kind("week"), 24 * 7),
    (Month(), Kind("month"), 24 * 30),
    (Year(), Kind("year"), 24 * 365),
]
ZONES = [APIA, KIRITIMATI, "Europe/Berlin", "America/Havana", "UTC"]
STARTS = [datetime(2011, 12, 25, tzinfo=UTC), datetime(2026, 3, 24, 7, 30, tzinfo=UTC)]


@dataclass
class Case:
    """What had happened to somebody, and where and when the streak is asked for."""

    window: Dated
    kind: Kind
    zone: str
    now: datetime
    payments: list[tuple[datetime, str | None]]
    freezes: list[datetime]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    window, kind, hours = draw(st.sampled_from(WINDOWS))
    zone, start = draw(st.sampled_from(ZONES)), draw(st.sampled_from(STARTS))
    moments = st.integers(0, 9 * 4).map(lambda n: start + timedelta(hours=n * hours / 4))
    now = draw(moments)
    past = moments.filter(lambda moment: moment <= now)
    payments = []
    for moment in draw(st.lists(past, max_size=9)):
        place = draw(st.sampled_from([zone, zone, KIRITIMATI, HONOLULU]))
        span = span_of(kind, place, moment)
        assert span
        payments.append((moment, draw(st.sampled_from([None, span.label, f"{span.label}#2"]))))
    return Case(window, kind, zone, now, payments, sorted(draw(st.lists(past, max_size=4))))


@dataclass
class Plain:
    """The streak by going through the periods one after the other."""

    case: Case

    def __post_init__(self) -> None:
        case = self.case
        self.paid = {self._label(*payment) for payment in case.payments}
        moment = min([case.now, *(at for at, _ in case.payments)]) - timedelta(days=1)
        self.spans = list(self._spans(moment, 24))
        self.over = {span.label: span.end or case.now for span in self.spans}

    def _label(self, moment: datetime, once_key: str | None) -> str:
        if once_key:
            return once_key.partition("#")[0]
        return next(self._spans(moment, 1)).label

    def _spans(self, moment: datetime, number: int) -> Iterator[Span]:
        for _ in range(number):
            span = span_of(self.case.kind, self.case.zone, moment)
            assert span
            assert span.end
            yield span
            moment = span.end

    def at(self, now: datetime) -> tuple[list[str], int, int, int]:
        """The labels of the present run, the longest, how many are frozen, freezes left."""
        run: list[str] = []
        left, frozen, longest = list(self.case.freezes), 0, 0
        for label in sorted(self.over.keys() | self.paid):
            if label in self.paid:
                run.append(label)
                longest = max(longest, len(run))
            elif self.over[label] <= now and run:
                usable = [bought for bought in left if bought < self.over[label]]
                if usable:
                    left.remove(usable[0])
                    frozen += 1
                else:
                    run, frozen = [], 0
        return run, longest, frozen, len(left)

    def streak(self) -> Streak:
        run, longest, frozen, left = self.at(self.case.now)
        today = self._label(self.case.now, None)
        ends = [end for end in self.over.values() if end > self.case.now]
        breaks = [end for end in sorted(ends) if self.at(end)[0][:1] != run[:1]]
        ends_at = breaks[0] if run else None
        return Streak(len(run), longest, today in self.paid, left, frozen, ends_at)


@pytest.mark.slow
@settings(max_examples=400, deadline=None, database=None)
@given(case=cases())
def test_a_streak_is_what_a_plain_count_makes_it(case: Case) -> None:
    zone = ZoneInfo(case.zone)
    found = counted(case.window, zone, case.now, case.payments, case.freezes)
    assert found.streak == Plain(case).streak()


@pytest.mark.parametrize("window", [window for window, _, _ in WINDOWS])
def test_a_window_reads_its_own_labels_and_no_others(window: Dated) -> None:
    moment = datetime(2026, 1, 1, 12, tzinfo=UTC)
    labels = [each.period(moment, UTC).label or "" for each, _, _ in WINDOWS]
    for each, label in zip(WINDOWS, labels, strict=True):
        same = type(each[0]) is type(window)
        assert window.first_date(label) == (window.date_of(moment, UTC) if same else None)
    for label in ("day", "day:", "day:2026-13-01", "week:2026", "month:x", "year:", "forever"):
        assert window.first_date(label) is None


# -- from the log ----------------------------------------------------------------------------


@dataclass
class Life:
    db: SQLAlchemy
    coins: Coins
    clock: Clock
    zone: str = "UTC"

    def at(self, moment: str) -> Life:
        self.clock.now = datetime.fromisoformat(moment).replace(tzinfo=UTC)
        return self

    def login(self, *moments: str, **more: Any) -> None:
        for moment in moments:
            self.at(moment).coins.award_once("ann", 1, "daily_login", **more)
            self.db.session.commit()

    def freeze(self, moment: str, **more: Any) -> Any:
        more = {"subject": "daily_login", **more}
        bought = self.at(moment).coins.spend("ann", 5, "streak_freeze", **more)
        self.db.session.commit()
        return bought

    def streak(self, moment: str, **more: Any) -> Streak:
        return self.at(moment).coins.streak("ann", **more)

    def length(self, moment: str, **more: Any) -> tuple[int, int, int]:
        found = self.streak(moment, **more)
        return found.length, found.frozen, found.freezes


@pytest.fixture
def life(ctx: None, db: SQLAlchemy, coins: Coins, clock: Clock) -> Life:
    life = Life(db, coins, clock)
    coins.timezone_loader(lambda user_id: life.zone)
    life.at("2026-01-01").coins.award("ann", 100, "start")
    coins.award("ann", 100, "start", currency="gems")
    db.session.commit()
    return life


def test_days_in_a_row_are_counted_and_today_is_not_over(life: Life) -> None:
    life.login("2026-11-20T10:00", "2026-11-21T23:59", "2026-11-22T00:00")
    ends = datetime(2026, 11, 24, tzinfo=UTC)
    assert life.streak("2026-11-22T12:00") == Streak(3, 3, True, 0, 0, ends)
    assert life.streak("2026-11-23T23:59:59.999999") == Streak(3, 3, False, 0, 0, ends)
    assert life.streak("2026-11-24T00:00") == Streak(0, 3, False, 0, 0, None)
    life.login("2026-11-25T10:00")
    assert life.length("2026-11-25T11:00") == (1, 0, 0)


def test_somebody_who_was_never_paid_has_no_streak(life: Life) -> None:
    assert life.coins.streak("nobody") == Streak(0, 0, False, 0, 0, None)
    assert life.streak("2026-11-22", reason="other") == Streak(0, 0, False, 0, 0, None)


@pytest.mark.parametrize(
    ("window", "moments"),
    [
        ("week", ["2026-11-09", "2026-11-22", "2026-11-23"]),
        ("month", ["2026-09-30", "2026-10-01", "2026-11-30"]),
        ("year", ["2024-12-31", "2025-01-01", "2026-06-01"]),
    ],
)
def test_other_periods_run_in_a_row_too(life: Life, window: str, moments: list[str]) -> None:
    life.login(*moments, window=window)
    now = moments[-1]
    assert life.length(now, window=window) == (3, 0, 0)
    ends_at = life.streak(now, window=window).ends_at
    assert ends_at
    before, then = (ends_at - TICK, ends_at)
    assert life.length(before.isoformat()[:26], window=window)[0] == 3
    assert life.length(then.isoformat()[:19], window=window)[0] == 0


@pytest.mark.parametrize(
    "window",
    ["hour", "forever", timedelta(days=1), Between("x", *[datetime(2026, 1, n) for n in (1, 2)])],
)
def test_a_streak_is_of_dates(life: Life, window: Any) -> None:
    with pytest.raises(InvalidInput, match="days, weeks, months or years"):
        life.streak("2026-11-22", window=window)


def test_a_period_counts_once_however_often_it_was_paid(life: Life) -> None:
    life.login(*["2026-11-21T10:00"] * 3, *["2026-11-22T10:00"] * 2, limit=3)
    life.coins.award("ann", 1, "daily_login")
    assert life.length("2026-11-22T12:00") == (2, 0, 0)


def test_what_was_taken_back_was_paid_all_the_same(life: Life) -> None:
    life.login("2026-11-21T10:00", "2026-11-22T10:00")
    life.coins.reverse(life.coins.history("ann", 1)[0])
    assert life.length("2026-11-22T12:00") == (2, 0, 0)


def test_rows_of_an_older_system_go_by_their_time(life: Life) -> None:
    life.zone = "Asia/Tokyo"
    row = {"user_id": "ann", "currency": "coins", "amount": 1, "balance_after": 1, "subject": "x"}
    row |= {"reason": "daily_login"}
    moments = ["2026-11-19T14:59", "2026-11-19T15:00", "2026-11-21T14:00"]
    rows = [{**row, "created_at": datetime.fromisoformat(it).replace(tzinfo=UTC)} for it in moments]
    life.db.session.connection().execute(sa.insert(log), rows)
    assert life.length("2026-11-21T16:00") == (3, 0, 0)
    life.zone = "UTC"
    assert life.length("2026-11-21T16:00") == (1, 0, 0)


def test_a_day_stays_the_one_that_it_was_paid_as(life: Life) -> None:
    life.zone = KIRITIMATI
    life.login("2026-11-20T11:00", "2026-11-21T11:00", "2026-11-22T11:00")
    life.zone = HONOLULU
    assert life.streak("2026-11-22T12:00") == Streak(
        3, 3, True, 0, 0, datetime(2026, 11, 25, 10, tzinfo=UTC)
    )


def test_a_day_that_samoa_skipped_breaks_nothing_and_takes_no_freeze(life: Life) -> None:
    life.zone = APIA
    life.login("2011-12-29T20:00")  # the 29th there, and the last instant of it is 10:00 UTC
    life.freeze("2011-12-29T20:30")
    found = life.streak("2011-12-29T21:00")
    assert (found.length, found.ends_at) == (1, datetime(2012, 1, 1, 10, tzinfo=UTC))
    life.login("2011-12-30T20:00")
    assert life.length("2011-12-30T21:00") == (2, 0, 1)


def test_a_freeze_bridges_a_day_that_was_not_over(life: Life) -> None:
    life.login("2026-11-20T10:00")
    life.freeze("2026-11-21T23:59")
    assert life.streak("2026-11-21T23:59") == Streak(
        1, 1, False, 1, 0, datetime(2026, 11, 23, tzinfo=UTC)
    )
    assert life.length("2026-11-22T00:00") == (1, 1, 0)
    life.login("2026-11-22T10:00")
    assert life.streak("2026-11-22T12:00") == Streak(
        2, 2, True, 0, 1, datetime(2026, 11, 24, tzinfo=UTC)
    )


def test_a_freeze_that_came_too_late_is_kept_for_later(life: Life) -> None:
    life.login("2026-11-20T10:00")
    life.freeze("2026-11-22T00:00")
    assert life.length("2026-11-22T00:00") == (0, 0, 1)
    life.login("2026-11-22T10:00")
    assert life.length("2026-11-24T10:00") == (1, 1, 0)


def test_each_freeze_bridges_one_day(life: Life) -> None:
    life.login("2026-11-10T10:00")
    for _ in range(3):
        life.freeze("2026-11-10T11:00")
    assert life.streak("2026-11-10T12:00").ends_at == datetime(2026, 11, 15, tzinfo=UTC)
    assert life.length("2026-11-13T10:00") == (1, 2, 1)
    assert life.length("2026-11-14T10:00") == (1, 3, 0)
    assert life.length("2026-11-15T00:00") == (0, 0, 0)


def test_a_freeze_is_a_spend_of_that_reason_for_that_reward_that_was_kept(life: Life) -> None:
    life.login("2026-11-22T10:00")
    life.freeze("2026-11-22T11:00", subject="weekly_goal")
    life.freeze("2026-11-22T11:00", subject=None)
    life.coins.spend("ann", 5, "hat", subject="daily_login")
    life.coins.transfer("ann", "bob", 5, "streak_freeze", subject="daily_login")
    life.coins.reverse(life.freeze("2026-11-22T11:00"))
    life.coins.reverse(life.freeze("2026-11-22T11:00"), amount=1)
    life.coins.award("ann", 5, "streak_freeze", subject="daily_login")
    assert life.length("2026-11-22T12:00") == (1, 0, 0)
    life.freeze("2026-11-22T11:00", currency="gems")
    life.coins.capture(life.coins.hold("ann", 5, "streak_freeze", subject="daily_login"))
    assert life.length("2026-11-22T12:00") == (1, 0, 2)
    assert life.length("2026-11-22T12:00", freeze="hat") == (1, 0, 1)


def test_currencies_have_streaks_of_their_own(life: Life) -> None:
    life.login("2026-11-20T10:00", "2026-11-21T10:00")
    life.login("2026-11-21T11:00", currency="gems")
    assert life.length("2026-11-21T12:00") == (2, 0, 0)
    assert life.length("2026-11-21T12:00", currency="gems") == (1, 0, 0)
