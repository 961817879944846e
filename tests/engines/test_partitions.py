"""The DDL for hash partitions that the docs give, on PostgreSQL, with everything that stands on it."""

from __future__ import annotations

import re
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from flask import Flask
from flask_sqlalchemy import SQLAlchemy

from flask_coins import Coins, InsufficientCoins, InvalidAmount, Receipt
from flask_coins._models import MAX_AMOUNT, balances, log
from tests.databases import SERVERS, drop_tables
from tests.hosts import Host
from tests.races import Racers, reconcile

PAGE = Path(__file__).parents[2] / "docs" / "distributed.md"
DDL = next(
    block
    for block in re.findall(r"^```sql\n(.*?)^```$", PAGE.read_text(), re.M | re.S)
    if "PARTITION BY HASH" in block
)
USERS = [f"racer:{number}" for number in range(20)]

pytestmark = pytest.mark.parametrize(
    "engine", [each for each in SERVERS if each.values[0] == "postgresql"], indirect=True
)


@pytest.fixture
def partitioned(engine_url: str) -> str:
    """A database whose two large tables are made by the DDL of the docs, and has no others."""
    drop_tables(engine_url)
    engine = sa.create_engine(engine_url)
    with engine.begin() as connection:
        connection.execute(sa.text(DDL))
    engine.dispose()
    return engine_url


@pytest.fixture
def app(partitioned: str, app: Flask) -> Flask:
    """A host on these tables; what they lack is made beside them."""
    return app


def day(coins: Coins, user: str) -> Receipt:
    return coins.award_once(user, 15, "prize", "day")


def three_in_a_row(coins: Coins, user: str) -> Receipt:
    return coins.award_once(user, 15, "prize", timedelta(hours=1), limit=3)


def key(coins: Coins, user: str) -> Receipt:
    return coins.award(user, 15, "prize", idempotency_key="prize-1")


def pair(coins: Coins, user: str) -> Receipt:
    return coins.spend(user, 4, "pair")


def test_rows_of_many_users_are_spread_over_the_partitions(
    ctx: None, db: SQLAlchemy, coins: Coins
) -> None:
    for number in range(100):
        coins.award(number, 5)
    for table in ("coin_log", "coin_balance"):
        used = sa.text(f"SELECT count(DISTINCT tableoid) FROM {table}")
        assert db.session.scalar(used) == 16


def test_every_movement_works(ctx: None, db: SQLAlchemy, coins: Coins) -> None:
    assert coins.award_once("ann", 15, "prize", "day").balance == 15
    assert coins.award_once("ann", 15, "prize", "day").outcome == "already"
    assert coins.spend("ann", 4, "hat", idempotency_key="hat-1").balance == 11
    assert coins.spend("ann", 4, "hat", idempotency_key="hat-1").outcome == "replayed"
    db.session.commit()
    with pytest.raises(InsufficientCoins):
        coins.spend("ann", 12, "hat")
    with pytest.raises(InvalidAmount):
        coins.award("ann", MAX_AMOUNT)
    first = coins.award("ann", 1).entry
    assert first
    assert coins.reverse(first).balance == 11
    sent, received = coins.transfer("ann", "bob", 5)
    assert (sent.balance, received.balance) == (6, 5)
    assert coins.capture(coins.hold("bob", 3, "game")).balance == 2
    assert coins.award_many([{"user": name, "amount": 2} for name in ("ann", "bob", "eve")]) == 3
    db.session.commit()
    assert coins.balances(["ann", "bob", "eve"]) == {"ann": 8, "bob": 4, "eve": 2}
    assert reconcile(db.session.connection()) == []


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (day, {"awarded": 20, "already": 140}),
        (three_in_a_row, {"awarded": 60, "already": 100}),
        (key, {"awarded": 20, "replayed": 140}),
    ],
)
def test_a_race_pays_as_often_as_it_may(
    app: Flask, db: SQLAlchemy, racers: Racers, database_url: str, call: object, said: object
) -> None:
    answers = racers.race(database_url, [call], USERS)  # type: ignore[list-item]
    assert Counter(answer.said for answer in answers) == said
    with app.app_context(), db.engine.connect() as connection:
        assert reconcile(connection) == []


def test_a_race_spends_no_more_than_is_there(
    app: Flask, db: SQLAlchemy, coins: Coins, racers: Racers, database_url: str
) -> None:
    with app.app_context():
        for user in USERS:
            coins.award(user, 15)
        db.session.commit()
    answers = racers.race(database_url, [pair], USERS)
    said = Counter(answer.said for answer in answers)
    assert said == {"spent": 60, "InsufficientCoins": 100}
    assert app.test_cli_runner().invoke(args=["coins", "verify"]).exit_code == 0


def test_migrations_leave_the_tables_alone_and_find_nothing_missing(
    partitioned: str, tmp_path: Path
) -> None:
    host = Host(tmp_path, partitioned).init().upgraded()
    assert host.tables() >= {"coin_log", "coin_log_15", "coin_balance", "coin_hold", "coin_budget"}
    kinds = host.execute(
        "SELECT relkind FROM pg_class WHERE relname IN ('coin_log','coin_balance')"
    )
    assert kinds == [("p",), ("p",)]
    doctor = host.create_app().test_cli_runner().invoke(args=["coins", "doctor"])
    assert "The table" not in doctor.output


@pytest.mark.parametrize("table", [log, balances], ids=str)
def test_the_columns_are_those_of_the_models(partitioned: str, table: sa.Table) -> None:
    engine = sa.create_engine(partitioned)
    inspector = sa.inspect(engine)
    made = {
        each["name"]: (each["type"].compile(engine.dialect), each["nullable"])
        for each in inspector.get_columns(table.name)
    }
    assert made == {
        column.name: (column.type.compile(engine.dialect), column.nullable)
        for column in table.columns
    }
    assert {each["name"] for each in inspector.get_check_constraints(table.name)} == {
        each.name for each in table.constraints if isinstance(each, sa.CheckConstraint)
    }
    assert {each["name"] for each in inspector.get_indexes(table.name)} == {
        index.name for index in table.indexes
    }
    engine.dispose()
