"""How the engines answer what they are asked: by an index, never by reading the log.

Every statement that a call sends is explained by the engine itself, on a log of four thousand rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from flask_sqlalchemy import SQLAlchemy

from flask_coins import Coins
from flask_coins._models import balances, holds, log
from flask_coins._state import state_of

from .apps import Clock
from .statements import before, statements

USERS, EACH, OTHERS = 100, 40, 2000
Plan = Callable[[Callable[[], Any]], list[str]]

pytestmark = pytest.mark.usefixtures("ctx", "long_log")


@pytest.fixture
def long_log(app: Flask, db: SQLAlchemy, clock: Clock, ctx: None) -> None:
    """A hundred of many users were paid every day for forty days until yesterday."""
    entries = [
        {
            "user_id": str(user),
            "currency": "coins",
            "amount": 5,
            "balance_after": 5 * (day + 1),
            "reason": "goal" if day % 2 else "login",
            "once_key": f"imported:{day}",
            "idempotency_key": f"key {day}",
            "created_at": clock() - timedelta(days=EACH - day),
        }
        for day in range(EACH)
        for user in range(USERS)
    ]
    held = {"currency": "coins", "balance": 5 * EACH, "earned": 5 * EACH, "spent": 0}
    rows = [{"user_id": str(user), "updated_at": clock(), **held} for user in range(OTHERS)]
    db.session.execute(sa.insert(log), entries)
    db.session.execute(sa.insert(balances), rows)
    db.session.commit()
    tables = (
        " TABLE coin_log, coin_balance" if db.engine.dialect.name in ("mysql", "mariadb") else ""
    )
    db.session.execute(sa.text(f"ANALYZE{tables}"))
    db.session.commit()


@pytest.fixture
def plan(db: SQLAlchemy) -> Plan:
    """``plan(call)``: what the engine says of each SELECT and UPDATE that ``call`` sends."""

    def explained(call: Callable[[], Any]) -> list[str]:
        seen: list[tuple[str, Any]] = []
        sa.event.listen(db.engine, "before_cursor_execute", note := lambda *a: seen.append(a[2:4]))
        call()
        sa.event.remove(db.engine, "before_cursor_execute", note)
        db.session.rollback()
        return [line for statement in seen for line in _explained(db, *statement)]

    return explained


def _explained(db: SQLAlchemy, statement: str, params: Any) -> Iterator[str]:
    if not statement.startswith(("SELECT", "UPDATE")):
        return
    words = "EXPLAIN QUERY PLAN" if db.engine.dialect.name == "sqlite" else "EXPLAIN"
    for row in db.session.connection().exec_driver_sql(f"{words} {statement}", params).mappings():
        if "Extra" in row:  # MariaDB
            yield f"{row['type']} {row['table']} using {row['key']}, {row['Extra']}"
        else:
            yield str(row.get("detail") or row["QUERY PLAN"])


def indexes(lines: list[str]) -> set[str]:
    """The indexes of the log that a plan uses."""
    return {index.name for index in log.indexes if any(str(index.name) in line for line in lines)}


def reads_a_table(lines: list[str]) -> bool:
    """Whether a whole table is read, or entries are sorted that no index picked."""
    words = (
        "SCAN coin_",
        "Seq Scan on coin_",
        "ALL coin_",
        "index coin_",
        "TEMP B-TREE",
        "filesort",
    )
    return any(word in line for line in lines for word in words)


@pytest.mark.parametrize("limit", [1, 3])
@pytest.mark.parametrize("window", ["day", "week", "month", "year"])
def test_the_look_takes_the_newest_rows_and_the_names(
    plan: Plan, coins: Coins, window: str, limit: int
) -> None:
    lines = plan(lambda: coins.award_once(7, 5, "goal", window, limit=limit))
    assert indexes(lines) == {"ix_coin_log_look", "uq_coin_log_once"}
    assert not reads_a_table(lines)


def test_a_payment_is_a_look_and_two_writes(coins: Coins, db: SQLAlchemy, ctx: None) -> None:
    with statements(db.engine) as seen:
        assert coins.award_once("new", 5, "goal", "day")
    # PostgreSQL takes both writes in one statement.
    assert len(seen) == (2 if db.engine.dialect.name == "postgresql" else 3)


def test_the_look_of_a_cooldown_needs_no_names(plan: Plan, coins: Coins) -> None:
    lines = plan(lambda: coins.award_once(7, 5, "goal", timedelta(hours=8)))
    assert indexes(lines) == {"ix_coin_log_look"}
    assert not reads_a_table(lines)


@pytest.mark.parametrize("window", ["hour", "forever"])
def test_the_look_stops_at_the_newest_row(plan: Plan, coins: Coins, window: str) -> None:
    lines = plan(lambda: coins.award_once(7, 5, "goal", window))
    assert "ix_coin_log_look" in indexes(lines)
    assert not reads_a_table(lines)
    assert not any("Sort" in line for line in lines)


def test_the_second_look_is_as_narrow(plan: Plan, coins: Coins, app: Flask, db: SQLAlchemy) -> None:
    def pay_meanwhile() -> None:
        with app.app_context():
            coins.award(7, 5, "another reason")
            db.session.commit()

    def pay() -> None:
        with before(db.engine, "INSERT INTO coin_balance", pay_meanwhile):
            assert coins.award_once(7, 5, "goal", "day")

    lines = plan(pay)
    # On MariaDB it reads what is newer, by an index whose gaps strangers do not write into.
    mariadb = db.engine.dialect.name == "mariadb"
    assert len([line for line in lines if "ix_coin_log_look" in line]) == 2 - mariadb
    assert (
        len([line for line in lines if "range coin_log using ix_coin_log_user" in line]) == mariadb
    )
    assert not reads_a_table(lines)


@pytest.mark.parametrize("before", [None, 2000], ids=["the first page", "a later page"])
def test_history_walks_its_own_index(plan: Plan, coins: Coins, before: int | None) -> None:
    lines = plan(lambda: coins.history(7, limit=10, before=before))
    assert indexes(lines) == {"ix_coin_log_user"}
    assert not reads_a_table(lines)
    assert not any("Sort" in line for line in lines)


def test_a_key_is_found_by_its_index(plan: Plan, coins: Coins) -> None:
    lines = plan(lambda: coins.award(7, 5, "login", idempotency_key="key 0"))
    assert indexes(lines) == {"uq_coin_log_key"}
    assert not reads_a_table(lines)


def test_a_balance_needs_no_log(plan: Plan, coins: Coins) -> None:
    lines = plan(lambda: (coins.balance(7), coins.balances([7, 8]), coins.spend(7, 1, "shop")))
    assert not indexes(lines)
    assert not reads_a_table(lines)


def test_texts_are_compared_as_they_are_kept(plan: Plan, coins: Coins) -> None:
    lines = plan(lambda: coins.award_once("ü☃", 5, "día", "day", subject="😀"))
    # For a user without entries any index that begins with the user is as good.
    assert indexes(lines) <= {
        *("ix_coin_log_look", "uq_coin_log_once", "ix_coin_log_user", "uq_coin_log_transfer"),
    }
    assert "ix_coin_log_look" in indexes(lines)
    assert not reads_a_table(lines)


# -- reversals, transfers and holds ----------------------------------------------------------


@pytest.fixture
def many_holds(db: SQLAlchemy, clock: Clock, long_log: None) -> None:
    """Every user has two open holds, one of them overdue for user 7, and some that are closed."""
    row = {"currency": "coins", "amount": 5, "reason": "bet", "created_at": clock()}
    statuses = ["open", "open", "captured", "released", "expired"]
    rows = [
        row
        | {"user_id": str(user), "status": status, "idempotency_key": f"key {number}"}
        | {"expires_at": clock() + timedelta(hours=0 if user == 7 and not number else 1)}
        for user in range(OTHERS)
        for number, status in enumerate(statuses)
    ]
    db.session.execute(sa.insert(holds), rows)
    db.session.execute(sa.update(balances).values(held=10))
    db.session.commit()
    table = " TABLE coin_hold" if db.engine.dialect.name in ("mysql", "mariadb") else ""
    db.session.execute(sa.text(f"ANALYZE{table}"))
    db.session.commit()


def hold_indexes(lines: list[str]) -> set[str]:
    """The indexes of the holds that a plan uses."""
    return {index.name for index in holds.indexes if any(str(index.name) in line for line in lines)}


def test_what_was_reversed_is_found_by_its_index(plan: Plan, coins: Coins, db: SQLAlchemy) -> None:
    entry = coins.history(7)[3]
    lines = plan(lambda: coins.reverse(entry, amount=1))
    # Where nothing was reversed yet, SQLite takes all entries for alike, and reads the user's.
    sqlite = db.engine.dialect.name == "sqlite"
    assert ("ix_coin_log_user" if sqlite else "ix_coin_log_reverses") in indexes(lines)
    assert not reads_a_table(lines)


def test_the_other_side_of_a_transfer_is_found_by_its_index(
    plan: Plan, coins: Coins, db: SQLAlchemy
) -> None:
    sent, _ = coins.transfer(7, 8, 5, idempotency_key="sent")
    db.session.commit()
    lines = plan(lambda: coins.reverse(sent, amount=1))
    lines += plan(lambda: coins.transfer(7, 8, 5, idempotency_key="sent"))
    assert "uq_coin_log_transfer" in indexes(lines)
    assert not reads_a_table(lines)


def test_a_transfer_needs_no_log(plan: Plan, coins: Coins) -> None:
    lines = plan(lambda: coins.transfer(7, 8, 5))
    assert not indexes(lines)
    assert not reads_a_table(lines)


def test_a_hold_and_its_key_are_found_by_their_indexes(
    many_holds: None, plan: Plan, coins: Coins
) -> None:
    lines = plan(lambda: coins.release(coins.hold(7, 5, "bet", idempotency_key="key 1")))
    lines += plan(lambda: coins.capture(coins.hold(7, 5, "bet")))
    assert hold_indexes(lines) == {"uq_coin_hold_key"}
    assert not reads_a_table(lines)


def test_overdue_holds_of_a_user_are_found_by_an_index(
    many_holds: None, plan: Plan, coins: Coins
) -> None:
    lines = plan(lambda: coins.spend(7, 195, "shop"))
    assert hold_indexes(lines) & {"ix_coin_hold_user", "ix_coin_hold_expiry"}
    assert not reads_a_table(lines)


def test_what_is_available_is_read_by_the_users_index(
    many_holds: None, plan: Plan, coins: Coins
) -> None:
    lines = plan(lambda: (coins.available(7), coins.holds(7)))
    assert hold_indexes(lines) == {"ix_coin_hold_user"}
    assert not reads_a_table(lines)


def test_a_sweep_finds_what_is_overdue_by_its_index(
    many_holds: None, plan: Plan, coins: Coins, app: Flask, db: SQLAlchemy
) -> None:
    lines = plan(lambda: state_of(app).holds.expire(db.session(), coins.now()))
    assert "ix_coin_hold_expiry" in hold_indexes(lines)
    assert not any("SCAN coin_" in line or "Seq Scan on coin_" in line for line in lines)
