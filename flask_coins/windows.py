"""Windows in civil time: which stretch of a user's own calendar a moment belongs to.

A window turns a moment and a zone into a :class:`Period`. Days, weeks, months and years are those
of the zone's calendar, whatever its clocks do: zones are the IANA time zone database's, through
:mod:`zoneinfo`; weeks are those of ISO 8601; repeated and skipped local times are told apart
as :pep:`495` has it. Nothing here knows a database or Flask.

One rule carries it all. A civil date begins at the *first* instant whose local time has reached
it: behind a gap, and at the first of two equal readings. A moment belongs to the *last* date that
has begun. So labels never go backwards in one zone, and a date that was skipped has no period.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from typing import ClassVar

from ._zones import DAY, TICK, first_reaching, local_time, onset, utc, zone_of
from .errors import InvalidInput

__all__ = ["Between", "Day", "Forever", "Hour", "Month", "Rolling", "Week", "Year"]
__all__ += ["Period", "Window", "parse", "zone_of"]

EARLIEST = datetime(1000, 1, 1, tzinfo=timezone.utc)
"""Where ``Forever`` starts: the lowest DATETIME that MariaDB promises to compare rightly."""

LATEST = datetime.max.replace(tzinfo=timezone.utc)
"""The end of a period that has none. Do not convert it to another zone: it may overflow."""

_LONGEST = timedelta(days=365_000)
_NAME = re.compile(r"[a-z0-9._-]{1,40}")


@dataclass(frozen=True, slots=True)
class Period:
    """A stretch of time that a window pays for once."""

    start: datetime
    """The first instant. Aware, UTC."""
    end: datetime
    """The first instant behind it. Aware, UTC; :data:`LATEST` where there is none."""
    label: str | None
    """Its name in the log, at most 58 characters, such as ``day:2026-11-22``. None: it has none."""


class Window(ABC):
    """What all windows can do. They are immutable, hashable and equal by value.

    ``str()`` spells a window for people: ``day``, ``day from 04:00``, ``rolling 8:00:00``.
    """

    ahead: ClassVar[int] = 0
    """How many of the next labels may be paid already, to somebody who came from another zone."""

    @abstractmethod
    def period(self, moment: datetime, zone: tzinfo) -> Period | None:
        """The period that an aware ``moment`` belongs to, for a user in ``zone``.

        ``zone`` is one that :func:`zone_of` gave. None only for a :class:`Between`, outside of it.
        A naive moment is :class:`~flask_coins.InvalidInput`.
        """

    def opens_at(self, moment: datetime, zone: tzinfo) -> datetime | None:
        """The first instant from an aware ``moment`` on that has a period; None: never again."""
        return moment


@dataclass(frozen=True)
class _Remembering(Window):
    """Keeps the newest periods of each zone: one request asks for the same few again and again."""

    _seen: dict[int, tuple[tzinfo, tuple[Period, ...]]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def _recall(self, zone: tzinfo) -> tuple[Period, ...]:
        seen = self._seen.get(id(zone))
        return seen[1] if seen and seen[0] is zone else ()

    def _remember(self, period: Period, zone: tzinfo) -> Period:
        if len(self._seen) >= 1024:
            self._seen.clear()
        # By id, as some zones cannot be hashed; the entry holds the zone, to be told from another.
        self._seen[id(zone)] = (zone, (period, *self._recall(zone)[:3]))
        return period


@dataclass(frozen=True)
class _Recurring(_Remembering):
    """A window that comes again and again, without a pause."""

    def __str__(self) -> str:
        return type(self).__name__.lower()

    def period(self, moment: datetime, zone: tzinfo) -> Period:
        """The period that an aware ``moment`` belongs to: there always is one."""
        if moment.tzinfo is not None:
            for period in self._recall(zone):
                if period.start <= moment < period.end:
                    return period
        return self._remember(self._find(utc(moment), zone), zone)

    @abstractmethod
    def _find(self, moment: datetime, zone: tzinfo) -> Period: ...


@dataclass(frozen=True)
class Hour(_Recurring):
    """An hour on the user's clock; a clock change ends it.

    A repeated hour is two hours, the label tells them apart by their UTC offset:
    ``hour:2026-10-25T02+02:00``, then ``hour:2026-10-25T02+01:00``.
    """

    def _find(self, moment: datetime, zone: tzinfo) -> Period:
        local = moment.astimezone(zone)
        start = moment - (local - local.replace(minute=0, second=0, microsecond=0))
        last = start + timedelta(hours=1) - TICK

        def is_ours(instant: datetime) -> bool:
            return instant.astimezone(zone).utcoffset() == local.utcoffset()

        if not is_ours(start):
            start = onset(is_ours, start, moment)
        if not is_ours(last):
            last = onset(lambda instant: not is_ours(instant), moment, last) - TICK
        return Period(start, last + TICK, f"hour:{local.isoformat(timespec='hours')}")


@dataclass(frozen=True)
class Dated(_Recurring):
    """A window that begins on certain dates, at ``starts_at`` on the user's clock."""

    starts_at: time = time(0)
    """A naive time of day."""

    _label: ClassVar[str]
    """What its first date is to be formatted with."""
    _longest: ClassVar[timedelta]
    """A step that leads from its first date into the next period, not further."""

    def __post_init__(self) -> None:
        if not isinstance(self.starts_at, time) or self.starts_at.tzinfo is not None:
            raise InvalidInput(
                f"starts_at is a naive datetime.time such as time(4), not {self.starts_at!r}."
            )

    def __str__(self) -> str:
        kind = type(self).__name__.lower()
        if self.starts_at == time(0):
            return kind
        whole_minute = not (self.starts_at.second or self.starts_at.microsecond)
        return f"{kind} from {self.starts_at.isoformat('minutes' if whole_minute else 'auto')}"

    def _find(self, moment: datetime, zone: tzinfo) -> Period:
        first = self.date_of(moment, zone)
        start, end = self.start(first, zone), self.start(self.following(first), zone)
        return Period(start, end, first.strftime(self._label))

    def start(self, first: date, zone: tzinfo) -> datetime:
        """When the period with this first date begins: aware, UTC."""
        return first_reaching(datetime.combine(first, self.starts_at), zone)

    def following(self, first: date) -> date:
        """The first date of the period after the one that begins with ``first``."""
        return self._first_date(first + self._longest)

    def first_date(self, label: str) -> date | None:
        """The first date of the period with this label; None for a label of another kind."""
        kind, _, name = label.partition(":")
        if kind != self._label.partition(":")[0]:
            return None
        try:
            return self._named(name)
        except ValueError:
            return None

    def date_of(self, moment: datetime, zone: tzinfo) -> date:
        """The first date of the period that an aware ``moment`` belongs to."""
        into_day = datetime.combine(date.min, self.starts_at) - datetime.min
        first = self._first_date((local_time(moment, zone) - into_day).date())
        while self.start(self.following(first), zone) <= moment:
            first = self.following(first)
        return first

    @abstractmethod
    def _named(self, name: str) -> date: ...

    @abstractmethod
    def _first_date(self, day: date) -> date: ...


