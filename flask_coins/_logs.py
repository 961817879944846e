"""What the app's log is told: fields for machines, and no value that stands in a user's rows."""

from __future__ import annotations

from typing import Any

from sqlalchemy.exc import DataError, IntegrityError, StatementError


class ValuesLeftOut(Exception):
    """In the place of a database's error whose words would quote a row."""


def fields(event: str, **said: Any) -> dict[str, Any]:
    """The ``extra`` of a record: ``coins_event``, and ``coins_reason`` and others where known."""
    known = {f"coins_{name}": value for name, value in said.items() if value is not None}
    return {"coins_event": event, **known}


def nameless(error: BaseException) -> BaseException:
    """``error`` for a traceback that names nobody; it is to be raised no more.

    Errors of the database lose the parameters of their statement, and those that tell of a row, such
    as a duplicate key, their words.
    """
    if isinstance(error, StatementError):
        error.hide_parameters = True
        if isinstance(error, IntegrityError | DataError):
            told = f"{type(error).__name__} in: {error.statement}"
            return ValuesLeftOut(told).with_traceback(error.__traceback__)
    cause, context = error.__cause__, error.__context__
    if context is not None:
        error.__context__ = nameless(context)
    if cause is not None:
        error.__cause__ = error.__context__ if cause is context else nameless(cause)
    return error
