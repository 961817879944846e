"""Processes that move coins through all nodes at once, and keep what was acknowledged to them.

Each has its own app and connections to one node. It repeats a unit of work whole, its commit included,
as the docs tell a host to: always after a transient error, and after a commit whose answer was lost
only if the work carries a key or a window.
"""

from __future__ import annotations

import logging
import multiprocessing
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from itertools import count
from multiprocessing.pool import AsyncResult, Pool
from multiprocessing.synchronize import Barrier, Event
from typing import Any, NamedTuple

from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.exc import DBAPIError

from flask_coins import Coins, CoinsRetry, InsufficientCoins, Receipt
from tests.apps import Clock, create_app

PROCESSES = 6
PATIENCE = 120
"""Seconds that a process waits for the others, and half of those for its answers."""
USERS = [f"user:{number}" for number in range(8)]
TURNS_PER_SECOND = 4
TRANSIENT = {1213, 1205}

Call = Callable[[Coins, str, str], Any]
"""A unit of work for a user in a turn; each turn has windows and keys of its own."""


def daily(coins: Coins, user: str, turn: str) -> Receipt:
    return coins.award_once(user, 10, "daily", "day", subject=turn)


def twice_a_day(coins: Coins, user: str, turn: str) -> Receipt:
    return coins.award_once(user, 4, "twice_a_day", "day", subject=turn, limit=2)


def forever(coins: Coins, user: str, turn: str) -> Receipt:
    return coins.award_once(user, 30, "forever", "forever", subject=turn)


def rolling(coins: Coins, user: str, turn: str) -> Receipt:
    return coins.award_once(user, 5, "rolling", timedelta(hours=1), subject=turn, limit=3)


def keyed(coins: Coins, user: str, turn: str) -> Receipt:
    return coins.award(user, 7, "keyed", subject=turn, idempotency_key=f"award-{turn}")


def keyed_spend(coins: Coins, user: str, turn: str) -> Receipt:
    return coins.spend(user, 20, "keyed_spend", subject=turn, idempotency_key=f"spend-{turn}")


def spend(coins: Coins, user: str, turn: str) -> Receipt:
    return coins.spend(user, 25, "spend", subject=turn)


def gift(coins: Coins, user: str, turn: str) -> Receipt:
    friend, key = f"friend of {user}", f"gift-{turn}"
    return coins.transfer(user, friend, 3, "gift", subject=turn, idempotency_key=key)[0]


def game(coins: Coins, user: str, turn: str) -> Receipt:
    return coins.capture(coins.hold(user, 6, "game", subject=turn))


CALLS: dict[Call, int | None] = {
    daily: 1,
    twice_a_day: 2,
    forever: 1,
    rolling: 3,
    keyed: 1,
    keyed_spend: 1,
    spend: None,
    gift: 1,
    game: None,
}
"""How often each may move coins for a user in a turn; None: as often as it is called."""


class Answer(NamedTuple):
    """What a process was told about one unit of work."""

    call: str
    user: str
    said: str
    """An outcome; "refused" for want of coins; "unknown" if a commit was never answered."""
    entry: tuple[Any, ...] | None = None
    """Of an acknowledged entry: id, user, amount, balance after it, reason, subject."""
    repeats: int = 0


class Crowd:
    """The processes, dealt out over the nodes."""

    def __init__(self, pool: Pool, stop: Event) -> None:
        self._pool, self._stop = pool, stop

    def race(
        self, urls: Sequence[str], call: Call, users: Sequence[str], **config: Any
    ) -> list[Answer]:
        """Let all make ``call`` for a user at once, user after user; ``config`` is the apps'."""
        self._stop.clear()
        return self._result(self._all(_race, urls, call, users, config))

    @contextmanager
    def load(self, urls: Sequence[str]) -> Iterator[list[Answer]]:
        """Let all make any calls for any users as long as the block lasts; then the list is filled."""
        self._stop.clear()
        result = self._all(_go_on, urls)
        answers: list[Answer] = []
        try:
            yield answers
        finally:
            self._stop.set()
            answers += self._result(result)

    def _all(self, work: Callable[..., list[Answer]], urls: Sequence[str], *more: Any) -> Any:
        hands = [(urls[number % len(urls)], *more) for number in range(PROCESSES)]
        return self._pool.starmap_async(work, hands, chunksize=1)

    def _result(self, result: AsyncResult[list[list[Answer]]]) -> list[Answer]:
        return [answer for hand in result.get(PATIENCE * 2) for answer in hand]


