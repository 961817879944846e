"""Every IANA zone at every clock change from 1970 to 2037, against the zone's own file."""

from __future__ import annotations

import pytest

from .zones_oracle import DAY_AND_WEEK, OTHERS, Kind, every_zone


def agrees(kind: Kind) -> None:
    checks = every_zone([kind])
    assert checks.faults == []
    # Fewer would be a zone database that lacks zones, or years.
    assert checks.zones > 250
    assert checks.changes > 15_000


@pytest.mark.parametrize("kind", DAY_AND_WEEK, ids=lambda kind: kind.word)
def test_days_and_weeks_are_right_at_every_clock_change_of_every_zone(kind: Kind) -> None:
    agrees(kind)


@pytest.mark.slow
@pytest.mark.parametrize("kind", OTHERS, ids=lambda kind: kind.word)
def test_so_are_the_other_windows(kind: Kind) -> None:
    agrees(kind)
