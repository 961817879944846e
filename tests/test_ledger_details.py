"""Details of movements that their other tests pass by: single coins, keys in a host's transaction, a bind."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from functools import partial

import pytest
import sqlalchemy as sa
from flask import Flask
from flask_sqlalchemy import SQLAlchemy

from flask_coins import (
    Coins,
    CoinsError,
    CoinsRetry,
    InsufficientCoins,
    MissingTablesError,
    Outcome,
    Receipt,
    award_once,
)
from flask_coins._models import balances

from .apps import NOON, Clock
from .movements import Elsewhere, amounts
from .statements import before, statements


def test_a_single_coin_goes_back_the_way_it_came(books: None, db: SQLAlchemy, coins: Coins) -> None:
    award, spend = coins.award(7, 1), coins.spend(7, 1, "shop")
    assert coins.reverse(spend).amount == 1
    assert coins.reverse(award).amount == -1
    db.session.commit()
    assert amounts(coins, "7") == [[1, -1, 1, -1]]


def test_a_replay_tells_a_recipient_who_has_spent_it_all_of_nothing(
    books: None, db: SQLAlchemy, coins: Coins
) -> None:
    coins.award(1, 4)
    coins.transfer(1, 2, 4, idempotency_key="k")
    coins.spend(2, 4, "shop")
    sent, received = coins.transfer(1, 2, 4, idempotency_key="k")
    db.session.commit()
    assert sent.outcome is received.outcome is Outcome.REPLAYED
    assert sent.balance == received.balance == 0


def test_who_is_short_and_has_the_lower_id_gives_the_other_nothing_first(
    books: None, db: SQLAlchemy, coins: Coins
) -> None:
    coins.award(1, 3)
    db.session.commit()
    with statements(db.engine) as seen, pytest.raises(InsufficientCoins):
        coins.transfer(1, 2, 4)
    assert [text for text in seen if text.startswith("INSERT")] == []


def test_after_a_transfer_nobody_s_payments_need_be_locked(
    books: None, db: SQLAlchemy, coins: Coins
) -> None:
    coins.award(1, 4)
    coins.award(2, 4)
    db.session.commit()
    with statements(db.engine) as seen:
        coins.transfer(1, 2, 4)
        assert coins.award_once(1, 5, "goal")
        assert coins.award_once(2, 5, "goal")
    assert [text for text in seen if "SHARE MODE" in text] == []
    db.session.commit()


def test_a_name_far_ahead_that_another_zone_took_is_not_promised(
    books: None, db: SQLAlchemy, coins: Coins, clock: Clock
) -> None:
    zones = ["Pacific/Kiritimati"]
    coins.timezone_loader(lambda user_id: zones[0])
    clock.now = datetime(2026, 12, 2, 11, tzinfo=timezone.utc)  # the 3rd has begun there
    assert coins.award_once(7, 10, "goal")
    clock.forward(hours=1)
    assert coins.award(7, 1, "goal")
    db.session.commit()
    clock.now, zones[0] = NOON, "UTC"
    refused = coins.award_once(7, 10, "goal")
    assert (refused.outcome, refused.balance) == (Outcome.ALREADY, 11)
    assert refused.next_at == datetime(2026, 12, 4, tzinfo=timezone.utc)
    clock.now = refused.next_at
    assert coins.award_once(7, 10, "goal")
    db.session.commit()


def test_a_reversal_without_tables_says_what_to_run(
    ctx: None, db: SQLAlchemy, coins: Coins
) -> None:
    db.drop_all()
    with pytest.raises(MissingTablesError):
        coins.reverse(1)
    assert not db.session().in_transaction()


# -- in a transaction that had begun, which cannot be repeated ------------------------------


LOCKS = {"award": "INSERT INTO coin_balance", "spend": "UPDATE coin_balance"}
CALLS: dict[str, Callable[[Coins], Receipt]] = {
    "award": lambda coins: coins.award(7, 10, "gift", idempotency_key="k"),
    "spend": lambda coins: coins.spend(7, 10, "shop", idempotency_key="k"),
    "reverse": lambda coins: coins.reverse(1, idempotency_key="k"),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_key_used_between_look_and_lock_is_replayed_without_another_try(
    books: None, db: SQLAlchemy, coins: Coins, app: Flask, engine: str, name: str
) -> None:
    coins.award(7, 30)
    db.session.commit()
    first: list[Receipt] = []

    def other() -> None:
        with app.app_context():
            first.append(CALLS[name](coins))
            db.session.commit()

    lock = LOCKS.get(name, "UPDATE coin_balance" if engine == "sqlite" else "FOR UPDATE")
    db.session.connection()
    with before(db.engine, lock, other):
        again = CALLS[name](coins)
    db.session.commit()
    assert (again.outcome, again.entry) == (Outcome.REPLAYED, first[0].entry)
    assert again.balance == coins.balance(7) == first[0].balance


def test_who_is_erased_between_look_and_lock_is_given_nothing_under_the_old_id(
    books: None, db: SQLAlchemy, coins: Coins, app: Flask, engine: str
) -> None:
    coins.award(7, 10)
    spend = coins.spend(7, 4, "shop")
    db.session.commit()

    def forget() -> str:
        return app.test_cli_runner().invoke(args=["coins", "forget", "7"]).output

    def erase() -> None:  # in a thread, which has no app context that it would end
        with ThreadPoolExecutor(1) as threads:
            assert "entries       2" in threads.submit(forget).result()

    lock = "UPDATE coin_balance" if engine == "sqlite" else "FOR UPDATE"
    db.session.connection()
    with before(db.engine, lock, erase), pytest.raises(CoinsRetry, match="erased meanwhile"):
        coins.reverse(spend)
    db.session.commit()
    assert coins.history(7) == []
    assert coins.reverse(spend).balance == 10
    db.session.commit()


@pytest.mark.parametrize("move", [Coins.award, partial(Coins.award_once, reason="goal")])
def test_a_connection_that_commits_each_statement_is_refused(
    make_app: Callable[..., Flask], coins: Coins, move: Callable[[Coins, int, int], object]
) -> None:
    app = make_app(SQLALCHEMY_ENGINE_OPTIONS={"isolation_level": "AUTOCOMMIT"})
    with app.app_context():
        with pytest.raises(CoinsError, match="Coins need transactions"):
            move(coins, 7, 5)
        assert coins.balance(7) == 0


# -- another database ------------------------------------------------------------------------


def test_every_movement_reaches_the_database_of_the_coins(apart: Coins, db: SQLAlchemy) -> None:
    once, award = apart.award_once(1, 10, "goal"), apart.award(1, 20)
    sent, _ = apart.transfer(1, 2, 4, "gift")
    spend = apart.spend(1, 2, "shop")
    db.session.commit()
    for receipt in (sent, spend, once, award):
        assert apart.reverse(receipt)
        assert apart.reverse(receipt).outcome is Outcome.ALREADY
    db.session.commit()
    assert amounts(apart, "1", "2") == [[10, 20, -4, -2, 4, 2, -10, -20], [4, -4]]


def test_a_key_that_an_old_snapshot_hides_is_replayed_and_not_short(
    books: None, db: SQLAlchemy, coins: Coins, elsewhere: Elsewhere
) -> None:
    coins.award(7, 10)
    db.session.commit()
    assert coins.history(7)  # what MariaDB shows from now on is as old as this
    elsewhere(lambda: coins.spend(7, 10, "shop", idempotency_key="k"))
    coins.award(7, 1)
    again = coins.spend(7, 10, "shop", idempotency_key="k")
    assert (again.outcome, again.balance) == (Outcome.REPLAYED, 1)
    db.session.commit()


def test_a_view_gives_no_details(books: None, app: Flask, coins: Coins) -> None:
    coins.current_user_loader(lambda: 7)
    view = award_once(5, "goal", "day")(lambda: "done")
    app.add_url_rule("/goal", "goal", view, methods=["POST"])
    assert app.test_client().post("/goal").text == "done"
    assert [entry.details for entry in coins.history(7)] == [None]


@pytest.mark.parametrize("wrong", ["earned", "spent"])
def test_a_sum_that_was_mended_between_look_and_lock_is_looked_at_anew(
    books: None, db: SQLAlchemy, coins: Coins, elsewhere: Elsewhere, wrong: str
) -> None:
    coins.award(7, 6)
    coins.spend(7, 1, "shop")
    db.session.execute(sa.update(balances).values({wrong: balances.c[wrong] + 9}))
    db.session.commit()

    def mend() -> None:
        db.session.execute(sa.update(balances).values({wrong: balances.c[wrong] - 9}))

    db.session.connection()
    with (
        before(db.engine, "UPDATE coin_balance", lambda: elsewhere(mend)),
        pytest.raises(CoinsRetry, match="repeat the transaction"),
    ):
        coins.spend(7, 2, "shop", idempotency_key="k")
    assert coins.spend(7, 2, "shop", idempotency_key="k").balance == 3
    db.session.commit()


# -- what a call costs ------------------------------------------------------------------------


COSTS: dict[str, tuple[Callable[[Coins], object], int, int, int]] = {
    "award": (lambda coins: coins.award(1, 5), 2, 2, 3),
    "with a key": (lambda coins: coins.award(1, 5, idempotency_key="new"), 4, 4, 4),
    "replayed": (lambda coins: coins.award(1, 5, idempotency_key="old"), 2, 2, 2),
    "once": (lambda coins: coins.award_once(1, 5, "goal"), 3, 2, 3),
    "already": (lambda coins: coins.award_once(1, 5, "login"), 1, 1, 1),
    "cooldown": (lambda coins: coins.award_once(1, 5, "goal", timedelta(hours=1)), 3, 3, 3),
    "spend": (lambda coins: coins.spend(1, 5, "shop"), 2, 2, 4),
    "the last coin": (lambda coins: coins.spend(1, 50, "shop"), 2, 2, 4),
    "spend with a key": (lambda coins: coins.spend(1, 5, "shop", idempotency_key="new"), 4, 4, 5),
    "short": (lambda coins: coins.spend(1, 51, "shop"), 2, 2, 3),
    "short with a key": (lambda coins: coins.spend(1, 51, "shop", idempotency_key="new"), 4, 4, 4),
    "nothing": (lambda coins: coins.spend(9, 1, "shop"), 2, 2, 1),
    "short beside a hold": (lambda coins: coins.spend(3, 51, "shop"), 3, 3, 4),
    "kept by a hold": (lambda coins: coins.spend(3, 48, "shop"), 5, 4, 5),
    "reverse": (lambda coins: coins.reverse(3), 7, 6, 8),
    "reverse with a key": (lambda coins: coins.reverse(3, idempotency_key="new"), 9, 8, 9),
    "transfer": (lambda coins: coins.transfer(1, 2, 5), 4, 4, 7),
    "to a lower id": (lambda coins: coins.transfer(2, 1, 5), 4, 4, 7),
    "hold": (lambda coins: coins.hold(1, 5, "auction"), 2, 2, 4),
}
"""By name: a call, and how many statements it sends to SQLite, PostgreSQL and MariaDB."""


@pytest.mark.parametrize("name", COSTS)
@pytest.mark.parametrize("second", [False, True], ids=["first", "second"])
def test_a_call_asks_no_more_than_it_needs(
    books: None, db: SQLAlchemy, coins: Coins, engine: str, name: str, second: bool
) -> None:
    """Also the second of a transaction: what nobody has moved since is not looked at again."""
    coins.award(1, 40)
    coins.award(2, 50)
    coins.award(1, 5, idempotency_key="old")
    coins.award_once(1, 5, "login")
    coins.award(3, 50)
    coins.hold(3, 5, "auction")
    db.session.commit()
    if second:
        coins.award_once(2, 1, "gift", "forever")
        coins.award_once(1, 1, "gift", "forever")
        coins.spend(1, 1, "shop")
    call, *costs = COSTS[name]
    with statements(db.engine) as seen, suppress(InsufficientCoins):
        call(coins)
    assert len(seen) == costs[["sqlite", "postgresql", "mariadb"].index(engine)]
    db.session.commit()


def test_what_moved_in_an_earlier_transaction_is_not_looked_at_again(
    books: None, db: SQLAlchemy, coins: Coins, elsewhere: Elsewhere, engine: str
) -> None:
    coins.award(1, 5)
    db.session.commit()
    assert coins.history(1)  # what MariaDB shows from now on is as old as this
    elsewhere(lambda: coins.award(1, 5))
    coins.award(1, 5)
    db.session.commit()
    with statements(db.engine) as seen:
        assert coins.award_once(1, 5, "goal")
    assert len(seen) == (2 if engine == "postgresql" else 3)
    db.session.commit()
