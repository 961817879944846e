"""Empty databases: files for SQLite, databases of their own on the servers that are named.

``COINS_TEST_POSTGRESQL`` and ``COINS_TEST_MARIADB`` are URLs of servers where databases may be
made, ``COINS_TEST_REQUIRE_ENGINES=1`` makes a missing one an error.
"""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import pytest
import sqlalchemy as sa
from sqlalchemy.pool import NullPool

from flask_coins._models import Base

_VARIABLES = {"postgresql": "COINS_TEST_POSTGRESQL", "mariadb": "COINS_TEST_MARIADB"}
_URLS = {name: os.environ.get(variable) for name, variable in _VARIABLES.items()}

SERVERS = [pytest.param(name, marks=pytest.mark.servers) for name, url in _URLS.items() if url]
"""The servers to test on, as parameters."""
ENGINES = ["sqlite", *SERVERS]
"""Everything to test on, as parameters."""


def missing() -> list[str]:
    """The variables that are required and not set."""
    if os.environ.get("COINS_TEST_REQUIRE_ENGINES") != "1":
        return []
    return [_VARIABLES[name] for name, url in _URLS.items() if not url]


@contextmanager
def new_database(server: str) -> Iterator[str]:
    """Make an empty database on ``server`` and give its URL; remove it afterwards."""
    url = sa.make_url(_URLS[server] or "")
    name = f"coins_test_{uuid.uuid4().hex[:12]}"
    _execute(url, f"CREATE DATABASE {name}")
    if server == "postgresql":  # nothing here outlives the server: those that do start their own
        _execute(url, f"ALTER DATABASE {name} SET synchronous_commit = off")
    try:
        yield url.set(database=name).render_as_string(hide_password=False)
    finally:
        _execute(url, f"DROP DATABASE {name}")


def drop_tables(url: str) -> None:
    """Leave the database at ``url`` as empty as it was made."""
    if url.startswith("postgresql"):
        _execute(sa.make_url(url), "DROP SCHEMA public CASCADE", "CREATE SCHEMA public")
    else:
        names = sa.inspect(_engine(sa.make_url(url))).get_table_names()
        quoted = ", ".join(f"`{name}`" for name in names)
        drop = [f"DROP TABLE {quoted}"] if names else []
        _execute(sa.make_url(url), "SET foreign_key_checks = 0", *drop)


def drop_rows(url: str) -> None:
    """Leave no row in the database at ``url``, and our tables as ``create_all`` makes them.

    To make them anew takes most tests longer than all that they do with them.
    """
    with _engine(sa.make_url(url)).connect() as connection:
        whole = _shape(connection) == _made.get(url)
        if whole:
            from_one = " RESTART IDENTITY" if connection.dialect.name == "postgresql" else ""
            for name in _used(connection):
                connection.exec_driver_sql(f"TRUNCATE {name}{from_one}")
    if not whole:
        drop_tables(url)
        Base.metadata.create_all(_engine(sa.make_url(url)))
        with _engine(sa.make_url(url)).connect() as connection:
            _made[url] = _shape(connection)


_made: dict[str, object] = {}
"""By URL: the shape of our tables there."""
_OURS = Base.metadata.tables
_FILLED = sa.union_all(
    *(
        sa.select(sa.literal(name)).where(sa.exists(sa.select(1).select_from(table)))
        for name, table in _OURS.items()
    )
)


def _used(connection: sa.Connection) -> set[str]:
    """Our tables that have rows, or had some that were rolled back: their ids have gone on."""
    counters = connection.exec_driver_sql(_COUNTERS[connection.dialect.name]).scalars()
    return {*connection.scalars(_FILLED), *(name.removesuffix("_id_seq") for name in counters)}


_COUNTERS = {
    "postgresql": "SELECT sequencename FROM pg_sequences WHERE last_value IS NOT NULL",
    "mariadb": "SELECT table_name FROM information_schema.tables"
    " WHERE table_schema = DATABASE() AND auto_increment > 1",
}


def _shape(connection: sa.Connection) -> object:
    """What the database is made of; whatever was made, changed or dropped in it, it has another."""
    if connection.dialect.name == "postgresql":
        return connection.exec_driver_sql(_CATALOG).all()
    tables = [*connection.exec_driver_sql("SHOW FULL TABLES")]
    if {name for name, _ in tables} != {*_OURS}:
        return tables
    made = [connection.exec_driver_sql(f"SHOW CREATE TABLE {name}").one()[1] for name in _OURS]
    triggers = connection.exec_driver_sql("SHOW TRIGGERS").all()
    return [re.sub(r" AUTO_INCREMENT=\d+", "", sql) for sql in made], triggers


_CATALOG = """
WITH relations AS (
    SELECT oid, relname, relkind, relpersistence, reloptions, relhastriggers
    FROM pg_class WHERE relnamespace = 'public'::regnamespace
)
SELECT md5(string_agg(row, '' ORDER BY row)) FROM (
    SELECT r::text AS row FROM relations r
    UNION ALL SELECT a::text FROM pg_attribute a WHERE attrelid IN (SELECT oid FROM relations)
    UNION ALL SELECT i::text FROM pg_index i WHERE indexrelid IN (SELECT oid FROM relations)
    UNION ALL SELECT c::text FROM pg_constraint c WHERE connamespace = 'public'::regnamespace
    UNION ALL SELECT p::text FROM pg_proc p WHERE pronamespace = 'public'::regnamespace
    UNION ALL SELECT t::text FROM pg_type t WHERE typnamespace = 'public'::regnamespace
) all_rows
"""


@contextmanager
def beside(connection: sa.Connection) -> Iterator[sa.Connection]:
    """Another connection to the same database, of an engine that lasts: it compiles nothing twice."""
    with _lasting(connection.engine.url).connect() as other:
        yield other


@cache
def _lasting(url: sa.URL) -> sa.Engine:
    return sa.create_engine(url, poolclass=NullPool)


@cache
def _engine(url: sa.URL) -> sa.Engine:
    return sa.create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")


def _execute(url: sa.URL, *statements: str) -> None:
    with _engine(url).connect() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
