"""``COINS_API_PRICES``: a price list, or a clear error where it is set."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from flask_sqlalchemy import SQLAlchemy

from flask_coins import Coins, CoinsError

from .apps import create_app


def set_to(prices: Any) -> Flask:
    return create_app("sqlite://", SQLAlchemy(), Coins(), COINS_API_PRICES=prices)


def test_it_is_a_copy_of_what_was_set() -> None:
    prices: dict[str, Any] = {"hint": 5}
    app = set_to(prices)
    prices.clear()
    assert app.extensions["coins"].settings.api_prices == {"hint": (5, "coins")}


def test_it_can_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLASK_COINS_API_PRICES", '{"skin": {"amount": 3, "currency": "gems"}}')
    app = Flask("host")
    app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite://"
    app.config.from_prefixed_env()
    Coins(app, SQLAlchemy(app))
    assert app.extensions["coins"].settings.api_prices == {"skin": (3, "gems")}


@pytest.mark.parametrize(
    ("prices", "told"),
    [
        (["hint"], "must be a dict of reasons and prices"),
        (None, "must be a dict"),
        ({"hint": 0}, "['hint']: An amount is an int from 1"),
        ({"hint": "5"}, "['hint']: An amount"),
        ({"hint": True}, "['hint']: An amount"),
        ({"": 5}, "['']: A reason must have"),
        ({5: 5}, "[5]: A reason must be a str"),
        ({"hint": {"price": 5}}, "['hint']: the setting must be"),
        ({"hint": {"amount": 5, "currency": ""}}, "['hint']: A currency must have"),
    ],
)
def test_what_is_no_price_list_is_told_with_its_place(prices: Any, told: str) -> None:
    with pytest.raises(CoinsError) as caught:
        set_to(prices)
    assert str(caught.value).startswith("COINS_API_PRICES")
    assert told in str(caught.value)
