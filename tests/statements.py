"""Watching an engine at work: what it is sent, and stepping in at an exact point."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa


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
    """Let ``act`` happen once, just before the first statement that begins with ``words``.

    What ``act`` raises comes out of that statement, as an error of the driver would.
    """
    waiting = [act]

    def step_in(*args: Any) -> None:
        if waiting and args[2].startswith(words):
            waiting.pop()()

    sa.event.listen(engine, "before_cursor_execute", step_in)
    try:
        yield
    finally:
        sa.event.remove(engine, "before_cursor_execute", step_in)
    assert not waiting, f"no statement began with {words!r}"
