"""The SQL that verification asks with: each statement finds the faults of one kind in one scope.

A statement that names what is wrong answers with ``wrong``, a text to be formatted with its row. Its
conditions are tried in order, the first that holds is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from ._models import UtcDateTime, holds, log
from ._verify_scopes import Condition, Scope, both

STATUSES = ("open", "captured", "released", "expired")
Wrongs = list[tuple[Condition, str]]


def chain(scope: Scope) -> sa.Select[Any]:
    """Entries whose ``balance_after`` is below zero, or not that before plus their own amount."""
    before = sa.func.coalesce(scope.before(log), 0)  # MariaDB's lag takes no default
    links = sa.select(log.c.id, before.label("before"), log.c.amount, log.c.balance_after)
    found = links.where(scope.entries(log)).subquery()
    after = found.c.balance_after
    return sa.select(*found.c).where(sa.or_(after != found.c.before + found.c.amount, after < 0))


def suspects(scope: Scope, late: datetime | None) -> sa.Select[Any]:
    """The entries to look at: those with links, and those that are :func:`odd`."""
    is_odd = sa.or_(*(condition for condition, _ in odd_ones(late)))
    links = log.c.reverses_id, log.c.counterparty
    odd = sa.case((is_odd, 1), else_=0).label("odd")
    found = sa.select(log.c.id, *links, odd).where(scope.entries(log))
    return found.where(sa.or_(*(link.is_not(None) for link in links), is_odd)).order_by(log.c.id)


def owners(scope: Scope) -> sa.Select[Any]:
    """Whose the entries are."""
    return sa.select(log.c.id, log.c.user_id, log.c.currency).where(scope.entries(log))


def census(scope: Scope) -> sa.Select[Any]:
    """When each name of a window was claimed for the first time, and for the last."""
    moments = sa.func.min(log.c.created_at), sa.func.max(log.c.created_at)
    return (
        sa.select(log.c.once_key, *moments)
        .where(scope.entries(log), log.c.once_key.is_not(None))
        .group_by(log.c.once_key)
    )


def named(scope: Scope, names: Sequence[str]) -> sa.Select[Any]:
    """The entries that bear one of these names of windows."""
    columns = (log.c.user_id, log.c.currency, log.c.id, log.c.once_key, log.c.created_at)
    found = sa.select(*columns).where(scope.entries(log), log.c.once_key.in_(names))
    return found.order_by(log.c.id)


def gaps(scope: Scope, dialect: str) -> sa.Select[Any]:
    """Entries that bear a further slot of a window, such as ``#3``, without every one before it."""
    keys = ("user_id", "currency", "reason", "subject")
    slots = (
        sa.select(*(log.c[key] for key in keys))
        .where(scope.entries(log), log.c.once_key.contains("#"))
        .distinct()
        .subquery()
    )
    name = log.c.once_key
    position = (sa.func.strpos if dialect == "postgresql" else sa.func.instr)(name, "#")
    base = sa.case((position > 0, sa.func.substr(name, 1, position - 1)), else_=name)
    number = sa.func.row_number().over(
        partition_by=(*(log.c[key] for key in keys), base), order_by=(sa.func.length(name), name)
    )
    rows = (
        sa.select(
            log.c.user_id, log.c.currency, log.c.id, name, base.label("base"), number.label("n")
        )
        .join(slots, sa.and_(*(log.c[key] == slots.c[key] for key in keys)))
        .where(name.is_not(None))
        .subquery()
    )
    slot = rows.c.base + "#" + sa.cast(rows.c.n, sa.String(20))
    due = sa.case((rows.c.n == 1, rows.c.base), else_=slot)
    return sa.select(*rows.c).where(rows.c.once_key != due).order_by(rows.c.id)


def odd_ones(late: datetime | None) -> Wrongs:
    """What an entry shows to be wrong by itself; it should not have been made after ``late``."""
    pays = sa.and_(log.c.amount > 0, log.c.reverses_id.is_(None), log.c.counterparty.is_(None))
    future = [] if late is None else [(log.c.created_at > late, "is of the future: {created_at}")]
    linked, apart = log.c.transfer_id.is_not(None), log.c.counterparty.is_(None)
    return [
        *future,
        (_is_empty(log), "has no user, currency or reason"),
        (
            sa.and_(log.c.once_key.is_not(None), sa.not_(pays)),
            "claims the window {once_key!r}, and is no payment",
        ),
        (sa.and_(linked, apart), "has the transfer_id {transfer_id}, and no counterparty"),
        (log.c.counterparty == log.c.user_id, "is a transfer to oneself"),
        (
            sa.and_(linked, log.c.amount < 0),
            "receives {amount} of the transfer {transfer_id}",
        ),
        (
            sa.and_(sa.not_(linked), sa.not_(apart), log.c.amount > 0),
            "sends {amount} to {counterparty!r}",
        ),
    ]