@dataclass(frozen=True)
class Day(Dated):
    """A day of the user's calendar: ``day:2026-11-22``. It may last 23 or 25 hours."""

    ahead: ClassVar[int] = 2
    _label: ClassVar[str] = "day:%Y-%m-%d"
    _longest: ClassVar[timedelta] = DAY

    def _named(self, name: str) -> date:
        return date.fromisoformat(name)

    def _first_date(self, day: date) -> date:
        return day


@dataclass(frozen=True)
class Week(Dated):
    """A week of ISO 8601, from Monday, counted in its ISO year: ``week:2026-W47``."""

    ahead: ClassVar[int] = 1
    _label: ClassVar[str] = "week:%G-W%V"
    _longest: ClassVar[timedelta] = 7 * DAY

    def _named(self, name: str) -> date:
        year, week = name.split("-W")
        return date.fromisocalendar(int(year), int(week), 1)

    def _first_date(self, day: date) -> date:
        return day - day.weekday() * DAY


@dataclass(frozen=True)
class Month(Dated):
    """A month of the user's calendar: ``month:2026-11``."""

    ahead: ClassVar[int] = 1
    _label: ClassVar[str] = "month:%Y-%m"
    _longest: ClassVar[timedelta] = 31 * DAY

    def _named(self, name: str) -> date:
        return date.fromisoformat(f"{name}-01")

    def _first_date(self, day: date) -> date:
        return day.replace(day=1)


@dataclass(frozen=True)
class Year(Dated):
    """A year of the user's calendar: ``year:2026``."""

    ahead: ClassVar[int] = 1
    _label: ClassVar[str] = "year:%Y"
    _longest: ClassVar[timedelta] = 366 * DAY

    def _named(self, name: str) -> date:
        return date.fromisoformat(f"{name}-01-01")

    def _first_date(self, day: date) -> date:
        return day.replace(month=1, day=1)


