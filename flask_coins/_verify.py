"""Proof that the balance is the log: sums against rows, and the chain of ``balance_after``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import sqlalchemy as sa

from ._models import balances, log
from ._statements import ZERO

_FIGURES = ("balance", "earned", "spent")
_AT_ONCE = 1000


class Fault(NamedTuple):
    """One place where the tables disagree."""

    user_id: str
    currency: str
    what: str


class Users(NamedTuple):
    """Those whose ids come behind ``after``, up to ``last``; None is no bound."""

    after: str | None = None
    last: str | None = None

    def of(self, table: sa.Table) -> sa.ColumnElement[bool]:
        """The condition that picks their rows."""
        user_id = table.c.user_id
        behind = sa.true() if self.after is None else user_id > self.after
        return behind if self.last is None else sa.and_(behind, user_id <= self.last)


def count(connection: sa.Connection) -> int:
    """How many balances there are."""
    return connection.scalar(sa.select(sa.func.count()).select_from(balances)) or 0


def faults(
    connection: sa.Connection, seen: Callable[[int], object] = lambda number: None
) -> Iterator[Fault]:
    """Every place where balance, sums and chain disagree.

    It goes through a thousand balances at a time, and tells ``seen`` how many. Each kind of
    fault is found by one statement, so on one snapshot: an app may go on paying meanwhile.
    """
    for users in _ranges(connection):
        yield from _unequal(connection, users)
        yield from _broken(connection, users)
        seen(_AT_ONCE)


def _ranges(connection: sa.Connection) -> Iterator[Users]:
    """All users there can be, also those who are in the log alone."""
    after: str | None = None
    while True:
        behind = Users(after).of(balances)
        ids = sa.select(balances.c.user_id).where(behind).order_by(balances.c.user_id)
        last = connection.scalar(ids.limit(1).offset(_AT_ONCE - 1))
        yield Users(after, last)
        if last is None:
            return
        after = last


def _unequal(connection: sa.Connection, users: Users) -> Iterator[Fault]:
    for user_id, currency, *figures in connection.execute(_sums(users)):
        balance, earned, spent, log_balance, log_earned, log_spent = map(int, figures)
        yield Fault(
            user_id,
            currency,
            f"coin_balance has {balance} (earned {earned}, spent {spent}), "
            f"the log {log_balance} (earned {log_earned}, spent {log_spent})",
        )


def _broken(connection: sa.Connection, users: Users) -> Iterator[Fault]:
    for user_id, currency, entry, before, amount, after in connection.execute(_chain(users)):
        what = "is below zero" if before + amount == after else f"is not {after}"
        yield Fault(user_id, currency, f"entry {entry}: {before} {amount:+d} {what}")


def _sums(users: Users) -> sa.Select[Any]:
    """Each balance row beside the sums of its log; either side may lack the other."""
    amount = log.c.amount
    rows = sa.select(
        balances.c.user_id,
        balances.c.currency,
        *(balances.c[name].label(name) for name in _FIGURES),
        *(ZERO.label(f"log_{name}") for name in _FIGURES),
    ).where(users.of(balances))
    entries = sa.select(
        log.c.user_id,
        log.c.currency,
        *(ZERO.label(name) for name in _FIGURES),
        amount.label("log_balance"),
        sa.case((amount > 0, amount), else_=0).label("log_earned"),
        sa.case((amount < 0, -amount), else_=0).label("log_spent"),
    ).where(users.of(log))
    both = sa.union_all(rows, entries).subquery()
    kept = {name: sa.func.sum(both.c[name]) for name in _FIGURES}
    logged = {name: sa.func.sum(both.c[f"log_{name}"]) for name in _FIGURES}
    return (
        sa.select(both.c.user_id, both.c.currency, *kept.values(), *logged.values())
        .group_by(both.c.user_id, both.c.currency)
        .having(sa.or_(*(kept[name] != logged[name] for name in _FIGURES)))
        .order_by(both.c.user_id, both.c.currency)
    )


def _chain(users: Users) -> sa.Select[Any]:
    """Entries whose ``balance_after`` is below zero, or not that before plus their own amount."""
    last = sa.func.lag(log.c.balance_after).over(
        partition_by=(log.c.user_id, log.c.currency), order_by=log.c.id
    )
    before = sa.func.coalesce(last, 0)  # MariaDB's lag takes no default
    links = (
        sa.select(
            log.c.user_id,
            log.c.currency,
            log.c.id,
            before.label("before"),
            log.c.amount,
            log.c.balance_after,
        )
        .where(users.of(log))
        .subquery()
    )
    return (
        sa.select(*links.c)
        .where(
            sa.or_(
                links.c.balance_after != links.c.before + links.c.amount, links.c.balance_after < 0
            )
        )
        .order_by(links.c.id)
    )
