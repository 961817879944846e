"""Processes that pay as the docs say, are killed at any moment, and whose word is then held to them.

A worker writes down each payment *after* its commit, in a file that outlives it. :func:`judge`
compares that with the tables: what was acknowledged and is not there is lost, what is there more
often than a window or key allows is doubled.
"""

from __future__ import annotations

import itertools
import multiprocessing
import random
import signal
import sqlite3
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy as sa
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from flask_coins import Coins, CoinsRetry, InsufficientCoins, Receipt
from tests.apps import create_app
from tests.private import Server
from tests.races import reconcile

USERS = 4
TICK = 0.01
"""Seconds between the moments at which workers begin a round."""

notes = sa.table("host_note", sa.column("text"))
"""A table of the host's: what it does in one transaction with a payment."""

NOTES = "CREATE TABLE host_note (text VARCHAR(64) NOT NULL)"


def usual(engine: sa.Engine) -> None:
    """Leave an engine as it comes."""


def wal(engine: sa.Engine) -> None:
    """SQLite with a write-ahead log."""
    sa.event.listen(engine, "connect", lambda raw, record: raw.execute("PRAGMA journal_mode=WAL"))


def immediate(engine: sa.Engine) -> None:
    """SQLite with transactions that begin where SQLAlchemy says so, and lock at once."""
    sa.event.listen(engine, "connect", lambda raw, record: setattr(raw, "isolation_level", None))
    sa.event.listen(engine, "begin", lambda one: one.exec_driver_sql("BEGIN IMMEDIATE"))


def wal_immediate(engine: sa.Engine) -> None:
    """Both."""
    wal(engine)
    immediate(engine)


MODES = {each.__name__: each for each in (usual, wal, immediate, wal_immediate)}
SQLITE_MODES: list[tuple[str, dict[str, Any]]] = [(name, {}) for name in MODES]
if hasattr(sqlite3.Connection, "autocommit"):  # from Python 3.12 on
    SQLITE_MODES.append(("usual", {"connect_args": {"autocommit": False}}))


class Job(NamedTuple):
    """What a worker is to do."""

    url: str
    acks: str
    """The file for what was paid: one line each, of user, reason, subject or key, amount, id."""
    mode: str = "usual"
    options: dict[str, Any] = {}  # noqa: RUF012  # never changed
    rounds: int | None = None
    """How often each kind of payment is made; None: until the worker is killed."""


@dataclass
class Worker:
    """One process's app, and its calls."""

    db: SQLAlchemy
    coins: Coins
    acks: Any
    life: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    """What no other worker's keys begin with."""

    def round(self, number: int) -> None:
        """Each kind of payment once, at the same tick and in the same order as other workers."""
        tick = int(time.time() / TICK) + 1
        time.sleep(max(0, tick * TICK - time.time()))
        user, token, shared = f"user:{tick % USERS}", f"{self.life}-{number}", f"at-{tick}"
        coins, other = self.coins, f"user:{(tick + 1) % USERS}"
        calls: list[Callable[[], Receipt]] = [
            lambda: coins.award_once(user, 15, "once", "forever", subject=shared),
            lambda: coins.award_once(user, 15, "rolling", timedelta(days=1), subject=shared),
            lambda: coins.award_once(user, 5, "thrice", "year", subject=shared, limit=3),
            lambda: coins.award(user, 9, "gift", idempotency_key=token),
            lambda: coins.award(user, 9, "shared", idempotency_key=shared),
            lambda: coins.spend(user, 30, "shop", idempotency_key=f"{token}-order"),
            lambda: coins.transfer(user, other, 2, idempotency_key=f"{token}-present")[0],
        ]
        for call in random.Random(tick).sample(calls, len(calls)):
            self.acknowledge(self.repeated(call))
        self.with_work(user, token)

    def repeated(self, call: Callable[[], Receipt]) -> Receipt | None:
        """Make a call that may be repeated, as long as it takes."""
        while True:
            try:
                receipt = call()
                self.db.session.commit()
            except InsufficientCoins:
                self.db.session.rollback()
                return None
            except (CoinsRetry, DBAPIError):
                self.db.session.rollback()
                time.sleep(random.uniform(0, 0.02))
            else:
                return receipt

    def with_work(self, user: str, token: str) -> None:
        """Pay without a key, with a row of the host's; tried once, for its commit may be in doubt."""
        try:
            self.db.session.execute(sa.insert(notes), {"text": token})
            receipt = self.coins.award(user, 1, "note", subject=token)
            self.db.session.commit()
        except (CoinsRetry, DBAPIError):
            self.db.session.rollback()
        else:
            self.acknowledge(receipt)

    def acknowledge(self, receipt: Receipt | None) -> None:
        if receipt is not None and receipt.entry is not None:
            entry = receipt.entry
            line = (entry.user_id, entry.reason, entry.subject or "", entry.amount, entry.id)
            self.acks.write(("\t".join(map(str, line)) + "\n").encode())


def work(job: Job) -> None:
    """A worker's life."""
    db, coins = SQLAlchemy(), Coins()
    app = create_app(job.url, db, coins, SQLALCHEMY_ENGINE_OPTIONS=job.options)
    numbers = itertools.count() if job.rounds is None else range(job.rounds)
    with app.app_context():
        MODES[job.mode](db.engine)
    with Path(job.acks).open("ab", buffering=0) as acks:
        worker = Worker(db, coins, acks)
        for number in numbers:
            with app.app_context():
                worker.round(number)


