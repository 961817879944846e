"""What only a server can show: the tests here run on PostgreSQL and MariaDB, never on SQLite."""

from __future__ import annotations

import pytest

from tests.databases import SERVERS

collect_ignore_glob = [] if SERVERS else ["test_*.py"]


@pytest.fixture(scope="session", params=SERVERS)
def engine(request: pytest.FixtureRequest) -> str:
    """The server's name: "postgresql" or "mariadb"."""
    return str(request.param)


@pytest.fixture
def engine_url(database_url: str) -> str:
    """The URL of an empty database on the server."""
    return database_url
