"""The API's movements on every engine: a double click pays once, whatever the database."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from flask import Flask
from flask_sqlalchemy import SQLAlchemy

from flask_coins import Coins

from .held import HeldClient
from .shop import PRICES, open_shop


@pytest.fixture
def our_pages() -> str:
    return "/coins"


@pytest.fixture
def app(make_app: Callable[..., Flask], db: SQLAlchemy, coins: Coins) -> Flask:
    """Ann has 100 coins, of which 40 are held."""
    open_shop(coins)
    app = make_app(COINS_API_PRICES=PRICES)
    app.test_client_class = HeldClient
    with app.app_context():
        coins.award("ann", 100)
        coins.hold("ann", 40, "raffle")
        db.session.commit()
    return app


def clicks(app: Flask, path: str, sent: dict[str, object], keys: list[str]) -> list[int]:
    """The statuses of as many requests at once as there are ``keys``."""

    def click(key: str) -> int:
        headers = {"X-User": "ann", "Idempotency-Key": key}
        return app.test_client().post(path, json=sent, headers=headers).status_code

    with ThreadPoolExecutor(len(keys)) as pool:
        return list(pool.map(click, keys))


def balance(app: Flask, user: str) -> dict[str, int]:
    found = app.test_client().get("/coins/api/balance", headers={"X-User": user}).json
    assert found is not None
    return {name: found[name] for name in ("balance", "available", "held")}


def test_one_key_sends_once_however_often_it_is_clicked(app: Flask) -> None:
    sent = {"to": "Bob", "amount": 30}
    assert clicks(app, "/coins/api/transfer", sent, ["k"] * 6) == [201] * 6
    assert balance(app, "ann") == {"balance": 70, "available": 30, "held": 40}
    assert balance(app, "bob")["balance"] == 30


def test_nobody_spends_what_is_held_or_gone(app: Flask) -> None:
    found = clicks(app, "/coins/api/spend", {"reason": "hint"}, [f"k{n}" for n in range(14)])
    assert sorted(found) == [201] * 12 + [402] * 2
    assert balance(app, "ann") == {"balance": 40, "available": 0, "held": 40}
