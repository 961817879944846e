"""Periods worked out another way: from the clock changes in the zone's own file, in whole numbers.

    python -m tests.zones_oracle [--all]

A zone's clock is a list of stretches, each with one offset, as its TZif file has them (RFC 9636)
and the rule in its footer goes on. When a reading is first reached, and which is the furthest that
has been reached by an instant, are then two look-ups in sorted numbers; a date has begun once the
furthest reading is at or behind its start. No :mod:`zoneinfo`, no search, no datetime.

The script holds the package's windows to that at every clock change from 1970 to 2037, in every
zone that differs from the others; with ``--all`` in every zone by its name, and on every day and
week of every zone that differs. It prints what it has checked; the exit status is 1 if anything
disagreed. Times are microseconds since 1970 in UTC, readings the same on the zone's clock, days
and dates are counted from 1970-01-01.
"""

from __future__ import annotations

import argparse
import io
import re
import struct
import sys
import zoneinfo
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone, tzinfo
from importlib import resources
from itertools import accumulate, pairwise
from pathlib import Path
from typing import NamedTuple

from flask_coins import windows
from flask_coins.windows import Between, Period, Window, zone_of

SECOND = 1_000_000
DAY = 86_400 * SECOND
HOUR = 3_600 * SECOND
EPOCH = date(1970, 1, 1).toordinal()
FIRST = (date(1970, 1, 1).toordinal() - EPOCH) * DAY
LAST = (date(2038, 1, 1).toordinal() - EPOCH) * DAY
FOREVER = 1 << 62

_NAME = r"(?:<[^>]+>|[A-Za-z]{3,})"
_TIME = r"[+-]?\d+(?::\d+){0,2}"
_CHANGE = rf",([MJ]?[\d.]+)(?:/({_TIME}))?"
_FOOTER = re.compile(rf"{_NAME}({_TIME})(?:{_NAME}({_TIME})?{_CHANGE}{_CHANGE})?")


class Span(NamedTuple):
    """A period."""

    start: int
    end: int
    label: str