def odd(scope: Scope, late: datetime | None) -> sa.Select[Any]:
    """The entries that are wrong by themselves."""
    return _wrong(sa.select(*log.c).where(scope.entries(log)), odd_ones(late))


def reversals(scope: Scope) -> sa.Select[Any]:
    """Reversals that do not fit what they reverse."""
    mine, first, each = log.alias("mine"), log.alias("first"), log.alias("each_one")
    total = (
        sa.select(sa.func.sum(each.c.amount))
        .where(each.c.user_id == mine.c.user_id, each.c.reverses_id == mine.c.reverses_id)
        .correlate(mine)
        .scalar_subquery()
    )
    found = (
        sa.select(*mine.c, total.label("total"), first.c.amount.label("whole"))
        .outerjoin_from(
            mine,
            first,
            sa.and_(first.c.user_id == mine.c.user_id, first.c.id == mine.c.reverses_id),
        )
        .where(scope.entries(mine), mine.c.reverses_id.is_not(None))
    )
    other_side = sa.func.coalesce(first.c.counterparty, "") != sa.func.coalesce(
        mine.c.counterparty, ""
    )
    of = "reverses entry {reverses_id}, "
    wrongs: Wrongs = [
        (first.c.id.is_(None), of + "which this user does not have"),
        (first.c.currency != mine.c.currency, of + "which is in another currency"),
        (first.c.reverses_id.is_not(None), of + "which is itself a reversal"),
        (first.c.id >= mine.c.id, of + "which came later"),
        (_same_sign(first.c.amount, mine.c.amount), of + "and has the same sign: {amount:+}"),
        (sa.func.abs(total) > sa.func.abs(first.c.amount), of + "{whole:+}: in all {total:+}"),
        (other_side, of + "and not with the same other user"),
    ]
    return _wrong(found, wrongs)


def legs(scope: Scope) -> sa.Select[Any]:
    """Entries of transfers whose other side is lost, or does not fit."""
    mine, sent, received = log.alias("mine"), log.alias("sent"), log.alias("received")
    undone = log.alias("undone")
    found = (
        sa.select(*mine.c)
        .outerjoin_from(mine, sent, both(sent, user_id=mine.c.counterparty, id=mine.c.transfer_id))
        .outerjoin(received, both(received, user_id=mine.c.counterparty, transfer_id=mine.c.id))
        .outerjoin(undone, both(undone, user_id=sent.c.user_id, id=sent.c.reverses_id))
        .where(scope.entries(mine), mine.c.counterparty.is_not(None))
    )
    wrongs = _ill_sent(mine, received) + _ill_received(mine, sent, undone)
    return _wrong(found, wrongs)


def _ill_sent(mine: Any, received: Any) -> Wrongs:
    lost = sa.and_(mine.c.transfer_id.is_(None), received.c.id.is_(None))
    return [(lost, "was sent to {counterparty!r}, who never received it")]


def _ill_received(mine: Any, sent: Any, undone: Any) -> Wrongs:
    half = sa.case((mine.c.reverses_id.is_(None), 0), else_=1) != sa.case(
        (sent.c.reverses_id.is_(None), 0), else_=1
    )
    apart = sa.or_(half, sa.func.coalesce(undone.c.transfer_id, 0) != mine.c.reverses_id)
    of = "receives the transfer {transfer_id} of {counterparty!r}, "
    wrongs: Wrongs = [
        (sent.c.id.is_(None), of + "who never sent it"),
        (sent.c.transfer_id.is_not(None), of + "which is itself received"),
        (
            sa.func.coalesce(sent.c.counterparty, "") != mine.c.user_id,
            of + "who sent it to another",
        ),
        (
            sa.or_(sent.c.amount != -mine.c.amount, _other(sent, mine, "currency")),
            of + "who sent something else than {amount} {currency}",
        ),
        (_other(sent, mine, "reason"), of + "who sent it for another reason"),
        (_other(sent, mine, "created_at"), of + "who sent it at another time"),
        (sent.c.id >= mine.c.id, of + "who sent it later"),
        (apart, of + "and only one side reverses another transfer"),
    ]
    receives = mine.c.transfer_id.is_not(None)
    return [(sa.and_(receives, condition), what) for condition, what in wrongs]


def ill_holds(scope: Scope) -> sa.Select[Any]:
    """Holds that contradict themselves, or the entry that captured them."""
    entry = log.alias("entry")
    sharing = sa.func.count().over(partition_by=(holds.c.user_id, holds.c.entry_id))
    mine = sa.select(*holds.c, sharing.label("sharing")).where(scope.owns(holds)).subquery("mine")
    found = sa.select(*mine.c, entry.c.amount.label("taken")).outerjoin_from(
        mine, entry, both(entry, user_id=mine.c.user_id, id=mine.c.entry_id)
    )
    return _wrong(found, _ill_by_itself(mine) + _ill_captured(mine, entry))


