"""Schemathesis against the API as it is served, with all of its checks."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pytest
from flask import Flask, session
from flask_sqlalchemy import SQLAlchemy
from werkzeug.serving import make_server

from flask_coins import Coins, award_once

from .apps import create_app
from .shop import PRICES

pytest.importorskip("schemathesis", reason="needs the extra 'openapi'")

CONFIG = """
[auth.openapi.session]
api_key = "{cookie}"

# Valid, and yet there are no such coins, or there is no such thing to buy.
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "304", "402", "422"]

[dictionaries.reasons]
values = ["hint", "skin"]

[parameters."body.reason"]
dictionary = "reasons"
probability = 0.8
"""


@pytest.fixture
def coins() -> Coins:
    coins = Coins()
    coins.current_user_loader(lambda: session.get("user"))
    coins.recipient_loader(lambda name: f"student:{len(name)}")
    return coins


@pytest.fixture
def app(db: SQLAlchemy, coins: Coins) -> Flask:
    """Ann has ten payments, coins and gems to spend, and a reward to earn."""
    app = create_app("sqlite://", db, coins, COINS_API_PRICES=PRICES, TESTING=False)
    app.add_url_rule("/goal", "goal", award_once(5, "goal")(lambda: "done"))
    with app.app_context():
        db.create_all()
        coins.award_many(
            {"user": "ann", "amount": 10**6, "currency": currency}
            for currency in ["coins", "gems"] * 5
        )
        db.session.commit()
    return app


@contextmanager
def served(app: Flask) -> Iterator[str]:
    """The app on a port of this machine."""
    server = make_server("127.0.0.1", 0, app)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def schemathesis(app: Flask, folder: Path, *options: str) -> str:
    """What it reports, when it has found nothing."""
    with served(app) as url:
        run = ["run", f"{url}/coins/api/openapi.json", "--checks", "all", "--seed", "1", *options]
        done = subprocess.run(
            [sys.executable, "-m", "schemathesis.cli", *run],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_it_finds_nothing_with_somebody_logged_in(
    app: Flask, db: SQLAlchemy, coins: Coins, tmp_path: Path
) -> None:
    serializer = app.session_interface.get_signing_serializer(app)  # type: ignore[attr-defined]
    config = CONFIG.format(cookie=serializer.dumps({"user": "ann"}))
    (tmp_path / "schemathesis.toml").write_text(config)
    schemathesis(app, tmp_path, "--max-examples", "20")
    with app.app_context():
        moved = {entry.reason for entry in coins.history("ann", limit=1000)}
    assert {"hint", "transfer"} <= moved


def test_it_finds_nothing_with_nobody_logged_in(
    app: Flask, db: SQLAlchemy, coins: Coins, tmp_path: Path
) -> None:
    schemathesis(app, tmp_path, "--max-examples", "5")
    with app.app_context():
        assert coins.balance("ann") == 5 * 10**6
