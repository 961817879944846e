"""Proof that the balance is the log: sums against rows, and the chain of ``balance_after``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import sqlalchemy as sa

from ._models import balances, log

_ZERO: sa.ColumnElement[int] = sa.literal_column("0")
_FIGURES = ("balance", "earned", "spent")


class Fault(NamedTuple):
    """One place where the tables disagree."""

    user_id: str
    currency: str
    what: str


def _sums() -> sa.Select[Any]:
    """Each balance row beside the sums of its log; either side may lack the other."""
    amount = log.c.amount
    rows = sa.select(
        balances.c.user_id,
        balances.c.currency,
        *(balances.c[name].label(name) for name in _FIGURES),
        *(_ZERO.label(f"log_{name}") for name in _FIGURES),
    )
    entries = sa.select(
        log.c.user_id,
        log.c.currency,
        *(_ZERO.label(name) for name in _FIGURES),
        amount.label("log_balance"),
        sa.case((amount > 0, amount), else_=0).label("log_earned"),
        sa.case((amount < 0, -amount), else_=0).label("log_spent"),
    )
    both = sa.union_all(rows, entries).subquery()
    kept = {name: sa.func.sum(both.c[name]) for name in _FIGURES}
    logged = {name: sa.func.sum(both.c[f"log_{name}"]) for name in _FIGURES}
    return (
        sa.select(both.c.user_id, both.c.currency, *kept.values(), *logged.values())
        .group_by(both.c.user_id, both.c.currency)
        .having(sa.or_(*(kept[name] != logged[name] for name in _FIGURES)))
        .order_by(both.c.user_id, both.c.currency)
    )


def _chain() -> sa.Select[Any]:
    """Entries whose ``balance_after`` is not that of the entry before plus their own amount."""
    before = sa.func.lag(log.c.balance_after, 1, 0).over(
        partition_by=(log.c.user_id, log.c.currency), order_by=log.c.id
    )
    links = sa.select(
        log.c.user_id,
        log.c.currency,
        log.c.id,
        before.label("before"),
        log.c.amount,
        log.c.balance_after,
    ).subquery()
    return (
        sa.select(*links.c)
        .where(links.c.balance_after != links.c.before + links.c.amount)
        .order_by(links.c.id)
    )


def faults(connection: sa.Connection) -> Iterator[Fault]:
    """Every place where balance, sums and chain disagree.

    Each kind is found by one statement, so on one snapshot: an app may go on paying meanwhile.
    """
    for user_id, currency, *figures in connection.execute(_sums()):
        balance, earned, spent, log_balance, log_earned, log_spent = map(int, figures)
        yield Fault(
            user_id,
            currency,
            f"coin_balance has {balance} (earned {earned}, spent {spent}), "
            f"the log {log_balance} (earned {log_earned}, spent {log_spent})",
        )
    for user_id, currency, entry, before, amount, after in connection.execute(_chain()):
        yield Fault(user_id, currency, f"entry {entry}: {before} {amount:+d} is not {after}")
