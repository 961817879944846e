"""Reading: balances, pages of history and balances inside a host's own SELECT."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

import pytest
import sqlalchemy as sa
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import Mapped, aliased, mapped_column

from flask_coins import Coins

from .apps import NOON, Clock
from .statements import statements


@dataclass
class Player:
    """As those that SQLAlchemy's MappedAsDataclass makes, it is equal by value, and has no hash."""

    coins_id: int


def test_who_never_had_coins_has_none(ctx: None, coins: Coins) -> None:
    assert coins.balance("nobody") == 0
    assert coins.history("nobody") == []
    assert coins.balances(["nobody"]) == {"nobody": 0}
    assert coins.balances([]) == {}


def test_balances_can_be_asked_by_any_form_of_a_user(ctx: None, coins: Coins) -> None:
    number = uuid.UUID(int=5)
    coins.award(7, 1)
    coins.award(number, 2)
    coins.award("ada", 3)
    found = coins.balances([7, number, "ada", "eve", 7])
    assert found == {"7": 1, str(number): 2, "ada": 3, "eve": 0}
    assert (found[7], found[number], found["ada"]) == (1, 2, 3)
    assert (found.get(7), found.get(number), found.get(8), found.get(8, 0)) == (1, 2, None, 0)
    assert [user in found for user in (7, number, 8, object())] == [True, True, False, False]
    with pytest.raises(KeyError, match="stranger"):
        found["stranger"]
    with pytest.raises(KeyError):
        found[8]


def test_balances_are_found_for_objects_without_a_hash(ctx: None, coins: Coins) -> None:
    ann = Player(7)
    coins.award(ann, 5)
    found = coins.balances([ann])
    assert (found[ann], ann in found, found.get(ann)) == (5, True, 5)


def test_many_balances_take_few_statements(ctx: None, db: SQLAlchemy, coins: Coins) -> None:
    for user in (0, 499, 500, 1199):
        coins.award(user, user + 1)
    with statements(db.engine) as seen:
        found = coins.balances(range(1200))
    assert len(seen) == 3
    assert len(found) == 1200
    assert {user: n for user, n in found.items() if n} == {
        "0": 1,
        "499": 500,
        "500": 501,
        "1199": 1200,
    }


def test_balances_are_of_one_currency(ctx: None, coins: Coins) -> None:
    coins.award(7, 1)
    coins.award(7, 2, currency="gems")
    assert coins.balances([7], "gems") == {"7": 2}


def test_a_read_is_one_statement(ctx: None, db: SQLAlchemy, coins: Coins) -> None:
    for read in (lambda: coins.balance(7), lambda: coins.history(7), lambda: coins.balances([7])):
        with statements(db.engine) as seen:
            read()
        assert len(seen) == 1


# -- history ---------------------------------------------------------------------------------


def test_history_is_newest_first_by_id(ctx: None, coins: Coins, clock: Clock) -> None:
    for amount in (1, 2, 3):
        coins.award(7, amount)
        coins.award(8, 100)
        coins.award(7, 100, currency="gems")
        clock.forward(hours=-1)
    entries = coins.history(7)
    assert [entry.amount for entry in entries] == [3, 2, 1]
    assert [entry.balance_after for entry in entries] == [6, 3, 1]
    assert [entry.amount for entry in coins.history(8, currency="gems")] == []


def test_pages_of_history_meet_without_a_gap(ctx: None, coins: Coins) -> None:
    for amount in range(1, 8):
        coins.award(7, amount)
    seen: list[int] = []
    page = coins.history(7, 3)
    while page:
        seen += [entry.amount for entry in page]
        coins.award(7, 1000)
        page = coins.history(7, 3, before=page[-1].id)
    assert seen == [7, 6, 5, 4, 3, 2, 1]


def test_history_has_fifty_at_most_if_nothing_is_said(ctx: None, coins: Coins) -> None:
    for _ in range(51):
        coins.award(7, 1)
    assert len(coins.history(7)) == 50
    assert len(coins.history(7, 1000)) == 51
    assert coins.history(7, before=0) == []
    assert len(coins.history(7, before=2**63 - 1)) == 50


def test_an_entry_without_a_subject_has_none(ctx: None, coins: Coins) -> None:
    coins.award(7, 1)
    coins.award(7, 1, subject="x")
    assert [entry.subject for entry in coins.history(7)] == ["x", None]
    assert coins.history(7)[0].created_at == NOON


# -- in a host's own SELECT ------------------------------------------------------------------

KEYS: dict[str, tuple[Any, Any, Any]] = {
    "integer": (sa.Integer(), 7, 8),
    "bigint": (sa.BigInteger(), 2**40, 8),
    "string": (sa.String(40), "Ada", "bob"),
    "uuid": (sa.Uuid(), uuid.UUID(int=2**127 + 5), uuid.UUID(int=6)),
    "uuid, not native": (sa.Uuid(native_uuid=False), uuid.UUID(int=2**127 + 5), uuid.UUID(int=6)),
    "uuid as text": (sa.Uuid(as_uuid=False), str(uuid.UUID(int=2**127 + 5)), str(uuid.UUID(int=6))),
}


@pytest.fixture(params=KEYS)
def key(request: pytest.FixtureRequest) -> Any:
    return KEYS[request.param]


@pytest.fixture
def user(db: SQLAlchemy, key: Any) -> Any:
    class User(db.Model):  # type: ignore[name-defined,misc]
        __tablename__ = "member"
        id: Mapped[Any] = mapped_column(key[0], primary_key=True, autoincrement=False)

    return User


@pytest.fixture
def rich_and_poor(user: Any, key: Any, ctx: None, db: SQLAlchemy, coins: Coins) -> tuple[Any, Any]:
    _, rich, poor = key
    db.session.add_all([user(id=rich), user(id=poor)])
    coins.award(db.session.get(user, rich) or rich, 70)
    coins.award(rich, 3, currency="gems")
    db.session.commit()
    return rich, poor


def test_a_balance_of_any_key_is_an_expression(
    rich_and_poor: tuple[Any, Any], user: Any, db: SQLAlchemy, coins: Coins
) -> None:
    rich, poor = rich_and_poor
    rows = db.session.execute(sa.select(user.id, coins.balance_of(user.id)))
    assert {row[0]: row[1] for row in rows} == {rich: 70, poor: 0}


def test_a_balance_can_sort_filter_and_be_of_an_alias(
    rich_and_poor: tuple[Any, Any], user: Any, db: SQLAlchemy, coins: Coins
) -> None:
    rich, poor = rich_and_poor
    gems, other = coins.balance_of(user.id, "gems"), aliased(user)
    assert db.session.scalars(sa.select(user.id).order_by(gems.desc())).all() == [rich, poor]
    assert db.session.scalars(sa.select(user.id).where(gems >= 3)).all() == [rich]
    balance = coins.balance_of(other.id)
    pairs = sa.select(user.id, balance).join(other, other.id == user.id).where(balance > 0)
    assert [tuple(row) for row in db.session.execute(pairs)] == [(rich, 70)]


def test_a_balance_may_be_one_of_many_columns(
    rich_and_poor: tuple[Any, Any], user: Any, db: SQLAlchemy, coins: Coins
) -> None:
    total = sa.select(sa.func.sum(coins.balance_of(user.id)))
    assert db.session.scalar(total) == 70
    assert db.session.scalar(sa.select(coins.balance_of(user.id, "gems")).limit(1)) in (0, 3)