@dataclass(frozen=True)
class Forever(Window):
    """One period without end: ``forever``."""

    _PERIOD: ClassVar[Period] = Period(EARLIEST, LATEST, "forever")

    def __str__(self) -> str:
        return "forever"

    def period(self, moment: datetime, zone: tzinfo) -> Period:
        """Always the same period."""
        return self._PERIOD


@dataclass(frozen=True)
class Rolling(Window):
    """A cooldown: what happened within ``delta`` before the moment counts, whatever the calendar.

    It opens again exactly ``delta`` after a payment, so its periods have no label.
    """

    delta: timedelta
    """Greater than zero, at most 365,000 days."""

    def __post_init__(self) -> None:
        if not isinstance(self.delta, timedelta) or not timedelta(0) < self.delta <= _LONGEST:
            raise InvalidInput(
                f"A rolling window is a timedelta above zero, of at most {_LONGEST.days:,} days, "
                f'not {self.delta!r}; to pay once for all time, use "forever".'
            )

    def __str__(self) -> str:
        return f"rolling {self.delta}"

    def period(self, moment: datetime, zone: tzinfo) -> Period:
        """From the microsecond behind ``moment - delta``; ``end`` is :data:`LATEST`, no label."""
        moment = utc(moment)
        return Period(moment - min(self.delta, moment - EARLIEST) + TICK, LATEST, None)


@dataclass(frozen=True)
class Between(_Remembering):
    """A season: one period from ``start`` to ``end``, and none outside: ``between:winter-2026``."""

    name: str
    """1 to 40 of ``a-z 0-9 . _ -``. A name is paid once: give each season its own."""
    start: datetime
    """Aware, or naive for the user's local time."""
    end: datetime
    """The first instant behind it. Aware, or naive for the user's local time."""

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            raise InvalidInput(
                f"The name of a Between is 1 to 40 of a-z, 0-9, '.', '_', '-', not {self.name!r}."
            )
        if not isinstance(self.start, datetime) or not isinstance(self.end, datetime):
            raise InvalidInput(f"{self} takes two datetimes, not {self.start!r} and {self.end!r}.")
        one_is_local = (self.start.tzinfo is None) != (self.end.tzinfo is None)
        length = _instant(self.end, timezone.utc) - _instant(self.start, timezone.utc)
        # Seen from some zone, a local end may lie almost a day off.
        if length <= (-DAY if one_is_local else timedelta(0)):
            raise InvalidInput(f"{self} must start before it ends: {self.start} to {self.end}.")

    def __str__(self) -> str:
        return f"between {self.name}"

    def period(self, moment: datetime, zone: tzinfo) -> Period | None:
        """The season when the aware ``moment`` lies in it, else None."""
        season = self._season(zone)
        return season if season.start <= utc(moment) < season.end else None

    def opens_at(self, moment: datetime, zone: tzinfo) -> datetime | None:
        """The start when the aware ``moment`` lies before it, None when it lies behind the end."""
        season = self._season(zone)
        opens = max(utc(moment), season.start)
        return opens if opens < season.end else None

    def _season(self, zone: tzinfo) -> Period:
        if known := self._recall(zone):
            return known[0]
        start, end = _instant(self.start, zone), _instant(self.end, zone)
        return self._remember(Period(start, end, f"between:{self.name}"), zone)


_SPELLED = {str(one): one for one in (Hour(), Day(), Week(), Month(), Year(), Forever())}
WORDS = tuple(_SPELLED)
"""The windows that a word is enough for."""


def parse(window: str | timedelta | Window) -> Window:
    """The window that is meant by a word, a timedelta (a rolling cooldown) or a window itself.

    Anything else is :class:`~flask_coins.InvalidInput`, a ValueError that names the choices.
    """
    if isinstance(window, Window):
        return window
    if isinstance(window, timedelta):
        return Rolling(window)
    if isinstance(window, str) and window in _SPELLED:
        return _SPELLED[window]
    words = ", ".join(f'"{word}"' for word in _SPELLED)
    raise InvalidInput(
        f"{window!r} is not a window: use {words}, a timedelta for a rolling cooldown, "
        "or an object of flask_coins.windows such as Day(starts_at=time(4))."
    )


def _instant(when: datetime, zone: tzinfo) -> datetime:
    """An aware ``when`` in UTC; a naive one by the rule of starts. Never outside EARLIEST…LATEST."""
    reading = when.replace(tzinfo=None)
    if reading < datetime(1000, 1, 2):
        return EARLIEST
    if reading > datetime(9999, 12, 30):
        return LATEST
    return utc(when) if when.tzinfo is not None else first_reaching(reading, zone)
