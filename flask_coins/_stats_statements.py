"""The SQL of an economy's figures. It knows no Flask, and gives a row for a day or a reason, never for an entry."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Any, NamedTuple

import sqlalchemy as sa

from ._leaderboard_statements import IS_NO_REVERSAL, reversed_by
from ._models import balances, budgets, log
from ._statements import LIMIT, MYSQL_FAMILY, START, ZERO, same
from .windows import Day

_END = sa.bindparam("end", type_=log.c.created_at.type)
_REVERSES, _ALONE = log.c.reverses_id.is_not(None), log.c.counterparty.is_(None)
_KINDS = {
    "minted": (log.c.amount > 0, ~_REVERSES, _ALONE),
    "burned": (log.c.amount < 0, ~_REVERSES, _ALONE),
    "taken_back": (log.c.amount < 0, _REVERSES, _ALONE),
    "given_back": (log.c.amount > 0, _REVERSES, _ALONE),
    "transferred": (log.c.amount < 0, ~_REVERSES, ~_ALONE),
}
"""What an entry is; each is told as a number above zero."""


def _amount(kind: str) -> sa.ColumnElement[int]:
    return sa.case((sa.and_(*_KINDS[kind]), sa.func.abs(log.c.amount)), else_=ZERO)


def _within(timed: bool) -> list[sa.ColumnElement[bool]]:
    found = same(log, "currency")
    return [*found, log.c.created_at >= START, log.c.created_at < _END] if timed else found


# -- by day -----------------------------------------------------------------------------------------


class Stretch(NamedTuple):
    """Days that follow one another, each of 24 hours; or one day of another length."""

    start: datetime
    end: datetime
    first: date
    days: int

    def goes_on_with(self, day: date, length: timedelta) -> bool:
        """Whether ``day``, of this length, is one more of the kind."""
        lengths = {(self.end - self.start) / self.days, length, timedelta(days=1)}
        return len(lengths) == 1 and self.first + timedelta(days=self.days) == day


def stretches(first: datetime, last: datetime, zone: tzinfo) -> list[Stretch]:
    """The calendar of ``zone`` from one moment to another: a stretch ends where its clocks change.

    So a day is told in SQL by a division, and by nothing that knows zones.
    """
    window, found = Day(), list[Stretch]()
    day = window.date_of(first, zone)
    start = window.start(day, zone)
    while start <= last:
        following = window.following(day)
        end = window.start(following, zone)
        if found and found[-1].goes_on_with(day, end - start):
            found[-1] = found[-1]._replace(end=end, days=found[-1].days + 1)
        elif start < end:  # else the calendar has skipped the day
            found.append(Stretch(start, end, day, 1))
        day, start = following, end
    return found


def _days_since(start: datetime, dialect: str) -> sa.ColumnElement[int]:
    """How many times 24 hours have passed from ``start`` to an entry."""
    moment: Any = log.c.created_at
    if dialect in MYSQL_FAMILY:
        return sa.func.timestampdiff(sa.text("DAY"), sa.literal(start, moment.type), moment)
    if dialect == "sqlite":
        # Without the fraction, which SQLite would round.
        second = sa.func.substr(sa.type_coerce(moment, sa.String), 1, 19)
        passed = sa.cast(sa.func.strftime("%s", second), sa.Integer) - int(start.timestamp())
        return passed // 86_400
    passed = sa.extract("epoch", moment - sa.literal(start, moment.type))
    return sa.cast(sa.func.floor(passed / 86_400), sa.Integer)


def _day(calendar: Sequence[Stretch], dialect: str) -> sa.ColumnElement[int]:
    """The day of an entry, as Python's proleptic ordinal."""

    def within(it: Stretch) -> sa.ColumnElement[int]:
        number = sa.literal(it.first.toordinal(), sa.Integer)
        return number if it.days == 1 else number + _days_since(it.start, dialect)

    *before, last = calendar
    if not before:
        return within(last)
    whens = [(log.c.created_at < it.end, within(it)) for it in before]
    return sa.case(*whens, else_=within(last))


def by_day(calendar: Sequence[Stretch], timed: bool, dialect: str) -> sa.Select[Any]:
    """What moved on each day of ``calendar``, in order."""
    day = _day(calendar, dialect).label("day")
    moved = sa.select(day, *(_amount(kind).label(kind) for kind in _KINDS)).where(*_within(timed))
    rows = moved.subquery()
    totals = (sa.func.sum(rows.c[kind]).label(kind) for kind in _KINDS)
    return sa.select(rows.c.day, *totals).group_by(rows.c.day).order_by(rows.c.day)


