"""The SQL for many payments at once: few statements, in the form that each engine is quick at."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from . import _statements as one
from ._budgets import Cap
from ._claims import Claim, Paid
from ._limits import row_of
from ._models import balances, log
from ._statements import ENTRY, HELD, INSERT, IS_PAYMENT, NOW, OURS, START, same
from ._writes import Movement
from .results import Entry

Owner = tuple[str, str]
"""Whose balance: user and currency."""
_PAIR = ("one", "other")


def _is_array(connection: sa.Connection) -> bool:
    """Whether a list is one parameter; elsewhere each of its members is."""
    return connection.dialect.name == "postgresql"


def _among(column: sa.Column[Any], name: str, array: bool) -> sa.ColumnElement[bool]:
    if array:
        of_type = postgresql.ARRAY(sa.String())
        return column == sa.any_(sa.bindparam(name, type_=of_type))
    return column.in_(sa.bindparam(name, expanding=True))


def _by_currency(owners: Sequence[Owner]) -> Iterator[tuple[str, list[str]]]:
    for currency in sorted({currency for _, currency in owners}):
        yield currency, [user_id for user_id, each in owners if each == currency]


@lru_cache
def _accounts(array: bool) -> Any:
    users = _among(balances.c.user_id, "users", array)
    return sa.select(balances.c.user_id, *HELD).where(users, *same(balances, "currency"))


def accounts(
    connection: sa.Connection, owners: Sequence[Owner]
) -> dict[Owner, tuple[int, int, int]]:
    """What the balance rows of ``owners`` hold, as far as there are any."""
    look = _accounts(_is_array(connection))
    return {
        (user_id, currency): (figures[0], figures[1], figures[2])
        for currency, users in _by_currency(owners)
        for user_id, *figures in connection.execute(
            look, {"users": users, "of_currency": currency}
        ).all()
    }


_NEWEST = (
    sa.select(log.c.user_id, sa.func.max(log.c.id))
    .where(_among(log.c.user_id, "users", array=False), *same(log, "currency"))
    .group_by(log.c.user_id)
)


def newest(connection: sa.Connection, owners: Sequence[Owner]) -> dict[Owner, int]:
    """The newest entry of each owner that this transaction can see; for MariaDB."""
    return {
        (user_id, currency): entry
        for currency, users in _by_currency(owners)
        for user_id, entry in connection.execute(_NEWEST, {"users": users, "of_currency": currency})
    }


@lru_cache
def _of_keys(array: bool) -> Any:
    """Entries of pairs of user and key: two lists would be looked through each for each."""
    columns = (log.c.idempotency_key, *ENTRY)
    pair = (log.c.user_id, log.c.idempotency_key)
    if array:
        return _of_pairs(columns, pair)
    return sa.select(*columns).where(sa.tuple_(*pair).in_(sa.bindparam("pairs", expanding=True)))


def entries_of_keys(
    connection: sa.Connection, movements: Sequence[Movement]
) -> dict[tuple[str, str], Entry]:
    """The entries that have the keys of ``movements``, by user and key."""
    pairs = sorted({(movement.user_id, movement.idempotency_key or "") for movement in movements})
    array = _is_array(connection)
    params = {"pairs": _as_records(_PAIR, pairs) if array else pairs}
    found = {}
    for row in connection.execute(_of_keys(array), params).mappings():
        values = {**row, "subject": row["subject"] or None}
        key = values.pop("idempotency_key")
        found[row["user_id"], key] = Entry(**values)
    return found


@lru_cache
def _looks(array: bool, of_subject: bool) -> tuple[Any, Any]:
    """The payments since the start, and those under a name; on PostgreSQL of pairs of user, subject.

    Elsewhere of users, and of one subject or of all.
    """
    columns = (log.c.user_id, log.c.subject, log.c.id, log.c.created_at, log.c.once_key)
    of_these = same(log, "currency", "reason", *(["subject"] if of_subject else []))
    since = (log.c.created_at >= START, *IS_PAYMENT)
    named = _among(log.c.once_key, "names", array)
    if not array:
        found = sa.select(*columns).where(_among(log.c.user_id, "users", array), *of_these)
        return found.where(*since), found.where(named)
    pair = (log.c.user_id, log.c.subject)
    return _of_pairs(columns, pair, *of_these, *since), _of_pairs(columns, pair, *of_these, named)


def _of_pairs(columns: Sequence[Any], pair: Sequence[Any], *where: sa.ColumnElement[bool]) -> Any:
    """For PostgreSQL, entries whose two columns ``pair`` are one of the pairs, each looked up alone.

    Joined freely, it goes through the whole log for each pair until it has statistics of it.
    """
    given = _records("pairs", **dict.fromkeys(_PAIR, sa.Text()))
    same_pair = [
        column == sa.cast(given.c[name], column.type)
        for column, name in zip(pair, _PAIR, strict=True)
    ]
    of_pair = (
        sa.select(*columns)
        .where(*same_pair, *where)
        .offset(one.ZERO)  # keeps it apart from the outer query
        .lateral("entry")
    )
    return sa.select(*of_pair.c).select_from(given.join(of_pair, sa.true()))


def paid(
    connection: sa.Connection, payments: Sequence[tuple[Movement, Claim | None]]
) -> Iterator[tuple[str, str, Paid]]:
    """User, subject and row of all that may count against the claims, which are alike."""
    # Those in one zone share their period.
    claims = {id(claim.period): claim for _, claim in payments if claim}.values()
    pairs = sorted({(movement.user_id, movement.subject) for movement, _ in payments})
    subjects = {subject for _, subject in pairs}
    array = _is_array(connection)
    params: dict[str, Any] = {
        "of_currency": payments[0][0].currency,
        "of_reason": payments[0][0].reason,
        "start": min(claim.period.start for claim in claims),
        "names": sorted({name for claim in claims for name in claim.known_names}),
    }
    if array:
        params["pairs"] = _as_records(_PAIR, pairs)
    else:
        params |= {"users": sorted({user for user, _ in pairs}), "of_subject": max(subjects)}
    since, named = _looks(array, len(subjects) == 1 and not array)
    for look in [since, named] if params["names"] else [since]:
        for user_id, subject, *row in connection.execute(look, params).all():
            yield user_id, subject, Paid(*row)


@lru_cache
def _given(array: bool, of_reason: bool) -> Any:
    of_these = [_among(log.c.user_id, "users", array), log.c.created_at >= START, *IS_PAYMENT]
    names = ["currency", *(["reason"] if of_reason else [])]
    total = sa.select(log.c.user_id, sa.func.sum(log.c.amount)).where(*of_these, *same(log, *names))
    return total.group_by(log.c.user_id)


def given(connection: sa.Connection, cap: Cap, users: Sequence[str]) -> Iterator[tuple[str, int]]:
    """What each of ``users`` was paid within ``cap``, as far as there is anything."""
    budget = cap.budget
    params = {
        "users": users,
        "of_currency": budget.currency,
        "of_reason": budget.reason,
        "start": cap.period.start,
    }
    look = _given(_is_array(connection), budget.reason is not None)
    for user_id, coins in connection.execute(look, params):
        yield user_id, int(coins)


def minted(connection: sa.Connection, cap: Cap) -> int:
    """What the app has paid within ``cap``."""
    names = ("budget_currency", "budget_reason", "budget_period")
    return connection.scalar(one.BUDGET, dict(zip(names, row_of(cap), strict=True))) or 0


def earn(connection: sa.Connection, sums: dict[Owner, int], now: datetime) -> dict[Owner, Any]:
    """Add to the balances, in the order given; what they hold then, as (balance, earned, spent)."""
    if _is_array(connection):
        rows = [{"user_id": user, "currency": each, "n": n} for (user, each), n in sums.items()]
        found = connection.execute(_earn_many(), {"rows": json.dumps(rows), "now": now}).all()
        return {(user, each): tuple(figures) for user, each, *figures in found}
    params = [
        {"of_user_id": user_id, "of_currency": currency, "n": n, "now": now}
        for (user_id, currency), n in sums.items()
    ]
    connection.execute(one.earn(connection.dialect.name), params)
    return accounts(connection, list(sums))


def take_back(connection: sa.Connection, sums: dict[Owner, int]) -> None:
    """Undo what :func:`earn` has added."""
    params = [
        {"of_user_id": user_id, "of_currency": currency, "n": n}
        for (user_id, currency), n in sums.items()
        if n
    ]
    if params:
        connection.execute(one.UNEARN, params)


def enter(connection: sa.Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Write entries, their ids in the order given."""
    if not rows:
        return
    if not _is_array(connection) or any(_has_nul(row["details"]) for row in rows):
        connection.execute(INSERT, rows)
        return
    for row in rows:
        row["created_at"] = row["created_at"].isoformat()
    connection.execute(_enter_many(), {"rows": json.dumps(rows)})


