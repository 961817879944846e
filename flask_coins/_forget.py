"""Erasing a person: the id gives way to a random one, and what could tell who it was is wiped.

Amounts, moments and reasons stay, so every total does, and the ledger can still be verified. Which id
took the place of whose is written down nowhere.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ._checks import FORGOTTEN
from ._faults import whole
from ._models import balances, hidden, holds, log
from ._statements import earn, same

_AT_ONCE = 500

_ID = sa.bindparam("of_user_id", type_=log.c.user_id.type)
_ALIAS = sa.bindparam("alias", type_=log.c.user_id.type)
_NOW = sa.bindparam("now", type_=holds.c.closed_at.type)
_CURRENCIES: sa.BindParameter[Any] = sa.bindparam("currencies", expanding=True)


def _mine(table: sa.Table) -> list[sa.ColumnElement[bool]]:
    return [table.c.user_id == _ID, table.c.currency.in_(_CURRENCIES)]


_KEPT = sa.union(
    *(sa.select(table.c.currency).where(table.c.user_id == _ID) for table in (balances, log, holds))
)
_OTHERS = (
    sa.select(log.c.counterparty)
    .where(log.c.user_id == _ID, log.c.counterparty.is_not(None))
    .distinct()
)
_LOCK = (
    sa.select(balances.c.currency)
    .where(balances.c.user_id == _ID)
    .order_by(balances.c.currency)
    .with_for_update()
)
_TOUCH = (
    sa.update(balances).where(balances.c.user_id == _ID).values(updated_at=balances.c.updated_at)
)
_BALANCES = (
    sa.update(balances).where(*_mine(balances)).values(user_id=_ALIAS, held=0, updated_at=_NOW)
)
_ENTRIES = (
    sa.update(log)
    .where(*_mine(log))
    .values(user_id=_ALIAS, subject="", once_key=None, idempotency_key=None, details=sa.null())
)
_RELEASED = (
    sa.update(holds)
    .where(*_mine(holds), holds.c.status == "open")
    .values(status="released", closed_at=_NOW)
)
_HOLDS = (
    sa.update(holds)
    .where(*_mine(holds))
    .values(user_id=_ALIAS, subject="", idempotency_key=None, details=sa.null())
)
_LEGS = (
    sa.select(log.c.id, log.c.counterparty, log.c.transfer_id)
    .where(
        log.c.user_id == _ALIAS,
        log.c.counterparty.is_not(None),
        log.c.id > sa.bindparam("after", type_=sa.BigInteger),
    )
    .order_by(log.c.id)
    .limit(_AT_ONCE)
)
_SHOWN = sa.delete(hidden).where(hidden.c.user_id == _ID)
_SENT_TO = sa.update(log).where(*same(log, "user_id", "id")).values(counterparty=_ALIAS)
_RECEIVED_FROM = (
    sa.update(log).where(*same(log, "user_id", "transfer_id")).values(counterparty=_ALIAS)
)


@dataclass(frozen=True)
class Forgotten:
    """How much was kept under the id; true if there was anything."""

    balances: int
    """Rows of ``coin_balance``: one for each currency."""
    entries: int
    holds: int
    released: int
    """Those of the holds that were open."""
    counterparts: int
    """Entries of other users that named the id: the other sides of transfers."""
    hidden: int = 0
    """1 where they were hidden from leaderboards."""

    def __bool__(self) -> bool:
        return any(astuple(self))


def forget(session: Session, table: sa.Table, user_id: str, now: datetime) -> Forgotten:
    """Put a random id in the place of ``user_id``, which was checked, and wipe what goes with it.

    The balances of the user, and of all whom coins went to or came from, are locked first, in the
    order of their ids. A currency that the user comes to have meanwhile belongs to somebody new.
    Writes through the session, and does not commit; what is raised is raised after a rollback.
    """
    with whole(session):
        connection = session.connection(bind_arguments={"clause": table})
        alias = f"{FORGOTTEN}{secrets.token_hex(16)}"
        params = {"of_user_id": user_id, "alias": alias, "now": now}
        if connection.dialect.name == "sqlite":
            connection.execute(_TOUCH, params)
        params["currencies"] = sorted(connection.scalars(_KEPT, params))
        _lock(connection, params)
        entries = connection.execute(_ENTRIES, params).rowcount
        released = connection.execute(_RELEASED, params).rowcount
        kept = connection.execute(_HOLDS, params).rowcount
        rows = connection.execute(_BALANCES, params).rowcount
        counterparts = _rename_to_others(connection, alias)
        shown = connection.execute(_SHOWN, params).rowcount
        return Forgotten(rows, entries, kept, released, counterparts, shown)


def _lock(connection: sa.Connection, params: dict[str, Any]) -> None:
    """Lock the balances concerned; the user's own are made first where they are not there."""
    user_id = params["of_user_id"]
    others = {other for other in connection.scalars(_OTHERS, params) if other is not None}
    for each in sorted({user_id, *others}):
        if each != user_id:
            connection.execute(_LOCK, {"of_user_id": each}).all()
            continue
        for currency in params["currencies"]:
            row = {"of_user_id": each, "of_currency": currency, "n": 0, "now": params["now"]}
            connection.execute(earn(connection.dialect.name), row)


def _rename_to_others(connection: sa.Connection, alias: str) -> int:
    """Put ``alias`` into the other sides of the transfers that it has; how many there are."""
    number = 0
    for legs in _legs(connection, alias):
        for leg in legs:
            other = {"of_user_id": leg.counterparty, "alias": alias}
            if leg.transfer_id is None:
                change = _RECEIVED_FROM, other | {"of_transfer_id": leg.id}
            else:
                change = _SENT_TO, other | {"of_id": leg.transfer_id}
            number += connection.execute(*change).rowcount
    return number


def _legs(connection: sa.Connection, alias: str) -> Iterator[Any]:
    """The entries of transfers, by ids, a few hundred at a time."""
    after = 0
    while legs := connection.execute(_LEGS, {"alias": alias, "after": after}).all():
        yield legs
        after = legs[-1].id
