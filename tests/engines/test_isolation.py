"""Levels of isolation that an app may have chosen: exact on all, on some at the price of retries."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask, current_app
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.exc import OperationalError

from flask_coins import Coins, CoinsRetry, InsufficientCoins, Receipt
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


def test_looking_again_waits_for_nobody_before(app: Flask, db: SQLAlchemy, coins: Coins) -> None:
    with app.app_context():
        coins.award_once("ann", 15, "prize", "day", limit=2)
        with app.app_context():
            db.session.execute(sa.text("SELECT 1 FROM coin_balance")).all()
            with app.app_context():
                coins.award_once("bob", 15, "prize", "day", limit=2)
                db.session.commit()
            assert coins.award_once("bob", 15, "prize", "day", limit=2).balance == 30
            db.session.commit()
        db.session.commit()


def test_nobody_behind_waits_for_one_who_looks_again(
    app: Flask, db: SQLAlchemy, coins: Coins
) -> None:
    def elsewhere(user: str, reason: str) -> int | None:
        with app.app_context():
            balance = coins.award_once(user, 5, reason, "day").balance
            db.session.commit()
            return balance

    elsewhere("bob", "middle")
    with app.app_context():
        db.session.execute(sa.text("SELECT 1 FROM coin_log")).all()
        elsewhere("ann", "other")
        assert coins.award_once("ann", 5, "prize", "day").balance == 10
        assert elsewhere("bob", "a reason that sorts before") == 10
        assert coins.award_once("bob", 5, "zeal", "day").balance == 15
        db.session.commit()


@pytest.mark.parametrize("key", [None, "order-1"])
def test_strangers_without_coins_do_not_block_each_other(
    app: Flask, db: SQLAlchemy, coins: Coins, key: str | None
) -> None:
    met = Barrier(2)

    def refused_then_paid(user: str) -> str:
        with app.app_context():
            db.session.execute(sa.text("SELECT 1"))
            with pytest.raises(InsufficientCoins):
                coins.spend(user, 5, "hint", idempotency_key=key)
            met.wait()
            outcome = coins.award(user, 1, "consolation").outcome
            db.session.commit()
            return str(outcome)

    with ThreadPoolExecutor() as pool:
        assert list(pool.map(refused_then_paid, ["ann", "bob"])) == ["awarded"] * 2


def test_a_deadlock_within_a_savepoint_is_one_to_repeat(
    app: Flask, db: SQLAlchemy, coins: Coins
) -> None:
    with app.app_context():
        for user in ("ann", "bob"):
            coins.award(user, 1, "start")
        db.session.commit()
    met = Barrier(2)

    def cross(users: tuple[str, str]) -> str:
        with app.app_context():
            coins.award(users[0], 1)
            met.wait()
            try:
                with db.session.begin_nested():
                    coins.award(users[1], 1)
                db.session.commit()
            except CoinsRetry:
                db.session.rollback()
                return "CoinsRetry"
            return "paid"

    with ThreadPoolExecutor() as pool:
        said = sorted(pool.map(cross, [("ann", "bob"), ("bob", "ann")]))
    assert said == ["CoinsRetry", "paid"]
    with app.app_context(), db.engine.connect() as connection:
        assert reconcile(connection) == []
