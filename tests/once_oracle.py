"""What must be paid, by brute force: a second opinion that shares nothing with the package.

It keeps every row in a list and reads all of it for every question. Where a civil day begins is
found by trying the minutes one after the other; when a window opens again, by trying every instant
at which the answer could change.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

UTC = timezone.utc
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
MONTHS_AND_YEARS = 40
"""How many periods are tried before a window is taken to be shut for good."""


@dataclass(frozen=True)
class Kind:
    """A window: its word, or ``"rolling"`` with a ``delta``, or ``"between"`` with a season."""

    word: str
    starts_at: time = time(0)
    delta: timedelta = timedelta(0)
    season: tuple[str, datetime, datetime] | None = None


@dataclass(frozen=True)
class Span:
    """A period: its first instant, the first behind it, and its name."""

    start: datetime
    end: datetime | None
    label: str


@dataclass(frozen=True)
class Row:
    """An entry of the log."""

    user: str
    currency: str
    amount: int
    after: int
    reason: str
    subject: str
    at: datetime
    name: str | None = None
    key: str | None = None
    is_reversal: bool = False


@dataclass(frozen=True)
class Answer:
    """What a call must say."""

    outcome: str
    balance: int | None = None
    name: str | None = None
    next_at: datetime | None = None


@dataclass
class Oracle:
    """The log as it must be."""

    rows: list[Row] = field(default_factory=list)

    def balance(self, user: str, currency: str = "coins") -> int:
        return sum(r.amount for r in self.rows if (r.user, r.currency) == (user, currency))

    def award(self, row: Row) -> Answer:
        """``row.after`` is left to this class."""
        first = self._of_key(row)
        if first is not None:
            return self._replayed(row, first)
        return self._entered(row, "awarded")

    def spend(self, row: Row) -> Answer:
        first = self._of_key(row)
        if first is not None:
            return self._replayed(row, first)
        if self.balance(row.user, row.currency) + row.amount < 0:
            return Answer("insufficient", self.balance(row.user, row.currency))
        return self._entered(row, "spent")

    def award_once(self, row: Row, kind: Kind, zone: str, limit: int) -> Answer:
        name = self._name_to_pay(row, kind, zone, limit, row.at)
        if name is None:
            opens = self._opens(row, kind, zone, limit)
            if kind.season and not kind.season[1] <= row.at < kind.season[2]:
                return Answer("not_open", None, None, opens)
            return Answer("already", self.balance(row.user, row.currency), None, opens)
        paid = self._entered(row, "awarded", name or None)
        again = self._name_to_pay(row, kind, zone, limit, row.at) is not None
        return replace(paid, next_at=row.at if again else self._opens(row, kind, zone, limit))

    def _entered(self, row: Row, outcome: str, name: str | None = None) -> Answer:
        after = self.balance(row.user, row.currency) + row.amount
        self.rows.append(Row(**{**vars(row), "after": after, "name": name}))
        return Answer(outcome, after, name)

    def _of_key(self, row: Row) -> Row | None:
        if row.key is None:
            return None
        return next((r for r in self.rows if (r.user, r.key) == (row.user, row.key)), None)

    def _replayed(self, row: Row, first: Row) -> Answer:
        def meaning(r: Row) -> tuple[object, ...]:
            return r.amount, r.currency, r.reason, r.subject

        if meaning(row) != meaning(first):
            return Answer("conflict")
        return Answer("replayed", self.balance(row.user, row.currency))

    def _name_to_pay(
        self, row: Row, kind: Kind, zone: str, limit: int, moment: datetime
    ) -> str | None:
        """The name that a payment at ``moment`` would bear, "" for none; None if it is refused."""
        rows = self._payments(row)
        if kind.word == "rolling":
            recent = [r for r in rows if r.at > moment - kind.delta]
            return "" if len(recent) < limit else None
        span = span_of(kind, zone, moment)
        if span is None:
            return None
        names = [span.label] + [f"{span.label}#{n}" for n in range(2, limit + 1)]
        if sum(r.at >= span.start or r.name in names for r in rows) >= limit:
            return None
        return next(name for name in names if all(r.name != name for r in rows))

    def _payments(self, like: Row) -> list[Row]:
        def about(r: Row) -> tuple[str, ...]:
            return r.user, r.currency, r.reason, r.subject

        return [
            r for r in self.rows if about(r) == about(like) and r.amount > 0 and not r.is_reversal
        ]

    def _opens(self, row: Row, kind: Kind, zone: str, limit: int) -> datetime | None:
        for moment in self._turns(row, kind, zone):
            if self._name_to_pay(row, kind, zone, limit, moment) is not None:
                return moment
        return None

    def _turns(self, row: Row, kind: Kind, zone: str) -> Iterator[datetime]:
        if kind.word == "rolling":
            yield from sorted(r.at + kind.delta for r in self._payments(row))
        elif kind.season:
            if kind.season[1] > row.at:
                yield kind.season[1]
        else:
            span = span_of(kind, zone, row.at)
            for _ in range(MONTHS_AND_YEARS):
                if span is None or span.end is None:
                    return
                yield span.end
                span = span_of(kind, zone, span.end)


def span_of(kind: Kind, zone: str, moment: datetime) -> Span | None:
    """The period of ``moment``, or None outside of a season."""
    if kind.word == "forever":
        return Span(datetime(1900, 1, 1, tzinfo=UTC), None, "forever")
    if kind.season:
        name, start, end = kind.season
        return Span(start, None, f"between:{name}") if start <= moment < end else None
    if kind.word == "hour":
        return _hour(zone, moment.replace(second=0, microsecond=0))
    first = _first_date(kind.word, moment.astimezone(_zone(zone)).date() + 2 * DAY)
    while _beginning(zone, first, kind.starts_at) > moment:
        first = _first_date(kind.word, first - DAY)
    following = _first_date(kind.word, first + DAY, DAY)
    while _beginning(zone, following, kind.starts_at) <= moment:
        following = _first_date(kind.word, following + DAY, DAY)
    start, end = (_beginning(zone, d, kind.starts_at) for d in (first, following))
    return Span(start, end, _label(kind.word, first))


@lru_cache(None)
def _zone(zone: str) -> tzinfo:
    """The zone of a name, or of an offset such as ``+05:30``."""
    if zone[0] in "+-":
        return datetime.fromisoformat(f"2000-01-01T00:00{zone}").tzinfo or UTC
    return ZoneInfo(zone)


@lru_cache(None)
def _beginning(zone: str, day: date, starts_at: time) -> datetime:
    """The first minute whose local time has reached ``starts_at`` on ``day``."""
    wanted, tz = datetime.combine(day, starts_at), _zone(zone)
    minute = wanted.replace(tzinfo=UTC) - timedelta(hours=15)
    while minute.astimezone(tz).replace(tzinfo=None) < wanted:
        minute += MINUTE
    return minute


@lru_cache(None)
def _hour(zone: str, minute: datetime) -> Span:
    def face(instant: datetime) -> str:
        return instant.astimezone(_zone(zone)).isoformat(timespec="hours")

    start = end = minute
    while face(start - MINUTE) == face(minute):
        start -= MINUTE
    while face(end) == face(minute):
        end += MINUTE
    return Span(start, end, f"hour:{face(minute)}")


def _begins(word: str, day: date) -> bool:
    """Whether a window of this kind begins on ``day``."""
    return (
        word == "day"
        or (word == "week" and day.isoweekday() == 1)
        or (word == "month" and day.day == 1)
        or (word == "year" and (day.month, day.day) == (1, 1))
    )


def _first_date(word: str, day: date, step: timedelta = -DAY) -> date:
    while not _begins(word, day):
        day += step
    return day


def _label(word: str, first: date) -> str:
    if word == "week":
        year, week, _ = first.isocalendar()
        return f"week:{year:04}-W{week:02}"
    text = first.isoformat()
    return f"{word}:{text[: {'day': 10, 'month': 7, 'year': 4}[word]]}"
