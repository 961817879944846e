"""SIGKILL in mid-payment: nothing that was acknowledged is lost, nothing is there twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from .workers import SQLITE_MODES, Crew, Job, survive

KILLS = [Crew.kill_one] * 12


@pytest.mark.slow
def test_workers_that_are_killed_lose_and_double_nothing(database_url: str, tmp_path: Path) -> None:
    verdict = survive(Job(database_url, str(tmp_path / "acks")), KILLS)
    assert verdict.acknowledged > 60
    assert verdict.is_clean, verdict


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "options"), SQLITE_MODES[1:])
def test_sqlite_survives_in_every_mode(mode: str, options: dict[str, Any], tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'host.sqlite3'}"
    verdict = survive(Job(url, str(tmp_path / "acks"), mode, options), KILLS)
    assert verdict.acknowledged > 60
    assert verdict.is_clean, verdict