@dataclass(frozen=True)
class Kind:
    """A window: its word, and the time of day that it starts at."""

    word: str
    starts_at: int = 0

    def first_day(self, day: int) -> int:
        """The day that the period of ``day`` begins with."""
        if self.word == "week":
            return day - (day + 3) % 7
        if self.word == "day":
            return day
        its = date.fromordinal(day + EPOCH)
        month = its.month if self.word == "month" else 1
        return date(its.year, month, 1).toordinal() - EPOCH

    def next_day(self, first: int) -> int:
        """The day that the period after the one from ``first`` on begins with."""
        if self.word in {"day", "week"}:
            return first + (7 if self.word == "week" else 1)
        its = date.fromordinal(first + EPOCH)
        months = its.month if self.word == "month" else 12
        return date(its.year + months // 12, months % 12 + 1, 1).toordinal() - EPOCH

    def label(self, first: int) -> str:
        """What the period that begins with the day ``first`` is called."""
        its = date.fromordinal(first + EPOCH)
        if self.word == "week":
            thursday = date.fromordinal(first + 3 + EPOCH)
            week = (thursday - date(thursday.year, 1, 1)).days // 7 + 1
            return f"week:{thursday.year}-W{week:02}"
        parts = {"day": 3, "month": 2, "year": 1}[self.word]
        return f"{self.word}:" + "-".join(
            (str(its.year), f"{its.month:02}", f"{its.day:02}")[:parts]
        )


class Clock:
    """What the clock of a zone shows, and has shown."""

    def __init__(self, first_offset: int, changes: list[tuple[int, int]]) -> None:
        self.changes = [at for at, _ in changes]
        """Every entry of the file and of the rule, also one that leaves the offset as it is."""
        self.begins, self.offsets = [-FOREVER], [first_offset]
        for at, offset in changes:
            if offset != self.offsets[-1]:
                self.begins.append(at)
                self.offsets.append(offset)
        ends = [*self.begins[1:], FOREVER]
        readings = (end + offset for end, offset in zip(ends, self.offsets, strict=True))
        # What no instant up to the end of each stretch has shown, with all that lies behind it.
        self.beyond = list(accumulate(readings, max))

    def offset(self, instant: int) -> int:
        """How far the clock is ahead of UTC."""
        return self.offsets[bisect_right(self.begins, instant) - 1]

    def furthest(self, instant: int) -> int:
        """The furthest reading that the clock has shown up to ``instant``."""
        stretch = bisect_right(self.begins, instant) - 1
        before = self.beyond[stretch - 1] - 1 if stretch else -FOREVER
        return max(instant + self.offsets[stretch], before)

    def first_at(self, reading: int) -> int:
        """The first instant that shows ``reading`` or one behind it."""
        stretch = bisect_right(self.beyond, reading)
        return max(self.begins[stretch], reading - self.offsets[stretch])

    def span(self, kind: Kind, instant: int) -> Span:
        """The period of ``instant``."""
        if kind.word == "hour":
            return self._hour(instant)
        first = kind.first_day((self.furthest(instant) - kind.starts_at) // DAY)
        start, end = (
            self.first_at(day * DAY + kind.starts_at) for day in (first, kind.next_day(first))
        )
        return Span(start, end, kind.label(first))

    def _hour(self, instant: int) -> Span:
        stretch = bisect_right(self.begins, instant) - 1
        offset = self.offsets[stretch]
        hour = (instant + offset) // HOUR
        start = max(hour * HOUR - offset, self.begins[stretch])
        end = min((hour + 1) * HOUR - offset, [*self.begins[stretch + 1 :], FOREVER][0])
        day = date.fromordinal(hour // 24 + EPOCH)
        return Span(start, end, f"hour:{day}T{hour % 24:02}{_written(offset)}")


def _written(offset: int) -> str:
    minutes, seconds = divmod(abs(offset) // SECOND, 60)
    text = f"{'-' if offset < 0 else '+'}{minutes // 60:02}:{minutes % 60:02}"
    return f"{text}:{seconds:02}" if seconds else text


# -- reading a zone's file -----------------------------------------------------------------------


def file_of(name: str) -> bytes:
    """The zone's TZif file, the one that :mod:`zoneinfo` takes."""
    for folder in zoneinfo.TZPATH:
        if (path := Path(folder, name)).is_file():
            return path.read_bytes()
    return resources.files("tzdata.zoneinfo").joinpath(name).read_bytes()


def clock_of(file: bytes) -> Clock:
    """The clock that a TZif file of version 2 or later describes."""
    counts = struct.unpack(">6l", file[20:44])  # isut, isstd, leap, time, type, char
    second = 44 + sum(each * size for each, size in zip(counts, (1, 1, 8, 5, 6, 1), strict=True))
    isut, isstd, leap, time, kind, char = struct.unpack(">6l", file[second + 20 : second + 44])
    at = second + 44
    times = struct.unpack(f">{time}q", file[at : at + 8 * time])
    kinds = file[at + 8 * time : at + 9 * time]
    at += 9 * time
    offsets = [each[0] * SECOND for each in struct.iter_unpack(">lBB", file[at : at + 6 * kind])]
    footer = file[at + 6 * kind + char + 12 * leap + isstd + isut :].decode().strip()
    changes = [(t * SECOND, offsets[k]) for t, k in zip(times, kinds, strict=True)]
    last = times[-1] * SECOND if times else -FOREVER
    changes += [change for change in sorted(_by_rule(footer)) if change[0] > last]
    return Clock(offsets[0], changes)


def _by_rule(footer: str) -> Iterator[tuple[int, int]]:
    """The changes that a rule such as ``CET-1CEST,M3.5.0,M10.5.0/3`` makes, and a few more years."""
    found = _FOOTER.fullmatch(footer)
    assert found, footer
    standard, summer, begin, begin_at, end, end_at = found.groups()
    if begin is None:
        return
    usual = -_seconds(standard)
    ahead = usual + HOUR if summer is None else -_seconds(summer)
    for year in range(1969, 2041):
        yield _day_of(begin, year) * DAY + _seconds(begin_at or "2") - usual, ahead
        yield _day_of(end, year) * DAY + _seconds(end_at or "2") - ahead, usual


def _seconds(text: str) -> int:
    """The microseconds of ``[+-]hh[:mm[:ss]]``."""
    hours, minutes, seconds = (*map(int, text.lstrip("+-").split(":")), 0, 0)[:3]
    length = (hours * 3600 + minutes * 60 + seconds) * SECOND
    return -length if text.startswith("-") else length


def _day_of(rule: str, year: int) -> int:
    first = date(year, 1, 1).toordinal() - EPOCH
    if rule[0] not in "MJ":
        return first + int(rule)
    if rule[0] == "J":
        number = int(rule[1:])
        leaps = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
        return first + number - 1 + (leaps and number >= 60)
    month, week, weekday = map(int, rule[1:].split("."))
    start = date(year, month, 1)
    found = start.toordinal() + (weekday - start.isoweekday()) % 7 + 7 * (week - 1)
    while date.fromordinal(found).month != month:
        found -= 7
    return found - EPOCH


def zones() -> dict[bytes, list[str]]:
    """The names of each zone that differs from all others, by its file."""
    names: defaultdict[bytes, list[str]] = defaultdict(list)
    for name in sorted(zoneinfo.available_timezones()):
        names[file_of(name)].append(name)
    return names


def changes_of(clock: Clock) -> list[int]:
    """The clock changes from 1970 to 2037."""
    return clock.changes[bisect_left(clock.changes, FIRST) : bisect_left(clock.changes, LAST)]


# -- the package against it -----------------------------------------------------------------------

DAY_AND_WEEK = [Kind("day"), Kind("week")]
OTHERS = [Kind("hour"), Kind("day", 2 * HOUR + HOUR // 2), Kind("month"), Kind("year")]


@dataclass
class Checks:
    """What was checked, and what disagreed."""

    zones: int = 0
    changes: int = 0
    moments: int = 0
    periods: int = 0
    faults: list[str] = field(default_factory=list)

    def at_changes(self, name: str, zone: tzinfo, clock: Clock, kinds: list[Kind]) -> None:
        """Check windows on and around every clock change of a zone."""
        changes = changes_of(clock)
        self.zones += 1
        self.changes += len(changes)
        for kind in kinds:
            moments = {near for at in changes for near in _near(clock, kind, at)}
            self._check(name, zone, clock, kind, sorted(moments))
        for at in changes:
            self._check_season(name, zone, clock, at)

    def all_along(self, name: str, zone: tzinfo, clock: Clock) -> None:
        """Check the last microsecond of every day and week of a zone, whatever its clock does."""
        self.zones += 1
        self.changes += len(changes_of(clock))
        for kind in DAY_AND_WEEK:
            moments, at = [], FIRST
            while at < LAST:
                at = clock.span(kind, at).end
                moments.append(at - 1)
            self._check(name, zone, clock, kind, moments)

    def _check(
        self, name: str, zone: tzinfo, clock: Clock, kind: Kind, moments: Iterable[int]
    ) -> None:
        found: list[Period] = []
        ours, end = None, -FOREVER
        for moment in moments:
            if moment >= end:
                ours, end = _period(span := clock.span(kind, moment)), span.end
            # Afresh, as a window keeps the periods that it has found.
            window, when = _window(kind), _instant(moment)
            period = window.period(when, zone)
            assert period is not None
            if period != ours or not period.start <= when < period.end:
                self.faults.append(f"{name}: {window} at {when}: {period}")
            if not found or period != found[-1]:
                found.append(period)
            self.moments += 1
        self.periods += len(found)
        for one, two in pairwise(found):
            # The hour's labels are not in order where one is repeated.
            if two.start < one.end or (kind.word != "hour" and f"{two.label}" <= f"{one.label}"):
                self.faults.append(f"{name}: {one} before {two}")

    def _check_season(self, name: str, zone: tzinfo, clock: Clock, change: int) -> None:
        """Check a season that begins at a reading that is skipped or repeated."""
        before, after = clock.offset(change - 1), clock.offset(change)
        reading = change + (before + after) // 2
        start = datetime(1970, 1, 1) + timedelta(microseconds=reading)
        season = Between("season", start, start + timedelta(days=9))
        opens_at = season.opens_at(_instant(change - 3 * DAY), zone)
        if opens_at != _instant(clock.first_at(reading)):
            self.faults.append(f"{name}: a season from {start} opens at {opens_at}")
        self.moments += 1


_CLASSES = {word: type(windows.parse(word)) for word in windows.WORDS}


def _near(clock: Clock, kind: Kind, change: int) -> Iterator[int]:
    """The change, the readings that it skips or repeats, and both ends of their periods."""
    jump = abs(clock.offset(change) - clock.offset(change - 1))
    for at in {change - jump, change, change + jump}:
        start, end, _ = clock.span(kind, at)
        yield from (at - 1, at, at + 1, start - 1, start, end - 1, end)


def _window(kind: Kind) -> Window:
    which = _CLASSES[kind.word]
    return which(_instant(kind.starts_at).time()) if kind.starts_at else which()  # type: ignore[call-arg]


def _instant(moment: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(microseconds=moment)


def _period(span: Span) -> Period:
    return Period(_instant(span.start), _instant(span.end), span.label)


def every_zone(kinds: list[Kind], step: int = 1) -> Checks:
    """Check windows at the clock changes of every zone, or each ``step``th, that differs."""
    checks = Checks()
    for file, names in list(zones().items())[::step]:
        checks.at_changes(names[0], zone_of(names[0]), clock_of(file), kinds)
    return checks


def _every_name(kinds: list[Kind]) -> Checks:
    checks = Checks()
    for file, names in zones().items():
        for name in names:
            checks.at_changes(name, zone_of(name), clock_of(file), kinds)
    return checks


def _packaged(kinds: list[Kind]) -> Checks:
    checks = Checks()
    for name in sorted(zoneinfo.available_timezones()):
        try:
            file = resources.files("tzdata.zoneinfo").joinpath(name).read_bytes()
        except FileNotFoundError:
            continue
        zone = zoneinfo.ZoneInfo.from_file(io.BytesIO(file), name)
        checks.at_changes(name, zone, clock_of(file), kinds)
    return checks


def _every_day() -> Checks:
    checks = Checks()
    for file, names in zones().items():
        checks.all_along(names[0], zone_of(names[0]), clock_of(file))
    return checks


def _report(what: str, checks: Checks) -> bool:
    figures = (
        f"{what}: {checks.zones:,} zones, {checks.changes:,} clock changes,"
        f" {checks.moments:,} moments in {checks.periods:,} periods,"
        f" {len(checks.faults)} disagree"
    )
    sys.stdout.write("\n  ".join([figures, *checks.faults[:20]]) + "\n")
    sys.stdout.flush()
    return not checks.faults


def main() -> int:
    """Check, and print figures; 1 if anything disagreed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--all", action="store_true", help="about a quarter of an hour")
    kinds = [*DAY_AND_WEEK, *OTHERS]
    if not parser.parse_args().all:
        return 0 if _report("zones that differ", every_zone(kinds)) else 1
    agreed = [
        _report("every name", _every_name(kinds)),
        _report("the files of the package tzdata", _packaged(kinds)),
        _report("every day and week", _every_day()),
    ]
    return 0 if all(agreed) else 1


if __name__ == "__main__":
    sys.exit(main())
