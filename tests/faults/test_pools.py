"""A pool of connections that runs dry: an error of SQLAlchemy's, and nothing half done."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import sqlalchemy as sa
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.exc import TimeoutError as PoolTimeout

from flask_coins import Coins, award_once
from tests.races import reconcile
from tests.views import listening

DRY = {"pool_size": 1, "max_overflow": 0, "pool_timeout": 0.1}
GOAL = award_once(15, "goal", "day")


@pytest.fixture
def app(make_app: Callable[..., Flask], coins: Coins) -> Flask:
    """A host in production, with a single connection."""
    coins.current_user_loader(lambda: "ann")
    app = make_app(TESTING=False, PROPAGATE_EXCEPTIONS=True, SQLALCHEMY_ENGINE_OPTIONS=DRY)
    app.post("/")(GOAL(lambda: "done"))
    return app


@pytest.fixture
def taken(app: Flask, db: SQLAlchemy) -> Iterator[sa.Connection]:
    """The connection, held by somebody else."""
    with app.app_context():
        engine = db.engine
    with engine.connect() as connection:
        yield connection


def test_a_direct_call_says_so_and_can_be_made_again(
    taken: sa.Connection, ctx: None, db: SQLAlchemy, coins: Coins
) -> None:
    for call in (coins.award, coins.award_once, coins.spend):
        with pytest.raises(PoolTimeout):
            call("ann", 5, "goal")
    taken.close()
    assert coins.award_once("ann", 5, "goal").balance == 5
    db.session.commit()


def test_a_view_is_answered_and_its_payment_is_told_as_failed(
    taken: sa.Connection, app: Flask
) -> None:
    with listening() as told:
        assert app.test_client().post("/").text == "done"
        taken.close()
        assert app.test_client().post("/").text == "done"
    assert told.outcomes == ["failed", "awarded"]


def test_it_is_raised_where_errors_are(taken: sa.Connection, app: Flask) -> None:
    app.config["TESTING"] = True
    with pytest.raises(PoolTimeout):
        app.test_client().post("/")


def test_one_connection_is_enough_for_a_view_with_work(app: Flask, db: SQLAlchemy) -> None:
    @app.post("/work")
    @award_once(15, "work", "day")
    @GOAL
    def view() -> str:
        db.session.execute(sa.text("SELECT 1 FROM coin_log")).all()
        return "done"

    with listening() as told:
        assert app.test_client().post("/work").text == "done"
    assert told.outcomes == ["awarded", "awarded"]
    with app.app_context(), db.engine.connect() as connection:
        assert reconcile(connection) == []
