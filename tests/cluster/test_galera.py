"""Three nodes written at once, killed and cut off: nothing lost, nothing doubled, all nodes alike."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from flask_coins import Coins, Hold, InsufficientCoins, Receipt, award_once

from .audit import faults, rows
from .load import (
    CALLS,
    PROCESSES,
    Call,
    Crowd,
    Host,
    daily,
    forever,
    keyed,
    rolling,
    spend,
    twice_a_day,
)
from .nodes import Cluster, Node, wait_for

PAGE = (Path(__file__).parents[2] / "docs" / "distributed.md").read_text()
pytestmark = [pytest.mark.servers, pytest.mark.cluster]

ONCE = [daily, twice_a_day, forever, rolling, keyed]
USERS = [f"racer:{number}" for number in range(10)]


@pytest.mark.parametrize("call", ONCE)
def test_all_nodes_at_once_pay_a_window_or_key_as_often_as_it_may_be(
    urls: list[str], crowd: Crowd, call: Call
) -> None:
    answers = crowd.race(urls, call, USERS)
    said = Counter(answer.said for answer in answers)
    times = CALLS[call] or 0
    assert said.pop("awarded") == times * len(USERS)
    assert said.keys() <= {"already", "replayed"}
    assert sum(said.values()) == (PROCESSES - times) * len(USERS)
    assert faults(urls, answers) == []


@pytest.fixture
def rich(urls: list[str]) -> None:
    """All users have 100 coins, and every node knows."""
    with host(urls[0]) as one, one.app.app_context():
        for user in USERS:
            one.coins.award(user, 100, "start")
        one.db.session.commit()
    assert {len(rows(url)) for url in urls} == {len(USERS)}


def hold(coins: Coins, user: str, turn: str) -> Hold:
    return coins.hold(user, 40, "table")


def to_one(coins: Coins, user: str, turn: str) -> Receipt:
    return coins.transfer(user, "bank", 40)[0]


def take_back(coins: Coins, user: str, turn: str) -> Receipt:
    (start,) = coins.history(user)[-1:]
    return coins.reverse(start)


def bonus(coins: Coins, user: str, turn: str) -> Receipt:
    return coins.award(user, 10, "bonus")


@pytest.mark.usefixtures("rich")
@pytest.mark.parametrize(
    ("call", "said"),
    [
        (spend, {"spent": 40, "refused": 20}),
        (hold, {"held": 20, "refused": 40}),
        (to_one, {"spent": 20, "refused": 40}),
        (take_back, {"spent": 10, "already": 50}),
    ],
)
def test_all_nodes_at_once_take_no_more_than_is_there(
    urls: list[str], crowd: Crowd, call: Call, said: dict[str, int]
) -> None:
    answers = crowd.race(urls, call, USERS)
    assert Counter(answer.said for answer in answers) == said
    assert faults(urls, answers) == []


def test_all_nodes_at_once_keep_within_a_budget_of_the_app(urls: list[str], crowd: Crowd) -> None:
    budget = {"most": 250, "window": "day", "reason": "bonus", "per": "app"}
    answers = crowd.race(urls, bonus, USERS, COINS_BUDGETS=[budget])
    assert Counter(answer.said for answer in answers) == {"awarded": 25, "capped": 35}
    assert faults(urls, answers) == []


def test_all_calls_through_all_nodes_keep_the_books(urls: list[str], crowd: Crowd) -> None:
    with crowd.load(urls) as answers:
        wait_for(lambda: len(rows(urls[0])) > 400, "400 entries")
    assert faults(urls, answers) == []
    assert {answer.call for answer in answers} == {call.__name__ for call in CALLS}
    assert {number % 3 for number, *_ in rows(urls[0])} == {0, 1, 2}, "each node draws ids"


def test_a_node_killed_under_load_comes_back_and_nothing_is_lost(
    urls: list[str], crowd: Crowd, cluster: Cluster
) -> None:
    victim = cluster.nodes[2]
    with crowd.load(urls) as answers:
        wait_for_more(urls[0])
        victim.kill()
        cluster.nodes[0].wait_until_joined(2)
        wait_for_more(urls[0])
        victim.begin_again()
        cluster.wait_until_whole()
        wait_for_more(urls[2])
    assert faults(urls, answers) == []


def test_a_node_cut_off_under_load_refuses_and_nothing_is_lost(
    urls: list[str], crowd: Crowd, cluster: Cluster
) -> None:
    alone = cluster.nodes[1]
    with crowd.load(urls) as answers:
        wait_for_more(urls[0])
        alone.unplug()
        alone.wait_until_alone()
        cluster.nodes[0].wait_until_joined(2)
        wait_for_more(urls[0])
        with host(urls[1]) as there, there.app.app_context():
            assert there.attempt(daily, "racer:0", "alone") == ("again", None)
        wait_for_more(urls[0])
        alone.plug()
        cluster.wait_until_whole()
        wait_for_more(urls[2])
    assert faults(urls, answers) == []


@pytest.mark.parametrize("call", [daily, forever, rolling, keyed])
def test_a_node_that_lags_believes_an_old_look_and_pays_nothing_twice(
    urls: list[str], cluster: Cluster, call: Call
) -> None:
    with host(urls[0]) as ahead, host(urls[1]) as behind, ThreadPoolExecutor() as pool:
        with lagging(cluster.nodes[1]):
            answers = [ahead.settle(call, "ann", "1") for _ in range(CALLS[call] or 0)]
            late = pool.submit(behind.settle, call, "ann", "1")
            wait_for(lambda: writes_wait(cluster.nodes[1]), "a write that waits")
            with behind.app.app_context():
                assert behind.coins.balance("ann") == 0
        answers.append(late.result())
    assert Counter(answer.said for answer in answers)["awarded"] == CALLS[call]
    assert answers[-1].said in ("already", "replayed")
    assert faults(urls, answers) == []


def test_a_lock_that_the_cluster_took_away_shows_at_the_rollback(urls: list[str]) -> None:
    with host(urls[0]) as here, host(urls[1]) as there:
        there.settle(daily, "ann", "1")
        assert len(rows(urls[0])) == 1
        with here.app.app_context():
            with pytest.raises(InsufficientCoins):
                here.coins.spend("ann", 50, "hat")
            there.settle(daily, "ann", "2")
            assert len(rows(urls[0])) == 2
            with pytest.raises(OperationalError, match="1213"):
                here.db.session.rollback()
            here.db.session.rollback()
            assert here.coins.balance("ann") == 20


def test_a_request_that_rolls_back_as_the_docs_say_is_answered_all_the_same(
    urls: list[str],
) -> None:
    with host(urls[0]) as here, host(urls[1]) as there:
        names = documented(here)
        exec(block("roll_back_first"), {"app": here.app, "roll_back": names["roll_back"]})

        @here.app.post("/hat")
        def buy_a_hat() -> tuple[str, int]:
            with pytest.raises(InsufficientCoins):
                here.coins.spend("ann", 50, "hat")
            there.settle(daily, "ann", "2")
            assert len(rows(urls[0])) == 2
            return "too few", 402

        there.settle(daily, "ann", "1")
        assert len(rows(urls[0])) == 1
        assert here.app.test_client().post("/hat").status_code == 402


def test_everybody_gets_through_who_repeats_as_the_docs_say(urls: list[str]) -> None:
    met = Barrier(PROCESSES)

    def race(url: str) -> list[str]:
        with host(url) as here:
            in_whole = documented(here)["in_whole"]
            said = []
            for user in USERS:
                met.wait()
                with here.app.app_context():
                    pay = partial(here.coins.award_once, user, 10, "goal", timedelta(days=1))
                    said.append(str(in_whole(pay, repeatable=True).outcome))
            return said

    with ThreadPoolExecutor(PROCESSES) as pool:
        said = [each for hand in pool.map(race, urls * 2) for each in hand]
    assert Counter(said) == {"awarded": len(USERS), "already": (PROCESSES - 1) * len(USERS)}
    assert faults(urls, []) == []


def test_decorated_views_on_all_nodes_pay_once_and_never_fail(urls: list[str]) -> None:
    met = Barrier(PROCESSES)

    def race(url: str) -> list[bool]:
        with host(url) as here:

            @here.app.post("/goal/<user>")
            @award_once(10, "goal", "day", user="{user}")
            def complete(user: str) -> str:
                met.wait()
                return "done"

            client = here.app.test_client()
            answers = [client.post(f"/goal/{user}") for user in USERS]
            assert {answer.status_code for answer in answers} == {200}
            return ["Coins-Awarded" in answer.headers for answer in answers]

    with ThreadPoolExecutor(PROCESSES) as pool:
        paid = [each for hand in pool.map(race, urls * 2) for each in hand]
    assert sum(paid) == len(USERS)
    assert faults(urls, []) == []


def wait_for_more(url: str) -> None:
    """Return when the load has written on, as a node sees it."""
    before = len(rows(url))
    wait_for(lambda: len(rows(url)) > before + 50, "entries of the load")


def block(words: str) -> str:
    """The block of the docs that holds ``words``."""
    return next(code for code in re.findall(r"```python\n(.*?)```", PAGE, re.S) if words in code)


def documented(here: Host) -> dict[str, Any]:
    """What the docs define for repeating, on a host's session."""
    names: dict[str, Any] = {"db": here.db}
    exec(block("def in_whole"), names)
    return names


@contextmanager
def host(url: str) -> Iterator[Host]:
    with closing(Host(url)) as host:
        yield host


@contextmanager
def lagging(node: Node) -> Iterator[None]:
    """Let ``node`` take what the others commit, and not apply it yet."""
    with closing(node.connect()) as connection:
        connection.cursor().execute("FLUSH TABLES WITH READ LOCK")
        yield


def writes_wait(node: Node) -> bool:
    return any("coin_balance" in str(info) for *_, info, _ in node.ask("SHOW FULL PROCESSLIST"))
