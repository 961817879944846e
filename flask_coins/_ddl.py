"""What adoption does to the schema, where the engines differ."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from ._models import log
from ._old_log import KEPT, OLD


@contextmanager
def references_kept(connection: sa.Connection) -> Iterator[None]:
    """Views and triggers go on naming what they name; SQLite would have them follow a renamed table."""
    if connection.dialect.name != "sqlite":
        yield
        return
    before = connection.exec_driver_sql("PRAGMA legacy_alter_table").scalar()
    connection.exec_driver_sql("PRAGMA legacy_alter_table = 1")
    try:
        yield
    finally:
        if not connection.invalidated:
            connection.exec_driver_sql(f"PRAGMA legacy_alter_table = {before or 0}")


def locks(connection: sa.Connection, patience: int) -> list[str]:
    """What keeps others from writing meanwhile. MariaDB's locks do not outlive a CREATE TABLE.

    ``patience`` is in seconds: how long others may hold on to the old log.
    """
    if connection.dialect.name == "postgresql":
        wait = f"SET LOCAL lock_timeout = '{patience}s'"
        return [wait, f"LOCK TABLE {OLD} IN ACCESS EXCLUSIVE MODE"]
    if connection.dialect.name != "sqlite":
        return [f"SET SESSION lock_wait_timeout = {patience}"]
    driver: Any = connection.connection.driver_connection
    return [] if driver.in_transaction else ["BEGIN IMMEDIATE"]


def freed_names(connection: sa.Connection) -> list[str]:
    """Give our names of indexes free where they are unique in the whole schema."""
    inspector = sa.inspect(connection)
    ours = {str(index.name) for index in log.indexes} | {"pk_coin_log"}
    taken = {str(each["name"]) for each in inspector.get_indexes(OLD)} & ours
    if connection.dialect.name == "sqlite":
        return [f"DROP INDEX {name}" for name in sorted(taken)]
    taken |= {str(inspector.get_pk_constraint(OLD)["name"])} & ours
    return [f"ALTER INDEX {name} RENAME TO {name}_before_coins" for name in sorted(taken)]


def sequences(connection: sa.Connection, new: str, following: int) -> list[str]:
    """PostgreSQL's counter of ids, named as a fresh table's is, goes on with ``following``."""
    if connection.dialect.name != "postgresql":
        return []
    return [
        f"ALTER SEQUENCE IF EXISTS {OLD}_id_seq RENAME TO {KEPT}_id_seq",
        f"ALTER SEQUENCE {new}_id_seq RENAME TO {OLD}_id_seq",
        f"ALTER SEQUENCE {OLD}_id_seq RESTART WITH {following}",
    ]
