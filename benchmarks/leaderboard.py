"""What leaderboards and figures cost, and what an index on the moments of entries gives and takes.

    python benchmarks/leaderboard.py [--database-url URL ...] [--entries N] [--users N]

Each URL names an empty database; its tables are made, filled with N entries (a million) of so many
users (100,000), read, and dropped again. Without one it is a SQLite file that is thrown away. Users
are paid once in ten days each; of their payments one in fifty is taken back. Beside each board stands
the naive one, which sums up what is positive in the log: received transfers and refunds with it.
Times are the best of several, on a machine that does other things too: read the ratios.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from verify import numbers

from flask_coins import Coins
from flask_coins._models import balances, log

START = datetime(2026, 1, 1, tzinfo=timezone.utc)
TAKEN_BACK = 50
PAYMENTS = 1000
TIMES = 3
INDEX = "CREATE INDEX ix_coin_log_time ON coin_log (currency, created_at)"


def fill(connection: sa.Connection, users: int, entries: int) -> datetime:
    """Payments that differ from user to user, and some taken back; the moment after the last."""
    paid = entries * TAKEN_BACK // (TAKEN_BACK + 1)
    row, per_day = numbers(paid, "paid"), max(users // 10, 1)
    days = [START + timedelta(days=day, hours=9) for day in range(paid // per_day + 1)]
    moments = sa.union_all(
        *(
            sa.select(
                sa.literal_column(str(day)).label("day"),
                sa.literal(at, log.c.created_at.type).label("at"),
            )
            for day, at in enumerate(days)
        )
    ).subquery()
    amount = 1 + (row.c.n * 7 + row.c.n % users % 13) % 50
    source = sa.select(
        row.c.n + 1,
        sa.cast(row.c.n % users, sa.String(64)),
        sa.literal("coins"),
        amount,
        amount,
        sa.literal("goal"),
        moments.c.at,
    ).join_from(row, moments, moments.c.day == row.c.n // per_day)
    names = ["id", "user_id", "currency", "amount", "balance_after", "reason", "created_at"]
    connection.execute(sa.insert(log).from_select(names, source))
    columns = [
        log.c.id + paid,
        log.c.user_id,
        log.c.currency,
        -log.c.amount,
        sa.literal(0),
        sa.literal("reversal"),
        log.c.created_at,
        log.c.id,
    ]
    back = sa.select(*columns).where(log.c.id % TAKEN_BACK == 0)
    connection.execute(sa.insert(log).from_select([*names, "reverses_id"], back))
    if connection.dialect.name == "postgresql":
        following = sa.func.setval(
            "coin_log_id_seq", sa.select(sa.func.max(log.c.id)).scalar_subquery()
        )
        connection.execute(sa.select(following))
    _sum_up(connection)
    return days[-1] + timedelta(hours=3)


def _sum_up(connection: sa.Connection) -> None:
    amount, nothing = log.c.amount, sa.literal_column("0")
    sums = sa.select(
        log.c.user_id,
        log.c.currency,
        sa.func.sum(amount),
        sa.func.sum(sa.case((amount > 0, amount), else_=nothing)),
        sa.func.sum(sa.case((amount < 0, -amount), else_=nothing)),
        sa.literal(START, balances.c.updated_at.type),
    ).group_by(log.c.user_id, log.c.currency)
    names = ["user_id", "currency", "balance", "earned", "spent", "updated_at"]
    connection.execute(sa.insert(balances).from_select(names, sums))
    analyze(connection)


def analyze(connection: sa.Connection) -> None:
    mariadb = connection.dialect.name in ("mysql", "mariadb")
    connection.exec_driver_sql(f"ANALYZE{' TABLE coin_log, coin_balance' if mariadb else ''}")


def naive(since: datetime | None) -> sa.Select[Any]:
    """The board that is written first."""
    score = sa.func.sum(log.c.amount).label("score")
    found = sa.select(log.c.user_id, score).where(log.c.currency == "coins", log.c.amount > 0)
    if since:
        found = found.where(log.c.created_at >= since)
    return found.group_by(log.c.user_id)


def best(call: Callable[[], object]) -> float:
    """The shortest of some runs, in milliseconds."""
    times = []
    for _ in range(TIMES):
        begun = time.perf_counter()
        call()
        times.append(time.perf_counter() - begun)
    return min(times) * 1000


def read(db: SQLAlchemy, coins: Coins, now: datetime) -> None:
    """Time each board beside the naive one."""
    since = {"all time": None, "day": now.replace(hour=0), "month": now.replace(day=1, hour=0)}
    for name, start in since.items():
        window = None if start is None else name
        plain = naive(start)
        sums = plain.subquery()
        mine = sa.select(sums.c.score).where(sums.c.user_id == "7").scalar_subquery()
        rank = sa.select(sa.func.count()).where(sums.c.score > sa.func.coalesce(mine, 0))
        top = plain.order_by(sa.desc("score")).limit(10)
        show(
            f"top ten, {name}",
            best(lambda w=window: coins.leaderboard(w)),
            best(lambda t=top: db.session.execute(t).all()),
        )
        show(
            f"neighbours, {name}",
            best(lambda w=window: coins.neighbours("7", w)),
            best(lambda r=rank: db.session.execute(r).all()),
        )
    show("stats, all time", best(coins.stats))
    show("stats, a day", best(lambda: coins.stats(now.date(), now.date())))


def show(what: str, ours: float, other: float | None = None) -> None:
    beside = f"{other:11.1f} ms {ours / other:7.2f}" if other else ""
    print(f"  {what:24} {ours:9.1f} ms {beside}", flush=True)


def pay(db: SQLAlchemy, coins: Coins, name: str) -> float:
    """What a payment with its commit takes, in microseconds."""
    begun = time.perf_counter()
    for number in range(PAYMENTS):
        coins.award_once(f"{name}-{number}", 5, "goal", "day")
        db.session.commit()
    return (time.perf_counter() - begun) / PAYMENTS * 1e6


def measure(url: str, users: int, entries: int) -> None:
    app, db = Flask(__name__), SQLAlchemy()
    app.config["SQLALCHEMY_DATABASE_URI"] = url
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = {"enable_from_linting": False}  # products are meant
    db.init_app(app)
    now = START
    coins = Coins(app, db, clock=lambda: now)
    with app.app_context():
        if there := sa.inspect(db.engine).get_table_names():
            raise SystemExit(f"The database is not empty, it holds {', '.join(there)}.")
        db.create_all()
        try:
            with db.engine.begin() as connection:
                now = fill(connection, users, entries)
            print(f"{db.engine.dialect.name}: ours, the naive one, and their ratio")
            read(db, coins, now)
            print(f"  a payment {pay(db, coins, 'before'):.0f} µs")
            with db.engine.begin() as connection:
                connection.exec_driver_sql(INDEX)
                analyze(connection)
            print(" with the index")
            read(db, coins, now)
            print(f"  a payment {pay(db, coins, 'after'):.0f} µs")
        finally:
            db.session.remove()
            db.drop_all()
            db.engine.dispose()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--database-url", action="append", default=[])
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--users", type=int, default=100_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for url in given.database_url or [f"sqlite:///{Path(folder) / 'board.sqlite3'}"]:
            measure(url, given.users, given.entries)


if __name__ == "__main__":
    main()
