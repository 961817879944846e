"""Work that is committed here, and not by the host."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from ._faults import ATTEMPTS, whole
from ._session import begun_by_hand, has_work
from ._state import State, current_state
from ._watching import Called

T = TypeVar("T")


def committed(work: Callable[[State], T]) -> T:
    """What ``work`` returns, in a transaction of its own; again where the database gave it up.

    What the host has changed before is committed with it, or lost with it: there is one attempt then.
    """
    state = current_state()
    session = state.open_session()
    at_stake = begun_by_hand(session) or has_work(session)

    def attempt() -> T:
        with whole(state.session):
            # Begun here, so that the work leaves trying again to us.
            state.connection()
            result = work(state)
            state.session.commit()
        return result

    return state.tried(attempt, 1 if at_stake else ATTEMPTS, [Called("transaction")])
