"""How fast entries are imported and exported, and in how much memory.

    python benchmarks/transport.py [--database-url URL ...] [--rows N] [--users N]

Each URL names an empty database; its tables are made and dropped again. Without one it is a SQLite
file that is thrown away. Every line is a process of its own, which carries all rows: from CSV into
an empty log, the same again when everything is there, and out to CSV. The exit status is 1 when a
bound is not met: 200 MB for each, and 50,000 rows/s for the first on PostgreSQL, commit included.
The CPU time of both processes tells what a busy machine hides.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import sqlalchemy as sa

from flask_coins._export import Export, Selection, new_file
from flask_coins._import import import_entries
from flask_coins._import_rows import Plan
from flask_coins._import_sources import opened
from flask_coins._models import Base
from flask_coins._verify import faults

NOW = datetime(2026, 11, 22, 12, tzinfo=timezone.utc)
FASTEST = {"postgresql": 50_000}
"""Rows per second that are wanted of the first import."""
SMALLEST = 200
"""MB that must be enough."""


class Measured(NamedTuple):
    """What one process says of its work."""

    engine: str
    what: str
    seconds: float
    cpu: float
    """Seconds of this process alone; the server's are not in it."""
    server_cpu: float | None
    """Seconds of the server's process, where it is PostgreSQL on this machine."""
    megabytes: float


def lines(rows: int, users: int) -> Iterator[str]:
    """CSV with a spend now and then, ordered by time as a log is."""
    yield "id,user_id,amount,reason,subject,created_at\n"
    start = NOW - timedelta(seconds=20 * rows + 20)
    for n in range(rows):
        amount = -1 if n > rows // 2 and n % 7 == 0 else 2 + n % 19
        at = start + timedelta(seconds=20 * n)
        yield f"{n},user-{n * 31 % users},{amount},daily_goal,subject-{n % 10},{at.isoformat()}\n"


def carry_in(engine: sa.Engine, path: Path) -> None:
    source = opened(str(path), None, BytesIO(), table="", target=engine, id_column="id")
    try:
        import_entries(engine, source, Plan(now=NOW, source="benchmark"))
    finally:
        source.close()


def carry_out(engine: sa.Engine, path: Path) -> None:
    with new_file(path.with_suffix(".out.csv")) as out:
        Export(engine, Selection()).write(out, "csv")


WORK: dict[str, Callable[[sa.Engine, Path], None]] = {
    "import": carry_in,
    "import again": carry_in,
    "export": carry_out,
}


class Backend:
    """The process that serves an engine's one connection, if it can be looked at from here."""

    def __init__(self, engine: sa.Engine) -> None:
        self.stat: Path | None = None
        if engine.dialect.name == "postgresql":
            with engine.connect() as connection:
                pid = connection.scalar(sa.text("SELECT pg_backend_pid()"))
                local = connection.scalar(sa.text("SELECT inet_server_addr() <<= '127.0.0.0/8'"))
            stat = Path(f"/proc/{pid}/stat")
            self.stat = stat if local is not False and stat.exists() else None

    def cpu(self) -> float | None:
        if self.stat is None:
            return None
        user, system = self.stat.read_text().rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def measured(url: str, what: str, path: Path) -> Measured:
    """Do it in this process, which is a fresh one."""
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        version = ".".join(map(str, (connection.dialect.server_version_info or ())[:2]))
    backend = Backend(engine)
    before = backend.cpu() or 0
    began, cpu = time.perf_counter(), time.process_time()
    WORK[what](engine, path)
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    after = backend.cpu()
    server = None if after is None else after - before
    engine.dispose()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    megabytes = peak / (2**20 if sys.platform == "darwin" else 2**10)
    return Measured(f"{engine.dialect.name} {version}", what, seconds, cpu, server, megabytes)


def run(url: str, path: Path, rows: int) -> bool:
    """Print the lines of one database; whether its bounds are met."""
    engine = sa.create_engine(url)
    Base.metadata.create_all(engine)
    met = True
    context = multiprocessing.get_context("spawn")
    try:
        for what in WORK:
            with context.Pool(1) as pool:
                found = pool.apply(measured, (url, what, path))
            rate = rows / found.seconds
            wanted = FASTEST.get(engine.dialect.name, 0) if what == "import" else 0
            fine = rate >= wanted and found.megabytes <= SMALLEST
            met = met and fine
            server = "-" if found.server_cpu is None else f"{found.server_cpu:.1f}"
            print(
                f"{found.engine:<17} {what:<13} {rate:>9,.0f} {found.seconds:>7.1f}"
                f" {found.cpu:>7.1f} {server:>7} {found.megabytes:>5.0f}  {'' if fine else 'NOT MET'}".rstrip(),
                flush=True,
            )
        with engine.connect() as connection:
            assert next(faults(connection), None) is None
    finally:
        Base.metadata.drop_all(engine)
        engine.dispose()
    return met


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--database-url", action="append", help="an empty database")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--users", type=int, default=50_000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "old.csv"
        with path.open("w") as file:
            file.writelines(lines(args.rows, args.users))
        print(
            f"{'engine':<17} {'what':<13} {'rows/s':>9} {'s':>7} {'our CPU':>7} {'its CPU':>7}"
            f" {'MB':>5}"
        )
        urls = args.database_url or [f"sqlite:///{folder}/transport.sqlite3"]
        met = [run(url, path, args.rows) for url in urls]
        return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
