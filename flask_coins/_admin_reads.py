"""What only those who look after an economy read: anybody's account, and everybody's entries.

Each statement goes along an index, or over a bounded stretch of ids.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

from . import _hold_statements as holding
from . import _statements as sql
from ._export import Selection
from ._models import balances, holds, log
from ._queries import Reader
from .results import Entry, Hold

STRETCH = 100_000
"""How many ids one search for a reason passes over."""
_CHUNK = 1000

_ACCOUNT = (balances.c.currency, balances.c.balance, balances.c.earned, balances.c.spent)
_ACCOUNTS = sa.select(*_ACCOUNT).where(*sql.same(balances, "user_id")).order_by(balances.c.currency)
_HOLDS = (
    sa.select(*holding.HOLD)
    .where(*sql.same(holds, "user_id"), *holding.COUNTS)
    .order_by(holds.c.id)
)
_TAKEN_BACK = (
    sa.select(log.c.reverses_id, sa.func.sum(sa.func.abs(log.c.amount)))
    .where(log.c.reverses_id.in_(sa.bindparam("ids", expanding=True)))
    .group_by(log.c.reverses_id)
)
_NEWEST = sa.select(sa.func.coalesce(sa.func.max(log.c.id), 0))


class Account(NamedTuple):
    """What a user has in one currency."""

    currency: str
    balance: int
    earned: int
    spent: int


class Stretch(NamedTuple):
    """Entries that were found below an id, and where the search has ended."""

    entries: list[Entry]
    before: int | None
    """The id to go on below; None: that was all."""


class AdminReader(Reader):
    """Reads of every user's coins, through the session that is given."""

    def accounts(self, session: Session, user_id: str) -> list[Account]:
        """What the user has, by currency."""
        return [Account(*row) for row in self._rows(session, _ACCOUNTS, {"of_user_id": user_id})]

    def open_holds(self, session: Session, user_id: str, now: datetime) -> list[Hold]:
        """The user's holds that count at ``now``, in every currency."""
        rows = self._rows(session, _HOLDS, {"of_user_id": user_id, "now": now})
        return [holding.hold_of(row) for row in rows]

    def hold(self, session: Session, hold_id: int) -> Hold | None:
        """The hold of that id, as its row has it."""
        rows = self._rows(session, holding.BY_ID, {"of_id": hold_id})
        return holding.hold_of(rows[0]) if rows else None

    def entries(
        self, session: Session, chosen: Selection, limit: int, before: int | None
    ) -> list[Entry]:
        """Up to ``limit`` of the chosen entries, newest first, below the id ``before``."""
        query = chosen.of(tuple(sql.ENTRY)).order_by(log.c.id.desc()).limit(limit)
        if before is not None:
            query = query.where(log.c.id < before)
        return [sql.entry_of(row) for row in self._rows(session, query, {})]

    def taken_back(self, session: Session, ids: Sequence[int]) -> dict[int, int]:
        """How much of each of these entries was reversed, where something was."""
        rows = self._rows(session, _TAKEN_BACK, {"ids": list(ids)}) if ids else ()
        return {entry_id: int(amount) for entry_id, amount in rows}

    def for_reason(self, session: Session, reason: str, limit: int, before: int | None) -> Stretch:
        """Everybody's entries for ``reason``, newest first, within one stretch of ids."""
        if before is None:
            before = self._rows(session, _NEWEST, {})[0][0] + 1
        end = before - STRETCH
        query = (
            Selection(reason=reason).of(tuple(sql.ENTRY)).where(log.c.id.between(end, before - 1))
        )
        rows = self._rows(session, query.order_by(log.c.id.desc()).limit(limit + 1), {})
        found = [sql.entry_of(row) for row in rows]
        if len(found) > limit:
            return Stretch(found[:limit], found[limit - 1].id)
        return Stretch(found, end if end > 1 else None)

    def chunks(self, session: Session, chosen: Selection) -> Iterator[Sequence[Any]]:
        """Whole rows by their ids, a few at a time: no cursor is open while somebody else is slow."""
        query, last = chosen.of(tuple(log.columns)).order_by(log.c.id).limit(_CHUNK), 0
        while rows := self._rows(session, query.where(log.c.id > last), {}):
            yield rows
            last = rows[-1].id
