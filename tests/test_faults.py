"""What the database says, told by its code: a retry, missing tables, or an error of its own."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
import sqlalchemy.exc as sa_exc
from flask import Flask
from flask_sqlalchemy import SQLAlchemy

from flask_coins import Coins, CoinsRetry, MissingTablesError
from flask_coins._faults import is_transient, translated

from .statements import Failing


class PostgresError(Exception):
    def __init__(self, sqlstate: str) -> None:
        super().__init__(f"error {sqlstate}")
        self.sqlstate = sqlstate


class PymysqlError(Exception):
    """As PyMySQL 1.2 raises it: a number, and a state that says less."""

    sqlstate = "HY000"


class SqliteError(Exception):
    """Words are all there is."""


def of(cause: Exception) -> sa_exc.DBAPIError:
    return sa_exc.OperationalError("SELECT 1", {}, cause)


@pytest.mark.parametrize("state", ["40001", "40P01", "55P03"])
def test_postgresql_asks_for_a_retry(state: str) -> None:
    assert is_transient(of(PostgresError(state)))
    assert type(translated(of(PostgresError(state)))) is CoinsRetry


@pytest.mark.parametrize("number", [1213, 1205, 1467, 1020])
def test_mariadb_asks_for_a_retry(number: int) -> None:
    assert is_transient(of(PymysqlError(number, "…")))


@pytest.mark.parametrize("words", ["database is locked", "database table is locked: coin_log"])
def test_sqlite_asks_for_a_retry(words: str) -> None:
    assert is_transient(of(SqliteError(words)))


OTHER_CAUSES = [PostgresError("22003"), PymysqlError(2006, "gone"), SqliteError("disk I/O error")]


@pytest.mark.parametrize("cause", OTHER_CAUSES)
def test_another_error_stays_what_it_is(cause: Exception) -> None:
    error = of(cause)
    assert not is_transient(error)
    assert translated(error) is error


def test_what_came_from_no_database_stays_what_it_is() -> None:
    assert is_transient(CoinsRetry())
    for error in (ValueError("database is locked"), KeyboardInterrupt()):
        assert not is_transient(error)
        assert translated(error) is error


@pytest.mark.parametrize("name", ["coin_log", "coin_balance", "both"])
def test_missing_tables_name_the_command(
    ctx: None, db: SQLAlchemy, coins: Coins, name: str
) -> None:
    gone = ["coin_log", "coin_balance"] if name == "both" else [name]
    for table in gone:
        db.metadata.tables[table].drop(db.session.connection())
    db.session.commit()
    calls: list[Any] = [lambda: coins.award(7, 1), lambda: coins.award_once(7, 1, "goal")]
    if name != "coin_log":
        calls += [lambda: coins.spend(7, 1, "shop"), lambda: coins.balance(7)]
        calls += [lambda: coins.balances([7])]
    if name != "coin_balance":
        calls += [lambda: coins.history(7)]
    for call in calls:
        with pytest.raises(MissingTablesError, match="run 'flask db upgrade'"):
            call()
        assert db.session.scalar(sa.text("SELECT 1")) == 1


def test_a_table_that_is_behind_names_the_command(ctx: None, db: SQLAlchemy, coins: Coins) -> None:
    db.session.execute(sa.text("ALTER TABLE coin_log DROP COLUMN details"))
    db.session.commit()
    with pytest.raises(MissingTablesError, match="missing or behind"):
        coins.award(7, 1)
    assert coins.balance(7) == 0


def test_an_error_of_the_hosts_is_not_ours(app: Flask, db: SQLAlchemy, coins: Coins) -> None:
    with app.app_context():
        with pytest.raises(sa_exc.DBAPIError):
            db.session.execute(sa.text("SELECT * FROM nowhere"))
        db.session.rollback()
        assert coins.balance(7) == 0


# -- trying again -----------------------------------------------------------------------------------

CALLS: list[Any] = [
    lambda coins: coins.award(7, 5),
    lambda coins: coins.award_once(7, 5, "goal"),
    lambda coins: coins.spend(7, 5, "shop"),
]


@pytest.fixture
def rich(app: Flask, db: SQLAlchemy, coins: Coins) -> None:
    with app.app_context():
        coins.award(7, 50, "start")
        db.session.commit()


@pytest.mark.usefixtures("rich", "ctx")
@pytest.mark.parametrize("call", CALLS)
def test_a_call_that_begins_the_transaction_is_tried_five_times(
    db: SQLAlchemy, coins: Coins, call: Any
) -> None:
    with Failing(db, "before_cursor_execute", 4) as fault:
        assert call(coins)
    assert fault.attempts == 5
    db.session.rollback()
    with Failing(db, "before_cursor_execute", 5) as fault, pytest.raises(CoinsRetry):
        call(coins)
    assert fault.attempts == 5
    assert not db.session().in_transaction()


@pytest.mark.usefixtures("rich", "ctx")
@pytest.mark.parametrize("call", CALLS)
def test_a_transaction_that_the_host_began_is_given_up_at_once(
    db: SQLAlchemy, coins: Coins, call: Any
) -> None:
    db.session.execute(sa.text("SELECT 1"))
    with Failing(db, "before_cursor_execute", 1) as fault, pytest.raises(CoinsRetry):
        call(coins)
    assert fault.attempts == 1
    assert not db.session().in_transaction()
