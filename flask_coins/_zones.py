"""Zones, and what their clocks show at an instant."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

from .errors import InvalidInput

DAY = timedelta(days=1)
TICK = timedelta(microseconds=1)
"""The shortest time that a datetime tells."""


def zone_of(zone: str | tzinfo) -> tzinfo:
    """The zone of an IANA name; a tzinfo as it is, but pytz's replaced by zoneinfo's of that name.

    An unknown name or another type is :class:`~flask_coins.InvalidInput`.
    """
    if isinstance(zone, tzinfo):
        name = getattr(zone, "zone", None)
        if not isinstance(name, str) or not hasattr(zone, "localize"):
            return zone
        zone = name
    if not isinstance(zone, str):
        raise InvalidInput(f"A time zone is an IANA name or a tzinfo, not {zone!r}.")
    return timezone.utc if zone == "UTC" else _named_zone(zone)


@lru_cache(maxsize=1024)
def _named_zone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise InvalidInput(
            f"There is no time zone {name!r}: use an IANA name such as 'Europe/Berlin'. "
            "If the name is right, this system has no time zone data: 'pip install tzdata'."
        ) from error


def utc(moment: datetime) -> datetime:
    """An aware ``moment`` in UTC; a naive one is :class:`~flask_coins.InvalidInput`."""
    if moment.tzinfo is None:
        raise InvalidInput(f"A moment is an aware datetime, not the naive {moment!r}.")
    return moment.astimezone(timezone.utc)


def local_time(instant: datetime, zone: tzinfo) -> datetime:
    """What a clock in the zone shows, naive."""
    return instant.astimezone(zone).replace(tzinfo=None)


def first_reaching(reading: datetime, zone: tzinfo) -> datetime:
    """The first instant whose local time is at or behind a naive ``reading``, in UTC."""
    guess = utc(reading.replace(tzinfo=zone, fold=0))
    if local_time(guess, zone) == reading:
        return guess
    # The clock jumped over it. No offset reaches a day, so the jump lies between these two.
    middle = reading.replace(tzinfo=timezone.utc)
    return onset(lambda instant: local_time(instant, zone) >= reading, middle - DAY, middle + DAY)


def onset(holds: Callable[[datetime], bool], low: datetime, high: datetime) -> datetime:
    """The microsecond from which on ``holds`` is true; false at ``low``, true at ``high``."""
    while high - low > TICK:
        middle = low + (high - low) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high
