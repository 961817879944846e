"""The smallest host there is: what the tests and the racing processes run."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any, ClassVar

from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from jinja2.bccache import Bucket, BytecodeCache

from flask_coins import Coins

NOON = datetime(2026, 11, 22, 12, tzinfo=timezone.utc)
"""When tests begin: a Sunday, the last day of an ISO week, far from any change of clocks."""

APART = "a_host_apart"
"""An ``import_name`` by which an app knows no rules of the tests' own modules."""


class Clock:
    """The time of a test. It stands still until it is told to move."""

    def __init__(self, now: datetime = NOON) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **parts: float) -> datetime:
        """Move on by ``timedelta(**parts)``."""
        self.now += timedelta(**parts)
        return self.now


class Compiled(BytecodeCache):
    """Templates compiled once for the apps of all tests."""

    codes: ClassVar[dict[str, bytes]] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if bucket.key in self.codes:
            bucket.bytecode_from_string(self.codes[bucket.key])

    def dump_bytecode(self, bucket: Bucket) -> None:
        self.codes[bucket.key] = bucket.bytecode_to_string()


def create_app(
    url: str, db: SQLAlchemy, coins: Coins, *, import_name: str = __name__, **config: Any
) -> Flask:
    """An app under test on the database at ``url``, its tables not yet made."""
    app = Flask(import_name)
    app.config.update(TESTING=True, SECRET_KEY="test", SQLALCHEMY_DATABASE_URI=url)
    app.config.update(config)
    app.jinja_env.bytecode_cache = Compiled()
    db.init_app(app)
    coins.init_app(app, db)
    return app
