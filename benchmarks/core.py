"""How fast the core is, against rivals that run in turns with it: one table of ratios.

    python benchmarks/core.py [--database-url URL ...] [--rounds N]

Each URL names an empty database; its tables are made and dropped again. Without one it is a SQLite
file that is thrown away. The exit status is 1 when a bound is not met.
"""

from __future__ import annotations

import argparse
import gc
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import flask
import sqlalchemy as sa
from flask import Flask
from flask_sqlalchemy import SQLAlchemy

from flask_coins import Coins, Outcome, award_once

Call = Callable[[], Any]
BATCH = 10
ME = "the user whose statements are recorded"


class Result(NamedTuple):
    """One line of the table."""

    what: str
    ours: float
    """Seconds per call."""
    rival: str
    theirs: float
    ratio: float
    bound: str
    met: bool


class Host:
    """A small app on one database, with the same tables once more as people write them by hand."""

    def __init__(self, url: str, **config: Any) -> None:
        self.db, self.coins = SQLAlchemy(), Coins()
        self.app = Flask(__name__)
        self.app.config.update(SQLALCHEMY_DATABASE_URI=url, COINS_TIMEZONE="Europe/Berlin")
        self.app.config.update(config)
        self.db.init_app(self.app)
        self.coins.init_app(self.app, self.db)
        self.coins.current_user_loader(lambda: 1)
        self.User, self.Log = naive_models(self.db)
        self.app.post("/empty")(empty_view)
        self.app.post("/paying")(award_once(10, "daily_login", "day")(paying_view))

    @contextmanager
    def driver(self) -> Iterator[Any]:
        """A connection of the driver's own, with the settings of the host's."""
        held = self.db.engine.raw_connection()
        yield held.driver_connection
        held.close()

    def pay(self, user_id: Any) -> None:
        """What a host does: pay, and commit its session."""
        assert self.coins.award_once(user_id, 10, "daily_login", "day")
        self.db.session.commit()

    def refused(self) -> None:
        """A payment that is not due; the host's transaction ends without a write."""
        assert self.coins.award_once(ME, 10, "daily_login", "day").outcome is Outcome.ALREADY
        self.db.session.rollback()

    def make_users(self, number: int) -> list[int]:
        """Rows for :meth:`pay_naively`; their ids."""
        ids = list(range(1, number + 1))
        rows = [{"id": n, "name": f"user {n}", "coins": 0} for n in ids]
        self.db.session.execute(sa.insert(self.User), rows)
        self.db.session.commit()
        return ids

    def pay_naively(self, user_id: int) -> None:
        """What the hosts of this package used to do."""
        log, session = self.Log, self.db.session
        midnight = datetime.now(timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0)
        user = session.get_one(self.User, user_id)
        paid = session.scalar(
            sa.select(log)
            .where(log.user_id == user_id, log.reason == "daily_login", log.created_at >= midnight)
            .limit(1)
        )
        if paid is None:
            session.add(log(user_id=user_id, amount=10, reason="daily_login"))
            user.coins += 10
        session.commit()


def empty_view() -> str:
    """A view that does nothing."""
    return ""


def paying_view() -> str:
    """The same, to be decorated."""
    return ""


def naive_models(db: SQLAlchemy) -> tuple[Any, Any]:
    """Users with a ``coins`` column, and a log."""

    class User(db.Model):  # type: ignore[name-defined,misc]
        __tablename__ = "naive_user"
        id = db.Column(db.Integer, primary_key=True)
        name = db.Column(db.String(64), nullable=False)
        coins = db.Column(db.Integer, nullable=False)

    class Log(db.Model):  # type: ignore[name-defined,misc]
        __tablename__ = "naive_log"
        id = db.Column(db.Integer, primary_key=True)
        user_id = db.Column(db.ForeignKey(User.id), nullable=False)
        amount = db.Column(db.Integer, nullable=False)
        reason = db.Column(db.String(64), nullable=False)
        created_at = db.Column(
            db.DateTime(timezone=True), default=lambda: datetime.now(timezone.utc)
        )
        __table_args__ = (db.Index("ix_naive_log", "user_id", "reason", "created_at"),)

    return User, Log


