"""What one SQLAlchemy session's transaction holds: receipts that wait, and the host's own writes."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple
from weakref import WeakSet

from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, SessionTransaction, SessionTransactionOrigin

from ._faults import is_deadlock
from ._statements import OWN
from .errors import CoinsError
from .results import Hold, Receipt

WAITING = "flask_coins.waiting"
COMMITTED = "flask_coins.committed"
CONNECTIONS = "flask_coins.connections"

_watched: WeakSet[Any] = WeakSet()
_engines: WeakSet[Engine] = WeakSet()
_written_by_host: WeakSet[Connection] = WeakSet()
_taken_back: WeakSet[Connection] = WeakSet()
"""Those whose transaction the database has ended with an error."""
_PASSED_OVER = """\
A statement failed, and with it the database has taken back this transaction's coins: roll back after \
such an error, or put what may fail into db.session.begin_nested()."""
_FAILED = 3
"""libpq's PQTRANS_INERROR, as psycopg and psycopg2 give it."""
_READS = re.compile(
    r"""(?: \s | \( | --[^\n]*\n | /\*.*?\*/ )*
    (?: (?:SELECT|VALUES|SHOW|PRAGMA|EXPLAIN|SET|SAVEPOINT|RELEASE|ROLLBACK|BEGIN) \b
      | WITH \b (?! .* \b (?:INSERT|UPDATE|DELETE|MERGE) \b ) )""",
    re.IGNORECASE | re.DOTALL | re.VERBOSE,
)


Told = Callable[[Any, "str | None"], None]


class Waiting(NamedTuple):
    """A receipt, or a hold, that is true once ``transaction`` has been committed."""

    receipt: Receipt | Hold
    user_id: str | None
    transaction: SessionTransaction | None
    told: Told
    """Called after the outermost commit has ended, when the session can be used again."""


def wait(session: Session, receipt: Receipt | Hold, user_id: str | None, told: Told) -> bool:
    """Keep ``receipt`` until the outermost commit; False when there is no transaction to wait for."""
    if not session.in_transaction():
        return False
    transaction = session.get_nested_transaction() or session.get_transaction()
    session.info.setdefault(WAITING, []).append(Waiting(receipt, user_id, transaction, told))
    return True


def waiting(session: Session) -> list[Waiting]:
    """The receipts of the current transaction, in order."""
    kept: list[Waiting] = session.info.get(WAITING, [])
    return kept


def has_entries(session: Session) -> bool:
    """Whether the current transaction has written entries of ours."""
    return any(kept.receipt for kept in waiting(session))


def has_work(session: Session | None) -> bool:
    """Whether anything was changed in this session, coins included, that is not committed yet.

    Or that a failed flush has lost, and nobody has been told of yet.
    """
    if session is None:
        return False
    if not session.is_active:
        return True
    if session.new or session.deleted or session.dirty or has_entries(session):
        return True
    return any(each in _written_by_host for each in session.info.get(CONNECTIONS, ()))


def begun_by_hand(session: Session | None) -> bool:
    """Whether a block of the host's will commit: ``session.begin()`` or ``begin_nested()``."""
    if session is None:
        return False
    transaction = session.get_nested_transaction() or session.get_transaction()
    return transaction is not None and transaction.origin is not SessionTransactionOrigin.AUTOBEGIN


def begins_with_host(session: Session) -> bool:
    """Whether the host has a say when a transaction begins: it may choose a tenant then."""
    return len(session.dispatch.after_begin) > 1


def watch(sessions: Any) -> None:
    """Listen to the sessions that ``sessions`` (a ``scoped_session``) makes.

    Sessions that are watched already are left as they are.
    """
    if sessions in _watched:
        return
    _watched.add(sessions)
    event.listen(sessions, "after_begin", _begun)
    event.listen(sessions, "before_commit", _committing)
    event.listen(sessions, "after_commit", _committed)
    event.listen(sessions, "after_transaction_end", _ended)


def _begun(session: Session, transaction: SessionTransaction, connection: Connection) -> None:
    if transaction.nested:
        return
    session.info.setdefault(CONNECTIONS, []).append(connection)
    _written_by_host.discard(connection)
    _taken_back.discard(connection)
    if connection.engine not in _engines:
        _engines.add(connection.engine)
        event.listen(connection.engine, "before_cursor_execute", _executing)
        event.listen(connection.engine, "handle_error", _failing)


def _executing(
    connection: Connection, cursor: Any, statement: str, params: Any, context: Any, many: bool
) -> None:
    if not _READS.match(statement) and not context.execution_options.get(OWN):
        _written_by_host.add(connection)


def _failing(context: ExceptionContext) -> None:
    """Note an error with which SQLite or MariaDB has ended the transaction, not the statement alone."""
    connection, error = context.connection, context.sqlalchemy_exception
    if connection is None or not isinstance(error, DBAPIError):
        return
    if context.dialect.name == "sqlite":
        ended = not getattr(connection.connection.dbapi_connection, "in_transaction", True)
    else:
        ended = is_deadlock(error)
    if ended:
        _taken_back.add(connection)


def _committing(session: Session) -> None:
    """Refuse a commit that would tell of coins which are not there."""
    if has_entries(session) and any(map(_is_taken_back, session.info.get(CONNECTIONS, ()))):
        raise CoinsError(_PASSED_OVER)


def _is_taken_back(connection: Connection) -> bool:
    # PostgreSQL's COMMIT answers a failed transaction with a rollback, and no error.
    raw = connection.connection.dbapi_connection
    status = getattr(getattr(raw, "info", None), "transaction_status", None)
    return connection in _taken_back or status == _FAILED


def _committed(session: Session) -> None:
    # Also sent when a savepoint is released.
    if WAITING in session.info:
        session.info[COMMITTED] = session.get_nested_transaction() or session.get_transaction()


def _ended(session: Session, transaction: SessionTransaction) -> None:
    """Tell what is committed by now, and forget what was undone, however it was undone."""
    committed = session.info.get(COMMITTED) is transaction
    if transaction.parent is None:
        session.info.pop(CONNECTIONS, None)
        session.info.pop(COMMITTED, None)
        for each in session.info.pop(WAITING, ()):
            if committed:
                each.told(each.receipt, each.user_id)
    elif transaction.nested and not committed:
        kept = waiting(session)
        kept[:] = [each for each in kept if not _within(each.transaction, transaction)]


def _within(inner: SessionTransaction | None, outer: SessionTransaction) -> bool:
    while inner is not None and inner is not outer:
        inner = inner.parent
    return inner is not None
