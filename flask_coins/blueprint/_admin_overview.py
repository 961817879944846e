"""The economy as a whole: what came, what went, who has it, and what goes beyond its budget."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import NamedTuple

from flask.typing import ResponseReturnValue

from .. import _stats, _words
from ..results import DayFlows, Stats
from ._admin_desk import Desk, admins, asked_currency, asked_number

_PERIODS = (7, 30, 90, 365)
_WHEN = {
    "hour": _words.later("this hour"),
    "day": _words.later("today"),
    "week": _words.later("this week"),
    "month": _words.later("this month"),
    "year": _words.later("this year"),
}
_NEARLY = 0.8
"""From this part of a budget on it is told before it is used up."""


class Alert(NamedTuple):
    """A budget that is nearly used up, or more than that."""

    reason: str | None
    """None: all reasons together."""
    minted: int
    most: int
    when: str
    refuses: bool = True
    """Whether more is refused, or only told: that is the way of ``COINS_EXPECTED_PER_DAY``."""

    @property
    def is_beyond(self) -> bool:
        """Whether nothing is left, or less than that."""
        return self.minted >= self.most


@admins
def overview(desk: Desk) -> ResponseReturnValue:
    """The last ``?days=``, today included, in ``?currency=``."""
    days, currency = asked_number("days", _PERIODS[-1]) or 30, asked_currency()
    today = desk.state.now().astimezone(desk.zone).date()
    since = today - timedelta(days=days - 1)
    stats = _stats.stats(desk.state, since, None, currency)
    before, now, until = _stats.compared(desk.state, since, days, currency)
    return desk.page(
        "overview",
        stats=stats,
        before=before,
        now=now,
        until=until,
        change=_change,
        since=since,
        today=today,
        days=days,
        periods=_PERIODS,
        calendar=_calendar(stats.days, since, today),
        alerts=[*_by_budgets(stats), *_by_expectation(desk, today, currency)],
        names={it.user_id: it.name for it in stats.top_earners if it.name is not None},
        percent=_percent,
    )


def _calendar(moved: Sequence[DayFlows], since: date, until: date) -> list[DayFlows]:
    """Every day, also those on which nothing moved."""
    found = {each.day: each for each in moved}
    every = (since + timedelta(days=n) for n in range((until - since).days + 1))
    return [found.get(day) or DayFlows(day=day) for day in every]


def _by_budgets(stats: Stats) -> list[Alert]:
    return [
        Alert(use.reason, use.minted, use.most, _when(use.window))
        for use in stats.budgets
        if use.minted >= use.most * _NEARLY
    ]


def _by_expectation(desk: Desk, today: date, currency: str) -> list[Alert]:
    """Reasons that have minted more today than the host expects of them."""
    expected = desk.state.settings.expected_per_day
    if not expected or currency != "coins":
        return []
    minted = {it.reason: it.minted for it in _stats.stats(desk.state, today, None, "coins").reasons}
    return [
        Alert(reason, minted[reason], most, _when("day"), refuses=False)
        for reason, most in sorted(expected.items())
        if minted.get(reason, 0) > most
    ]


def _when(window: str) -> str:
    return _words.text(_WHEN.get(window, window))


def _change(now: int, before: int) -> str:
    """``+300 (+38%)``, or only ``+300`` where there was nothing before."""
    sign = "+" if now > before else "−" if now < before else ""
    told = sign + _words.amount(abs(now - before))
    return f"{told} ({sign}{_percent(abs(now - before) / before)})" if before else told


def _percent(part: float) -> str:
    return _words.text("%(num)s%%", num=_words.amount(round(part * 100)))
