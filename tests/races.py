"""Races between processes: separate interpreters, started at one line, again for every user.

The processes are spawned once and run every race. Each has its own app, connections and cache, as
the workers of a web server have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import sqlalchemy as sa
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.exc import OperationalError

from flask_coins import Coins, Receipt, _races

from .apps import Clock, create_app

PROCESSES = 8

Call = Callable[[Coins, str], Receipt]
"""What a process does for a user: a function that can be imported.

It is called within a transaction that has read something, as a view's has; the commit is made for it.
"""


class Answer(NamedTuple):
    """What one process was told about one user."""

    user: str
    said: str
    """The outcome, or the name of the exception that was raised instead, or "lost at commit"."""


class Lap(NamedTuple):
    """How a race is run."""

    in_line: bool
    """Whether everybody waits for everybody before each user."""
    config: dict[str, Any]


class Racers:
    """Processes that wait to be given a database, a call and the users to race for."""

    def __init__(self, racers: _races.Racers) -> None:
        self._racers = racers

    def race(
        self, url: str, calls: Sequence[Call], users: Sequence[str], **config: Any
    ) -> list[Answer]:
        """Let all processes make their call for a user at once, user after user.

        Several ``calls`` are dealt out in turn: with two, every other process makes the second.
        ``config`` is that of the apps.
        """
        return self._all(url, calls, [users] * PROCESSES, Lap(in_line=True, config=config))

    def rush(self, url: str, calls: Sequence[Call], users: Sequence[str]) -> list[Answer]:
        """Let the processes run through all users, half of them one user ahead, without waiting."""
        orders = [[*users[ahead:], *users[:ahead]] for ahead in (0, 1) * (PROCESSES // 2)]
        return self._all(url, calls, orders, Lap(in_line=False, config={}))

    def _all(
        self, url: str, calls: Sequence[Call], orders: Sequence[Sequence[str]], lap: Lap
    ) -> list[Answer]:
        hands = [
            (url, calls[number % len(calls)], users, lap) for number, users in enumerate(orders)
        ]
        return [answer for answers in self._racers.run(_run, hands) for answer in answers]


@contextmanager
def spawn() -> Iterator[Racers]:
    """Start the processes, and end them afterwards."""
    with _races.start(PROCESSES) as racers:
        yield Racers(racers)


def reconcile(connection: sa.Connection) -> list[str]:
    """Every line of the log against the balances, in plain SQL: what does not add up."""
    books: dict[tuple[str, str], tuple[int, int, int]] = {}
    faults = []
    rows = connection.execute(
        sa.text("SELECT user_id, currency, id, amount, balance_after FROM coin_log ORDER BY id")
    )
    for user, currency, number, amount, after in rows:
        balance, earned, spent = books.get((user, currency), (0, 0, 0))
        balance += amount
        if after != balance or balance < 0:
            faults.append(f"entry {number}: {balance} after {amount}, the log says {after}")
        books[user, currency] = (balance, earned + max(amount, 0), spent - min(amount, 0))
    rows = connection.execute(
        sa.text("SELECT user_id, currency, balance, earned, spent FROM coin_balance")
    )
    kept = {(user, currency): tuple(figures) for user, currency, *figures in rows}
    return faults + [
        f"{key}: the log makes {books.get(key)}, the balance is {kept.get(key)}"
        for key in sorted(books.keys() | kept.keys())
        if books.get(key, (0, 0, 0)) != kept.get(key, (0, 0, 0))
    ]


def _run(url: str, call: Call, users: Sequence[str], lap: Lap) -> list[Answer]:
    db, coins = SQLAlchemy(), Coins(clock=Clock())
    app = create_app(url, db, coins, **lap.config)
    _races.wait()
    answers = []
    for user in users:
        with app.app_context():
            db.session.execute(sa.text("SELECT 1 FROM coin_balance")).all()
            if lap.in_line:
                _races.wait()
            answers.append(Answer(user, _ask(db, coins, call, user)))
    with app.app_context():
        db.engine.dispose()
    return answers


def _ask(db: SQLAlchemy, coins: Coins, call: Call, user: str) -> str:
    try:
        receipt = call(coins, user)
    except Exception as error:  # noqa: BLE001  # what it was is the answer
        db.session.rollback()
        return type(error).__name__
    try:
        db.session.commit()
    except OperationalError:
        db.session.rollback()
        return "lost at commit"
    return str(receipt.outcome)
