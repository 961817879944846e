"""What an extra brings, and what is said where it is missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


def cure(extra: str) -> str:
    """How to install what ``extra`` brings."""
    return f"""pip install "Flask-Coins[{extra}]\""""


@contextmanager
def needed(extra: str) -> Iterator[None]:
    """Around imports: where one is missing, the error says which extra brings it."""
    try:
        yield
    except ModuleNotFoundError as error:
        message = f"{error}. This module needs the extra {extra!r}: {cure(extra)}"
        raise ModuleNotFoundError(message, name=error.name, path=error.path) from error
