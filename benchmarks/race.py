"""What goes wrong by hand, and what does not here: processes race to pay each user once.

    python benchmarks/race.py [--database-url URL] [--processes N] [--users N]

The URL names an empty database; its tables are made and dropped again. Without one it is a SQLite
file that is thrown away. Two ways that apps write by hand run beside ``coins.award_once``. The exit
status is 1 when that has paid anybody more or less than once.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import tempfile
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from core import Host, tables

AMOUNT = 10
REASON = "daily_login"
Pay = Callable[[Host, int], object]


def by_sql(host: Host, user_id: int) -> None:
    """*Paid today?*, INSERT, UPDATE … coins + 10: three statements and a commit."""
    log, user, session = host.Log, host.User, host.db.session
    paid = sa.select(log.id).where(
        log.user_id == user_id, log.reason == REASON, log.created_at >= _midnight()
    )
    if session.scalar(paid.limit(1)) is None:
        row = {"user_id": user_id, "amount": AMOUNT, "reason": REASON}
        session.execute(sa.insert(log), row)
        add = sa.update(user).where(user.id == user_id).values(coins=user.coins + AMOUNT)
        session.execute(add)
    session.commit()


def by_orm(host: Host, user_id: int) -> None:
    """The same by the ORM: ``user.coins += 10``."""
    host.pay_naively(user_id)


def by_coins(host: Host, user_id: int) -> None:
    """One call, one commit."""
    host.coins.award_once(user_id, AMOUNT, REASON, "day")
    host.db.session.commit()


WAYS: dict[str, Pay] = {"SQL by hand": by_sql, "ORM by hand": by_orm, "award_once": by_coins}
ENTRIES = {"award_once": "SELECT user_id, COUNT(*) FROM coin_log GROUP BY user_id"}
BY_HAND = "SELECT user_id, COUNT(*) FROM naive_log GROUP BY user_id"
BALANCES = {"award_once": "SELECT SUM(balance) FROM coin_balance"}


def _midnight() -> datetime:
    return datetime.now(timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0)


def run(url: str, way: str, users: int, line: Any) -> None:
    """One process: pay each user in turn, together with all others."""
    host = Host(url, COINS_CACHE_SECONDS=0)
    for user_id in range(1, users + 1):
        with host.app.app_context():
            line.wait()
            try:
                WAYS[way](host, user_id)
            except sa.exc.OperationalError:  # SQLite, locked: a request that has failed
                host.db.session.rollback()
    with host.app.app_context():
        host.db.engine.dispose()


def race(url: str, way: str, processes: int, users: int) -> tuple[int, int, int]:
    """How many users were paid more or less than once, awards too many, coins that are missing."""
    context = multiprocessing.get_context("spawn")
    with tables(url):
        host = Host(url)
        with host.app.app_context():
            host.make_users(users)
            host.db.engine.dispose()
        line = context.Barrier(processes, timeout=60)
        racers = [
            context.Process(target=run, args=(url, way, users, line)) for _ in range(processes)
        ]
        for racer in racers:
            racer.start()
        for racer in racers:
            racer.join()
        with host.app.app_context():
            entries = host.db.session.execute(sa.text(ENTRIES.get(way, BY_HAND))).all()
            balances = BALANCES.get(way, "SELECT SUM(coins) FROM naive_user")
            balance = host.db.session.scalar(sa.text(balances)) or 0
            host.db.session.remove()
            host.db.engine.dispose()
    times = [number for _, number in entries]
    wrong = sum(number != 1 for number in times) + users - len(times)
    return wrong, sum(times) - len(times), sum(times) * AMOUNT - int(balance)


def main() -> int:
    """Race each way; 1 when ``award_once`` was not exact."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--database-url", metavar="URL")
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--users", type=int, default=100)
    given = parser.parse_args()
    print(f"{'':<14}{'users not paid once':>20}{'awards too many':>17}{'coins lost':>12}")
    exact = False
    with tempfile.TemporaryDirectory() as folder:
        url = given.database_url or f"sqlite:///{Path(folder) / 'race.sqlite3'}"
        for way in WAYS:
            figures = race(url, way, given.processes, given.users)
            print(f"{way:<14}{figures[0]:>20,}{figures[1]:>17,}{figures[2]:>12,}", flush=True)
            exact = figures == (0, 0, 0)
    return 0 if exact else 1


if __name__ == "__main__":
    sys.exit(main())
