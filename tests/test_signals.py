"""Signals tell the truth: after the outermost commit, once, never for what was rolled back."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask, g
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.exc import PendingRollbackError
from sqlalchemy.orm import Session

from flask_coins import Coins, InsufficientCoins, Outcome, Receipt, award_once, signals
from flask_coins._models import CoinBalance, CoinEntry, log

from .apps import NOON, Clock

Heard = list[tuple[str, str | None, int]]


@pytest.fixture
def heard(ctx: None) -> Iterator[Heard]:
    """Every signal: the outcome, the user and the amount."""
    told: Heard = []

    def hear(sender: Flask, receipt: Receipt, user_id: str | None) -> None:
        assert isinstance(sender, Flask)
        told.append((receipt.outcome.value, user_id, receipt.amount))

    for signal in (signals.coins_awarded, signals.coins_spent, signals.award_refused):
        signal.connect(hear)
    yield told
    for signal in (signals.coins_awarded, signals.coins_spent, signals.award_refused):
        signal.disconnect(hear)


@pytest.fixture
def connected(ctx: None) -> Iterator[Callable[[Callable[..., None]], None]]:
    """``connected(receiver)`` hears of payments until the test is over."""
    receivers: list[Callable[..., None]] = []

    def connect(receiver: Callable[..., None]) -> None:
        receivers.append(receiver)
        signals.coins_awarded.connect(receiver, weak=False)

    yield connect
    for receiver in receivers:
        signals.coins_awarded.disconnect(receiver)


def test_a_signal_waits_for_the_commit(heard: Heard, db: SQLAlchemy, coins: Coins) -> None:
    coins.award(7, 10)
    coins.spend(7, 4, "shop")
    assert heard == []
    db.session.commit()
    assert heard == [("awarded", "7", 10), ("spent", "7", -4)]
    db.session.commit()
    assert len(heard) == 2


def test_a_refusal_is_a_signal_too(heard: Heard, db: SQLAlchemy, coins: Coins) -> None:
    coins.eligible_check(lambda user, reason: user != "staff")
    coins.award_once(7, 10, "goal")
    coins.award_once(7, 10, "goal")
    coins.award("staff", 10)
    coins.award_xp(7, 3)
    db.session.commit()
    assert heard == [
        ("awarded", "7", 10),
        ("already", "7", 0),
        ("excluded", "staff", 0),
        ("nothing_due", "7", 0),
    ]


def test_a_refusal_without_a_transaction_is_told_at_once(heard: Heard, coins: Coins) -> None:
    coins.eligible_check(lambda user, reason: False)
    coins.award(7, 10)
    assert heard == [("excluded", "7", 0)]


def test_a_replay_is_no_news(heard: Heard, db: SQLAlchemy, coins: Coins) -> None:
    coins.award(7, 10, idempotency_key="k")
    coins.award(7, 10, idempotency_key="k")
    db.session.commit()
    assert heard == [("awarded", "7", 10)]


def test_nothing_is_told_of_what_was_rolled_back(
    heard: Heard, db: SQLAlchemy, coins: Coins
) -> None:
    coins.award(7, 10)
    db.session.rollback()
    coins.award(7, 20)
    db.session.close()
    db.session.commit()
    coins.award(7, 30)
    db.session.commit()
    assert heard == [("awarded", "7", 30)]


def test_nothing_is_told_of_a_purse_too_small(heard: Heard, db: SQLAlchemy, coins: Coins) -> None:
    with pytest.raises(InsufficientCoins):
        coins.spend(7, 1, "shop")
    db.session.commit()
    assert heard == []


def test_a_released_savepoint_is_no_commit(
    savepoints: None, heard: Heard, db: SQLAlchemy, coins: Coins
) -> None:
    with db.session.begin_nested():
        coins.award(7, 10)
        with db.session.begin_nested():
            coins.award(7, 20)
        assert heard == []
    assert heard == []
    db.session.commit()
    assert heard == [("awarded", "7", 10), ("awarded", "7", 20)]


def test_what_a_savepoint_took_back_is_not_told(
    savepoints: None, heard: Heard, db: SQLAlchemy, coins: Coins
) -> None:
    coins.award(7, 1)
    outer = db.session.begin_nested()
    coins.award(7, 2)
    with db.session.begin_nested():
        coins.award(7, 3)
    outer.rollback()
    with db.session.begin_nested() as inner:
        coins.award(7, 4)
        inner.rollback()
    coins.award(7, 5)
    db.session.commit()
    assert heard == [("awarded", "7", 1), ("awarded", "7", 5)]
    assert coins.balance(7) == 6


def test_a_savepoint_released_in_a_rolled_back_transaction_is_not_told(
    savepoints: None, heard: Heard, db: SQLAlchemy, coins: Coins
) -> None:
    with db.session.begin_nested():
        coins.award(7, 10)
    db.session.rollback()
    db.session.execute(sa.select(log)).all()
    db.session.commit()
    assert heard == []


def test_a_savepoint_released_in_a_closed_session_is_not_told(
    savepoints: None, heard: Heard, db: SQLAlchemy, coins: Coins
) -> None:
    with db.session.begin_nested():
        coins.award(7, 10)
    db.session.close()
    db.session.commit()
    assert heard == []
    assert coins.balance(7) == 0


def test_a_failed_commit_is_not_told(heard: Heard, db: SQLAlchemy, coins: Coins) -> None:
    coins.award(7, 10)

    def fail(session: Any) -> None:
        raise ZeroDivisionError

    sa.event.listen(db.session(), "before_commit", fail)
    with pytest.raises(ZeroDivisionError):
        db.session.commit()
    db.session.rollback()
    sa.event.remove(db.session(), "before_commit", fail)
    db.session.commit()
    assert heard == []


def test_a_receiver_can_use_the_session(
    connected: Callable[..., None], db: SQLAlchemy, coins: Coins
) -> None:
    seen: list[int] = []

    def receive(sender: Flask, receipt: Receipt, user_id: str | None) -> None:
        seen.append(coins.balance(user_id))
        if receipt.reason == "goal":
            coins.award(user_id, 1, "bonus")
            db.session.commit()

    connected(receive)
    coins.award_once(7, 10, "goal")
    db.session.commit()
    assert seen == [10, 11]
    assert coins.balance(7) == 11


def test_the_session_block_of_sqlalchemy_commits_too(
    heard: Heard, db: SQLAlchemy, coins: Coins
) -> None:
    with db.session.begin():
        coins.award(7, 10)
        assert heard == []
    assert heard == [("awarded", "7", 10)]


def test_a_receiver_that_raises_is_logged_and_stops_nobody(
    connected: Callable[..., None],
    heard: Heard,
    db: SQLAlchemy,
    coins: Coins,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(sender: Flask, receipt: Receipt, user_id: str | None) -> None:
        raise RuntimeError("receiver fell over")

    connected(fail)
    with caplog.at_level(logging.ERROR):
        coins.award(7, 10)
        db.session.commit()
    assert "A receiver of coins-awarded failed" in caplog.text
    assert "receiver fell over" in caplog.text
    assert coins.balance(7) == 10
    assert heard == [("awarded", "7", 10)]


def in_a_flush(session: Session) -> None:
    session.add(CoinBalance(user_id="8", currency="coins", balance=-1))
    session.flush()


def before_a_flush_is_sent(session: Session) -> None:
    session.add(CoinBalance(user_id="8", currency="coins", updated_at="no moment"))
    session.flush()


def in_a_statement(session: Session) -> None:
    session.execute(sa.text("SELECT * FROM nowhere"))


@pytest.mark.parametrize("fails", [in_a_flush, before_a_flush_is_sent, in_a_statement])
def test_the_session_outlives_a_receiver_that_fails_in_the_database(
    connected: Callable[..., None], db: SQLAlchemy, coins: Coins, fails: Callable[[Session], None]
) -> None:
    def fail(sender: Flask, receipt: Receipt, user_id: str | None) -> None:
        fails(db.session())

    connected(fail)
    coins.award(7, 10)
    coins.award(7, 5)
    db.session.commit()
    assert coins.balance(7) == 15
    coins.spend(7, 5, "shop")
    db.session.commit()
    assert coins.balance(7) == 10


@pytest.mark.parametrize("fails", [in_a_flush, before_a_flush_is_sent])
def test_a_failed_receiver_does_not_hide_that_the_hosts_work_is_lost(
    ctx: None, db: SQLAlchemy, fails: Callable[[Session], None]
) -> None:
    def fail(sender: Flask, receipt: Receipt, user_id: str | None) -> None:
        if db.session().is_active:
            fails(db.session())
        db.session.execute(sa.select(log))

    @award_once(10, "goal", user="7")
    def complete_goal() -> None:
        raise ZeroDivisionError

    entry = CoinEntry(user_id="8", currency="coins", amount=1, balance_after=1, reason="host's")
    entry.created_at = NOON
    db.session.add(entry)
    with signals.award_refused.connected_to(fail):
        for _ in range(2):
            with pytest.raises(ZeroDivisionError):
                complete_goal()
    with pytest.raises(PendingRollbackError):
        db.session.commit()


def test_what_a_failed_receiver_left_active_stays(
    connected: Callable[..., None], db: SQLAlchemy, coins: Coins
) -> None:
    def fail(sender: Flask, receipt: Receipt, user_id: str | None) -> None:
        if receipt.reason == "goal":
            coins.award(user_id, 1, "bonus")
            raise RuntimeError

    connected(fail)
    coins.award(7, 10, "goal")
    db.session.commit()
    db.session.commit()
    assert coins.balance(7) == 11


def test_a_muted_signal_is_not_sent(heard: Heard, db: SQLAlchemy, coins: Coins) -> None:
    with signals.coins_awarded.muted():
        coins.award(7, 10)
        coins.award(7, 20)
        coins.spend(7, 4, "shop")
        db.session.commit()
    assert heard == [("spent", "7", -4)]
    coins.award(7, 1)
    db.session.commit()
    assert heard[1:] == [("awarded", "7", 1)]


def test_a_coroutine_is_refused_with_a_word(
    connected: Callable[..., None],
    heard: Heard,
    db: SQLAlchemy,
    coins: Coins,
    caplog: pytest.LogCaptureFixture,
) -> None:
    ran: list[int] = []

    async def celebrate(sender: Flask, receipt: Receipt, user_id: str | None) -> None:
        ran.append(receipt.amount)

    connected(celebrate)
    connected(partial(celebrate))
    coins.award(7, 10)
    db.session.commit()
    gc.collect()  # a coroutine that was never awaited warns when it goes
    refused = [record.getMessage() for record in caplog.records]
    assert [("celebrate" in each, "not run" in each) for each in refused] == [(True, True)] * 2
    assert heard == [("awarded", "7", 10)]
    assert ran == []


def test_signals_name_the_app_that_paid(
    make_app: Callable[..., Flask], db: SQLAlchemy, coins: Coins
) -> None:
    one, other = make_app(), make_app()
    senders: list[Flask] = []

    def receive(sender: Flask, **_: Any) -> None:
        senders.append(sender)

    signals.coins_awarded.connect(receive, sender=one)
    for app in (other, one):
        with app.app_context():
            coins.award(7, 10)
            db.session.commit()
    signals.coins_awarded.disconnect(receive, sender=one)
    assert senders == [one]


def test_receipts_of_direct_calls_are_kept_once_committed(
    ctx: None, db: SQLAlchemy, coins: Coins, clock: Clock
) -> None:
    coins.award_once(7, 10, "goal")
    coins.award_once(7, 10, "goal")
    coins.award(7, 1)
    assert "coins_receipts" not in g
    db.session.commit()
    outcomes = [receipt.outcome for receipt in g.coins_receipts]
    assert outcomes == [Outcome.AWARDED, Outcome.ALREADY, Outcome.AWARDED]
    coins.award(7, 1)
    db.session.rollback()
    assert len(g.coins_receipts) == 3
