"""Work that is committed here, and not by the host."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from ._faults import repeated, whole
from ._state import State, current_state

T = TypeVar("T")


def committed(work: Callable[[State], T]) -> T:
    """What ``work`` returns, in a transaction of its own; again where the database gave it up."""
    state = current_state()

    def attempt() -> T:
        with whole(state.session):
            # Begun here, so that the work leaves trying again to us.
            state.session.connection(bind_arguments={"clause": state.table})
            result = work(state)
            state.session.commit()
        return result

    return repeated(attempt)
