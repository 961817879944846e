"""Days as the wallet page shows them: the balance of each, and the calendar of a streak."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import NamedTuple

from .._streaks import Counted
from ..results import Streak

_DAY = timedelta(days=1)
_WEEKS = 5


class Balanced(NamedTuple):
    """One day of the chart."""

    date: date
    came: int
    went: int
    balance: int
    """At its end, or by now."""


def balanced(
    dates: Sequence[date], moved: Sequence[tuple[int, int]], balance: int
) -> list[Balanced]:
    """The days of a chart, from what ``moved`` on each and the ``balance`` behind the last."""
    days: list[Balanced] = []
    for day, (came, went) in zip(reversed(dates), reversed(moved), strict=True):
        days.append(Balanced(day, came, went, balance))
        balance -= came - went
    return days[::-1]


class Cell(NamedTuple):
    """One day of a calendar."""

    date: date
    state: str
    """``paid``, ``frozen``, ``missed``, ``today``, ``later``, or ``none`` before it all began."""


@dataclass(frozen=True)
class Calendar:
    """A streak, and the weeks around it."""

    reason: str
    streak: Streak
    today: date
    weeks: list[list[Cell]]
    """From Monday to Sunday; the last one has today in it."""


def calendar(reason: str, counted: Counted) -> Calendar:
    """The last five weeks of what a streak was counted from."""
    monday = counted.today - counted.today.weekday() * _DAY
    begun = min(counted.paid, default=counted.today)
    weeks = [
        [_cell(monday + (7 * week + day) * _DAY, counted, begun) for day in range(7)]
        for week in range(1 - _WEEKS, 1)
    ]
    return Calendar(reason, counted.streak, counted.today, weeks)


def _cell(day: date, counted: Counted, begun: date) -> Cell:
    if day in counted.paid:
        return Cell(day, "paid")
    if day in counted.frozen:
        return Cell(day, "frozen")
    if day >= counted.today:
        return Cell(day, "today" if day == counted.today else "later")
    return Cell(day, "missed" if day > begun else "none")


def last(days: int, today: date) -> list[date]:
    """The last ``days`` dates, today's included."""
    return [today - ago * _DAY for ago in range(days - 1, -1, -1)]
