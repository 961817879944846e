"""Servers of their own for tests that stop and kill them; where servers are tested at all."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.databases import SERVERS
from tests.private import MariaDB, PgBouncer, PostgreSQL, Server, folder, running

NEED_SERVERS = ["test_restarts.py", "test_pgbouncer.py", "test_disk_full_postgresql.py"]
collect_ignore = [] if SERVERS else NEED_SERVERS


@pytest.fixture(scope="session")
def private_postgresql() -> Iterator[Server]:
    """A PostgreSQL that only this process uses."""
    with folder() as where, running(PostgreSQL(where)) as server:
        yield server


@pytest.fixture(scope="session")
def private_mariadb() -> Iterator[Server]:
    """A MariaDB that only this process uses."""
    with folder() as where, running(MariaDB(where)) as server:
        yield server


@pytest.fixture(scope="session")
def pgbouncer(private_postgresql: PostgreSQL) -> Iterator[Server]:
    """PgBouncer in transaction mode, in front of that PostgreSQL."""
    with folder() as where, running(PgBouncer(where, private_postgresql)) as server:
        yield server
