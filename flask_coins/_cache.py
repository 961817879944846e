"""Refusals that this process has seen, so that a repeat costs no SQL."""

from __future__ import annotations

from collections.abc import Hashable
from datetime import datetime
from threading import Lock
from typing import NamedTuple

from .results import Receipt


class _Kept(NamedTuple):
    receipt: Receipt
    since: datetime
    until: datetime


class Refusals:
    """A bounded, thread-safe store of refusals; when it is full the oldest make room.

    Only refusals are kept, never payments: a stale one can refuse for a while, and no more.
    """

    def __init__(self, size: int = 16_384) -> None:
        self._size = size
        self._kept: dict[Hashable, _Kept] = {}
        self._lock = Lock()

    def get(self, key: Hashable, now: datetime) -> Receipt | None:
        """The refusal under ``key`` if it holds at ``now``."""
        kept = self._kept.get(key)
        if kept is None or not kept.since <= now < kept.until:
            return None
        return kept.receipt

    def put(self, key: Hashable, receipt: Receipt, since: datetime, until: datetime) -> None:
        """Keep ``receipt`` for calls from ``since`` to before ``until``."""
        with self._lock:
            self._kept.pop(key, None)
            while len(self._kept) >= self._size:
                del self._kept[next(iter(self._kept))]
            self._kept[key] = _Kept(receipt, since, until)

    def put_too(self, key: Hashable, other: Hashable) -> None:
        """Keep under ``key``, for as long, what is kept under ``other``."""
        if kept := self._kept.get(other):
            self.put(key, *kept)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._kept.clear()

    def __len__(self) -> int:
        return len(self._kept)
