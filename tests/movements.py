"""What tests of reversals, transfers and holds share: the state of the books, and raced calls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from flask_sqlalchemy import SQLAlchemy

from flask_coins import Coins
from flask_coins._models import log
from flask_coins._verify import faults

from .databases import beside
from .races import Answer, reconcile

USERS = [f"racer:{number}" for number in range(12)]
Elsewhere = Callable[[Callable[[], object]], Any]
_HELD = """
SELECT user_id, currency, held,
  (SELECT coalesce(sum(amount), 0) FROM coin_hold h
    WHERE h.user_id = b.user_id AND h.currency = b.currency AND h.status = 'open')
FROM coin_balance b
"""


def books_faults(connection: sa.Connection) -> list[Any]:
    """What does not add up there: balances, chain, and what is held against the open holds."""
    with beside(connection) as other:
        rows = other.execute(sa.text(_HELD)).all()
        held = [tuple(row) for row in rows if row[2] != row[3] or row[2] < 0]
        return [*reconcile(other), *faults(other), *held]


def rows_of(db: SQLAlchemy, table: str) -> list[Any]:
    """Every row of a table, to see that nothing has changed."""
    rows = db.session.connection().execute(sa.text(f"SELECT * FROM {table}"))
    return sorted(map(repr, rows))


def everything(db: SQLAlchemy) -> list[list[Any]]:
    """All that this session sees of the three tables."""
    return [rows_of(db, table) for table in ("coin_log", "coin_balance", "coin_hold")]


def amounts(coins: Coins, *users: str) -> list[list[int]]:
    """The amounts in each user's log, oldest first."""
    return [[entry.amount for entry in reversed(coins.history(user))] for user in users]


def entries(db: SQLAlchemy) -> int:
    return db.session.scalar(sa.select(sa.func.count()).select_from(log)) or 0


@contextmanager
def isolated(db: SQLAlchemy, level: str) -> Iterator[None]:
    """A transaction at ``level`` whose snapshot is taken now."""
    db.session.connection(execution_options={"isolation_level": level})
    assert entries(db) is not None
    yield


def the_same_for_all(answers: Iterable[Answer]) -> dict[str, int]:
    """How often what was said, where that is the same for every user."""
    each: dict[str, Counter[str]] = {}
    for user, said in answers:
        each.setdefault(user, Counter())[said] += 1
    first = next(iter(each.values()))
    assert {user: said for user, said in each.items() if said != first} == {}
    return dict(first)
