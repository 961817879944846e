"""The tables: the same on every engine, immune to the host, compared byte by byte."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.exc import DBAPIError, IntegrityError

from flask_coins import Coins, CoinsError
from flask_coins._models import Base, CoinEntry, UtcDateTime, balances, copy_tables, log

from .apps import NOON

ENTRY: dict[str, Any] = {"user_id": "7", "currency": "coins", "amount": 5, "balance_after": 5}
ENTRY |= {"reason": "goal", "subject": "", "created_at": NOON}
BALANCE: dict[str, Any] = {"user_id": "7", "currency": "coins", "updated_at": NOON}
BALANCE |= {"balance": 0, "earned": 0, "spent": 0}


@pytest.fixture
def connection(ctx: None, db: SQLAlchemy) -> sa.Connection:
    return db.session.connection()


def test_columns_are_those_of_the_design() -> None:
    assert [column.name for column in log.columns] == [
        "id",
        "user_id",
        "currency",
        "amount",
        "balance_after",
        "reason",
        "subject",
        "once_key",
        "idempotency_key",
        "created_at",
        "reverses_id",
        "details",
        "counterparty",
        "transfer_id",
    ]
    assert [column.name for column in balances.columns] == [
        "user_id",
        "currency",
        "balance",
        "earned",
        "spent",
        "updated_at",
        "held",
    ]


def test_the_database_has_them_all(connection: sa.Connection) -> None:
    inspector = sa.inspect(connection)
    for table in (log, balances):
        found = {column["name"] for column in inspector.get_columns(table.name)}
        assert found == {column.name for column in table.columns}
    assert inspector.get_pk_constraint("coin_balance")["constrained_columns"] == [
        "user_id",
        "currency",
    ]
    assert not inspector.get_foreign_keys("coin_log")


@pytest.mark.parametrize(
    ("name", "columns", "unique"),
    [
        ("uq_coin_log_once", ["user_id", "currency", "reason", "subject", "once_key"], True),
        ("uq_coin_log_key", ["user_id", "idempotency_key"], True),
        ("ix_coin_log_user", ["user_id", "currency", "id"], False),
        (
            "ix_coin_log_look",
            ["user_id", "currency", "reason", "subject", "created_at"],
            False,
        ),
        ("ix_coin_log_reverses", ["reverses_id"], False),
        ("uq_coin_log_transfer", ["user_id", "transfer_id"], True),
    ],
)
def test_indexes_are_those_of_the_design(
    connection: sa.Connection, name: str, columns: list[str], unique: bool
) -> None:
    found = {index["name"]: index for index in sa.inspect(connection).get_indexes("coin_log")}
    assert found[name]["column_names"] == columns
    assert bool(found[name]["unique"]) is unique


def test_a_name_is_claimed_once_and_none_as_often_as_you_like(connection: sa.Connection) -> None:
    for row in ({"once_key": None}, {"once_key": None}, {"once_key": "forever"}):
        connection.execute(sa.insert(log), ENTRY | row)
    with pytest.raises(IntegrityError):
        connection.execute(sa.insert(log), ENTRY | {"once_key": "forever"})


@pytest.mark.parametrize(
    "other", [{"reason": "Goal"}, {"reason": "göal"}, {"user_id": "8"}, {"subject": "x"}]
)
def test_keys_are_compared_byte_by_byte(connection: sa.Connection, other: dict[str, str]) -> None:
    row = ENTRY | {"once_key": "forever"}
    connection.execute(sa.insert(log), row)
    connection.execute(sa.insert(log), row | other)
    same = sa.select(sa.func.count()).where(*(log.c[k] == row[k] for k in other))
    assert connection.scalar(same) == 1


def test_an_idempotency_key_is_one_per_user(connection: sa.Connection) -> None:
    connection.execute(sa.insert(log), ENTRY | {"idempotency_key": "k"})
    connection.execute(sa.insert(log), ENTRY | {"idempotency_key": "K"})
    connection.execute(sa.insert(log), ENTRY | {"idempotency_key": "k", "user_id": "8"})
    with pytest.raises(IntegrityError):
        connection.execute(sa.insert(log), ENTRY | {"idempotency_key": "k"})


def test_an_entry_moves_something(connection: sa.Connection) -> None:
    with pytest.raises(DBAPIError):
        connection.execute(sa.insert(log), ENTRY | {"amount": 0})


@pytest.mark.parametrize("balance", [-1, 10**15])
def test_a_balance_has_its_range(connection: sa.Connection, balance: int) -> None:
    with pytest.raises(DBAPIError):
        connection.execute(sa.insert(balances), BALANCE | {"balance": balance})


def test_the_largest_numbers_fit(connection: sa.Connection) -> None:
    most = 10**15 - 1
    row = BALANCE | {"balance": most, "earned": 2**63 - 1, "spent": 2**63 - 1}
    connection.execute(sa.insert(balances), row)
    connection.execute(sa.insert(log), ENTRY | {"amount": -most, "reverses_id": 2**63 - 1})
    assert connection.scalar(sa.select(balances.c.earned)) == 2**63 - 1


@pytest.mark.parametrize(
    "moment",
    [
        NOON + timedelta(microseconds=1),
        datetime(2026, 10, 25, 2, 30, tzinfo=timezone(timedelta(hours=2))),
        datetime(2026, 10, 25, 2, 30, tzinfo=timezone(timedelta(hours=1))),
        datetime(1999, 12, 31, 23, 59, 59, 999999, tzinfo=timezone.utc),
    ],
)
def test_moments_come_back_aware_in_utc(connection: sa.Connection, moment: datetime) -> None:
    connection.execute(sa.insert(log), ENTRY | {"created_at": moment})
    (found,) = connection.scalars(sa.select(log.c.created_at))
    assert (found, found.utcoffset()) == (moment, timedelta(0))
    assert connection.scalar(sa.select(log.c.id).where(log.c.created_at == moment))


def test_no_moment_stays_none() -> None:
    dialect = sa.create_engine("sqlite://").dialect
    assert UtcDateTime().process_bind_param(None, dialect) is None
    assert UtcDateTime().process_result_value(None, dialect) is None


def test_nothing_and_null_are_the_same_detail(connection: sa.Connection) -> None:
    connection.execute(sa.insert(log), ENTRY | {"details": None})
    assert connection.scalar(sa.select(log.c.id).where(log.c.details.is_(None)))


def test_the_models_can_be_read_by_the_orm(connection: sa.Connection, db: SQLAlchemy) -> None:
    connection.execute(sa.insert(log), ENTRY)
    entry = db.session.scalars(sa.select(CoinEntry)).one()
    assert (entry.user_id, entry.amount, entry.created_at) == ("7", 5, NOON)


def test_a_subject_that_is_left_out_is_empty(connection: sa.Connection) -> None:
    row = {name: value for name, value in ENTRY.items() if name != "subject"}
    connection.execute(sa.insert(log), row)
    assert connection.scalar(sa.select(log.c.subject)) == ""


def test_copies_are_plain_and_made_once(app: Flask, db: SQLAlchemy) -> None:
    copy = db.metadata.tables["coin_log"]
    assert copy is copy_tables(db.metadata) is not log
    assert type(copy.c.created_at.type).__module__.startswith("sqlalchemy.")
    assert {i.name for i in copy.indexes} == {i.name for i in log.indexes}
    assert Base.metadata is not db.metadata


def test_a_schema_of_the_hosts_metadata_is_not_that_of_the_coins() -> None:
    app = Flask("host")
    app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite://"
    db = SQLAlchemy(app, metadata=sa.MetaData(schema="elsewhere"))
    coins = Coins(app, db)
    assert db.metadata.schema == "elsewhere"
    with app.app_context():
        db.create_all()
        assert coins.award(7, 5).balance == 5
        db.session.rollback()


def test_what_was_reflected_of_our_own_tables_gives_way_to_the_copies() -> None:
    engine, metadata = sa.create_engine("sqlite://"), sa.MetaData()
    Base.metadata.create_all(engine)
    metadata.reflect(engine)
    assert copy_tables(metadata) is metadata.tables["coin_log"]
    assert {i.name for i in metadata.tables["coin_log"].indexes} == {i.name for i in log.indexes}
    assert isinstance(metadata.tables["coin_balance"].c.earned.type, sa.BigInteger)
    assert copy_tables(metadata) is metadata.tables["coin_log"]


@pytest.mark.parametrize("name", ["coin_log", "coin_balance", "coin_hold", "coin_budget"])
def test_a_table_of_another_make_is_not_touched(name: str) -> None:
    metadata = sa.MetaData()
    theirs = sa.Table(name, metadata, sa.Column("id", sa.Integer, primary_key=True))
    with pytest.raises(CoinsError, match="another make"):
        copy_tables(metadata)
    assert metadata.tables[name] is theirs
