"""The SQL of the wallet page, built once; parameters are named as in :mod:`flask_coins._statements`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import sqlalchemy as sa

from . import _statements as sql
from ._hold_statements import COUNTS
from ._models import balances, budgets, holds, log

MOMENT = log.c.created_at.type
_NONE: sa.ColumnElement[Any] = sa.literal_column("NULL")
_MOST_REASONS = 100
MOST_PAYMENTS = 10_000
"""So many payments of a reward, the newest, are read for its streak."""

_HELD = (
    sa.select(sa.func.coalesce(sa.func.sum(holds.c.amount), 0))
    .where(holds.c.user_id == balances.c.user_id, holds.c.currency == balances.c.currency, *COUNTS)
    .scalar_subquery()
)
_REASONS = (
    sa.select(log.c.reason)
    .where(*sql.same(log, "user_id", "currency"))
    .distinct()
    .order_by(log.c.reason)
    .limit(_MOST_REASONS)
    .subquery()
)
ACCOUNTS = sa.union_all(
    sa.select(balances.c.currency.label("name"), balances.c.balance, _HELD.label("held")).where(
        *sql.same(balances, "user_id")
    ),
    sa.select(_REASONS.c.reason, _NONE, _NONE),
)
"""Each currency of a user, and, without numbers, each reason of their log in one currency."""

_FILTERS: dict[str, sa.ColumnElement[bool]] = {
    "of_reason": sql.same(log, "reason")[0],
    "earned": log.c.amount > 0,
    "spent": log.c.amount < 0,
    "since": log.c.created_at >= sa.bindparam("since", type_=MOMENT),
    "until": log.c.created_at < sa.bindparam("until", type_=MOMENT),
    "before": log.c.id < sa.bindparam("before", type_=sa.BigInteger),
    "after": log.c.id > sa.bindparam("after", type_=sa.BigInteger),
}


_UNDONE = log.alias()


@lru_cache
def history(filters: frozenset[str]) -> sa.Select[Any]:
    """Entries of a user that pass ``filters``, newest first; behind ``after`` oldest first.

    Each with the reason and the subject of the entry that it takes back.
    """
    undone = sa.and_(_UNDONE.c.id == log.c.reverses_id, _UNDONE.c.user_id == log.c.user_id)
    order = log.c.id.asc() if "after" in filters else log.c.id.desc()
    return (
        sa.select(*sql.ENTRY, _UNDONE.c.reason.label("of"), _UNDONE.c.subject.label("about"))
        .select_from(log.outerjoin(_UNDONE, undone))
        .where(*sql.same(log, "user_id", "currency"), *(_FILTERS[name] for name in filters))
        .order_by(order)
        .limit(sql.LIMIT)
    )


@lru_cache
def daily(days: int) -> sa.Select[Any]:
    """What came and went on each of ``days`` days, by number; ``day_0``, ``day_1`` … begin them."""
    number = _number_of(range(days)).label("day")
    moved = (
        sa.select(number, log.c.amount)
        .where(
            *sql.same(log, "user_id", "currency"),
            log.c.created_at >= sa.bindparam("day_0", type_=MOMENT),
        )
        .subquery()
    )
    came = sa.func.sum(sa.case((moved.c.amount > 0, moved.c.amount), else_=0))
    return sa.select(moved.c.day, came, came - sa.func.sum(moved.c.amount)).group_by(moved.c.day)


def _number_of(days: Sequence[int]) -> sa.ColumnElement[int]:
    """The last of ``days`` that has begun: a search by halves, seven comparisons for 90 days."""
    if len(days) == 1:
        return sa.literal_column(str(days[0]), sa.Integer())
    middle = len(days) // 2
    begins = sa.bindparam(f"day_{days[middle]}", type_=MOMENT)
    return sa.case(
        (log.c.created_at < begins, _number_of(days[:middle])), else_=_number_of(days[middle:])
    )


@lru_cache
def looks(names: tuple[int, ...]) -> sa.CompoundSelect[Any]:
    """What was paid for several rewards at once: one number for each, that of its known names.

    The rows have the reward's number, and are for each those of :func:`flask_coins._statements.look`.
    """
    parts: list[sa.Select[Any]] = []
    for number, count in enumerate(names):
        since = _paid(number, log.c.created_at >= _bound(number, "start", MOMENT), *sql.IS_PAYMENT)
        newest = since.order_by(log.c.created_at.desc()).limit(
            _bound(number, "limit", sa.Integer())
        )
        parts.append(sa.select(newest.subquery()))
        if count:
            keys = [_bound(number, f"name_{n}", log.c.once_key.type) for n in range(count)]
            parts.append(_paid(number, log.c.once_key.in_(keys)))
    return sa.union_all(*parts)


@lru_cache
def used(kinds: tuple[tuple[bool, bool, bool], ...]) -> sa.CompoundSelect[Any]:
    """What counts against several budgets: the number of each, then when how many coins were paid.

    A kind is whether a budget is the app's, whether it has a reason, and whether its payments are
    wanted one by one.
    """
    return sa.union_all(
        *(
            _minted(number) if of_app else _earned(number, *kind)
            for number, (of_app, *kind) in enumerate(kinds)
        )
    )


def _minted(number: int) -> sa.Select[Any]:
    row = [
        budgets.c[name] == _bound(number, name, budgets.c[name].type)
        for name in ("currency", "reason", "period")
    ]
    return sa.select(_literal(number), budgets.c.updated_at, budgets.c.minted).where(*row)


def _earned(number: int, of_reason: bool, each: bool) -> sa.Select[Any]:
    names = ("currency", "reason") if of_reason else ("currency",)
    same = [log.c[name] == _bound(number, name, log.c[name].type) for name in names]
    coins: tuple[Any, ...] = (log.c.created_at, log.c.amount)
    if not each:
        total = sa.func.coalesce(sa.func.sum(log.c.amount), 0)
        coins = (sa.func.max(log.c.created_at), total)
    since = log.c.created_at >= _bound(number, "start", MOMENT)
    return sa.select(_literal(number), *coins).where(
        *sql.same(log, "user_id"), *same, since, *sql.IS_PAYMENT
    )


@lru_cache
def streaks(rewards: int) -> sa.CompoundSelect[Any]:
    """When each of several rewards was paid, and when freezes were bought for it.

    The rows have the reward's number; those of freezes have no id.
    """
    parts: list[sa.Select[Any]] = []
    for number in range(rewards):
        paid = _paid(number, *sql.IS_PAYMENT, subject=False).order_by(log.c.created_at.desc())
        parts.append(sa.select(paid.limit(sql.LIMIT).subquery()))
        bought = sql.BOUGHT.where(
            log.c.user_id == sa.bindparam("of_user_id", type_=log.c.user_id.type),
            log.c.reason == sa.bindparam("freeze", type_=log.c.reason.type),
            log.c.subject == _bound(number, "reason", log.c.reason.type),
        ).subquery()
        parts.append(sa.select(_literal(number), _NONE, bought.c.created_at, _NONE))
    return sa.union_all(*parts)


def _paid(number: int, *where: sa.ColumnElement[bool], subject: bool = True) -> sa.Select[Any]:
    """Rows of the reward with this ``number``: that, the id, the moment and the name of a window."""
    names = ("currency", "reason", "subject") if subject else ("currency", "reason")
    same = [log.c[name] == _bound(number, name, log.c[name].type) for name in names]
    return sa.select(_literal(number), log.c.id, log.c.created_at, log.c.once_key).where(
        *sql.same(log, "user_id"), *same, *where
    )


def _literal(number: int) -> sa.Label[int]:
    return sa.literal_column(str(number), sa.Integer()).label("number")


def _bound(number: int, name: str, type_: Any) -> sa.BindParameter[Any]:
    return sa.bindparam(f"r{number}_{name}", type_=type_)