@contextmanager
def spawn() -> Iterator[Crowd]:
    """Start the processes, and end them afterwards."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    line, stop = context.Barrier(PROCESSES, timeout=PATIENCE), context.Event()
    with context.Pool(PROCESSES, _stand_at, (line, stop)) as pool:
        yield Crowd(pool, stop)


_line: Barrier
_stop: Event


def _stand_at(line: Barrier, stop: Event) -> None:
    global _line, _stop  # a process is given them at birth, and keeps them
    _line, _stop = line, stop
    # Of connections to nodes that are down: the answers tell.
    logging.getLogger("sqlalchemy.pool").setLevel(logging.CRITICAL + 1)


def _race(url: str, call: Call, users: Sequence[str], config: dict[str, Any]) -> list[Answer]:
    with _host(url, **config) as host:
        answers = []
        for user in users:
            _line.wait()
            answers.append(host.settle(call, user, "race"))
        return answers


def _go_on(url: str) -> list[Answer]:
    calls = list(CALLS)
    with _host(url) as host:
        _line.wait()
        answers = []
        while not _stop.is_set():
            # The clock's, so that all meet again after one was held up.
            turn = str(int(time.time() * TURNS_PER_SECOND))
            answers.append(host.settle(random.choice(calls), random.choice(USERS), turn))
        return answers


class Host:
    """An app on one node."""

    def __init__(
        self, url: str, gives_up: Callable[[], bool] = lambda: False, **config: Any
    ) -> None:
        self._gives_up = gives_up
        self.db, self.coins = SQLAlchemy(), Coins(clock=Clock())
        options = {"connect_args": {"connect_timeout": 2, "read_timeout": 30}}
        config["SQLALCHEMY_ENGINE_OPTIONS"] = options
        self.app = create_app(url, self.db, self.coins, **config)

    def settle(self, call: Call, user: str, turn: str) -> Answer:
        """Repeat the unit until it is answered, may not be repeated, or all is to end."""
        unsure = False
        for repeats in count():
            with self.app.app_context():
                said, entry = self.attempt(call, user, turn)
            if said not in ("again", "unknown"):
                return Answer(call.__name__, user, said, entry, repeats)
            unsure = unsure or said == "unknown"
            if self._gives_up() or (unsure and CALLS.get(call) is None):
                said = "unknown" if unsure else "given up"
                return Answer(call.__name__, user, said, None, repeats)
            time.sleep(random.uniform(0, 0.02))
        raise AssertionError

    def close(self) -> None:
        """Close the connections."""
        with self.app.app_context():
            self.db.engine.dispose()

    def attempt(self, call: Call, user: str, turn: str) -> tuple[str, tuple[Any, ...] | None]:
        """Make the unit once, its commit included, in an app context: what was said, and written.

        "again" if nothing can have been committed, "unknown" if it may have been.
        """
        session = self.db.session
        try:
            receipt = call(self.coins, user, turn)
        except InsufficientCoins:
            roll_back(session)
            return "refused", None
        except (CoinsRetry, DBAPIError):
            roll_back(session)
            return "again", None
        try:
            session.commit()
        except DBAPIError as error:
            roll_back(session)
            return ("again" if _code(error) in TRANSIENT else "unknown"), None
        return (
            (str(receipt.outcome), _facts(receipt))
            if isinstance(receipt, Receipt)
            else ("held", None)
        )


@contextmanager
def _host(url: str, **config: Any) -> Iterator[Host]:
    host = Host(url, _stop.is_set, **config)
    try:
        yield host
    except BaseException:
        _line.abort()  # nobody waits for one who is gone
        raise
    host.close()


def roll_back(session: Any) -> None:
    """Roll back, also a transaction that the cluster has given up meanwhile."""
    try:
        session.rollback()
    except DBAPIError:  # 1213: the cluster had done it, and tells so once
        session.rollback()


def _code(error: DBAPIError) -> int:
    return int(error.orig.args[0]) if error.orig else 0


def _facts(receipt: Receipt) -> tuple[Any, ...] | None:
    entry = receipt.entry
    if entry is None:
        return None
    subject = entry.subject or ""
    return entry.id, entry.user_id, entry.amount, entry.balance_after, entry.reason, subject
