"""The clock in a host's own tests: ours travels, and freezegun and time-machine move it too."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import freezegun
import pytest
import time_machine
from flask import Flask
from flask_sqlalchemy import SQLAlchemy

from flask_coins import Coins, CoinsError
from flask_coins.testing import travel

from .apps import NOON, Clock

WHEN = datetime(2030, 1, 2, 3, 4, 5, 678901, tzinfo=timezone.utc)


@pytest.fixture
def plain(database_url: str, db: SQLAlchemy) -> Iterator[tuple[Flask, Coins]]:
    """A host that was given no clock."""
    app, coins = Flask(__name__), Coins()
    app.config.update(TESTING=True, SQLALCHEMY_DATABASE_URI=database_url)
    db.init_app(app)
    coins.init_app(app, db)
    with app.app_context():
        db.create_all()
    yield app, coins
    with app.app_context():
        db.engine.dispose()


def paid_at(plain: tuple[Flask, Coins], db: SQLAlchemy) -> datetime:
    app, coins = plain
    with app.app_context():
        coins.award(7, 1)
        db.session.commit()
        return coins.history(7, 1)[0].created_at


def test_the_time_is_now(plain: tuple[Flask, Coins], db: SQLAlchemy) -> None:
    before = datetime.now(timezone.utc)
    assert before <= paid_at(plain, db) <= datetime.now(timezone.utc)


def test_freezegun_moves_the_clock(plain: tuple[Flask, Coins], db: SQLAlchemy) -> None:
    with freezegun.freeze_time(WHEN):
        assert paid_at(plain, db) == WHEN


def test_time_machine_moves_the_clock(plain: tuple[Flask, Coins], db: SQLAlchemy) -> None:
    with time_machine.travel(WHEN, tick=False):
        assert paid_at(plain, db) == WHEN


def test_travel_moves_the_clock_and_gives_it_back(
    app: Flask, ctx: None, db: SQLAlchemy, coins: Coins, clock: Clock
) -> None:
    with travel(app, WHEN) as traveller:
        assert coins.award_once(7, 1, "goal").entry.created_at == WHEN  # type: ignore[union-attr]
        assert not coins.award_once(7, 1, "goal")
        traveller.shift(days=1)
        assert coins.award_once(7, 1, "goal")
        traveller.move_to("2030-01-10T00:00:00+02:00")
        assert coins.award_once(7, 1, "goal").entry.created_at == datetime(  # type: ignore[union-attr]
            2030, 1, 9, 22, tzinfo=timezone.utc
        )
        traveller.shift(days=-300)
        assert not coins.award_once(7, 1, "goal")
    assert coins.award(7, 1).entry.created_at == NOON  # type: ignore[union-attr]


def test_travel_gives_the_clock_back_after_an_error(app: Flask, ctx: None, coins: Coins) -> None:
    with pytest.raises(ZeroDivisionError), travel(app, WHEN):
        raise ZeroDivisionError
    assert coins.award(7, 1).entry.created_at == NOON  # type: ignore[union-attr]


def test_journeys_nest(app: Flask, ctx: None, coins: Coins) -> None:
    with travel(app, WHEN):
        with travel(app, WHEN + timedelta(days=1)):
            pass
        assert coins.award(7, 1).entry.created_at == WHEN  # type: ignore[union-attr]


@pytest.mark.parametrize("naive", [datetime(2030, 1, 1), "2030-01-01T00:00:00", 5])
def test_a_journey_needs_an_offset(app: Flask, naive: Any) -> None:
    with pytest.raises(CoinsError, match="no moment with a UTC offset"), travel(app, naive):
        pass


def test_a_clock_must_know_its_zone(ctx: None, coins: Coins, clock: Clock) -> None:
    clock.now = datetime(2030, 1, 1)
    with pytest.raises(CoinsError, match="aware"):
        coins.award(7, 1)
