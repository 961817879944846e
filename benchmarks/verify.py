"""How fast ``flask coins verify`` proves a ledger, and how much memory it takes.

    python benchmarks/verify.py [--database-url URL ...] [--entries N] [--users N]

Each URL names an empty database; its tables are made, filled with N entries (a million) of so many
users (10,000), verified, and dropped again. Without one it is a SQLite file that is thrown away. One
entry in ten is a spend; every user has a reversal, a transfer and a hold. The exit status is 1 when a
bound is not met: 200,000 entries a second on SQLite and PostgreSQL, and no fault found.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from flask import Flask
from flask_sqlalchemy import SQLAlchemy

from flask_coins import Coins
from flask_coins._models import balances, holds, log
from flask_coins._verify import Since, examine

BOUND = 200_000
START = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)
AWARD, SPEND, GIVEN, HELD = 10, -30, 5, 2
SPENDS, REVERSED, GIFT = 9, 20, 30
"""In each ten, the day of a spend; the day that a spend is reversed; that of a transfer."""


def numbers(count: int, name: str) -> sa.Subquery:
    """The numbers from 0 below ``count``, as the column ``n``."""
    ten = sa.union_all(*(sa.select(sa.literal_column(str(n)).label("n")) for n in range(10)))
    found: Any = sa.literal_column("0")
    tables: Any = None
    for power in range(len(str(count - 1))):
        digit = ten.subquery(f"{name}{power}")
        tables = digit if tables is None else tables.join(digit, sa.true())
        found = found + digit.c.n * 10**power
    return sa.select(found.label("n")).select_from(tables).where(found < count).subquery(name)


def days(count: int) -> sa.Subquery:
    """So many days from ``START``: number, moment and label."""
    rows = []
    for day in range(count):
        at = START + timedelta(days=day)
        moment = sa.bindparam(f"at{day}", at, type_=log.c.created_at.type, unique=True)
        label = sa.literal_column(f"'day:{at:%Y-%m-%d}'", log.c.once_key.type)
        number = sa.literal_column(str(day)).label("day")
        rows.append(sa.select(number, moment.label("at"), label.label("label")))
    return sa.union_all(*rows).subquery("days")


def fill(connection: sa.Connection, users: int, entries: int) -> None:
    """A ledger without a fault: every user has an entry a day."""
    each = entries // users
    user, day = numbers(users, "people"), days(each)
    even, text = user.c.n % 2 == 0, sa.String(64)
    spends, reverses, gives = (
        day.c.day % 10 == SPENDS,
        day.c.day == REVERSED,
        day.c.day == GIFT,
    )
    amount = sa.case(
        (reverses, -SPEND),
        (gives, sa.case((even, -GIVEN), else_=GIVEN)),
        (spends, SPEND),
        else_=AWARD,
    )
    number = day.c.day * users + user.c.n + 1
    plain = sa.not_(sa.or_(spends, reverses, gives))
    other = sa.cast(user.c.n + sa.case((even, 1), else_=-1), text)
    values = {
        "id": number,
        "user_id": sa.cast(user.c.n, text),
        "currency": sa.literal_column("'coins'"),
        "amount": amount,
        "balance_after": sa.func.sum(amount).over(partition_by=user.c.n, order_by=day.c.day),
        "reason": sa.case((plain, "goal"), (reverses, "reversal"), (gives, "gift"), else_="shop"),
        "subject": sa.literal_column("''"),
        "once_key": sa.case((plain, day.c.label)),
        "created_at": day.c.at,
        "reverses_id": sa.case((reverses, (REVERSED - 1) * users + user.c.n + 1)),
        "counterparty": sa.case((gives, other)),
        "transfer_id": sa.case((sa.and_(gives, sa.not_(even)), number - 1)),
    }
    source = sa.select(*values.values()).select_from(user.join(day, sa.true()))
    connection.execute(sa.insert(log).from_select(list(values), source.order_by(number)))
    _sum_up(connection)


def _sum_up(connection: sa.Connection) -> None:
    amount, now = log.c.amount, sa.literal(START, balances.c.updated_at.type)
    sums = sa.select(
        log.c.user_id,
        log.c.currency,
        sa.func.sum(amount),
        sa.func.sum(sa.case((amount > 0, amount), else_=0)),
        sa.func.sum(sa.case((amount < 0, -amount), else_=0)),
        now,
        sa.literal_column(str(HELD)),
    ).group_by(log.c.user_id, log.c.currency)
    names = ["user_id", "currency", "balance", "earned", "spent", "updated_at", "held"]
    connection.execute(sa.insert(balances).from_select(names, sums))
    set_aside = sa.select(
        balances.c.user_id,
        balances.c.currency,
        balances.c.held,
        sa.literal_column("'shop'"),
        sa.literal_column("''"),
        sa.literal_column("'open'"),
        now,
    )
    names = ["user_id", "currency", "amount", "reason", "subject", "status", "created_at"]
    connection.execute(sa.insert(holds).from_select(names, set_aside))
    tables = " TABLE coin_log, coin_balance, coin_hold"
    words = f"ANALYZE{tables if connection.dialect.name in ('mysql', 'mariadb') else ''}"
    connection.exec_driver_sql(words)


@contextmanager
def ledger(url: str, users: int, entries: int) -> Iterator[SQLAlchemy]:
    """An app's database with such a ledger, in an app context; it is dropped at the end."""
    app, db = Flask(__name__), SQLAlchemy()
    app.config["SQLALCHEMY_DATABASE_URI"] = url
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = {"enable_from_linting": False}  # products are meant
    db.init_app(app)
    Coins(app, db)
    with app.app_context():
        if there := sa.inspect(db.engine).get_table_names():
            raise SystemExit(f"The database is not empty, it holds {', '.join(there)}.")
        db.create_all()
        try:
            with db.engine.begin() as connection:
                fill(connection, users, entries)
            yield db
        finally:
            db.session.remove()
            db.drop_all()
            db.engine.dispose()


