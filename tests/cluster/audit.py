"""What must hold on every node afterwards: nothing lost, nothing doubled, all nodes alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.pool import NullPool

from flask_coins import Coins
from tests.apps import create_app
from tests.races import reconcile

from .load import CALLS, Answer

Row = tuple[Any, ...]
_ROWS = sa.text("SELECT id, user_id, amount, balance_after, reason, subject FROM coin_log")
_LIMITS = {call.__name__: limit for call, limit in CALLS.items()}


def make_tables(url: str) -> None:
    """Make all tables, on whichever node; the others get them from it."""
    db = SQLAlchemy()
    with create_app(url, db, Coins()).app_context():
        db.create_all()
        db.engine.dispose()


def faults(urls: Iterable[str], answers: Iterable[Answer]) -> list[str]:
    """Everything that does not hold, in words. Nobody may be writing meanwhile."""
    answers = list(answers)
    found, states = [], set()
    for number, url in enumerate(urls):
        with _connected(url) as connection:
            log = {tuple(row) for row in connection.execute(_ROWS)}
            node = [*lost(log, answers), *doubled(log, answers), *reconcile(connection)]
            states.add(_state(connection))
        found += [f"node {number}: {each}" for each in (*node, *_verified(url))]
    return found if len(states) == 1 else [*found, f"the nodes differ: {states}"]


def rows(url: str) -> set[Row]:
    """The log of a node, as it stands there now."""
    with _connected(url) as connection:
        return {tuple(row) for row in connection.execute(_ROWS)}


@contextmanager
def _connected(url: str) -> Iterator[sa.Connection]:
    """A connection whose node answers when it has applied all that was committed anywhere before."""
    with sa.create_engine(url, poolclass=NullPool).connect() as connection:
        connection.exec_driver_sql("SET SESSION wsrep_sync_wait = 1")
        yield connection


def lost(log: set[Row], answers: Iterable[Answer]) -> Iterator[str]:
    """Entries that were acknowledged and are not there as they were told."""
    for answer in answers:
        if answer.entry is not None and answer.entry not in log:
            yield f"lost: {answer}"


def doubled(log: set[Row], answers: Iterable[Answer]) -> Iterator[str]:
    """Windows and keys that moved coins too often, and coins moved that nobody asked for."""
    for (user, reason, subject), times in Counter((row[1], *row[4:]) for row in log).items():
        limit = _LIMITS.get(str(reason))
        if limit is not None and times > limit:
            yield f"doubled: {times} times {reason} for {user} in turn {subject}"
    said = Counter((answer.call, answer.said) for answer in answers)
    written = Counter(row[4] for row in log)
    for reason in (name for name, limit in _LIMITS.items() if limit is None):
        least = said[reason, "spent"] + said[reason, "awarded"]
        most = least + said[reason, "unknown"]
        if not least <= written[reason] <= most:
            yield f"doubled: {written[reason]} times {reason}, asked for {least} to {most} times"


def _state(connection: sa.Connection) -> tuple[int, ...]:
    tables = ", ".join(sa.inspect(connection).get_table_names())
    sums = connection.exec_driver_sql(f"CHECKSUM TABLE {tables} EXTENDED")
    return tuple(checksum for _, checksum in sums)


def _verified(url: str) -> list[str]:
    """What ``flask coins verify`` says, where it is not content."""
    db = SQLAlchemy()
    app = create_app(url, db, Coins())
    done = app.test_cli_runner().invoke(args=["coins", "verify"])
    with app.app_context():
        db.engine.dispose()
    return [] if done.exit_code == 0 else [done.output]
