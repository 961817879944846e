"""A host whose API sells and sends: Ann, Bob, Cid and Eve, each by the header X-User."""

from __future__ import annotations

from typing import Any

from flask import request

from flask_coins import Coins

PEOPLE = {"Ann": "ann", "Bob": "bob", "Cid": "cid"}
PRICES: dict[str, Any] = {"hint": 5, "skin": {"amount": 3, "currency": "gems"}}


def open_shop(coins: Coins) -> None:
    """Say who is logged in, whom names mean, and that Cid is excluded from transfers."""
    coins.current_user_loader(lambda: request.headers.get("X-User"))
    coins.recipient_loader(PEOPLE.get)
    coins.eligible_check(lambda user_id, reason: (user_id, reason) != ("cid", "transfer"))