def timed(work: Callable[[], Any]) -> tuple[float, float, Any]:
    """Seconds by the clock and on this process's account, and what ``work`` returned."""
    start, used = time.perf_counter(), time.process_time()
    answer = work()
    return time.perf_counter() - start, time.process_time() - used, answer


def peak() -> float:
    """The most memory that this process has had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(url: str, users: int, entries: int) -> bool:
    """Print the lines of one engine; whether its bounds are met."""
    with ledger(url, users, entries) as db:
        written = entries // users * users
        newest = written - written // 100
        met = True
        name, begin = db.engine.dialect.name, peak()
        for what, checked, since in (
            ("everything", written, None),
            ("--since, the newest 1%", written - newest + 1, Since(newest)),
        ):
            seconds, used, found = timed(
                lambda since=since: sum(map(len, examine(db.session(), log, since=since)))
            )
            rate = checked / seconds
            met = (
                met
                and not found
                and (since or name not in ("sqlite", "postgresql") or rate >= BOUND)
            )
            print(
                f"{name:<12}{what:<24}{checked:>10,} entries {seconds:>7.2f} s {rate:>11,.0f}/s"
                f"  ({used:.2f} s of them here)"
                f"  peak {peak():>4.0f} MB ({begin:.0f} before)  faults {found}"
            )
    return bool(met)


def main() -> int:
    """Run it all; 1 when a bound is not met."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--database-url", action="append", metavar="URL", help="may be repeated")
    parser.add_argument("--entries", type=int, default=1_000_000, help="how many (1000000)")
    parser.add_argument("--users", type=int, default=10_000, help="how many (10000)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        urls = arguments.database_url or [f"sqlite:///{Path(folder) / 'coins.sqlite3'}"]
        met = [measure(url, arguments.users, arguments.entries) for url in urls]
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
