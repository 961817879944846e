"""What a database error means for a caller, told by its code and not by its words where it has one."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import sqlalchemy.exc as sa_exc
from sqlalchemy.orm import Session

from ._models import MAX_AMOUNT
from .errors import CoinsError, CoinsRetry, InvalidAmount, MissingTablesError

T = TypeVar("T")
TOO_MUCH = f"A balance cannot pass {MAX_AMOUNT:,}; the session was rolled back."
ATTEMPTS = 5
"""How often work that is ours alone is tried before its error is raised."""

# PostgreSQL: appendix A of its manual (serialization failure, deadlock, lock not available).
_POSTGRESQL_TRANSIENT = {"40001", "40P01", "55P03"}
_POSTGRESQL_MISSING = {"42P01", "42703"}
# MariaDB: deadlock, lock wait timeout, auto-increment lost, record changed since the snapshot.
_MYSQL_TRANSIENT = {1213, 1205, 1467, 1020}
_MYSQL_MISSING = {1146, 1054}
_SQLITE_TRANSIENT = ("database is locked", "database table is locked", "database schema is locked")
_SQLITE_MISSING = ("no such table: coin_", "no such column", "has no column named")


def _code(error: sa_exc.DBAPIError) -> Any:
    cause: Any = error.orig
    number = next(iter(getattr(cause, "args", ())), None)
    if isinstance(number, int):  # PyMySQL's errors have a sqlstate too, of less meaning
        return number
    return getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)


def is_transient(error: BaseException) -> bool:
    """Whether the same transaction, repeated whole, may well succeed."""
    if not isinstance(error, sa_exc.DBAPIError):
        return isinstance(error, CoinsRetry)
    code = _code(error)
    if isinstance(code, int):
        return code in _MYSQL_TRANSIENT
    text = str(error.orig)
    return code in _POSTGRESQL_TRANSIENT or any(words in text for words in _SQLITE_TRANSIENT)


def is_deadlock(error: sa_exc.DBAPIError) -> bool:
    """Whether MariaDB has given up the whole transaction, and not the statement alone."""
    return bool(_code(error) == 1213)


def repeated(attempt: Callable[[], T], times: int = ATTEMPTS) -> T:
    """What ``attempt()`` returns; called up to ``times`` times, as long as its error is transient.

    The pauses grow and are drawn by lot, so that those who met do not meet again. ``attempt`` must
    leave no transaction open when it raises.
    """
    for number in range(1, times):
        try:
            return attempt()
        except Exception as error:
            if not is_transient(error):
                raise
        time.sleep(random.uniform(0, 0.01 * 2**number))
    return attempt()


def _is_missing(error: sa_exc.DBAPIError) -> bool:
    code, text = _code(error), str(error.orig)
    if isinstance(code, int):
        return code in _MYSQL_MISSING
    return code in _POSTGRESQL_MISSING or any(words in text for words in _SQLITE_MISSING)


def translated(error: BaseException) -> BaseException:
    """The error of ours that ``error`` amounts to, or itself."""
    if not isinstance(error, sa_exc.DBAPIError):
        return error
    if is_transient(error):
        return CoinsRetry()
    if _is_missing(error):
        return MissingTablesError()
    if "ck_coin_balance_range" in str(error.orig):
        return InvalidAmount(TOO_MUCH)
    if "ck_coin_balance_held" in str(error.orig):
        return CoinsError("What is held disagrees with the open holds: run 'flask coins verify'.")
    if isinstance(error, sa_exc.IntegrityError):
        return CoinsRetry("Somebody else claimed this window or key first: repeat the transaction.")
    return error


def roll_back(session: Session) -> None:
    """Roll back to the innermost savepoint, or all of it where the database did so already."""
    try:
        session.rollback()
    except sa_exc.DBAPIError:  # MariaDB's 1305: a deadlock has taken the savepoint along
        session.rollback()


@contextmanager
def whole(session: Session) -> Iterator[None]:
    """Never half a movement: whatever is raised inside, the session is rolled back first.

    As after a failed flush, the host's part of the transaction goes with it. Errors of the
    database become :class:`CoinsRetry` or :class:`MissingTablesError` where they mean that.
    """
    try:
        yield
    except BaseException as error:
        roll_back(session)
        ours = translated(error)
        if ours is error:
            raise
        raise ours from error
