"""Watching an engine at work: what it is sent, and stepping in at an exact point."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.exc import OperationalError


@contextmanager
def statements(engine: sa.Engine) -> Iterator[list[str]]:
    """Collect the text of every statement that ``engine`` is sent meanwhile."""
    seen: list[str] = []

    def note(*args: Any) -> None:
        seen.append(args[2])

    sa.event.listen(engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        sa.event.remove(engine, "before_cursor_execute", note)


@contextmanager
def before(engine: sa.Engine, words: str, act: Callable[[], object]) -> Iterator[None]:
    """Let ``act`` happen once, just before the first statement that has ``words`` in it.

    What ``act`` raises comes out of that statement, as an error of the driver would.
    """
    waiting = [act]

    def step_in(*args: Any) -> None:
        if waiting and words in args[2]:
            waiting.pop()()

    sa.event.listen(engine, "before_cursor_execute", step_in)
    try:
        yield
    finally:
        sa.event.remove(engine, "before_cursor_execute", step_in)
    assert not waiting, f"no statement had {words!r} in it"


class Failing:
    """Let the database give up ``times`` times, at ``event`` of a transaction that has paid."""

    def __init__(self, db: SQLAlchemy, event: str, times: int) -> None:
        self.engine, self.event, self.left = db.engine, event, times
        self.attempts = 0

    def __enter__(self) -> Failing:
        sa.event.listen(self.engine, self.event, self._fail)
        return self

    def __exit__(self, *error: object) -> None:
        sa.event.remove(self.engine, self.event, self._fail)

    def _fail(self, *args: Any) -> None:
        if self.event == "before_cursor_execute" and "INSERT INTO coin_log" not in args[2]:
            return
        self.attempts += 1
        if self.left:
            self.left -= 1
            cause = sqlite3.OperationalError("database is locked")
            raise OperationalError("a statement", {}, cause)