class Verdict(NamedTuple):
    """What is left of a run: the last three must be empty."""

    acknowledged: int
    lost: list[str]
    doubled: list[str]
    faults: list[str]

    @property
    def is_clean(self) -> bool:
        """Whether every payment was made once."""
        return not (self.lost or self.doubled or self.faults)


def judge(job: Job) -> Verdict:
    """Hold the tables to what the workers of ``job`` were told."""
    db = SQLAlchemy()
    app = create_app(job.url, db, Coins(), SQLALCHEMY_ENGINE_OPTIONS={"poolclass": NullPool})
    columns = "user_id, reason, subject, amount, id, idempotency_key"
    with app.app_context():
        MODES[job.mode](db.engine)
        with db.engine.connect() as connection:
            log = connection.execute(sa.text(f"SELECT {columns} FROM coin_log")).all()
            texts = list(connection.scalars(sa.select(notes.c.text)))
            faults = reconcile(connection)
        told = app.test_cli_runner().invoke(args=["coins", "verify"])
        db.engine.dispose()
    faults += [told.output] if told.exit_code else []
    there = {"\t".join(map(str, row[:5])) for row in log}
    acks = set(Path(job.acks).read_text().splitlines())
    return Verdict(len(acks), sorted(acks - there), list(_doubled(log, texts)), faults)


def _doubled(log: Any, texts: list[str]) -> Iterator[str]:
    limits = {"once": 1, "rolling": 1, "thrice": 3, "note": 1}
    keys = Counter((row.user_id, row.idempotency_key) for row in log if row.idempotency_key)
    yield from (f"key {key}: {times}" for key, times in keys.items() if times > 1)
    windows = Counter((row.user_id, row.reason, row.subject) for row in log)
    for (user, reason, subject), times in windows.items():
        if times > limits.get(reason, times):
            yield f"{reason} {subject} of {user}: {times}"
    halves = Counter(texts) - Counter(row.subject for row in log if row.reason == "note")
    halves += Counter(row.subject for row in log if row.reason == "note") - Counter(texts)
    yield from (f"half of {token}" for token in halves)
    if unequal := sum(row.amount for row in log if row.reason == "transfer"):
        yield f"half of a transfer: {unequal}"


def prepare(job: Job) -> Flask:
    """Make the tables."""
    db = SQLAlchemy()
    app = create_app(job.url, db, Coins(), SQLALCHEMY_ENGINE_OPTIONS={"poolclass": NullPool})
    with app.app_context():
        db.create_all()
        with db.engine.begin() as connection:
            connection.exec_driver_sql(NOTES)
    Path(job.acks).touch()
    return app


class Crew:
    """Workers that are there as long as a run lasts, and are replaced when they are killed."""

    def __init__(self, job: Job, size: int = 4) -> None:
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([__name__])
        self._job = job
        self._workers = [self._hire() for _ in range(size)]

    def _hire(self) -> BaseProcess:
        worker = self._context.Process(target=work, args=(self._job,))
        worker.start()
        return worker

    def kill_one(self) -> None:
        """SIGKILL to a worker, wherever it is, and a new one in its place."""
        number = random.randrange(len(self._workers))
        self._workers[number].kill()
        self._workers[number].join()
        self._workers[number] = self._hire()

    def join(self) -> list[int | None]:
        """Wait for the end of all, and give their exit codes."""
        for worker in self._workers:
            worker.join()
        return [worker.exitcode for worker in self._workers]

    def dismiss(self) -> None:
        """SIGKILL to all."""
        for worker in self._workers:
            worker.kill()
            worker.join()


@contextmanager
def crew(job: Job, size: int = 4) -> Iterator[Crew]:
    """Workers for ``job``, on new tables; killed in the end."""
    prepare(job)
    workers = Crew(job, size)
    try:
        yield workers
    finally:
        workers.dismiss()


def acknowledged(job: Job) -> int:
    """How many payments have been written down."""
    return Path(job.acks).read_bytes().count(b"\n")


def wait_for(job: Job, more: int, seconds: float = 60) -> None:
    """Wait until ``more`` payments than now have been written down."""
    goal, deadline = acknowledged(job) + more, time.monotonic() + seconds
    while acknowledged(job) < goal:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{acknowledged(job)} of {goal} payments after {seconds} s")
        time.sleep(0.01)


def survive(job: Job, strikes: Iterable[Callable[[Crew], object]], more: int = 5) -> Verdict:
    """Strike again and again while workers pay, each time after ``more`` payments; then judge."""
    with crew(job) as workers:
        for strike in strikes:
            wait_for(job, more)
            time.sleep(random.uniform(0, 0.05))
            strike(workers)
        wait_for(job, more)
    return judge(job)


def restart(server: Server, how: signal.Signals) -> None:
    """Take a server away, for a moment."""
    if how is signal.SIGKILL:
        server.kill()
    else:
        server.stop(how)
    time.sleep(random.uniform(0, 0.1))
    server.start()
