"""A small learning app whose learners are paid in coins: a host of Flask-Coins to copy from."""

import os
from collections.abc import Mapping
from typing import Any

from flask import Flask

from . import accounts, cli, views
from .extensions import coins, csrf, db, login_manager, migrate

DEVELOPMENT_KEY = "for development only"
"""Whoever knows it can log in as anybody: only debug mode and ``demo`` take it."""


def create_app(config: Mapping[str, Any] | None = None) -> Flask:
    """Make the app. ``config`` overrides the environment and the defaults."""
    app = Flask(__name__)
    app.config.from_mapping(
        SECRET_KEY=os.environ.get("SECRET_KEY") or (DEVELOPMENT_KEY if app.debug else None),
        SQLALCHEMY_DATABASE_URI=os.environ.get("DATABASE_URL", "sqlite:///example.sqlite3"),
        SESSION_COOKIE_SAMESITE="Lax",
        PASSWORD_METHOD="scrypt",
        # Invitations are the way to make coins from nothing: so many a week, for all together.
        COINS_BUDGETS=[{"most": 400, "window": "week", "per": "app", "reason": "referral"}],
        COINS_EXPECTED_PER_DAY={"boss_defeated": 180, "daily_goal": 240, "adjustment": 20},
    )
    app.config.from_mapping(config or {})
    db.init_app(app)
    migrate.init_app(app, db)
    login_manager.init_app(app)
    csrf.init_app(app)
    coins.init_app(app, db)
    accounts.init_app(app)
    views.init_app(app)
    cli.init_app(app)
    return app
