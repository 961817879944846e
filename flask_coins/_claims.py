"""When a window has been used up: the rule of "once", without a database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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
    def known_names(self) -> list[str]:
        """The names of this period, and of those a traveller may have been paid for already."""
        period, names = self.period, self.names(self.period)
        for _ in range(self.window.ahead):
            following = self.window.period(period.end, self.zone)
            if following is None:
                break
            period = following
            names += self.names(period)
        return names

    def refuses(self, paid: Sequence[Paid], period: Period | None = None) -> bool:
        """Whether ``paid`` fills the period, by payments since its start or by its own names."""
        if len(paid) < self.limit:
            return False
        period = period or self.period
        names = set(self.names(period))
        return sum(row.at >= period.start or row.once_key in names for row in paid) >= self.limit

    def free_name(self, paid: Sequence[Paid]) -> str | None:
        """The lowest name that no payment bears yet; None in a rolling window, which has none."""
        taken = {row.once_key for row in paid}
        return next((name for name in self.names(self.period) if name not in taken), None)

    def opens_at(self, paid: Sequence[Paid], now: datetime) -> datetime | None:
        """The first instant (aware UTC) from ``now`` at which the window pays, or None."""
        if not self.refuses(paid):
            return max(now, self.period.start)
        if isinstance(self.window, Rolling):
            return sorted(row.at for row in paid)[-self.limit] + self.window.delta
        period: Period | None = self.period
        while period and self.refuses(paid, period):
            period = self._after(period, paid)
        return period.start if period else None

    def _after(self, period: Period, paid: Sequence[Paid]) -> Period | None:
        late = sorted(row.at for row in paid if row.at >= period.start)[-self.limit :]
        if len(late) == self.limit:
            period = self.window.period(late[0], self.zone) or period
        if period.end.year == datetime.max.year:
            return None
        return self.window.period(period.end, self.zone)
