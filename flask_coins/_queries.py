"""Every read of the tables that is no part of a movement. Nothing here commits or writes."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Session
from sqlalchemy.sql.functions import FunctionElement

from . import _hold_statements as holding
from . import _statements as sql
from ._claims import Claim, Paid
from ._faults import whole
from ._models import balances, log
from .results import Entry, Hold

_BALANCES = sa.select(balances.c.user_id, balances.c.balance).where(
    balances.c.user_id.in_(sa.bindparam("users", expanding=True)),
    *sql.same(balances, "currency"),
)
_CHUNK = 500
_HISTORY = (
    sa.select(*sql.ENTRY)
    .where(*sql.same(log, "user_id", "currency"))
    .order_by(log.c.id.desc())
    .limit(sql.LIMIT)
)
_HISTORY_BEFORE = _HISTORY.where(log.c.id < sa.bindparam("before", type_=sa.BigInteger))

_BALANCE_AT = sa.select(sa.func.coalesce(sa.func.sum(log.c.amount), 0)).where(
    *sql.same(log, "user_id", "currency"),
    log.c.created_at <= sa.bindparam("when", type_=log.c.created_at.type),
)
_PAYMENTS = sa.select(log.c.created_at, log.c.once_key).where(
    *sql.same(log, "user_id", "currency", "reason"), *sql.IS_PAYMENT
)
_BOUGHT = sql.BOUGHT.where(*sql.same(log, "user_id", "reason", "subject")).order_by(
    log.c.created_at
)


class Reader:
    """Reads through the session it is given, from the database that ``table`` is bound to."""

    def __init__(self, table: sa.Table = log) -> None:
        self.table = table

    def _rows(self, session: Session, statement: Any, params: dict[str, Any]) -> Any:
        with whole(session):
            connection = session.connection(bind_arguments={"clause": self.table})
            return connection.execute(statement, params).all()

    def balance(self, session: Session, user_id: str, currency: str) -> int:
        """What the user has; 0 for one who never had any."""
        rows = self._rows(session, sql.ACCOUNT, {"of_user_id": user_id, "of_currency": currency})
        return rows[0].balance if rows else 0

    def balances(self, session: Session, users: list[str], currency: str) -> dict[str, int]:
        """What each of ``users`` has, in as few statements as the engines' limits allow."""
        found = dict.fromkeys(users, 0)
        for start in range(0, len(users), _CHUNK):
            params = {"users": users[start : start + _CHUNK], "of_currency": currency}
            rows = self._rows(session, _BALANCES, params)
            found.update(map(tuple, rows))
        return found

    def available(self, session: Session, user_id: str, currency: str, now: datetime) -> int:
        """What the user can spend: the balance without the holds that count at ``now``."""
        params = {"of_user_id": user_id, "of_currency": currency, "now": now}
        rows = self._rows(session, holding.AVAILABLE, params)
        return int(rows[0][0]) if rows else 0

    def account(
        self, session: Session, user_id: str, currency: str, now: datetime
    ) -> tuple[int, int]:
        """The balance, and what of it can be spent at ``now``: two sides of one snapshot."""
        params = {"of_user_id": user_id, "of_currency": currency, "now": now}
        rows = self._rows(session, holding.BALANCE_AND_AVAILABLE, params)
        return (int(rows[0][0]), int(rows[0][1])) if rows else (0, 0)

    def entry(self, session: Session, entry_id: int) -> Entry | None:
        """The entry of that id."""
        return self._entry(session, sql.BY_ID, {"of_id": entry_id})

    def by_key(self, session: Session, user_id: str, key: str) -> Entry | None:
        """The entry of the user that has this idempotency key."""
        return self._entry(session, sql.BY_KEY, {"of_user_id": user_id, "of_idempotency_key": key})

    def received(self, session: Session, sent: Entry) -> Entry | None:
        """The recipient's entry of the transfer whose sender's entry is ``sent``."""
        link = {"of_user_id": sent.counterparty, "of_transfer_id": sent.id}
        return self._entry(session, sql.RECEIVED, link)

    def _entry(self, session: Session, statement: Any, params: dict[str, Any]) -> Entry | None:
        rows = self._rows(session, statement, params)
        return sql.entry_of(rows[0]) if rows else None

    def holds(self, session: Session, user_id: str, currency: str, now: datetime) -> list[Hold]:
        """The user's holds that count at ``now``, in the order in which they were made."""
        params = {"of_user_id": user_id, "of_currency": currency, "now": now}
        return [holding.hold_of(row) for row in self._rows(session, holding.LISTED, params)]

    def balance_at(self, session: Session, user_id: str, currency: str, when: datetime) -> int:
        """The sum of what moved up to ``when``."""
        params = {"of_user_id": user_id, "of_currency": currency, "when": when}
        return int(self._rows(session, _BALANCE_AT, params)[0][0])

    def payments(
        self, session: Session, user_id: str, currency: str, reason: str
    ) -> list[tuple[datetime, str | None]]:
        """When the user was paid for ``reason``, and under which name of a window."""
        params = {"of_user_id": user_id, "of_currency": currency, "of_reason": reason}
        return [tuple(row) for row in self._rows(session, _PAYMENTS, params)]

    def bought(self, session: Session, user_id: str, reason: str, subject: str) -> list[datetime]:
        """When the user spent coins on ``reason`` for ``subject``, and kept it, in order."""
        params = {"of_user_id": user_id, "of_reason": reason, "of_subject": subject}
        return [row.created_at for row in self._rows(session, _BOUGHT, params)]

    def history(
        self, session: Session, user_id: str, currency: str, limit: int, before: int | None
    ) -> list[Entry]:
        """Entries of the user, newest first, below the id ``before``."""
        params = {"of_user_id": user_id, "of_currency": currency, "limit": limit, "before": before}
        statement = _HISTORY if before is None else _HISTORY_BEFORE
        return [sql.entry_of(row) for row in self._rows(session, statement, params)]

    def paid(self, session: Session, params: dict[str, Any], claim: Claim) -> list[Paid]:
        """The rows that count against ``claim``, unlocked."""
        look = sql.look(len(claim.known_names), newest=False)
        return sql.split(self._rows(session, look, params | sql.claimed(claim)))[1]

    def named(self, session: Session, params: dict[str, Any], claim: Claim) -> list[Paid]:
        """The rows that bear one of the names that ``claim`` knows, unlocked."""
        rows = sql.named(len(claim.known_names))
        return [Paid(*each) for each in self._rows(session, rows, params | sql.claimed(claim))]


