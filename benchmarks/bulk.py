"""Many payments: at once against one by one, and what a budget of the app costs.

    python benchmarks/bulk.py [--database-url URL] [--rows N] [--seconds N]

The URL names an empty database; its tables are made and dropped again. Without one it is a SQLite
file that is thrown away. The exit status is 1 when ``coins.award_many`` is less than ten times as
quick on PostgreSQL as a call and a commit for each row.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any

from core import Host, tables

PROCESSES = 8
BUDGET = {"most": 10**12, "window": "day", "per": "app", "reason": "prize"}
Row = dict[str, Any]
_batches = count()

ROWS: dict[str, Callable[[str], Row]] = {
    "plain": lambda user: {"user": user, "amount": 10, "reason": "gift"},
    "once a day": lambda user: {"user": user, "amount": 10, "reason": "goal", "window": "day"},
    "with a key": lambda user: {
        "user": user,
        "amount": 10,
        "reason": "gift",
        "idempotency_key": "k",
    },
}


def at_once(host: Host, rows: list[Row]) -> None:
    """One call, one commit."""
    assert host.coins.award_many(rows) == len(rows)
    host.db.session.commit()


def one_transaction(host: Host, rows: list[Row]) -> None:
    """A call for each, one commit."""
    for row in rows:
        _pay(host, row)
    host.db.session.commit()


def one_by_one(host: Host, rows: list[Row]) -> None:
    """A call and a commit for each."""
    for row in rows:
        _pay(host, row)
        host.db.session.commit()


def _pay(host: Host, row: Row) -> None:
    pay = host.coins.award_once if "window" in row else host.coins.award
    assert pay(**row)


WAYS = {"award_many": at_once, "one transaction": one_transaction, "a commit each": one_by_one}
PARTS = {"award_many": 1, "one transaction": 10, "a commit each": 10}
"""What is slow gets a part of the rows."""


def rate(host: Host, way: str, kind: str, rows: int) -> float:
    """Rows per second, for users who were never paid before."""
    batch = next(_batches)
    given = [ROWS[kind](f"user:{batch}:{n}") for n in range(rows // PARTS[way])]
    started = time.perf_counter()
    WAYS[way](host, given)
    return len(given) / (time.perf_counter() - started)


def measure_bulk(url: str, rows: int, rounds: int) -> bool:
    """Print the rates; whether the bound is met."""
    met = True
    print(f"{'rows per second':<18}" + "".join(f"{way:>18}" for way in WAYS) + f"{'times':>8}")
    with tables(url):
        host = Host(url, COINS_CACHE_SECONDS=0)
        with host.app.app_context():
            for kind in ROWS:
                turns = [
                    {way: rate(host, way, kind, rows) for way in WAYS} for _ in range(rounds + 1)
                ][1:]
                rates = {way: median(turn[way] for turn in turns) for way in WAYS}
                times = median(turn["award_many"] / turn["a commit each"] for turn in turns)
                figures = "".join(f"{rates[way]:>18,.0f}" for way in WAYS)
                print(f"{kind:<18}{figures}{times:>8.1f}", flush=True)
                met = met and (times >= 10 or host.db.engine.dialect.name != "postgresql")
            host.db.session.remove()
            host.db.engine.dispose()
    return met


def run(
    url: str, config: dict[str, Any], seconds: float, number: int, line: Any, paid: Any
) -> None:
    """One process: pay users of its own, each payment committed."""
    host = Host(url, COINS_CACHE_SECONDS=0, **config)
    with host.app.app_context():
        line.wait()
        ends, payments = time.monotonic() + seconds, 0
        while time.monotonic() < ends:
            assert host.coins.award(f"{number}:{payments % 500}", 1, "prize")
            host.db.session.commit()
            payments += 1
        paid.put(payments)
        host.db.session.remove()
        host.db.engine.dispose()


def payments_per_second(url: str, config: dict[str, Any], seconds: float) -> float:
    """What all processes together pay."""
    context = multiprocessing.get_context("spawn")
    with tables(url):
        line, paid = context.Barrier(PROCESSES, timeout=120), context.Queue()
        payers = [
            context.Process(target=run, args=(url, config, seconds, number, line, paid))
            for number in range(PROCESSES)
        ]
        for payer in payers:
            payer.start()
        total = sum(paid.get() for _ in payers)
        for payer in payers:
            payer.join()
    return total / seconds


def measure_budget(url: str, seconds: float, rounds: int) -> None:
    """Print what eight processes pay with each kind of budget, and with none."""
    kinds: dict[str, dict[str, Any]] = {
        "no budget": {},
        "one for each user": {"COINS_BUDGETS": [{**BUDGET, "per": "user"}]},
        "one of the app": {"COINS_BUDGETS": [BUDGET]},
    }
    print(f"\n{'payments per second, ' + str(PROCESSES) + ' processes':<40}")
    turns = [
        {kind: payments_per_second(url, config, seconds) for kind, config in kinds.items()}
        for _ in range(rounds)
    ]
    for kind in kinds:
        figure = median(turn[kind] for turn in turns)
        part = median(turn[kind] / turn["no budget"] for turn in turns)
        print(f"{kind:<26}{figure:>14,.0f}{part:>8.2f}", flush=True)


def main() -> int:
    """Measure both; 1 when the bound is not met."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--database-url", metavar="URL")
    parser.add_argument("--rows", type=int, default=10_000, help="of one award_many (10,000)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5, help="for each kind of budget (5)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        url = given.database_url or f"sqlite:///{Path(folder) / 'bulk.sqlite3'}"
        met = measure_bulk(url, given.rows, given.rounds)
        measure_budget(url, given.seconds, given.rounds)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
