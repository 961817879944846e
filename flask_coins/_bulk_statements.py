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
from ._claims import Claim, Paid
from ._models import balances, log
from ._statements import ENTRY, HELD, INSERT, IS_PAYMENT, NOW, OWN, same
from ._writes import Movement
from .results import Entry

Owner = tuple[str, str]
_USERS: sa.BindParameter[Any] = sa.bindparam("users", expanding=True)
_ACCOUNTS = sa.select(balances.c.user_id, *HELD).where(
    balances.c.user_id.in_(_USERS), *same(balances, "currency")
)
_NEWEST = (
    sa.select(log.c.user_id, sa.func.max(log.c.id))
    .where(log.c.user_id.in_(_USERS), *same(log, "currency"))
    .group_by(log.c.user_id)
)
_KEYS = sa.select(log.c.idempotency_key, *ENTRY).where(
    log.c.user_id.in_(_USERS), log.c.idempotency_key.in_(sa.bindparam("keys", expanding=True))
)
_PAID = sa.select(log.c.user_id, log.c.subject, log.c.id, log.c.created_at, log.c.once_key).where(
    log.c.user_id.in_(_USERS), *same(log, "currency", "reason")
)
_SINCE = _PAID.where(
    log.c.created_at >= sa.bindparam("start", type_=log.c.created_at.type), *IS_PAYMENT
)
_NAMED = _PAID.where(log.c.once_key.in_(sa.bindparam("names", expanding=True)))


def _by_currency(owners: Sequence[Owner]) -> Iterator[tuple[str, list[str]]]:
    for currency in sorted({currency for _, currency in owners}):
        yield currency, [user_id for user_id, each in owners if each == currency]


def accounts(
    connection: sa.Connection, owners: Sequence[Owner]
) -> dict[Owner, tuple[int, int, int]]:
    """What the balance rows of ``owners`` hold, as far as there are any."""
    return {
        (user_id, currency): (figures[0], figures[1], figures[2])
        for currency, users in _by_currency(owners)
        for user_id, *figures in connection.execute(
            _ACCOUNTS, {"users": users, "of_currency": currency}
        )
    }


def newest(connection: sa.Connection, owners: Sequence[Owner]) -> dict[Owner, int]:
    """The newest entry of each owner that this transaction can see."""
    return {
        (user_id, currency): entry
        for currency, users in _by_currency(owners)
        for user_id, entry in connection.execute(_NEWEST, {"users": users, "of_currency": currency})
    }


def entries_of_keys(
    connection: sa.Connection, movements: Sequence[Movement]
) -> dict[tuple[str, str], Entry]:
    """The entries that have the keys of ``movements``, by user and key."""
    params = {
        "users": sorted({movement.user_id for movement in movements}),
        "keys": sorted({movement.idempotency_key or "" for movement in movements}),
    }
    found = {}
    for row in connection.execute(_KEYS, params).mappings():
        values = {**row, "subject": row["subject"] or None}
        key = values.pop("idempotency_key")
        found[row["user_id"], key] = Entry(**values)
    return found


def paid(
    connection: sa.Connection, payments: Sequence[tuple[Movement, Claim | None]]
) -> Iterator[tuple[str, str, Paid]]:
    """User, subject and row of all that may count against the claims, which are alike."""
    claims = [claim for _, claim in payments if claim]
    params = {
        "users": sorted({movement.user_id for movement, _ in payments}),
        "of_currency": payments[0][0].currency,
        "of_reason": payments[0][0].reason,
        "start": min(claim.period.start for claim in claims),
        "names": sorted({name for claim in claims for name in claim.known_names}),
    }
    looks = [_SINCE, _NAMED] if params["names"] else [_SINCE]
    for look in looks:
        for user_id, subject, *row in connection.execute(look, params):
            yield user_id, subject, Paid(*row)


def earn(connection: sa.Connection, sums: dict[Owner, int], now: datetime) -> dict[Owner, Any]:
    """Add to the balances, in the order given; what they hold then, as (balance, earned, spent)."""
    if connection.dialect.name == "postgresql":
        rows = [{"user_id": user, "currency": each, "n": n} for (user, each), n in sums.items()]
        found = connection.execute(_earn_many(), {"rows": json.dumps(rows), "now": now})
        return {(user, each): tuple(figures) for user, each, *figures in found}
    params = [
        {"of_user_id": user_id, "of_currency": currency, "n": n, "now": now}
        for (user_id, currency), n in sums.items()
    ]
    connection.execute(one.earn(connection.dialect.name), params)
    return accounts(connection, list(sums))


def enter(connection: sa.Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Write entries, their ids in the order given."""
    if not rows:
        return
    if connection.dialect.name != "postgresql":
        connection.execute(INSERT, rows)
        return
    for row in rows:
        row["created_at"] = row["created_at"].isoformat()
    connection.execute(_enter_many(), {"rows": json.dumps(rows)})


def _records(**columns: Any) -> sa.TableValuedAlias:
    """A table that PostgreSQL reads out of the JSON text ``rows``."""
    document = sa.cast(sa.bindparam("rows", type_=sa.Text()), postgresql.JSON)
    records = sa.func.json_to_recordset(document)
    typed: list[Any] = [sa.column(name, type_) for name, type_ in columns.items()]
    return records.table_valued(*typed, name="given").render_derived(with_types=True)


@lru_cache
def _earn_many() -> Any:
    given = _records(user_id=sa.Text(), currency=sa.Text(), n=sa.BigInteger())
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
        **{OWN: True}
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
    given = _records(**types)
    insert = sa.insert(log).from_select(list(types), sa.select(*given.c))
    return insert.execution_options(**{OWN: True})
