"""The temporary table that an import is gathered in, and the quickest way into it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from ._import_columns import Column
from ._import_rows import COLUMNS
from ._models import balances, log
from ._statements import MYSQL_FAMILY, insert_for
from .errors import CoinsError

_SCHEMAS = {"postgresql": "pg_temp", "sqlite": "temp"}
_COPYING = ("psycopg", "psycopg2")
_OURS = {"line", "place"}
_PLAIN = COLUMNS[:10]
"""What a row from elsewhere fills."""
_DETAILS = COLUMNS.index("details")
_NOTHING = "\0"


def temporary(name: str, dialect: sa.Dialect, *columns: sa.Column[Any]) -> sa.Table:
    """A table that only this connection sees, and on PostgreSQL only this transaction."""
    return sa.Table(
        name,
        sa.MetaData(),
        *columns,
        schema=_SCHEMAS.get(dialect.name),
        prefixes=["TEMPORARY"],
        postgresql_on_commit="DROP",
    )


class Staging:
    """The rows of one import, on one connection."""

    def __init__(self, connection: sa.Connection) -> None:
        self.connection = connection
        self.dialect = connection.dialect
        self.table = temporary(
            "coin_import",
            self.dialect,
            *(sa.Column(name, sa.BigInteger, nullable=False) for name in ("line", "place")),
            *(sa.Column(name, log.c[name].type) for name in COLUMNS if name not in _OURS),
            sa.Column("known", sa.Boolean, server_default=sa.false()),
        )
        self.s = self.table.alias("s")
        self.copies = self.dialect.name == "postgresql" and self.dialect.driver in _COPYING

    def make(self) -> None:
        """Make the table anew: what was interrupted may have left one behind."""
        self.drop()
        self.table.create(self.connection, checkfirst=False)

    def drop(self) -> None:
        """Remove the table; in MariaDB's way that ends no transaction."""
        if self.dialect.name in MYSQL_FAMILY:
            self.connection.exec_driver_sql("DROP TEMPORARY TABLE IF EXISTS coin_import")
        else:
            schema = _SCHEMAS[self.dialect.name]
            self.connection.exec_driver_sql(f"DROP TABLE IF EXISTS {schema}.coin_import")

    @contextmanager
    def filling(self, *, own: bool) -> Iterator[Callable[[Sequence[Column]], object]]:
        """What puts the columns of some rows there; ``own`` rows fill every one.

        Nothing else can be done with the connection meanwhile. CoinsError if the driver fails.
        """
        names = COLUMNS if own else _PLAIN
        if not self.copies:
            insert = sa.insert(self.table)
            yield lambda columns: self.connection.execute(
                insert, [dict(zip(names, row, strict=False)) for row in zip(*columns, strict=True)]
            )
            return
        statement = f"COPY pg_temp.coin_import ({', '.join(names)}) FROM STDIN"
        driver: Any = self.connection.connection.driver_connection
        try:
            with driver.cursor() as cursor, _copying(cursor, statement) as write:
                yield lambda columns: write(_lines(columns[: len(names)]))
        except self.dialect.loaded_dbapi.Error as error:
            raise CoinsError(f"The database refused, nothing was imported: {error}") from error

    def finish(self, *, own: bool) -> None:
        """Make ready for the statements to come; ``own`` rows are looked up by their place, too.

        MariaDB joins by an index or by trying every pair. PostgreSQL plans by what is there, and
        sorts in more than the few MB that it has by default.
        """
        if self.dialect.name in MYSQL_FAMILY:
            sa.Index("ix_coin_import_key", self.table.c.idempotency_key).create(self.connection)
        if own:
            sa.Index("ix_coin_import_place", self.table.c.place).create(self.connection)
        if self.dialect.name == "postgresql":
            self.connection.exec_driver_sql("SET LOCAL work_mem = '64MB'")
            self.connection.exec_driver_sql("ANALYZE pg_temp.coin_import")

    def ordered(self, *columns: sa.ColumnElement[Any]) -> list[sa.ColumnElement[Any]]:
        """Columns to sort by as Python sorts: everybody who locks several accounts does."""
        if self.dialect.name != "postgresql":
            return list(columns)
        return [sa.collate(column, "C") for column in columns]

    def of_account(self) -> sa.ColumnElement[bool]:
        """The condition that joins a row with its balance."""
        return sa.and_(
            balances.c.user_id == self.s.c.user_id, balances.c.currency == self.s.c.currency
        )


@contextmanager
def _copying(cursor: Any, statement: str) -> Iterator[Callable[[str], object]]:
    if hasattr(cursor, "copy_expert"):  # psycopg2
        yield lambda text: cursor.copy_expert(statement, io.StringIO(text))
        return
    # While the server takes rows in, the next ones are read.
    with cursor.copy(statement) as copy:
        yield copy.write


def upsert(
    dialect: str, names: Sequence[str], rows: sa.Select[Any], changed: Sequence[str] = ()
) -> Any:
    """Write ``rows`` into the balances: a row that is there takes over the columns ``changed``.

    With none it stays as it is, and is locked.
    """
    insert = insert_for(dialect, balances).from_select(names, rows)
    new = insert.inserted if dialect in MYSQL_FAMILY else insert.excluded
    change = {name: new[name] for name in changed} or {"balance": balances.c.balance}
    if dialect in MYSQL_FAMILY:
        return insert.on_duplicate_key_update(change)
    keys = [balances.c.user_id, balances.c.currency]
    return insert.on_conflict_do_update(index_elements=keys, set_=change)


def _lines(columns: Sequence[Column]) -> str:
    """Rows as COPY reads them: it has been checked that there are no control characters in them."""
    cells = list(map(_cells, columns))
    cells[_DETAILS] = [_NOTHING if each is None else json.dumps(each) for each in columns[_DETAILS]]
    rows = "\n".join(map("\t".join, zip(*cells, strict=True)))
    return rows.replace("\\", "\\\\").replace(_NOTHING, "\\N") + "\n"


def _cells(column: Column) -> Iterable[str]:
    kinds = set(map(type, column))
    if kinds == {str}:
        return column
    if type(None) in kinds:
        return [_NOTHING if each is None else str(each) for each in column]
    return map(str, column)
