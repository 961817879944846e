"""``COINS_*``: read once, checked at ``init_app``, and a misspelt key is pointed out."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask_sqlalchemy import SQLAlchemy

from flask_coins import Coins, CoinsError, CoinsWarning
from flask_coins._settings import Settings, read


def host(**config: Any) -> Flask:
    app = Flask(__name__)
    app.config.update(SQLALCHEMY_DATABASE_URI="sqlite://", **config)
    db = SQLAlchemy(app)
    Coins(app, db)
    return app


def test_nothing_needs_to_be_set() -> None:
    assert read({}) == Settings("UTC", 10, 60, None, "/coins", True)


@pytest.mark.parametrize(
    ("key", "bad"),
    [
        ("COINS_TIMEZONE", "Mars/Olympus"),
        ("COINS_TIMEZONE", ""),
        ("COINS_TIMEZONE", None),
        ("COINS_TIMEZONE", 5),
        ("COINS_XP_PER_COIN", 0),
        ("COINS_XP_PER_COIN", 2.5),
        ("COINS_XP_PER_COIN", True),
        ("COINS_XP_PER_COIN", "10"),
        ("COINS_CACHE_SECONDS", -1),
        ("COINS_CACHE_SECONDS", "60"),
        ("COINS_CACHE_SECONDS", float("nan")),
        ("COINS_CACHE_SECONDS", float("inf")),
        ("COINS_CACHE_SECONDS", True),
        ("COINS_CACHE_SECONDS", None),
        ("COINS_ON_ERROR", "ignore"),
        ("COINS_ON_ERROR", []),
        ("COINS_URL_PREFIX", "coins"),
        ("COINS_URL_PREFIX", "/coins/"),
        ("COINS_URL_PREFIX", ""),
        ("COINS_URL_PREFIX", 5),
        ("COINS_URL_PREFIX", "/users/<int:user_id>"),
        ("COINS_URL_PREFIX", "//coins"),
        ("COINS_URL_PREFIX", "/my coins"),
        ("COINS_URL_PREFIX", "/coins?a"),
        ("COINS_URL_PREFIX", "/\ud800"),
        ("COINS_INSTALL_MIGRATIONS", "no"),
        ("COINS_INSTALL_MIGRATIONS", None),
        ("COINS_STREAK", ""),
        ("COINS_STREAK", 5),
        ("COINS_TOASTS", "no"),
    ],
)
def test_a_bad_value_stops_the_start_and_is_named(key: str, bad: Any) -> None:
    with pytest.raises(CoinsError) as caught:
        host(**{key: bad})
    assert repr(bad) in str(caught.value)
    assert str(caught.value).startswith(f"{key} must be ")


@pytest.mark.parametrize(
    ("key", "good"),
    [
        ("COINS_TIMEZONE", "Europe/Berlin"),
        ("COINS_XP_PER_COIN", 1),
        ("COINS_CACHE_SECONDS", 0),
        ("COINS_CACHE_SECONDS", 0.5),
        ("COINS_ON_ERROR", "log"),
        ("COINS_URL_PREFIX", None),
        ("COINS_URL_PREFIX", "/a/b"),
        ("COINS_INSTALL_MIGRATIONS", False),
        ("COINS_STREAK", "daily_login"),
        ("COINS_TOASTS", False),
    ],
)
def test_a_good_value_is_taken(key: str, good: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", CoinsWarning)
        host(**{key: good})


def test_an_unknown_key_names_the_nearest() -> None:
    with pytest.warns(CoinsWarning, match="COINS_CASH_SECONDS: did you mean COINS_CACHE_SECONDS"):
        host(COINS_CASH_SECONDS=5)


def test_a_key_like_none_lists_them_all() -> None:
    with pytest.warns(CoinsWarning, match="the keys are COINS_TIMEZONE, COINS_XP_PER_COIN"):
        host(COINS_QQQQQQQ=5)


def test_other_keys_are_not_ours() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", CoinsWarning)
        host(COIN_X=1, FLASK_COINS=2, coins_timezone=3)


def test_xp_are_worth_what_is_set(
    make_app: Callable[..., Flask], db: SQLAlchemy, coins: Coins
) -> None:
    with make_app(COINS_XP_PER_COIN=7).app_context():
        assert coins.award_xp("7", 20).amount == 2
        db.session.rollback()


def test_the_default_zone_is_what_is_set(
    make_app: Callable[..., Flask], db: SQLAlchemy, coins: Coins
) -> None:
    with make_app(COINS_TIMEZONE="Pacific/Kiritimati").app_context():
        coins.award_once("7", 1, "goal")
        opens = coins.award_once("7", 1, "goal").next_at
        db.session.rollback()
    assert opens
    assert opens.isoformat() == "2026-11-23T10:00:00+00:00"


def test_testing_is_looked_up_per_call(
    make_app: Callable[..., Flask], db: SQLAlchemy, coins: Coins
) -> None:
    app = make_app(TESTING=False)
    with pytest.warns(CoinsWarning, match="never committed"), app.app_context():
        coins.award("7", 1)
    app.config["TESTING"] = True
    with pytest.raises(CoinsError, match="never committed"), app.app_context():
        coins.award("7", 1)
