"""Coins that were moved and never committed: they are about to be lost."""

from __future__ import annotations

import warnings
from collections.abc import Callable

from flask import g

from . import _session
from ._state import FAILED, State
from .errors import CoinsError, CoinsWarning


def tell_of_lost_entries(state: State) -> Callable[[BaseException | None], None]:
    """A teardown function that warns of them, or raises in tests.

    But not where the request failed, by an exception or by its answer: there they are meant to go.
    """

    def tell(error: BaseException | None) -> None:
        failed = error is not None or FAILED in g
        session = None if failed else state.open_session()
        lost = [each for each in _session.waiting(session) if each.receipt] if session else []
        if lost:
            _tell(state, lost)

    return tell


def _tell(state: State, lost: list[_session.Waiting]) -> None:
    testing = state.app.testing
    # A warning may end in a log, which names nobody.
    names = ", ".join(
        f"{each.receipt.reason} of user {each.user_id}" if testing else each.receipt.reason
        for each in lost
    )
    message = (
        f"Coins were moved and never committed ({names}): call db.session.commit() after"
        " coins.award() and its like, or roll back."
    )
    if testing:
        state.db.session.remove()  # an error keeps Flask-SQLAlchemy from doing it
        raise CoinsError(message)
    warnings.warn(message, CoinsWarning, stacklevel=2)
