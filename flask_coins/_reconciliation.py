"""What ``flask coins adopt`` has moved, for people and for programs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Difference(NamedTuple):
    """A user of whom the old log and the old column did not say the same."""

    user_id: str
    logged: int
    stated: int


@dataclass(frozen=True)
class Reconciliation:
    """What was moved, in coins; true if anything was."""

    nothing: str = ""
    """Why there was nothing to adopt."""
    rows: int = 0
    logged: int = 0
    """The sum of the old log."""
    openings: int = 0
    """How many ``opening_balance`` entries were needed."""
    opened: int = 0
    """Their sum."""
    users: int = 0
    """How many balances there are now."""
    total: int = 0
    """Their sum: always ``logged + opened``."""
    differences: tuple[Difference, ...] = ()
    """The first twenty users with an ``opening_balance``."""
    column: str = ""
    """The old column that balances were compared with."""
    kept: str = ""
    """The name under which the old table is still there."""

    def __bool__(self) -> bool:
        return not self.nothing

    def lines(self) -> list[str]:
        """The same for people."""
        if self.nothing:
            return [f"Nothing to adopt: {self.nothing}"]
        lines = [
            f"rows of the old log           {self.rows:>15,}",
            f"their sum                     {self.logged:>15,}",
            f"opening_balance entries       {self.openings:>15,}",
            f"their sum                     {self.opened:>15,}",
            f"balances                      {self.users:>15,}",
            f"their sum                     {self.total:>15,}",
            f"compared with                 {self.column or 'nothing':>15}",
        ]
        lines += [
            f"user {user}: the log said {logged:,}, the column {stated:,}"
            for user, logged, stated in self.differences
        ]
        if len(self.differences) < self.openings:
            lines.append(f"and {self.openings - len(self.differences):,} more")
        return [*lines, f"The old table is kept as {self.kept}."] if self.kept else lines
