"""When a window has been used up: the rule of "once", without a database."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from functools import cached_property
from typing import Any, NamedTuple

from .windows import Period, Rolling, Window


class Paid(NamedTuple):
    """A row of the log that may have used a window up."""

    id: int
    """0 for the one that is about to be written."""
    at: datetime
    once_key: str | None


@dataclass(frozen=True)
class Claim:
    """One user's window at one moment, and how often it pays."""

    window: Window
    zone: tzinfo
    period: Period
    limit: int = 1
    key: tuple[Any, ...] | None = None
    """What a refusal is remembered under; None: it is not remembered."""

    def names(self, period: Period) -> list[str]:
        """The ``once_key`` of each payment that ``period`` has room for."""
        if period.label is None:
            return []
        return [period.label, *(f"{period.label}#{n}" for n in range(2, self.limit + 1))]

    @cached_property
    def known_periods(self) -> list[Period]:
        """This period, and those that a traveller may have been paid for already."""
        periods = [self.period]
        for _ in range(self.window.ahead):
            following = self.window.period(periods[-1].end, self.zone)
            if following is None:
                break
            periods.append(following)
        return periods

    @cached_property
    def known_names(self) -> list[str]:
        """The names of those periods."""
        return [name for period in self.known_periods for name in self.names(period)]

    def refuses(self, paid: Sequence[Paid], period: Period | None = None) -> bool:
        """Whether ``paid`` fills the period, by payments since its start or by its own names."""
        return len(paid) >= self.limit and self.used(paid, period) >= self.limit

    def used(self, paid: Sequence[Paid], period: Period | None = None) -> int:
        """How many of ``paid`` count in the period."""
        period = period or self.period
        names = set(self.names(period))
        return sum(row.at >= period.start or row.once_key in names for row in paid)

    def free_name(self, paid: Sequence[Paid]) -> str | None:
        """The lowest name that no payment bears yet; None in a rolling window, which has none."""
        if not paid:
            return self.period.label
        taken = {row.once_key for row in paid}
        return next((name for name in self.names(self.period) if name not in taken), None)

    def opens_at(
        self,
        paid: Sequence[Paid],
        now: datetime,
        named: Callable[[Claim], Iterable[Paid]] = lambda claim: (),
    ) -> datetime | None:
        """The first instant (aware UTC) from ``now`` at which the window pays, or None.

        ``named`` answers with the rows that bear a claim's known names. It is asked where the clock was
        put back behind payments, so that the window opens beyond the names in ``paid``.
        """
        rows = list(paid)
        while True:
            opens = self._opens_at(rows, now)
            later = self._beyond(opens)
            fresh = set(named(later)).difference(rows) if later else None
            if not fresh:
                return opens
            rows += fresh

    def _beyond(self, opens_at: datetime | None) -> Claim | None:
        """The claim at ``opens_at``, where others than the known names may be taken by then."""
        if opens_at is None or not self.window.ahead or opens_at < self.known_periods[-1].end:
            return None
        period = self.window.period(opens_at, self.zone)
        return replace(self, period=period) if period else None

    def _opens_at(self, paid: Sequence[Paid], now: datetime) -> datetime | None:
        if not self.refuses(paid):
            return max(now, self.period.start)
        if isinstance(self.window, Rolling):
            return sorted(row.at for row in paid)[-self.limit] + self.window.delta
        period: Period | None = self.period
        while period and self.refuses(paid, period):
            period = self._after(period, paid)
        return period.start if period else None

    def reopens(
        self, paid: Sequence[Paid], moment: datetime, named: Callable[[Claim], Iterable[Paid]]
    ) -> datetime | None:
        """The same from a later ``moment`` on, until which something else stands against it."""
        period = self.window.period(moment, self.zone)
        if period is None:
            return None
        later = replace(self, period=period)
        return later.opens_at([*{*paid, *named(later)}], moment, named)

    def _after(self, period: Period, paid: Sequence[Paid]) -> Period | None:
        late = sorted(row.at for row in paid if row.at >= period.start)[-self.limit :]
        if len(late) == self.limit:
            period = self.window.period(late[0], self.zone) or period
        if period.end.year == datetime.max.year:
            return None
        return self.window.period(period.end, self.zone)