@lru_cache
def ends(timed: bool) -> sa.Select[Any]:
    """The first and the last moment at which coins moved."""
    moment = log.c.created_at
    return sa.select(sa.func.min(moment), sa.func.max(moment)).where(*_within(timed))


def _compared() -> sa.Select[Any]:
    moment = log.c.created_at
    until = sa.bindparam("until", type_=moment.type)
    kinds = [_amount(kind).label(kind) for kind in ("minted", "burned")]
    within = [moment >= START, sa.or_(moment < until, moment >= _END)]
    is_later = sa.case((moment >= _END, 1), else_=ZERO).label("is_later")
    rows = sa.select(is_later, log.c.user_id, *kinds).where(*same(log, "currency"), *within)
    moved = rows.subquery()
    user = sa.case((moved.c.minted + moved.c.burned > 0, moved.c.user_id))
    totals = (sa.func.sum(moved.c.minted), sa.func.sum(moved.c.burned))
    users = sa.func.count(sa.distinct(user))
    return sa.select(moved.c.is_later, *totals, users).group_by(moved.c.is_later)


COMPARED = _compared()
"""What was minted and burned by how many users from ``start`` to ``until``, and from ``end`` on."""


# -- by reason, and as it stands ----------------------------------------------------------------------


@lru_cache
def by_reason(timed: bool) -> sa.Select[Any]:
    """The ``limit`` reasons that moved most; a reversal counts for the reason of what it reverses."""
    first = log.alias("first")
    payments = sa.case((sa.and_(*_KINDS["minted"]), 1), else_=ZERO).label("payments")
    moved = sa.union_all(
        sa.select(log.c.reason, payments, *_two("minted", "burned"), *_none(2)).where(
            *_within(timed), IS_NO_REVERSAL, _ALONE
        ),
        sa.select(first.c.reason, *_none(3), *_two("taken_back", "given_back"))
        .join_from(log, first, reversed_by(first, log))
        .where(*_within(timed), log.c.reverses_id > 0, _ALONE),
    ).subquery()
    columns = zip(("payments", *list(_KINDS)[:4]), list(moved.c)[1:], strict=True)
    totals = [sa.func.sum(column).label(name) for name, column in columns]
    size = sa.func.sum(sum(list(moved.c)[3:], start=moved.c[2]))
    return (
        sa.select(moved.c[0].label("reason"), *totals)
        .group_by(moved.c[0])
        .order_by(size.desc(), moved.c[0])
        .limit(LIMIT)
    )


def _two(*kinds: str) -> list[sa.ColumnElement[int]]:
    return [_amount(kind).label(kind) for kind in kinds]


def _none(count: int) -> list[sa.ColumnElement[int]]:
    return [ZERO.label(f"none_{number}") for number in range(count)]


def _stock() -> sa.Select[Any]:
    held_by = sa.select(
        balances.c.balance,
        balances.c.held,
        sa.func.row_number().over(order_by=balances.c.balance).label("line"),
        sa.func.count().over().label("holders"),
    )
    rows = held_by.where(*same(balances, "currency"), balances.c.balance > 0).subquery()
    richer = rows.c.holders - rows.c.line
    # The product may pass the range of BIGINT.
    weighted = rows.c.line * sa.literal_column("1.0") * rows.c.balance

    def held_where(condition: sa.ColumnElement[bool]) -> sa.ColumnElement[int]:
        return sa.func.sum(sa.case((condition, rows.c.balance), else_=ZERO))

    figures: list[sa.ColumnElement[Any]] = [
        sa.func.count().label("holders"),
        sa.func.sum(rows.c.balance).label("balance"),
        sa.func.sum(rows.c.held).label("held"),
        sa.func.sum(weighted).label("weighted"),
        held_where(richer * 100 < rows.c.holders).label("top_1_percent"),
        held_where(richer < 10).label("top_10"),
    ]
    return sa.select(*figures).select_from(rows)


STOCK = _stock()
"""What all hold now, and how it is spread; ``weighted`` is the sum of each balance times its line,
counted from the smallest."""

BUDGETS = sa.select(budgets.c.reason, budgets.c.period, budgets.c.minted).where(
    *same(budgets, "currency"), budgets.c.period.in_(sa.bindparam("periods", expanding=True))
)
