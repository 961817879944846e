"""The SQL of leaderboards: scores, places by them, and who is hidden. It knows no Flask.

A score is what a user was paid, less what was taken back of just these payments. What users send one
another counts for nobody, nor does a spend that was given back: nobody climbs by passing coins round.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import sqlalchemy as sa

from ._checks import FORGOTTEN
from ._models import balances, hidden, log
from ._statements import MYSQL_FAMILY, insert_for, same

_START = sa.bindparam("start", type_=log.c.created_at.type)
_END = sa.bindparam("end", type_=log.c.created_at.type)
_ME = sa.bindparam("me", type_=log.c.user_id.type)
_LIMIT = sa.bindparam("limit", type_=sa.Integer)
_EACH_SIDE = sa.bindparam("each_side", type_=sa.Integer)
_USER = sa.bindparam("of_user_id", type_=hidden.c.user_id.type)
_NOW = sa.bindparam("now", type_=hidden.c.created_at.type)

_reversal = log.alias("reversal")

# As a sum, as nearly all entries are none: SQLite would find them all by the index of reversals.
IS_NO_REVERSAL = (log.c.reverses_id + 0).is_(None)
"""What keeps to the other indexes of the log."""


def reversed_by(first: Any, reversal: Any) -> sa.ColumnElement[bool]:
    """That ``reversal`` takes ``first`` back. Reversals are few, so they are found first.

    That is why their user is an expression: no index of a user's entries leads there.
    """
    user: sa.ColumnElement[str] = reversal.c.user_id + sa.literal_column("''", sa.String())
    return sa.and_(first.c.id == reversal.c.reverses_id, first.c.user_id == user)


def _payments(timed: bool, of_reason: bool) -> list[sa.ColumnElement[bool]]:
    """What picks the payments of a board."""
    found = same(log, "currency", *(["reason"] if of_reason else []))
    found += [log.c.amount > 0, IS_NO_REVERSAL, log.c.counterparty.is_(None)]
    return [*found, log.c.created_at >= _START, log.c.created_at < _END] if timed else found


def _paid(timed: bool, of_reason: bool) -> sa.Select[Any]:
    """Users and scores from the log: payments, and what was taken back of them, whenever it was."""
    which = _payments(timed, of_reason)
    back = (
        sa.select(log.c.user_id, _reversal.c.amount)
        .join_from(
            _reversal,
            log,
            reversed_by(log, _reversal),
        )
        .where(_reversal.c.reverses_id > 0, _reversal.c.amount < 0, *which)
    )
    moved = sa.union_all(sa.select(log.c.user_id, log.c.amount).where(*which), back).subquery()
    score = sa.func.sum(moved.c.amount).label("score")
    return sa.select(moved.c.user_id, score).group_by(moved.c.user_id)


def _earned() -> sa.Select[Any]:
    """The scores of all time: what the balances have earned, without what was no payment.

    This reads a row for each user, and of the log reversals and received transfers alone.
    """
    taken_back = sa.and_(log.c.amount < 0, log.c.counterparty.is_(None))
    change = sa.case(
        (log.c.amount > 0, -log.c.amount), (taken_back, log.c.amount), else_=sa.literal_column("0")
    )
    of_currency = same(log, "currency")
    moved = sa.union_all(
        sa.select(log.c.user_id, change.label("change")).where(*of_currency, log.c.reverses_id > 0),
        sa.select(log.c.user_id, -log.c.amount).where(
            *of_currency, log.c.transfer_id.is_not(None), IS_NO_REVERSAL
        ),
    ).subquery()
    changes = (
        sa.select(moved.c.user_id, sa.func.sum(moved.c.change).label("change"))
        .group_by(moved.c.user_id)
        .subquery()
    )
    score = (balances.c.earned + sa.func.coalesce(changes.c.change, 0)).label("score")
    return (
        sa.select(balances.c.user_id, score)
        .outerjoin_from(balances, changes, changes.c.user_id == balances.c.user_id)
        .where(*same(balances, "currency"))
    )


def _board(timed: bool, of_reason: bool, everyone: bool) -> sa.Subquery:
    """Who has a place, with the score: above 0, not erased and, but for ``everyone``, not hidden."""
    scores = (_paid(timed, of_reason) if timed or of_reason else _earned()).subquery()
    shown = [
        scores.c.score > 0,
        sa.func.substr(scores.c.user_id, 1, len(FORGOTTEN)) != FORGOTTEN,
    ]
    if not everyone:
        shown.append(~sa.exists().where(hidden.c.user_id == scores.c.user_id))
    return sa.select(scores.c.user_id, scores.c.score).where(*shown).subquery()


@lru_cache
def top(timed: bool, of_reason: bool, everyone: bool = False) -> sa.Select[Any]:
    """The first ``limit`` users and their scores."""
    board = _board(timed, of_reason, everyone)
    return (
        sa.select(board.c.user_id, board.c.score)
        .order_by(board.c.score.desc(), board.c.user_id)
        .limit(_LIMIT)
    )


@lru_cache
def around(timed: bool, of_reason: bool) -> sa.Select[Any]:
    """The user ``me`` and up to ``each_side`` on either side, with ranks; nothing without a place."""
    board = _board(timed, of_reason, everyone=False)
    order = board.c.score.desc()
    placed = sa.select(
        sa.func.rank().over(order_by=order).label("rank"),
        sa.func.row_number().over(order_by=[order, board.c.user_id]).label("line"),
        board.c.user_id,
        board.c.score,
    ).subquery()
    # A sum of one: for a maximum MariaDB would pass over all of them again for each.
    mine = sa.func.sum(sa.case((placed.c.user_id == _ME, placed.c.line))).over()
    lines = sa.select(placed, mine.label("mine")).subquery()
    return (
        sa.select(lines.c.rank, lines.c.user_id, lines.c.score)
        .where(lines.c.line.between(lines.c.mine - _EACH_SIDE, lines.c.mine + _EACH_SIDE))
        .order_by(lines.c.line)
    )


IS_HIDDEN = sa.select(hidden.c.user_id).where(hidden.c.user_id == _USER)
SHOW = sa.delete(hidden).where(hidden.c.user_id == _USER)


@lru_cache
def hide(dialect: str) -> Any:
    """Hide a user; one who is hidden stays so, from the same moment on."""
    insert = insert_for(dialect, hidden).values(user_id=_USER, created_at=_NOW)
    if dialect in MYSQL_FAMILY:
        return insert.on_duplicate_key_update(created_at=hidden.c.created_at)
    return insert.on_conflict_do_nothing()
