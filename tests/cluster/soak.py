"""``python -m tests.cluster.soak --seconds N``: load, kills and splits in turn, and the figures."""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter
from collections.abc import Callable

from .audit import faults, make_tables
from .load import Answer, spawn
from .nodes import SIZE, Cluster, Node, running


def main() -> None:
    """Print what was acknowledged, repeated and survived; status 1 if anything does not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=180, help="how long there is load")
    seconds = parser.parse_args().seconds
    with running() as cluster, spawn() as crowd:
        cluster.nodes[0].ask("CREATE DATABASE soak")
        urls = cluster.urls("soak")
        make_tables(urls[0])
        answers: list[Answer] = []
        survived: Counter[str] = Counter()
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with crowd.load(urls) as more:
                survived.update(_trouble(cluster))
            answers += more
            _say(f"{len(answers):,} calls, {dict(survived)}")
        found = faults(urls, answers)
    _report(answers, survived, found)
    raise SystemExit(bool(found))


def _trouble(cluster: Cluster) -> list[str]:
    """Kill a node and bring it back, then cut one off and let it back, whichever they are."""
    for trouble in (_kill, _split):
        time.sleep(random.uniform(1, 3))
        victim = random.randrange(SIZE)
        other = cluster.nodes[(victim + 1) % SIZE]
        trouble(cluster.nodes[victim], lambda other=other: other.wait_until_joined(SIZE - 1))
        cluster.wait_until_whole()
    time.sleep(random.uniform(1, 3))
    return ["kills", "splits"]


def _kill(victim: Node, wait_for_others: Callable[[], None]) -> None:
    victim.kill()
    wait_for_others()
    victim.begin_again()


def _split(victim: Node, wait_for_others: Callable[[], None]) -> None:
    victim.unplug()
    victim.wait_until_alone()
    wait_for_others()
    time.sleep(random.uniform(0, 2))
    victim.plug()


def _report(answers: list[Answer], survived: Counter[str], found: list[str]) -> None:
    said = Counter(answer.said for answer in answers)
    figures = {
        "calls": len(answers),
        "awards acknowledged": said["awarded"],
        "spends acknowledged": said["spent"],
        "refused as paid already": said["already"] + said["replayed"],
        "refused for want of coins": said["refused"],
        "units repeated": sum(answer.repeats for answer in answers),
        "commits without an answer": said["unknown"],
        **survived,
        "lost": sum(": lost:" in each for each in found),
        "doubled": sum(": doubled:" in each for each in found),
        "faults in all": len(found),
    }
    for name, figure in figures.items():
        _say(f"{name:28}{figure:>10,}")
    for fault in found[:20]:
        _say(fault)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
