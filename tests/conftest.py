"""A throw-away host on an empty database, on every engine that is there.

A test that asks for ``app`` (or for ``database_url`` alone) runs on SQLite, and again on each server
that :mod:`tests.databases` finds; ``-m servers`` picks those runs, ``-m "not servers"`` the others.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import close_all_sessions

from flask_coins import Coins

from .apps import Clock, create_app
from .databases import ENGINES, drop_rows, drop_tables, missing, new_database
from .movements import Elsewhere, books_faults
from .races import Racers, spawn
from .views import Told, listening


def pytest_configure() -> None:
    if unset := missing():
        raise pytest.UsageError(f"COINS_TEST_REQUIRE_ENGINES=1, but not set: {', '.join(unset)}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark races: the tests that ask for processes."""
    for item in items:
        if "racers" in getattr(item, "fixturenames", ()):
            item.add_marker("races")


@pytest.fixture(autouse=True)
def hears() -> Iterator[None]:
    """The next test hears all loggers: an ``env.py`` that has run here turns off those it found."""
    yield
    for logger in logging.root.manager.loggerDict.values():
        if isinstance(logger, logging.Logger):
            logger.disabled = False


@pytest.fixture(scope="session", params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    """The engine's name: "sqlite", "postgresql" or "mariadb"."""
    return str(request.param)


@pytest.fixture(scope="session")
def servers() -> Iterator[Callable[[str], str]]:
    """``servers(engine)``: the one database for all tests of a server."""
    with ExitStack() as databases:
        yield lru_cache(lambda engine: databases.enter_context(new_database(engine)))


@pytest.fixture(scope="session")
def sqlite_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where each test in turn has its SQLite file."""
    return tmp_path_factory.mktemp("sqlite")


@pytest.fixture
def database_url(
    request: pytest.FixtureRequest,
    engine: str,
    servers: Callable[[str], str],
    sqlite_folder: Path,
) -> Iterator[str]:
    """The URL of a database without a single row; every test on an engine has the same one.

    It has no table either, unless the test wants an ``app``, which will need them.
    """
    if engine == "sqlite":
        yield f"sqlite:///{sqlite_folder / 'host.sqlite3'}"
        for file in sqlite_folder.iterdir():
            file.unlink()
    else:
        if "make_app" not in request.fixturenames:
            drop_tables(servers(engine))
        yield servers(engine)
        drop_rows(servers(engine))


@pytest.fixture
def clock() -> Clock:
    """What ``coins`` takes for the time; ``clock.forward(days=1)`` moves it."""
    return Clock()


@pytest.fixture
def db() -> SQLAlchemy:
    """The host's SQLAlchemy extension. Define models on it before asking for ``app``."""
    return SQLAlchemy()


@pytest.fixture
def coins(clock: Clock) -> Coins:
    """The extension, told the time by ``clock``."""
    return Coins(clock=clock)


@pytest.fixture
def our_pages() -> str | None:
    """Where hosts have our pages: nowhere, since their URL rules take longer than most tests do.

    A file that asks for pages says where.
    """
    return None


@pytest.fixture
def make_app(
    database_url: str, db: SQLAlchemy, coins: Coins, our_pages: str | None
) -> Iterator[Callable[..., Flask]]:
    """``make_app(**config)``: a host with all its tables, under ``db`` and ``coins``."""
    apps: list[Flask] = []

    def make(**config: object) -> Flask:
        app = create_app(database_url, db, coins, **{"COINS_URL_PREFIX": our_pages, **config})
        apps.append(app)
        with app.app_context():
            db.create_all()
        return app

    yield make
    close_all_sessions()
    for app in apps:
        with app.app_context():
            for bind in db.engines.values():
                bind.dispose()


@pytest.fixture
def app(make_app: Callable[..., Flask]) -> Flask:
    """A host without any configuration."""
    return make_app()


@pytest.fixture
def ctx(app: Flask, db: SQLAlchemy) -> Iterator[None]:
    """An app context to call ``coins`` in; what was not committed is rolled back at its end."""
    with app.app_context():
        yield
        db.session.rollback()


@pytest.fixture
def savepoints(ctx: None, db: SQLAlchemy, engine: str) -> None:
    """On SQLite a savepoint needs the transaction to begin where SQLAlchemy says so."""
    if engine == "sqlite":
        db.engine.dispose()
        sa.event.listen(db.engine, "connect", lambda raw, _: setattr(raw, "isolation_level", None))
        sa.event.listen(db.engine, "begin", lambda c: c.exec_driver_sql("BEGIN"))


@pytest.fixture
def apart(tmp_path: Path, db: SQLAlchemy) -> Iterator[Coins]:
    """Coins in a database of their own, beside the host's."""
    app, coins = Flask(__name__), Coins(bind_key="ledger")
    app.config["SQLALCHEMY_DATABASE_URI"] = f"sqlite:///{tmp_path / 'main.sqlite3'}"
    app.config["SQLALCHEMY_BINDS"] = {"ledger": f"sqlite:///{tmp_path / 'ledger.sqlite3'}"}
    app.config["TESTING"] = True
    db.init_app(app)
    coins.init_app(app, db)
    with app.app_context():
        db.create_all()
        yield coins
        db.session.rollback()
        for engine in db.engines.values():
            engine.dispose()


@pytest.fixture
def books(ctx: None, db: SQLAlchemy) -> Iterator[None]:
    """Afterwards everything that was committed must add up."""
    yield
    db.session.rollback()
    assert books_faults(db.session.connection()) == []


@pytest.fixture
def elsewhere(app: Flask, db: SQLAlchemy) -> Elsewhere:
    """``elsewhere(act)`` does it in another session, and commits there."""

    def run(act: Callable[[], object]) -> Any:
        with app.app_context():
            done = act()
            db.session.commit()
            return done

    return run


@pytest.fixture
def who(coins: Coins) -> dict[str, Any]:
    """Whose requests these are: ``who["id"]``."""
    who: dict[str, Any] = {"id": 7}
    coins.current_user_loader(lambda: who["id"])
    return who


@pytest.fixture
def told() -> Iterator[Told]:
    """What the signals tell."""
    with listening() as told:
        yield told


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """A browser for ``app``."""
    return app.test_client()


@pytest.fixture(scope="session")
def racers() -> Iterator[Racers]:
    """Processes for ``racers.race(url, calls, users)``."""
    with spawn() as processes:
        yield processes
