"""A cluster for the tests here, which run only where ``COINS_TEST_CLUSTER=1``.

They need a driver that other tests do without, so nothing is imported before a cluster is wanted.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import count
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .load import Crowd
    from .nodes import Cluster

WANTED = os.environ.get("COINS_TEST_CLUSTER") == "1"
collect_ignore_glob = [] if WANTED else ["test_*.py"]
_numbers = count()


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Three nodes, all joined."""
    from .nodes import INSTALL, missing, running

    if lacking := missing():
        pytest.fail(
            f"COINS_TEST_CLUSTER=1, but there is no {', no '.join(lacking)}."
            f" As root on Debian: {INSTALL}",
            pytrace=False,
        )
    with running() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def crowd() -> Iterator[Crowd]:
    """Processes for ``crowd.race(urls, call, users)`` and ``crowd.load(urls)``."""
    from .load import spawn

    with spawn() as crowd:
        yield crowd


@pytest.fixture
def urls(cluster: Cluster) -> Iterator[list[str]]:
    """One database with our tables, as each node is asked for it."""
    from .audit import make_tables

    name = f"host{next(_numbers)}"
    cluster.nodes[0].ask(f"CREATE DATABASE {name}")
    make_tables(cluster.nodes[0].url(name))
    for node in cluster.nodes:
        node.ask("SET SESSION wsrep_sync_wait = 1", f"SELECT 1 FROM {name}.coin_log")
    yield cluster.urls(name)
    cluster.nodes[0].ask(f"DROP DATABASE {name}")