def _ill_by_itself(mine: Any) -> Wrongs:
    captured, closed = mine.c.status == "captured", mine.c.closed_at.is_not(None)
    expired = mine.c.status == "expired"
    return [
        (_is_empty(mine), "has no user, currency or reason"),
        (mine.c.status.not_in(STATUSES), "has the status {status!r}"),
        (mine.c.expires_at <= mine.c.created_at, "expired at {expires_at}, before it was made"),
        (sa.and_(mine.c.status == "open", closed), "is open, and was closed at {closed_at}"),
        (sa.and_(mine.c.status != "open", sa.not_(closed)), "is {status}, and was never closed"),
        (sa.and_(sa.not_(captured), mine.c.entry_id.is_not(None)), "is {status}, with an entry"),
        (
            sa.and_(expired, mine.c.expires_at.is_(None)),
            "has expired, and was to last for ever",
        ),
        (
            sa.and_(expired, mine.c.closed_at != mine.c.expires_at),
            "was closed at {closed_at}, and expired at {expires_at}",
        ),
    ]


def _ill_captured(mine: Any, entry: Any) -> Wrongs:
    by = "was captured by entry {entry_id}, "
    no_spend = sa.or_(
        entry.c.amount > 0,
        entry.c.reverses_id.is_not(None),
        entry.c.counterparty.is_not(None),
    )
    wrongs: Wrongs = [
        (mine.c.closed_at >= mine.c.expires_at, "was captured at {closed_at}, when it had expired"),
        (mine.c.entry_id.is_(None), "was captured by no entry"),
        (entry.c.id.is_(None), by + "which this user does not have"),
        (mine.c.sharing > 1, by + "as another hold was"),
        (no_spend, by + "which is no spend"),
        (_other(entry, mine, "currency", "reason", "subject"), by + "which is for something else"),
        (-entry.c.amount > mine.c.amount, by + "which takes {taken:+} of {amount}"),
        (entry.c.created_at != mine.c.closed_at, by + "and closed at another time: {closed_at}"),
    ]
    captured = mine.c.status == "captured"
    return [(sa.and_(captured, condition), what) for condition, what in wrongs]


def unreadable(table: sa.Table, scope: Scope) -> sa.Select[Any]:
    """For SQLite, which keeps anything in any column: rows with what a column cannot mean."""
    number = table.c["id"] if "id" in table.columns else sa.null()
    wrongs = [(_means_nothing(column), column.key) for column in table.columns]
    key = sa.case(*wrongs)
    value = sa.case(*((wrong, sa.type_coerce(table.c[name], sa.String)) for wrong, name in wrongs))
    row = (table.c.user_id, table.c.currency, number.label("id"), key.label("key"))
    found = sa.select(*row, value.label("value"))
    mine = scope.entries(table) if table is log else scope.owns(table)
    return found.where(mine, sa.or_(*(wrong for wrong, _ in wrongs)))


def _means_nothing(column: sa.Column[Any]) -> Condition:
    value, kind = sa.type_coerce(column, sa.String), column.type
    if isinstance(kind, UtcDateTime):
        # To the second: SQLite rounds the rest. It takes a day that a month lacks for another.
        second = sa.func.substr(value, 1, 19)
        is_right = sa.and_(
            second == sa.func.datetime(second, "+0 days"),
            sa.func.substr(value, 20).op("GLOB")(".[0-9][0-9][0-9][0-9][0-9][0-9]"),
        )
    elif isinstance(kind, sa.JSON):
        is_right = sa.func.json_valid(value) == 1
    else:
        is_right = sa.func.typeof(value) == ("integer" if isinstance(kind, sa.Integer) else "text")
    return sa.and_(column.is_not(None), ~sa.func.coalesce(is_right, sa.false()))


def _wrong(found: sa.Select[Any], wrongs: Wrongs) -> sa.Select[Any]:
    """Of the rows ``found``, those of which one of ``wrongs`` is true."""
    words = sa.case(*((condition, sa.literal(what, sa.String(200))) for condition, what in wrongs))
    rows = found.add_columns(words.label("wrong")).subquery("found")
    return sa.select(*rows.c).where(rows.c.wrong.is_not(None)).order_by(rows.c.id)


def _same_sign(one: Any, other: Any) -> Condition:
    return sa.or_(sa.and_(one > 0, other > 0), sa.and_(one < 0, other < 0))


def _other(one: Any, other: Any, *names: str) -> Condition:
    return sa.or_(*(one.c[name] != other.c[name] for name in names))


def _is_empty(row: Any) -> Condition:
    return sa.or_(*(row.c[name] == "" for name in ("user_id", "currency", "reason")))
