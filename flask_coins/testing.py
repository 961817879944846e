"""What host apps use in their own tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone

from flask import Flask

from ._state import state_of
from .errors import CoinsError

__all__ = ["Traveller", "travel"]


class Traveller:
    """The clock of an app while :func:`travel` lasts. It stands still unless it is moved."""

    def __init__(self, when: datetime | str) -> None:
        self.move_to(when)

    def __call__(self) -> datetime:
        """The moment, as a clock tells it."""
        return self.now

    def move_to(self, when: datetime | str) -> None:
        """Go to ``when``: an aware datetime, or its text in ISO 8601 with an offset."""
        if isinstance(when, str):
            # Python 3.10 does not read the Z of RFC 3339.
            when = datetime.fromisoformat(when.replace("Z", "+00:00"))
        if not isinstance(when, datetime) or when.tzinfo is None:
            raise CoinsError(
                f"{when!r} is no moment with a UTC offset, such as 2026-11-22T09:00+01:00."
            )
        #: The moment that the app's calls see: aware, in UTC.
        self.now = when.astimezone(timezone.utc)

    def shift(self, **parts: float) -> None:
        """Move on by ``timedelta(**parts)``; back with negative numbers."""
        self.now += timedelta(**parts)


@contextmanager
def travel(app: Flask, when: datetime | str) -> Iterator[Traveller]:
    """Let the coin calls of ``app`` happen at ``when`` for the length of a ``with`` block.

    Only Flask-Coins travels: the rest of the app keeps its clock. freezegun and time-machine, which
    move every clock, work too.
    """
    state = state_of(app)
    clock, state.clock = state.clock, Traveller(when)
    try:
        yield state.clock
    finally:
        state.clock = clock