def _has_nul(details: Any) -> bool:
    """Whether there is a character that PostgreSQL keeps in JSON, and cannot read records with."""
    return details is not None and "\\u0000" in json.dumps(details)


def _as_records(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    return json.dumps([dict(zip(names, row, strict=True)) for row in rows])


def _records(parameter: str, **columns: Any) -> sa.TableValuedAlias:
    """A table that PostgreSQL reads out of a JSON text."""
    document = sa.cast(sa.bindparam(parameter, type_=sa.Text()), postgresql.JSON)
    records = sa.func.json_to_recordset(document)
    typed: list[Any] = [sa.column(name, type_) for name, type_ in columns.items()]
    return records.table_valued(*typed, name="given").render_derived(with_types=True)


@lru_cache
def _earn_many() -> Any:
    given = _records("rows", user_id=sa.Text(), currency=sa.Text(), n=sa.BigInteger())
    values = [given.c.user_id, given.c.currency, given.c.n, given.c.n, one.ZERO, NOW]
    names = ["user_id", "currency", "balance", "earned", "spent", "updated_at"]
    insert = postgresql.insert(balances).from_select(names, sa.select(*values))
    change = {
        "balance": balances.c.balance + insert.excluded.balance,
        "earned": balances.c.earned + insert.excluded.earned,
        "updated_at": insert.excluded.updated_at,
    }
    upsert = insert.on_conflict_do_update(
        index_elements=[balances.c.user_id, balances.c.currency], set_=change
    )
    return upsert.returning(balances.c.user_id, balances.c.currency, *HELD).execution_options(
        **OURS
    )


@lru_cache
def _enter_many() -> Any:
    types: dict[str, Any] = {
        "user_id": sa.Text(),
        "currency": sa.Text(),
        "amount": sa.BigInteger(),
        "balance_after": sa.BigInteger(),
        "reason": sa.Text(),
        "subject": sa.Text(),
        "once_key": sa.Text(),
        "idempotency_key": sa.Text(),
        "created_at": sa.DateTime(timezone=True),
        "details": postgresql.JSON(),
    }
    given = _records("rows", **types)
    insert = sa.insert(log).from_select(list(types), sa.select(*given.c))
    return insert.execution_options(**OURS)
