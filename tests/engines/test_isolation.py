"""Levels of isolation that an app may have chosen: exact on all, on some at the price of retries."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask, current_app
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.exc import OperationalError

from flask_coins import Coins, CoinsRetry, Receipt
from tests.databases import SERVERS
from tests.races import Racers, reconcile

USERS = [f"racer:{number}" for number in range(15)]

QUIET: dict[str, list[dict[str, Any]]] = {
    "postgresql": [{"isolation_level": "READ COMMITTED"}],
    "mariadb": [{"isolation_level": "READ COMMITTED"}, {"isolation_level": "REPEATABLE READ"}],
}
STRICT: dict[str, list[dict[str, Any]]] = {
    "postgresql": [{"isolation_level": "REPEATABLE READ"}, {"isolation_level": "SERIALIZABLE"}],
    "mariadb": [{"connect_args": {"init_command": "SET SESSION innodb_snapshot_isolation=ON"}}],
}


def each(options: dict[str, list[dict[str, Any]]]) -> pytest.MarkDecorator:
    """Parametrise over the servers that are there, and over their engine options."""
    rows = [
        pytest.param(server.values[0], row, marks=server.marks, id=f"{server.values[0]}-{number}")
        for server in SERVERS
        for number, row in enumerate(options[str(server.values[0])])
    ]
    return pytest.mark.parametrize(("engine", "options"), rows, indirect=["engine"])


def prize(coins: Coins, user: str) -> Receipt:
    return coins.award_once(user, 15, "prize", "day")


def prize_at_last(coins: Coins, user: str) -> Receipt:
    """Repeat the whole transaction, its commit included, until it is through."""
    session = current_app.extensions["sqlalchemy"].session
    while True:
        try:
            receipt = prize(coins, user)
            session.commit()
        except (CoinsRetry, OperationalError):
            session.rollback()
        else:
            return receipt


@each(QUIET)
def test_the_usual_levels_need_no_retry(
    app: Flask, racers: Racers, database_url: str, options: dict[str, Any]
) -> None:
    answers = racers.race(database_url, [prize], USERS, SQLALCHEMY_ENGINE_OPTIONS=options)
    assert Counter(said for _, said in answers) == {"awarded": 15, "already": 105}


@each(STRICT)
def test_at_strict_levels_who_loses_is_told_to_retry(
    app: Flask, racers: Racers, database_url: str, options: dict[str, Any]
) -> None:
    answers = racers.race(database_url, [prize], USERS, SQLALCHEMY_ENGINE_OPTIONS=options)
    said = Counter(said for _, said in answers)
    assert said["awarded"] == 15
    assert said.keys() <= {"awarded", "already", "CoinsRetry", "lost at commit"}


@each(STRICT)
def test_retries_come_through_at_strict_levels(
    app: Flask, db: SQLAlchemy, racers: Racers, database_url: str, options: dict[str, Any]
) -> None:
    answers = racers.race(database_url, [prize_at_last], USERS, SQLALCHEMY_ENGINE_OPTIONS=options)
    assert Counter(said for _, said in answers) == {"awarded": 15, "already": 105}
    with app.app_context(), db.engine.connect() as connection:
        assert reconcile(connection) == []


@pytest.mark.parametrize("windows", [("day", "day"), ("day", "forever"), (timedelta(hours=1),) * 2])
def test_a_payment_of_ones_own_hides_none_of_anothers(
    app: Flask, db: SQLAlchemy, coins: Coins, windows: tuple[Any, Any]
) -> None:
    with app.app_context():
        db.session.execute(sa.text("SELECT 1 FROM coin_balance")).all()
        with app.app_context():
            coins.award_once("ada", 15, "prize", windows[0])
            db.session.commit()
        coins.award("ada", 1, "gift")
        assert coins.award_once("ada", 15, "prize", windows[1]).outcome == "already"
        db.session.rollback()
