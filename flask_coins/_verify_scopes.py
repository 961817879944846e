"""The parts that verification looks at one by one: whose rows they have, and what their balances say."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from ._models import balances, holds, log
from ._statements import ZERO

FIGURES = ("balance", "earned", "spent", "held")
_NAMES = ("rows", *FIGURES, *(f"log_{name}" for name in FIGURES))
Condition = sa.ColumnElement[bool]


class Scope(ABC):
    """A part of the ledger that is looked at on its own."""

    @abstractmethod
    def owns(self, table: Any) -> Condition:
        """The condition that picks its users' rows, of any table."""

    def entries(self, table: Any) -> Condition:
        """The condition that picks its entries, of the log."""
        return self.owns(table)

    def before(self, entry: Any) -> sa.ColumnElement[Any]:
        """The ``balance_after`` of the entry before ``entry``, NULL where there is none."""
        return sa.func.lag(entry.c.balance_after).over(
            partition_by=(entry.c.user_id, entry.c.currency), order_by=entry.c.id
        )

    def accounts(self) -> sa.Select[Any]:
        """Balance rows that differ from the sums of their log, or from their open holds."""
        return _sums(self)


@dataclass(frozen=True)
class Users(Scope):
    """All that belongs to those whose ids come behind ``after``, up to ``last``; None is no bound."""

    after: str | None = None
    last: str | None = None

    def owns(self, table: Any) -> Condition:
        """The condition that picks their rows, of any table."""
        user_id = table.c.user_id
        behind = sa.true() if self.after is None else user_id > self.after
        return behind if self.last is None else sa.and_(behind, user_id <= self.last)


@dataclass(frozen=True)
class Owner(Scope):
    """All that belongs to one user, in one currency."""

    user_id: str
    currency: str

    def owns(self, table: Any) -> Condition:
        """The condition that picks their rows, of any table."""
        return both(table, user_id=self.user_id, currency=self.currency)


@dataclass(frozen=True)
class Newer(Scope):
    """Entries from the id ``first`` up to ``last``, and the balances and holds of their users."""

    first: int
    last: int

    def entries(self, table: Any) -> Condition:
        """The condition that picks them, of the log."""
        return sa.and_(table.c.id >= self.first, table.c.id <= self.last)

    def owns(self, table: Any) -> Condition:
        """The condition that picks the rows of their users, of any table."""
        users = sa.select(log.c.user_id).where(self.entries(log))
        return sa.and_(table.c.user_id.in_(users))

    def before(self, entry: Any) -> sa.ColumnElement[Any]:
        """The ``balance_after`` of the entry before ``entry``, which may be an older one."""
        return _newest(entry, lambda earlier: earlier.c.id < entry.c.id)

    def accounts(self) -> sa.Select[Any]:
        """Balance rows that differ from the newest entry, or from their open holds."""
        return _lasts(self)


@dataclass(frozen=True)
class Some(Scope):
    """Those entries of ``whole`` that have one of a few ids."""

    whole: Scope
    ids: tuple[int, ...]

    def owns(self, table: Any) -> Condition:
        """The condition that picks them, of the log."""
        return sa.and_(self.whole.entries(table), table.c.id.in_(self.ids))


def both(table: Any, **values: Any) -> Condition:
    """Each column of that name has that value."""
    return sa.and_(*(table.c[name] == value for name, value in values.items()))


def _newest(row: Any, *where: Any) -> sa.ColumnElement[Any]:
    """The ``balance_after`` of the newest entry of the user and currency of ``row``."""
    earlier = log.alias("earlier")
    return (
        sa.select(earlier.c.balance_after)
        .where(
            both(earlier, user_id=row.c.user_id, currency=row.c.currency),
            *(condition(earlier) for condition in where),
        )
        .order_by(earlier.c.id.desc())
        .limit(1)
        .correlate(row)
        .scalar_subquery()
    )


def _sums(scope: Scope) -> sa.Select[Any]:
    """Each balance row beside the sums of its log and holds; any of them may lack the others."""
    amount = log.c.amount
    kept = [balances.c[name] for name in FIGURES]
    logged = [
        sa.func.sum(amount),
        sa.func.sum(sa.case((amount > 0, amount), else_=0)),
        sa.func.sum(sa.case((amount < 0, -amount), else_=0)),
        ZERO,
    ]
    zeros = [ZERO] * 4
    is_open = holds.c.status == "open"
    parts = [
        _part(balances, scope, [sa.literal_column("1"), *kept, *zeros]),
        _part(log, scope, [ZERO, *zeros, *logged]).group_by(log.c.user_id, log.c.currency),
        _part(holds, scope, [ZERO, *zeros, *zeros[1:], holds.c.amount]).where(is_open),
    ]
    all_of = sa.union_all(*parts).subquery()
    sums = {name: sa.func.sum(all_of.c[f"of_{name}"]) for name in _NAMES}
    differ = sa.or_(*(sums[name] != sums[f"log_{name}"] for name in FIGURES))
    return (
        sa.select(all_of.c.user_id, all_of.c.currency, *(sums[name].label(name) for name in _NAMES))
        .group_by(all_of.c.user_id, all_of.c.currency)
        .having(differ)
        .order_by(all_of.c.user_id, all_of.c.currency)
    )


def _part(table: sa.Table, scope: Scope, figures: list[Any]) -> sa.Select[Any]:
    columns = [figure.label(f"of_{name}") for figure, name in zip(figures, _NAMES, strict=True)]
    return sa.select(table.c.user_id, table.c.currency, *columns).where(scope.owns(table))


def _lasts(scope: Newer) -> sa.Select[Any]:
    """The balance rows of the users of ``scope``, beside what their newest entries say."""
    mine = sa.select(log.c.user_id, log.c.currency).where(scope.entries(log)).distinct().subquery()
    set_aside = (
        sa.select(sa.func.coalesce(sa.func.sum(holds.c.amount), 0))
        .where(
            both(holds, user_id=mine.c.user_id, currency=mine.c.currency),
            holds.c.status == "open",
        )
        .correlate(mine)
        .scalar_subquery()
    )
    row = [sa.func.coalesce(balances.c[name], 0).label(name) for name in FIGURES]
    rows = (
        sa.select(
            *mine.c,
            sa.case((balances.c.user_id.is_(None), 0), else_=1).label("rows"),
            *row,
            _newest(mine).label("log_balance"),
            set_aside.label("log_held"),
        )
        .outerjoin_from(
            mine, balances, both(balances, user_id=mine.c.user_id, currency=mine.c.currency)
        )
        .subquery()
    )
    differ = sa.or_(
        rows.c.balance != rows.c.log_balance,
        rows.c.balance != rows.c.earned - rows.c.spent,
        rows.c.held != rows.c.log_held,
    )
    return sa.select(*rows.c).where(differ).order_by(rows.c.user_id, rows.c.currency)
