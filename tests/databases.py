"""Empty databases: files for SQLite, databases of their own on the servers that are named.

``COINS_TEST_POSTGRESQL`` and ``COINS_TEST_MARIADB`` are URLs of servers where databases may be
made, ``COINS_TEST_REQUIRE_ENGINES=1`` makes a missing one an error.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import pytest
import sqlalchemy as sa
from sqlalchemy.pool import NullPool

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