def race(rivals: dict[str, Call], rounds: int) -> dict[str, list[float]]:
    """Seconds per call of each rival, one figure per round; they take turns, after a warm-up."""
    for call in rivals.values():
        for _ in range(2 * BATCH):
            call()
    times: dict[str, list[float]] = {name: [] for name in rivals}
    gc.collect()
    gc.disable()
    for number in range(rounds):
        for name in sorted(rivals, reverse=bool(number % 2)):
            call, start = rivals[name], time.perf_counter()
            for _ in range(BATCH):
                call()
            times[name].append((time.perf_counter() - start) / BATCH)
        gc.collect(0)
    gc.enable()
    return times


def ratio(times: dict[str, list[float]], over: str, under: str) -> float:
    """The median of the rounds' ratios: what disturbs a round disturbs both."""
    return median(a / b for a, b in zip(times[over], times[under], strict=True))


@contextmanager
def recorded(engine: sa.Engine) -> Iterator[list[tuple[str, Any]]]:
    """The statements that ``engine`` is given, with their parameters as the driver gets them."""
    seen: list[tuple[str, Any]] = []

    def see(conn: Any, cursor: Any, statement: str, params: Any, context: Any, many: bool) -> None:
        seen.append((statement, params))

    sa.event.listen(engine, "before_cursor_execute", see)
    yield seen
    sa.event.remove(engine, "before_cursor_execute", see)


@contextmanager
def recorded_constructs(engine: sa.Engine) -> Iterator[list[tuple[Any, dict[str, Any]]]]:
    """The constructs of SQLAlchemy that ``engine`` is given, with their parameters."""
    seen: list[tuple[Any, dict[str, Any]]] = []

    def see(conn: Any, construct: Any, many: Any, params: Any, options: Any) -> None:
        seen.append((construct, dict(params)))

    sa.event.listen(engine, "before_execute", see)
    yield seen
    sa.event.remove(engine, "before_execute", see)


def replay_constructs(host: Host, constructs: list[tuple[Any, dict[str, Any]]], who: str) -> None:
    """The recorded constructs through the host's session, for another user, and a commit."""
    connection = host.db.session.connection()
    for construct, params in constructs:
        answer = connection.execute(
            construct, {k: who if v == ME else v for k, v in params.items()}
        )
        if answer.returns_rows:
            answer.all()
    host.db.session.commit()


def replay(statements: list[tuple[str, Any]], connection: Any, user_id: str) -> None:
    """The recorded statements by the driver alone, for another user, and what they answer."""
    cursor = connection.cursor()
    for statement, params in statements:
        if isinstance(params, dict):
            mine: Any = {k: user_id if v == ME else v for k, v in params.items()}
        else:
            mine = tuple(user_id if v == ME else v for v in params)
        cursor.execute(statement, mine)
        if cursor.description:
            cursor.fetchall()
    cursor.close()


def measure_requests(host: Host, rounds: int) -> Result:
    """A request that is refused again, against one whose view does nothing."""
    client = host.app.test_client()
    client.post("/paying")
    client.post("/paying")
    with host.app.app_context():
        engine = host.db.engine
    with recorded(engine) as statements:
        times = race(
            {"ours": lambda: client.post("/paying"), "empty": lambda: client.post("/empty")},
            4 * rounds,
        )
    assert not statements, f"a repeated refusal cost SQL: {statements[0]}"
    by = ratio(times, "ours", "empty")
    what = "request refused again, no SQL"
    return _line(what, "empty view", times, "empty", by, "<= 1.05", by <= 1.05)


def measure_refusals(host: Host, rounds: int) -> Result:
    """A refusal without the cache, against its one SELECT by the driver alone."""
    host.pay(ME)
    with recorded(host.db.engine) as statements:
        host.refused()
    assert len(statements) == 1, f"a refusal cost {len(statements)} statements"
    assert statements[0][0].startswith("SELECT")
    with host.driver() as raw:

        def select() -> None:
            replay(statements, raw, ME)
            raw.rollback()

        times = race({"ours": host.refused, "driver": select}, rounds)
    by = ratio(times, "ours", "driver")
    return _line("refusal, one SELECT", "driver, same SELECT", times, "driver", by, "none", True)


