"""What host apps use in their own tests: a clock, entries, races and proofs.

Nothing is registered with pytest by installing Flask-Coins. A plugin that pytest finds by itself is
imported in every run of every project beside it, with Flask and SQLAlchemy, and before coverage has
begun; ``pytest_plugins = ["flask_coins.testing"]`` in a host's topmost conftest.py asks for it.
"""

from __future__ import annotations

import importlib
import multiprocessing
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from contextvars import Context
from datetime import datetime, timedelta, timezone
from itertools import islice
from typing import Any

import sqlalchemy as sa
from flask import Flask, current_app, has_app_context

from . import _races
from ._models import log
from ._state import state_of
from ._verify import faults
from .errors import CoinsError, CoinsRetry
from .results import Entry
from .windows import Window, parse

try:
    import pytest
except ModuleNotFoundError:  # everything but the fixture does without
    pytest = None  # type: ignore[assignment]

__all__ = ["Traveller", "assert_awards_once", "assert_coins_invariants", "make_entries", "travel"]

_ATTEMPTS = 20
_SHOWN = 10
_WHAT = (log.c.user_id, log.c.currency, log.c.reason, log.c.subject)

Payments = Counter[tuple[str, ...]]
"""How often (user, currency, reason, subject) was paid."""


class Traveller:
    """The clock of an app while :func:`travel` lasts. It stands still unless it is moved."""

    def __init__(self, when: datetime | str) -> None:
        self.move_to(when)

    def __call__(self) -> datetime:
        """The moment, as a clock tells it."""
        return self.now

    def move_to(self, when: datetime | str) -> None:
        """Go to ``when``: an aware datetime, or its text in ISO 8601 with an offset."""
        if isinstance(when, str):
            # Python 3.10 does not read the Z of RFC 3339.
            when = datetime.fromisoformat(when.replace("Z", "+00:00"))
        if not isinstance(when, datetime) or when.tzinfo is None:
            raise CoinsError(
                f"{when!r} is no moment with a UTC offset, such as 2026-11-22T09:00+01:00."
            )
        #: The moment that the app's calls see: aware, in UTC.
        self.now = when.astimezone(timezone.utc)

    def shift(self, **parts: float) -> None:
        """Move on by ``timedelta(**parts)``; back with negative numbers."""
        self.now += timedelta(**parts)


@contextmanager
def travel(app: Flask, when: datetime | str) -> Iterator[Traveller]:
    """Let the coin calls of ``app`` happen at ``when`` for the length of a ``with`` block.

    Only Flask-Coins travels: the rest of the app keeps its clock. freezegun and time-machine, which
    move every clock, work too.
    """
    state = state_of(app)
    clock, state.clock = state.clock, Traveller(when)
    try:
        yield state.clock
    finally:
        state.clock = clock


if pytest is not None:

    @pytest.fixture
    def coins_clock(app: Flask) -> Iterator[Traveller]:
        """The clock of the coin calls of the host's ``app``; it stands still at first."""
        with travel(app, state_of(app).now()) as clock:
            yield clock


def make_entries(
    app: Flask,
    user: Any,
    count: int = 10,
    *,
    amount: int = 10,
    reason: str = "made",
    subject: Any = None,
    currency: str = "coins",
    window: str | timedelta | Window | None = None,
    every: timedelta = timedelta(days=1),
) -> list[Entry]:
    """Pay ``user`` ``count`` times, ``every`` so often, the last time now; oldest first.

    With a ``window`` each is a payment of ``coins.award_once``, and what it refuses is not in the
    list. Commits ``db.session`` of the app context that is pushed, or of one of its own.
    """
    state, entries = state_of(app), []
    now = state.now()
    with _context(app):
        for number in reversed(range(count)):
            with travel(app, now - number * every):
                movement = state.movement(user, amount, reason, subject=subject, currency=currency)
                if window is None:
                    receipt = state.award(movement)
                else:
                    receipt = state.award_once(movement, parse(window), 1)
            entries += [receipt.entry] if receipt.entry else []
        state.session.commit()
    return entries


