"""A server's clock that is put back: no name is paid twice, and what is told of the next payment holds."""

from __future__ import annotations

import random
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from flask_sqlalchemy import SQLAlchemy

from flask_coins import Coins, award_once
from tests import once_oracle
from tests.apps import NOON, Clock
from tests.once_oracle import Oracle
from tests.test_once import Chance, Life

BACK = [timedelta(hours=1), timedelta(hours=13), timedelta(days=1), timedelta(days=9)]
TOKYO = "Asia/Tokyo"


@pytest.fixture
def life(ctx: None, db: SQLAlchemy, coins: Coins, clock: Clock) -> Life:
    life = Life(db, coins, clock)
    coins.timezone_loader(lambda user: life.zone)
    return life


@pytest.mark.parametrize("back", BACK, ids=str)
@pytest.mark.parametrize("limit", [1, 3])
@pytest.mark.parametrize("window", ["hour", "day", "week", timedelta(hours=20)], ids=str)
def test_a_clock_put_back_pays_no_name_twice(
    life: Life, window: Any, limit: int, back: timedelta
) -> None:
    for moment in (NOON, NOON - back, NOON - back / 2, NOON, NOON + back):
        for _ in range(limit + 1):
            life.at(moment).call(window, limit=limit)
    names = Counter(name for name in life.names() if name is not None)
    assert set(names.values()) <= {1}
    assert max(Counter(name.partition("#")[0] for name in names).values(), default=0) <= limit


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_nothing_more_is_due_at_a_moment_that_was_paid_for(life: Life, limit: int) -> None:
    for _ in range(limit):
        assert life.at(NOON).call("day", limit=limit)
    for back in BACK:
        assert not life.at(NOON - back).call("day", limit=limit)


class Unsteady(Chance):
    """Calls under a clock that is put back as far as weeks, and runs ahead to make up for it."""

    def _time_passes(self) -> None:
        hours = self.random.choice([0, 0, 0.5, 3, 11, 30])
        if self.random.random() < 0.15:
            hours = -self.random.choice([1, 13, 24, 50, 200])
        elif self.random.random() < 0.05:
            hours = self.random.choice([50, 200])
        self.life.clock.forward(hours=hours)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_chance_calls_under_an_unsteady_clock_agree_with_an_oracle(
    life: Life, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(once_oracle, "MONTHS_AND_YEARS", 5000)
    life.at("2026-10-20T00:00:00")
    Unsteady(life, random.Random(seed), Oracle()).run(400)


@pytest.mark.parametrize("limit", [1, 2])
def test_the_next_payment_is_behind_names_that_a_traveller_took(life: Life, limit: int) -> None:
    """1 December was paid for in Tokyo, then the clock went back by nine days."""
    evening = datetime.fromisoformat("2026-11-30T16:00:00+00:00")
    for _ in range(limit):
        assert life.at(evening, TOKYO).call("day", limit=limit)
    life.at(evening + timedelta(minutes=1)).coins.award("7", 1, "goal")
    life.db.session.commit()
    refused = life.at(evening - timedelta(days=9), "UTC").call("day", limit=limit)
    assert refused.next_at == datetime.fromisoformat("2026-12-02T00:00:00+00:00")


def test_the_list_of_rewards_knows_those_names_too(app: Flask, life: Life) -> None:
    login = award_once(10, "clock_in", "day")
    app.post("/login")(login(lambda: "done"))
    evening = datetime.fromisoformat("2026-11-30T16:00:00+00:00")
    life.at(evening, TOKYO)
    assert login.pay("7")
    life.at(evening + timedelta(minutes=1)).coins.award("7", 1, "clock_in")
    life.db.session.commit()
    life.at(evening - timedelta(days=9), "UTC")
    status = {reward.reason: reward.opens_at for reward in life.coins.status("7")}
    assert status["clock_in"] == login.pay("7").next_at
    assert login.pay("7").next_at == datetime.fromisoformat("2026-12-02T00:00:00+00:00")
