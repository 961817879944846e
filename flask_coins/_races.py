"""Processes that wait at one line and start together: how a payment is shown to be made once."""

from __future__ import annotations

import multiprocessing
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.pool import Pool
from multiprocessing.synchronize import Barrier
from typing import Any, TypeVar

T = TypeVar("T")

PATIENCE = 60
"""Seconds that a process waits for the others."""

_line: Barrier
inherited: Any = None
"""In a forked process: what :func:`start` was given. Elsewhere None."""


class Racers:
    """Processes that wait to be given work; :func:`start` makes them."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def run(self, work: Callable[..., T], hands: Sequence[Sequence[Any]]) -> list[T]:
        """Call ``work(*hand)`` in each process, one hand for each; what they return, in that order.

        ``work`` can be imported, and calls :func:`wait` as often as all others do.
        """
        return self._pool.starmap_async(work, hands, chunksize=1).get(PATIENCE * 2)


@contextmanager
def start(processes: int, method: str = "spawn", given: Any = None) -> Iterator[Racers]:
    """Start the processes, and end them afterwards.

    ``method`` is one of :mod:`multiprocessing`'s. ``given`` need not be picklable under "fork".
    """
    context = multiprocessing.get_context(method)
    line = context.Barrier(processes, timeout=PATIENCE)
    with warnings.catch_warnings():
        # Python 3.12 warns of a fork beside threads: of their locks the children take none.
        warnings.simplefilter("ignore", DeprecationWarning)
        pool = context.Pool(processes, _stand_at, (line, given))
    with pool:
        yield Racers(pool)


def wait() -> None:
    """In a process: wait until all others are here; BrokenBarrierError if one has given up."""
    _line.wait()


def give_up() -> None:
    """In a process: let nobody wait for it."""
    _line.abort()


def _stand_at(line: Barrier, given: Any) -> None:
    global _line, inherited
    _line, inherited = line, given