# -- proofs ---------------------------------------------------------------------------------------


def assert_coins_invariants(app: Flask) -> None:
    """Prove that the tables of ``app`` agree, as ``flask coins verify`` does; else AssertionError.

    Every balance is the sum of its log, every ``balance_after`` follows from the entry before, and
    nothing was paid twice under one ``once_key``, also where the tables lack our indexes. What the
    current app context has not committed is read too.
    """
    state = state_of(app)
    with _context(app):
        _prove(state.connection())


def assert_awards_once(
    app: Flask | Callable[[], Flask] | str,
    call: Callable[..., object] | str,
    *,
    users: Sequence[Any] = (),
    times: int = 1,
    processes: int = 8,
) -> None:
    """Let processes make one call at once, and prove that it was paid ``times`` times in all.

    ``call(app)`` is a request or whatever else pays, with its commit; with ``users`` it is
    ``call(app, user)``, for one after the other. It runs outside of any app context, and again when
    it raises :class:`~flask_coins.CoinsRetry`. Whatever it pays, every user, currency, reason and
    subject has to be paid ``times`` times; any other exception of a call fails too.

    ``app`` is a factory that can be imported, or its name, "module:function"; then so is ``call``,
    and the processes are fresh interpreters. Or it is the app itself, whose processes are forked:
    then ``call`` may be a lambda. The database is a file or on a server, and what the test has
    written there is committed. CoinsError if that is not so; AssertionError if it does not hold.
    """
    rounds = [(user,) for user in users] if users else [()]
    with _host_of(app) as host:
        engine = _shared_engine(host)
        method, given, names = _way(app, call)
        before = _payments(engine)
        with _races.start(processes, method, given) as racers:
            answers = racers.run(_race, [(*names, rounds)] * processes)
        if {url for url, _ in answers} - {_url_of(engine), ""}:
            raise CoinsError(
                "The factory gave a process another database: name one that all share."
            )
        errors = Counter(error for _, errors in answers for error in errors)
        _judge(_payments(engine) - before, errors, len(rounds), times)
        with engine.connect() as connection:
            _prove(connection)


def _prove(connection: sa.Connection) -> None:
    found = [
        f"{fault.user_id}, {fault.currency}: {fault.what}"
        for fault in islice(faults(connection), _SHOWN)
    ]
    twice = (
        sa.select(*_WHAT, log.c.once_key, sa.func.count())
        .where(log.c.once_key.is_not(None))
        .group_by(*_WHAT, log.c.once_key)
        .having(sa.func.count() > 1)
        .limit(_SHOWN)
    )
    for *what, number in connection.execute(twice):
        found.append(f"{_shown(what)}: paid {number} times")
    if found:
        raise AssertionError("\n  ".join(["The coin tables disagree:", *found]))


def _judge(paid: Payments, errors: Counter[str], users: int, times: int) -> None:
    wrong = [f"{_shown(what)}: {number} times" for what, number in paid.items() if number != times]
    wrong += [f"{number} calls raised {error}" for error, number in errors.items()]
    if len(paid) < users:
        wrong.append(f"{len(paid)} were paid at all, {users} were to be")
    if wrong:
        head = f"Each was to be paid {times} times, whoever raced for it:"
        raise AssertionError("\n  ".join([head, *sorted(wrong)]))


def _shown(what: Sequence[str]) -> str:
    return ", ".join(each for each in what if each)


def _payments(engine: sa.Engine) -> Payments:
    paid = (
        sa.select(*_WHAT, sa.func.count())
        .where(log.c.amount > 0, log.c.reverses_id.is_(None))
        .group_by(*_WHAT)
    )
    with engine.connect() as connection:
        return Counter({tuple(what): number for *what, number in connection.execute(paid)})


