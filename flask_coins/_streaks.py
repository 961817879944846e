"""How many periods in a row were paid for: the rule of streaks, without a database."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, tzinfo
from typing import NamedTuple

from .errors import InvalidInput
from .results import Streak
from .windows import Dated, Window


def dated(window: Window) -> Dated:
    """The window, if streaks can be counted in it."""
    if not isinstance(window, Dated):
        raise InvalidInput(f"A streak is of days, weeks, months or years, not of {window}.")
    return window


class Counted(NamedTuple):
    """A streak, and the periods it was counted from, each by its first date."""

    streak: Streak
    today: date
    """The present period."""
    paid: set[date]
    frozen: set[date]
    """The missed ones that freezes bridged, in earlier streaks too."""


def counted(
    window: Dated,
    zone: tzinfo,
    now: datetime,
    payments: Iterable[tuple[datetime, str | None]],
    freezes: Sequence[datetime],
) -> Counted:
    """The streak of somebody in ``zone`` at ``now``, with its periods.

    ``payments`` are (moment, once_key): the name under which a period was paid says which it was,
    also where the zone was another then. ``freezes`` are the moments at which some were bought, in
    order: each bridges one missed period that was not over by then.
    """
    paid = {_date_of(window, zone, *payment) for payment in payments}
    today = _date_of(window, zone, now, None)
    length = longest = frozen = 0
    bridged: set[date] = set()
    dates, begun = sorted(paid), today
    for first, until in zip(dates, [*dates[1:], today], strict=False):
        begun = begun if length else first
        length += 1
        longest = max(longest, length)
        for missed in _between(window, zone, first, min(until, today)):
            usable = bisect_left(freezes, window.start(window.following(missed), zone))
            if len(bridged) == usable:
                length = frozen = 0
                break
            bridged.add(missed)
            frozen += 1
    left = len(freezes) - len(bridged)
    # Somebody who came from the east may have been paid for days to come alone.
    ends_at = _ends_at(window, zone, max(today, begun), paid, left) if length else None
    found = Streak(length, longest, today in paid, left, frozen, ends_at)
    return Counted(found, today, paid, bridged)


def _date_of(window: Dated, zone: tzinfo, moment: datetime, once_key: str | None) -> date:
    named = window.first_date(once_key.partition("#")[0]) if once_key else None
    return named or window.date_of(moment, zone)


def _between(window: Dated, zone: tzinfo, first: date, until: date) -> Iterator[date]:
    """The periods behind ``first`` and before ``until`` that the calendar of the zone has."""
    first = window.following(first)
    while first < until:
        if not _is_skipped(window, zone, first):
            yield first
        first = window.following(first)


def _is_skipped(window: Dated, zone: tzinfo, first: date) -> bool:
    """Whether the calendar of the zone has no such period, as Samoa's has no 30 December 2011."""
    return window.start(first, zone) == window.start(window.following(first), zone)


def _ends_at(window: Dated, zone: tzinfo, first: date, paid: set[date], freezes: int) -> datetime:
    while freezes or first in paid or _is_skipped(window, zone, first):
        if first not in paid and not _is_skipped(window, zone, first):
            freezes -= 1
        first = window.following(first)
    return window.start(window.following(first), zone)
