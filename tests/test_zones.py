"""Every IANA zone at every clock change from 1970 to 2037, against the zone's own file."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from .zones_oracle import DAY_AND_WEEK, OTHERS, Kind, every_zone


@pytest.mark.parametrize("kind", [*DAY_AND_WEEK, *OTHERS], ids=lambda kind: kind.word)
def test_windows_are_right_at_every_clock_change_of_some_zones(kind: Kind) -> None:
    checks = every_zone([kind], step=20)
    assert checks.faults == []
    assert checks.changes > 500


@pytest.mark.slow
def test_windows_are_right_at_every_clock_change_of_every_zone() -> None:
    # By itself, as nothing there needs to be traced: that would take three times as long.
    command = [sys.executable, "-m", "tests.zones_oracle"]
    root = Path(__file__).parents[1]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    figures = re.match(r"zones that differ: (\S+) zones, (\S+) clock changes", done.stdout)
    assert figures
    zones, changes = (int(number.replace(",", "")) for number in figures.groups())
    # Fewer would be a zone database that lacks zones, or years.
    assert zones > 250
    assert changes > 15_000
