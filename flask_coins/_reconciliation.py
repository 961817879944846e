"""Old and new compared: first for each user, on the way, then what ``flask coins adopt`` has moved.

A user's balance becomes what the old column says, or else the sum of the rows. Up to two
``opening_balance`` entries make it so: ``lift`` before the user's first row, ``settling`` at the
end. ``lift`` is what the column says more than the rows, and never less than what keeps every
``balance_after`` from falling below zero; ``settling`` takes away what is then too much.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import sqlalchemy as sa

from ._models import balances


@dataclass
class Account:
    """What is known of a user on the way; the fields are the columns of :class:`Accounts`."""

    user_id: str
    stated: int | None = None
    """What the old column says."""
    earned: int = 0
    spent: int = 0
    lowest: int = 0
    """How far below zero the rows alone go down."""
    running: int = 0
    begun: bool = False

    @property
    def difference(self) -> int:
        """What the old column has more than the rows say."""
        return 0 if self.stated is None else self.stated - self.earned + self.spent

    @property
    def lift(self) -> int:
        """What is given before the first row."""
        return max(self.difference, -self.lowest)

    @property
    def settling(self) -> int:
        """What is taken away at the end, below zero."""
        return self.difference - self.lift


class Accounts:
    """The same of all users, in a table and as SQL."""

    def __init__(self, name: str, metadata: sa.MetaData) -> None:
        self.table = sa.Table(
            name,
            metadata,
            sa.Column("user_id", balances.c.user_id.type, primary_key=True),
            sa.Column("stated", sa.BigInteger),
            sa.Column("earned", sa.BigInteger, nullable=False),
            sa.Column("spent", sa.BigInteger, nullable=False),
            sa.Column("lowest", sa.BigInteger, nullable=False),
            sa.Column("running", sa.BigInteger, nullable=False),
            sa.Column("begun", sa.Boolean, nullable=False),
        )
        work = self.table.c
        self.logged = work.earned - work.spent
        self.final = sa.func.coalesce(work.stated, self.logged)
        self.difference = self.final - self.logged
        falls = self.difference < -work.lowest
        self.lift = sa.case((falls, -work.lowest), else_=self.difference)
        self.dips = sa.and_(falls, work.lowest < 0)
        self.settling = self.difference - self.lift
        self.openings = sum(
            (sa.case((each != 0, 1), else_=0) for each in (self.lift, self.settling)),
            start=sa.literal(0),
        )


class Difference(NamedTuple):
    """A user of whom the old log and the old column did not say the same."""

    user_id: str
    logged: int
    stated: int


@dataclass(frozen=True)
class Dip:
    """A user whose rows alone go below zero on the way, and need an opening balance for it."""

    user: str
    lowest: int


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
    differing: int = 0
    """How many users' old column did not say what their rows did."""
    differences: tuple[Difference, ...] = ()
    """The first twenty of them."""
    dipping: int = 0
    """How many users' rows go below zero, beyond what the old column has more."""
    dips: tuple[Dip, ...] = ()
    """The first twenty of them."""
    alike: tuple[tuple[str, str], ...] = ()
    """The first twenty pairs of user ids that differ only in case."""
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
        lines += self._of_users()
        return [*lines, f"The old table is kept as {self.kept}."] if self.kept else lines

    def _of_users(self) -> Iterator[str]:
        for user, logged, stated in self.differences:
            yield f"user {user}: the log said {logged:,}, the column {stated:,}"
        if len(self.differences) < self.differing:
            yield f"and {self.differing - len(self.differences):,} more"
        for dip in self.dips:
            yield (
                f"user {dip.user}: the rows went down to {dip.lowest:,}; an opening_balance of"
                f" {-dip.lowest:,} before the first and one at the end make up for it"
            )
        if len(self.dips) < self.dipping:
            yield f"and {self.dipping - len(self.dips):,} more"
        for pair in self.alike:
            yield f"WARNING: users {' and '.join(pair)} differ only in case, and have two accounts"