def measure_payments(host: Host, rounds: int) -> list[Result]:
    """A payment and its commit, against the driver alone and against the ORM as people use it."""
    fresh, users = count(1), iter(host.make_users((rounds + 2) * BATCH))
    engine = host.db.engine
    with recorded(engine) as statements, recorded_constructs(engine) as constructs:
        host.coins.award_once(ME, 10, "daily_login", "forever", subject="recorded")
        host.db.session.rollback()
    with host.driver() as raw:

        def by_driver() -> None:
            replay(statements, raw, f"driver {next(fresh)}")
            raw.commit()

        rivals = {
            "ours": lambda: host.pay(f"ours {next(fresh)}"),
            "driver": by_driver,
            "alone": lambda: replay_constructs(host, constructs, f"alone {next(fresh)}"),
            "naive": lambda: host.pay_naively(next(users)),
        }
        times = race(rivals, rounds)
    to_raw, to_naive = ratio(times, "ours", "driver"), ratio(times, "naive", "ours")
    to_sqlalchemy = ratio(times, "ours", "alone")
    same = f"driver, same {len(statements)} statements"
    bounded = engine.dialect.name == "postgresql"
    return [
        _line("payment and commit", same, times, "driver", to_raw, "<= 2", to_raw <= 2),
        _line(
            "payment and commit",
            "SQLAlchemy alone, the same",
            times,
            "alone",
            to_sqlalchemy,
            "none",
            True,
        ),
        _line(
            "payment and commit",
            "naive ORM, and it is",
            times,
            "naive",
            to_naive,
            ">= 2" if bounded else "none",
            not bounded or to_naive >= 2,
        ),
    ]


def _line(
    what: str,
    rival: str,
    times: dict[str, list[float]],
    name: str,
    by: float,
    bound: str,
    met: bool,
) -> Result:
    return Result(what, median(times["ours"]), rival, median(times[name]), by, bound, met)


@contextmanager
def tables(url: str) -> Iterator[None]:
    """Make the tables in an empty database, and drop them again."""
    host = Host(url)
    with host.app.app_context():
        if there := sa.inspect(host.db.engine).get_table_names():
            raise SystemExit(
                f"The database is not empty, it holds {', '.join(there)}: make another."
            )
        host.db.create_all()
        try:
            yield
        finally:
            host.db.session.remove()
            host.db.drop_all()
            host.db.engine.dispose()


def measure(url: str, rounds: int) -> tuple[str, list[Result]]:
    """The engine, named with its version, and its lines of the table."""
    with tables(url):
        results = [measure_requests(Host(url), rounds)]
        host = Host(url, COINS_CACHE_SECONDS=0)
        with host.app.app_context():
            results.append(measure_refusals(host, rounds))
            results += measure_payments(host, rounds)
            host.db.session.remove()
            version = ".".join(map(str, host.db.engine.dialect.server_version_info or ()))
            dialect = host.db.engine.dialect
            name = "mariadb" if getattr(dialect, "is_mariadb", False) else dialect.name
            host.db.engine.dispose()
    return f"{name} {version}", results


def show(engine: str, results: list[Result]) -> None:
    """Print lines of the table."""
    for each in results:
        print(
            f"{engine:<18}{each.what:<31}{each.ours * 1e6:>6.0f}   {each.rival:<26}"
            f"{each.theirs * 1e6:>6.0f}{each.ratio:>7.2f}  {each.bound:<8}"
            f"{'met' if each.met else 'NOT MET'}",
            flush=True,
        )


def main() -> int:
    """Run it all; 1 when a bound is not met."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--database-url", action="append", metavar="URL", help="may be repeated")
    parser.add_argument("--rounds", type=int, default=100, help="of ten calls each (100)")
    arguments = parser.parse_args()
    versions = f"Flask {flask_version()}, SQLAlchemy {sa.__version__}"
    print(
        f"{datetime.now(timezone.utc):%Y-%m-%d}, Python {platform.python_version()}, {versions}\n"
    )
    print(f"{'engine':<18}{'what':<31}{'µs':>6}   {'against':<26}{'µs':>6}{'ratio':>7}  bound")
    met = True
    with tempfile.TemporaryDirectory() as folder:
        for url in arguments.database_url or [f"sqlite:///{Path(folder) / 'coins.sqlite3'}"]:
            engine, results = measure(url, arguments.rounds)
            show(engine, results)
            met = met and all(each.met for each in results)
    return 0 if met else 1


def flask_version() -> str:
    """The version that is installed."""
    from importlib.metadata import version

    return version(flask.__name__)


if __name__ == "__main__":
    sys.exit(main())
