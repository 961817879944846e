"""A few weeks of a small economy, drawn by lot, and what should be read from it: in plain Python."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from flask_sqlalchemy import SQLAlchemy

from flask_coins import CoinEntry, Coins, CoinsError, Place

from .apps import Clock

USERS = [f"user:{letter}" for letter in "abcdefgh"]
REASONS = ("goal", "quiz")
Entries = list[CoinEntry]


def live(db: SQLAlchemy, coins: Coins, clock: Clock, steps: int = 150, seed: int = 7) -> None:
    """Let users earn, spend, send and lose coins for about three weeks, and commit."""
    lot = random.Random(seed)
    moved: list[Any] = []
    for _ in range(steps):
        clock.forward(minutes=lot.randrange(400))
        db.session.commit()
        try:
            moved += _step(coins, lot, moved)
        except CoinsError:  # short of coins, or nothing left of it
            db.session.rollback()
    db.session.commit()


def _step(coins: Coins, lot: random.Random, moved: list[Any]) -> list[Any]:
    user, other = lot.sample(USERS, 2)
    amount, currency = lot.randrange(1, 6), lot.choice(("coins", "coins", "coins", "gems"))
    kind = lot.choice(("award", "award", "award", "spend", "transfer", "reverse", "reverse"))
    if kind == "award":
        found = [coins.award(user, amount, lot.choice(REASONS), currency=currency)]
    elif kind == "spend":
        found = [coins.spend(user, amount, "shop", currency=currency)]
    elif kind == "transfer":
        found = [*coins.transfer(user, other, amount, currency=currency)]
    elif moved:
        part = lot.choice((None, 1))
        coins.reverse(lot.choice(moved), amount=part)
        return []
    else:
        return []
    return [receipt.entry.id for receipt in found if receipt.entry]


def entries(db: SQLAlchemy, currency: str = "coins") -> Entries:
    """The whole log of a currency."""
    of_currency = sa.select(CoinEntry).where(CoinEntry.currency == currency).order_by(CoinEntry.id)
    return list(db.session.scalars(of_currency))


def is_payment(entry: CoinEntry) -> bool:
    return entry.amount > 0 and entry.reverses_id is None and entry.counterparty is None


def taken_back(found: Entries, entry: CoinEntry) -> int:
    """How much of an entry reversals have taken back."""
    return sum(abs(other.amount) for other in found if other.reverses_id == entry.id)


def board(
    found: Entries,
    counts: Callable[[CoinEntry], bool] = lambda entry: True,
    hidden: tuple[str, ...] = (),
) -> list[Place]:
    """Every place of a leaderboard of the payments that count."""
    scores: dict[str, int] = defaultdict(int)
    for entry in found:
        if is_payment(entry) and counts(entry) and entry.user_id not in hidden:
            scores[entry.user_id] += entry.amount - taken_back(found, entry)
    best = sorted((-score, user) for user, score in scores.items() if score > 0)
    above = [-score for score, _ in best]
    return [Place(1 + sum(it > -score for it in above), user, -score) for score, user in best]


def within(start: datetime, end: datetime) -> Callable[[CoinEntry], bool]:
    return lambda entry: start <= entry.created_at < end
