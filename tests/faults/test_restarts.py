"""A server that goes away under load: processes that repeat as the docs say lose nothing."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from signal import SIGKILL, SIGQUIT, SIGTERM, Signals
from typing import Any

import pytest

from tests.databases import drop_tables

from .workers import Job, restart, survive

pytestmark = pytest.mark.servers


@pytest.mark.parametrize(
    ("name", "database", "how"),
    [
        ("private_postgresql", "postgres", SIGQUIT),
        ("private_postgresql", "postgres", SIGKILL),
        ("private_mariadb", "test", SIGTERM),
        ("private_mariadb", "test", SIGKILL),
    ],
)
def test_a_restart_under_load_loses_and_doubles_nothing(
    request: pytest.FixtureRequest, tmp_path: Path, name: str, database: str, how: Signals
) -> None:
    server: Any = request.getfixturevalue(name)
    job = Job(server.url(database), str(tmp_path / "acks"))
    strike = partial(restart, server, how)
    verdict = survive(job, [lambda crew: strike()] * 3, more=60)
    assert verdict.acknowledged > 240
    assert verdict.is_clean, verdict
    drop_tables(job.url)
