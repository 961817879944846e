"""The same faults at length: ``python -m tests.faults.soak --seconds 60``, and what was survived.

Servers are its own, with everything written through to the disk. Ends with status 1 if a coin was lost,
a payment doubled, or the books do not add up.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from signal import SIGKILL, SIGQUIT, SIGTERM, Signals
from typing import Any

from tests.private import MariaDB, PostgreSQL, Server, folder, running

from .workers import Crew, Job, Verdict, restart, survive

LEVELS = ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"]
HEAD = f"{'kind':<28} {'struck':>7} {'acknowledged':>13} {'lost':>5} {'doubled':>8} {'faults':>7}"


def sqlite(mode: str) -> Callable[[float], tuple[int, Verdict]]:
    """Kill workers on SQLite in ``mode``."""

    def run(seconds: float) -> tuple[int, Verdict]:
        with tempfile.TemporaryDirectory() as name:
            job = Job(f"sqlite:///{name}/host.sqlite3", f"{name}/acks", mode)
            return _strike(job, seconds, Crew.kill_one)

    return run


def postgresql(level: str) -> Callable[[float], tuple[int, Verdict]]:
    """Kill workers on PostgreSQL."""

    def run(seconds: float) -> tuple[int, Verdict]:
        with _job(PostgreSQL, "postgres", isolation_level=level) as (_, job):
            return _strike(job, seconds, Crew.kill_one)

    return run


def mariadb(level: str) -> Callable[[float], tuple[int, Verdict]]:
    """Kill workers on MariaDB."""

    def run(seconds: float) -> tuple[int, Verdict]:
        with _job(MariaDB, "test", isolation_level=level) as (_, job):
            return _strike(job, seconds, Crew.kill_one)

    return run


def restarts(kind: Any, database: str, *ways: Signals) -> Callable[[float], tuple[int, Verdict]]:
    """Stop and kill the server."""

    def run(seconds: float) -> tuple[int, Verdict]:
        how = itertools.cycle(ways)
        with _job(kind, database) as (server, job):
            return _strike(job, seconds, lambda crew: restart(server, next(how)), more=40)

    return run


KINDS = {
    "kills-sqlite": sqlite("usual"),
    "kills-sqlite-wal": sqlite("wal"),
    "kills-sqlite-immediate": sqlite("immediate"),
    "kills-sqlite-wal-immediate": sqlite("wal_immediate"),
    **{f"kills-postgresql-{n}": postgresql(level) for n, level in enumerate(LEVELS)},
    **{f"kills-mariadb-{n}": mariadb(level) for n, level in enumerate(LEVELS)},
    "restarts-postgresql": restarts(PostgreSQL, "postgres", SIGQUIT, SIGKILL),
    "restarts-mariadb": restarts(MariaDB, "test", SIGTERM, SIGKILL),
}


@contextmanager
def _job(kind: Any, database: str, **options: Any) -> Iterator[tuple[Server, Job]]:
    with (
        tempfile.TemporaryDirectory() as name,
        folder() as where,
        running(kind(where, fsync=True)) as server,
    ):
        yield server, Job(server.url(database), f"{name}/acks", options=options)


def _strike(
    job: Job, seconds: float, strike: Callable[[Crew], object], more: int = 25
) -> tuple[int, Verdict]:
    """Strike for ``seconds``; how often, and what is left."""
    end, struck = time.monotonic() + seconds, 0

    def strikes() -> Iterator[Callable[[Crew], object]]:
        nonlocal struck
        while time.monotonic() < end:
            yield strike
            struck += 1

    verdict = survive(job, strikes(), more)
    return struck, verdict


def _lines(name: str, struck: int, verdict: Verdict) -> Iterator[str]:
    lost, doubled, faults = map(len, verdict[1:])
    yield f"{name:<28} {struck:>7} {verdict.acknowledged:>13} {lost:>5} {doubled:>8} {faults:>7}"
    yield from itertools.islice(itertools.chain(*verdict[1:]), 10)


def main() -> None:
    """Run the kinds that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10, help="of each kind")
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"of: {', '.join(KINDS)}")
    given = parser.parse_args()
    clean = True
    print(HEAD)
    for name in given.kinds or KINDS:
        struck, verdict = KINDS[name](given.seconds)
        clean = clean and verdict.is_clean
        print("\n".join(_lines(name, struck, verdict)), flush=True)
    sys.exit(not clean)


if __name__ == "__main__":
    main()
