"""Every read of the tables that is no part of a movement. Nothing here commits or writes."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Session

from . import _statements as sql
from ._claims import Claim, Paid
from ._faults import whole
from ._models import balances, log
from .results import Entry

_BALANCES = sa.select(balances.c.user_id, balances.c.balance).where(
    balances.c.user_id.in_(sa.bindparam("users", expanding=True)),
    *sql.same(balances, "currency"),
)
_CHUNK = 500
_HISTORY = (
    sa.select(*sql.ENTRY)
    .where(*sql.same(log, "user_id", "currency"))
    .order_by(log.c.id.desc())
    .limit(sa.bindparam("limit", type_=sa.Integer))
)
_HISTORY_BEFORE = _HISTORY.where(log.c.id < sa.bindparam("before", type_=sa.BigInteger))


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
            found.update(row._tuple() for row in self._rows(session, _BALANCES, params))
        return found

    def history(
        self, session: Session, user_id: str, currency: str, limit: int, before: int | None
    ) -> list[Entry]:
        """Entries of the user, newest first, below the id ``before``."""
        params = {"of_user_id": user_id, "of_currency": currency, "limit": limit, "before": before}
        statement = _HISTORY if before is None else _HISTORY_BEFORE
        return [sql.entry_of(row) for row in self._rows(session, statement, params)]

    def paid(self, session: Session, params: dict[str, Any], claim: Claim) -> list[Paid]:
        """The rows that count against ``claim``, unlocked."""
        look = sql.look(len(claim.known_names))
        return sql.split(self._rows(session, look, params | sql.claimed(claim)))[1]


class coin_user_id(sa.ColumnElement[str]):
    """A host's user key as the text that the tables keep, in SQL: integers and UUIDs too."""

    inherit_cache = True
    type = sa.String(64)

    def __init__(self, key: sa.ColumnElement[Any]) -> None:
        self.key_column = key

    _traverse_internals = [("key_column", sa.sql.visitors.InternalTraversal.dp_clauseelement)]


@compiles(coin_user_id)
def _compile_user_id(element: coin_user_id, compiler: Any, **kw: Any) -> str:
    """Uuids become 8-4-4-4-12 also where the engine keeps 32 hexadecimal digits."""
    key, dialect = element.key_column, compiler.dialect
    words: sa.ColumnElement[Any] = sa.cast(key, sa.String(64))
    if isinstance(key.type, sa.Uuid) and not (key.type.native_uuid and dialect.supports_native_uuid):
        digits = sa.type_coerce(key, sa.String(64))
        cuts = [sa.func.substr(digits, at, n) for at, n in _UUID_PARTS]
        words = sa.func.lower(_joined(cuts))
    if dialect.name in sql.MYSQL_FAMILY:
        words = sa.collate(words, "utf8mb4_bin")
    return str(compiler.process(words, **kw))


_UUID_PARTS = ((1, 8), (9, 4), (13, 4), (17, 4), (21, 12))


def _joined(parts: list[Any]) -> sa.ColumnElement[Any]:
    joined = parts[0]
    for part in parts[1:]:
        joined = joined + sa.literal_column("'-'", sa.String) + part
    return joined


def balance_of(key: Any, currency: str) -> sa.ColumnElement[int]:
    """The balance as a scalar subquery, for a host's own SELECT that has ``key`` in it."""
    mine = sa.select(balances.c.balance).where(
        balances.c.user_id == coin_user_id(key),
        balances.c.currency == currency,
    )
    return sa.func.coalesce(mine.scalar_subquery(), 0)
