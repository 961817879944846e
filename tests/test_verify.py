"""``faults`` finds every way in which balance, sums and chain can disagree."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from flask import Flask
from flask_sqlalchemy import SQLAlchemy

from flask_coins import Coins
from flask_coins._models import balances, log
from flask_coins._verify import faults

from .apps import NOON


@pytest.fixture
def books(ctx: None, db: SQLAlchemy, coins: Coins) -> sa.Connection:
    """Two users with 3 entries each, all in order."""
    for user in ("ada", "bob"):
        coins.award(user, 10)
        coins.award(user, 5, currency="gems")
        coins.spend(user, 4, "shop")
    db.session.commit()
    return db.session.connection()


def found(books: sa.Connection) -> list[tuple[str, str, str]]:
    return [tuple(fault) for fault in faults(books)]  # type: ignore[misc]


def test_books_in_order_have_no_faults(books: sa.Connection) -> None:
    assert found(books) == []


def test_an_empty_row_is_no_fault(books: sa.Connection) -> None:
    empty = {"user_id": "eve", "currency": "coins", "updated_at": NOON}
    books.execute(sa.insert(balances), empty | {"balance": 0, "earned": 0, "spent": 0})
    assert found(books) == []


OF_ADA = (balances.c.user_id == "ada", balances.c.currency == "coins")
ADAS_LAST = sa.select(sa.func.max(log.c.id)).where(log.c.user_id == "ada")


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"balance": 7}, "coin_balance has 7 (earned 10, spent 4), the log 6 (earned 10, spent 4)"),
        ({"earned": 11}, "coin_balance has 6 (earned 11, spent 4), the log 6 (earned 10, spent 4)"),
        ({"spent": 3}, "coin_balance has 6 (earned 10, spent 3), the log 6 (earned 10, spent 4)"),
    ],
)
def test_a_wrong_balance_row_is_found(
    books: sa.Connection, change: dict[str, int], what: str
) -> None:
    books.execute(sa.update(balances).where(*OF_ADA).values(change))
    assert found(books) == [("ada", "coins", what)]


def test_a_missing_balance_row_is_found(books: sa.Connection) -> None:
    books.execute(sa.delete(balances).where(*OF_ADA))
    assert [fault[:2] for fault in found(books)] == [("ada", "coins")]


def test_a_balance_without_a_log_is_found(books: sa.Connection) -> None:
    row = {"user_id": "eve", "currency": "coins", "updated_at": NOON}
    books.execute(sa.insert(balances), row | {"balance": 3, "earned": 3, "spent": 0})
    assert [fault[:2] for fault in found(books)] == [("eve", "coins")]


def test_a_lost_entry_is_found_by_sum_and_chain(books: sa.Connection) -> None:
    first = sa.select(sa.func.min(log.c.id)).where(log.c.user_id == "ada")
    books.execute(sa.delete(log).where(log.c.id == books.scalar(first)))
    kinds = sorted(fault[2].split()[0] for fault in found(books))
    assert kinds == ["coin_balance", "entry"]


def test_a_changed_amount_is_found(books: sa.Connection) -> None:
    last = books.scalar(ADAS_LAST)
    books.execute(sa.update(log).where(log.c.id == last).values(amount=-5))
    assert ("ada", "coins", f"entry {last}: 10 -5 is not 6") in found(books)


def test_a_broken_chain_is_found_though_the_sums_agree(books: sa.Connection) -> None:
    last = books.scalar(ADAS_LAST)
    books.execute(sa.update(log).where(log.c.id == last).values(balance_after=99))
    assert found(books) == [("ada", "coins", f"entry {last}: 10 -4 is not 99")]


def test_a_balance_that_was_below_zero_is_found(books: sa.Connection) -> None:
    row = {"user_id": "eve", "currency": "coins", "reason": "x", "created_at": NOON}
    books.execute(sa.insert(log), [row | {"amount": -5, "balance_after": -5}])
    books.execute(sa.insert(log), [row | {"amount": 10, "balance_after": 5}])
    whole = {"user_id": "eve", "currency": "coins", "updated_at": NOON}
    books.execute(sa.insert(balances), whole | {"balance": 5, "earned": 10, "spent": 5})
    (fault,) = found(books)
    assert fault[0] == "eve"
    assert fault[2].endswith(": 0 -5 is below zero")


def test_many_users_are_all_read(app: Flask, ctx: None, db: SQLAlchemy) -> None:
    users = [f"u{n:05}" for n in range(1200)]
    row = {"currency": "coins", "balance": 1, "earned": 1, "spent": 0, "updated_at": NOON}
    connection = db.session.connection()
    connection.execute(sa.insert(balances), [{"user_id": user} | row for user in users])
    assert [fault.user_id for fault in faults(connection)] == users