@contextmanager
def _context(app: Flask) -> Iterator[None]:
    """The app context that is pushed if it is one of ``app``, else a new one."""
    ours = has_app_context() and current_app._get_current_object() is app  # type: ignore[attr-defined]
    with nullcontext() if ours else app.app_context():
        yield


# -- processes ------------------------------------------------------------------------------------


@contextmanager
def _host_of(app: Flask | Callable[[], Flask] | str) -> Iterator[Flask]:
    """The app itself, or one of the factory's whose connections are closed afterwards."""
    if isinstance(app, Flask):
        yield app
        return
    host = _found(app)()
    try:
        yield host
    finally:
        for engine in _engines(host):
            engine.dispose()


def _way(
    app: Flask | Callable[[], Flask] | str, call: Callable[..., object] | str
) -> tuple[str, Any, tuple[str, str]]:
    """How processes are started, what they inherit, and the names by which they find the rest."""
    if not isinstance(app, Flask):
        return "spawn", None, (_name_of(app), _name_of(call))
    if "fork" not in multiprocessing.get_all_start_methods():
        raise CoinsError("This platform does not fork an app: pass its factory instead.")
    return "fork", (app, _found(call)), ("", "")


def _engines(app: Flask) -> list[sa.Engine]:
    with app.app_context():
        return list(state_of(app).db.engines.values())


def _shared_engine(app: Flask) -> sa.Engine:
    """The engine of the coin tables, if other processes can reach the same database."""
    state = state_of(app)
    with app.app_context():
        bind = state.session.get_bind(clause=state.table)
    if not isinstance(bind, sa.Engine):
        raise CoinsError(
            "Processes cannot share a connection: give the race an app whose db.session is not bound"
            " to one."
        )
    url = bind.url
    if url.get_backend_name() == "sqlite":
        name = url.database or ":memory:"
        if ":memory:" in name or "mode=memory" in str(url):
            raise CoinsError(
                "Processes cannot share an SQLite database in memory: give the app a file, such as"
                ' f"sqlite:///{tmp_path}/test.sqlite3".'
            )
    return bind


def _url_of(engine: sa.Engine) -> str:
    return engine.url.render_as_string(hide_password=False)


def _name_of(given: Callable[..., Any] | str) -> str:
    """``module:function``, by which another process finds it."""
    if isinstance(given, str):
        return given
    module, name = getattr(given, "__module__", None), getattr(given, "__qualname__", "")
    if getattr(importlib.import_module(module), name, None) is not given if module else True:
        raise CoinsError(
            f"Another process cannot import {given!r}: define it with def at the top of a module."
        )
    return f"{module}:{name}"


def _found(given: Callable[..., Any] | str) -> Callable[..., Any]:
    if not isinstance(given, str):
        return given
    module, _, name = given.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return found


def _race(
    app_name: str, call_name: str, rounds: Sequence[tuple[Any, ...]]
) -> tuple[str, list[str]]:
    """In a process: the URL of its database, and what its calls have raised."""
    try:
        app, call = _races.inherited or (_found(app_name)(), _found(call_name))
        for engine in _engines(app):
            engine.dispose(close=False)  # what a parent has opened is the parent's
        url = _url_of(_shared_engine(app))
    except Exception as error:  # noqa: BLE001  # the one that waits for the answer has to hear of it
        _races.give_up()
        return "", [repr(error)]
    raised = [_raised_by(call, app, *each) for each in rounds]
    for engine in _engines(app):
        engine.dispose()
    return url, [error for error in raised if error]


def _raised_by(call: Callable[..., object], *arguments: Any) -> str:
    """Start a call with all others, repeat it whole after a lost race; what it raised, or ""."""
    lost = ""
    try:
        _races.wait()
        for _ in range(_ATTEMPTS):
            try:
                Context().run(call, *arguments)
            except CoinsRetry as error:
                lost = repr(error)
            else:
                return ""
    except BaseException as error:  # noqa: BLE001  # also what ends a test: the others go on
        return repr(error)
    return lost