class UserKey(FunctionElement[str]):
    """A host's user key as the text that the tables keep, in SQL: integers and UUIDs too."""

    inherit_cache = True
    type = sa.String(64)
    name = "coins_user_key"


@compiles(UserKey)
def _compile_user_key(element: UserKey, compiler: Any, **kw: Any) -> str:
    key: Any = next(iter(element.clauses))
    dialect = compiler.dialect
    text: sa.ColumnElement[str] = sa.cast(key, sa.String(64))
    if isinstance(key.type, sa.Uuid) and not (
        key.type.native_uuid and dialect.supports_native_uuid
    ):
        # As a text of the connection's own character set: the column's may know no such collation.
        text = _dashed(sa.cast(sa.type_coerce(key, sa.String(64)), sa.String(64)))
    if dialect.name in sql.MYSQL_FAMILY:
        text = sa.collate(text, "utf8mb4_bin")
    return str(compiler.process(text, **kw))


def _dashed(digits: Any) -> sa.ColumnElement[str]:
    """Thirty-two hexadecimal digits as 8-4-4-4-12 (RFC 9562)."""
    first, *rest = (sa.func.substr(digits, at, n, type_=sa.String()) for at, n in _UUID_PARTS)
    joined: sa.ColumnElement[str] = first
    for part in rest:
        joined = joined + sa.literal_column("'-'", sa.String()) + part
    return sa.func.lower(joined)


_UUID_PARTS = ((1, 8), (9, 4), (13, 4), (17, 4), (21, 12))


def balance_of(key: Any, currency: str) -> sa.ColumnElement[int]:
    """The balance as a scalar subquery, for a host's own SELECT that has ``key`` in it."""
    mine = sa.select(balances.c.balance).where(
        balances.c.user_id == UserKey(key),
        balances.c.currency == currency,
    )
    return sa.func.coalesce(mine.scalar_subquery(), 0)
