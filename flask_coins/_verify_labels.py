"""When a window's label can have been claimed: somewhere on earth, in the calendar of some zone."""

from __future__ import annotations

import re
from datetime import datetime, time, timedelta, timezone
from functools import lru_cache

from .errors import InvalidInput
from .windows import EARLIEST, LATEST, Between, Day, Month, Week, Year

Span = tuple[datetime, datetime]

ALWAYS: Span = (datetime.min.replace(tzinfo=timezone.utc), LATEST)
STANDARD_TIME = datetime(1868, 1, 1, tzinfo=timezone.utc)
"""Since then every zone of the IANA database has been within the offsets of today."""
_AHEAD, _BEHIND = timedelta(hours=14), timedelta(hours=12)
_LOCAL_MEAN_TIME = timedelta(hours=16)
_DAY = timedelta(days=1)
_HOUR = timedelta(hours=1)
_NAME = re.compile(r"([^#]+)(#([2-9]|[1-9][0-9]{1,2}|1000))?")
_DATED = {"day": Day(), "week": Week(), "month": Month(), "year": Year()}


@lru_cache(maxsize=4096)
def span(once_key: str) -> Span | None:
    """From when, and until before when, a row can bear this name; None: no row can.

    Periods that begin at another time of day than midnight are counted in: they end up to a day later.
    """
    name = _NAME.fullmatch(once_key)
    if name is None:
        return None
    label = name[1]
    kind, _, rest = label.partition(":")
    try:
        if label == "forever" or (kind == "between" and Between(rest, EARLIEST, LATEST)):
            return ALWAYS
        return _hour(label, rest) if kind == "hour" else _dates(kind, label)
    except (InvalidInput, ValueError, OverflowError):
        return None


def _hour(label: str, rest: str) -> Span | None:
    start = datetime.fromisoformat(rest)
    offset = start.utcoffset()
    if offset is None or f"hour:{start.isoformat(timespec='hours')}" != label:
        return None
    start = start.astimezone(timezone.utc)
    ahead, behind = _offsets(start)
    return (start, start + _HOUR) if -behind <= offset <= ahead else None


def _dates(kind: str, label: str) -> Span | None:
    window = _DATED.get(kind)
    first = window.first_date(label) if window else None
    if window is None or first is None:
        return None
    start = datetime.combine(first, time(), timezone.utc)
    end = datetime.combine(window.following(first), time(), timezone.utc)
    if window.period(start, timezone.utc).label != label:  # as with "day:2026-1-2"
        return None
    ahead, behind = _offsets(start)
    return start - ahead, end + _DAY + behind


def _offsets(moment: datetime) -> tuple[timedelta, timedelta]:
    """How far clocks were ahead of UTC, and behind it, at most."""
    if moment < STANDARD_TIME:
        return _LOCAL_MEAN_TIME, _LOCAL_MEAN_TIME
    return _AHEAD, _BEHIND
