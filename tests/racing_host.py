"""A host that racing processes can import: its factory, and what they call."""

from __future__ import annotations

import os

import sqlalchemy as sa
from flask import Flask
from flask_sqlalchemy import SQLAlchemy

from flask_coins import Coins, _races
from flask_coins._models import log

from .apps import Clock, create_app

URL = "RACING_HOST_URL"
"""The environment's name for the database; ``{pid}`` in it is the process's number."""
FAILS = "RACING_HOST_FAILS"
"""If set, the factory fails in every process but the one with this number."""


def create_host() -> Flask:
    """The app on the database that the environment names."""
    pid = str(os.getpid())
    if os.environ.get(FAILS, pid) != pid:
        raise LookupError("not here")
    url = os.environ[URL].replace("{pid}", pid)
    return create_app(url, SQLAlchemy(), Coins(clock=Clock()))


def pay(app: Flask, user: str = "ada", limit: int = 1) -> None:
    """Once a day, as it should be."""
    with app.app_context():
        _coins(app).award_once(user, 10, "goal", "day", limit=limit)
        app.extensions["sqlalchemy"].session.commit()


def pay_naively(app: Flask, user: str) -> None:
    """Look, then pay; here everybody has looked before the first one pays."""
    with app.app_context():
        session = app.extensions["sqlalchemy"].session
        paid = session.scalar(sa.select(sa.func.count()).where(log.c.user_id == user))
        session.rollback()
        _races.wait()
        if not paid:
            _coins(app).award(user, 10, "goal")
            session.commit()


def pay_nobody(app: Flask) -> None:
    """As a view does whose visitor is not logged in."""


def _coins(app: Flask) -> Coins:
    return app.jinja_env.globals["coins"]  # type: ignore[no-any-return]
