"""The example app as people reach it: on a port of this computer, answering several at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import flask_migrate
from flask import Flask
from werkzeug.serving import WSGIRequestHandler, make_server

from example_app import create_app, demo, seeds
from example_app.extensions import db
from flask_coins.testing import Traveller, travel

NOON = datetime(2026, 6, 3, 12, tzinfo=timezone.utc)


@dataclass
class Site:
    """A running app: where it is, and the clock that its coins go by."""

    app: Flask
    url: str
    clock: Traveller


class Quiet(WSGIRequestHandler):
    """Answers without a line in the log for each request."""

    def log_request(self, *_: Any) -> None:
        pass


def make_database(file: Path, *, with_people: bool = False) -> None:
    """Make ``file`` the database of the app: what there is to learn, and the demo's people."""
    app = make_app(file)
    with app.app_context(), travel(app, NOON):
        flask_migrate.upgrade()
        seeds.seed()
        if with_people:
            demo.fill(app)
        db.engine.dispose()


def make_app(database: Path) -> Flask:
    """The app as in production, but for passwords that are hashed in no time."""
    return create_app(
        {
            "SECRET_KEY": "of a test",
            "SQLALCHEMY_DATABASE_URI": f"sqlite:///{database}",
            "PASSWORD_METHOD": "pbkdf2:sha256:1",
        }
    )


@contextmanager
def serving(app: Flask) -> Iterator[Site]:
    """``app``, served until the ``with`` block ends; it is noon there."""
    with serve(app) as url, travel(app, NOON) as clock:
        yield Site(app, url, clock)
    with app.app_context():
        app.extensions["sqlalchemy"].engine.dispose()


@contextmanager
def serve(app: Flask) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
