"""An error that a host passes over may have ended its transaction: no commit tells of lost coins."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Barrier, BrokenBarrierError

import pytest
import sqlalchemy as sa
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.exc import DBAPIError

from flask_coins import Coins, CoinsError, award
from tests.views import listening

Fail = Callable[[], None]


@pytest.fixture
def fail(request: pytest.FixtureRequest, app: Flask, db: SQLAlchemy, engine: str) -> Fail:
    """A statement whose error ends the transaction, and is passed over."""
    with app.app_context(), db.engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE host (id INTEGER PRIMARY KEY, text VARCHAR(9999))")
        connection.exec_driver_sql("INSERT INTO host VALUES (1, 'a'), (2, 'b')")
    return {"sqlite": _full, "postgresql": _wrong, "mariadb": _deadlock}[engine](app, db)


def _passed_over(db: SQLAlchemy, statement: str) -> None:
    with suppress(DBAPIError):
        db.session.execute(sa.text(statement))
        pytest.fail("no error")


def _full(app: Flask, db: SQLAlchemy) -> Fail:
    """The file cannot grow."""

    def act() -> None:
        pages = db.session.scalar(sa.text("PRAGMA page_count"))
        db.session.execute(sa.text(f"PRAGMA max_page_count = {pages}"))
        _passed_over(db, "INSERT INTO host VALUES (3, zeroblob(99999))")
        db.session.execute(sa.text("PRAGMA max_page_count = 9999"))

    return act


def _wrong(app: Flask, db: SQLAlchemy) -> Fail:
    """A slip."""
    return lambda: _passed_over(db, "INSERT INTO nowhere VALUES (1)")


def _deadlock(app: Flask, db: SQLAlchemy) -> Fail:
    """Two who wait for each other; the one that changed less is the victim."""

    def act() -> None:
        met = Barrier(2, timeout=20)

        def other() -> None:
            with app.app_context(), suppress(BrokenBarrierError):
                db.session.execute(sa.text("INSERT INTO host VALUES (3,''),(4,''),(5,''),(6,'')"))
                db.session.execute(sa.text("UPDATE host SET text = 'c' WHERE id IN (2, 3, 4)"))
                met.wait()
                db.session.execute(sa.text("UPDATE host SET text = 'c' WHERE id = 1"))
                db.session.rollback()

        db.session.execute(sa.text("SELECT * FROM host WHERE id = 1 FOR UPDATE")).all()
        with ThreadPoolExecutor() as pool:
            waiting = pool.submit(other)
            met.wait()
            _passed_over(db, "UPDATE host SET text = 'd' WHERE id = 2")
            waiting.result()

    return act


def test_a_commit_after_it_is_refused_and_tells_nothing(
    ctx: None, db: SQLAlchemy, coins: Coins, fail: Fail
) -> None:
    with listening() as told:
        coins.award("ann", 5, "gift")
        fail()
        with pytest.raises(CoinsError, match=r"roll back after such an error"):
            db.session.commit()
        db.session.rollback()
        assert (coins.balance("ann"), list(told)) == (0, [])
        coins.award("ann", 5, "gift")
        db.session.commit()
        assert (coins.balance("ann"), told.outcomes) == (5, ["awarded"])


def test_a_view_that_passes_it_over_is_no_success(
    app: Flask, db: SQLAlchemy, coins: Coins, fail: Fail
) -> None:
    coins.current_user_loader(lambda: "ann")
    app.config["PROPAGATE_EXCEPTIONS"] = False

    @award(5, "bonus")
    def view() -> str:
        coins.award("ann", 5, "gift")
        fail()
        return "done"

    app.post("/")(view)
    assert app.test_client().post("/").status_code == 500
    with app.app_context():
        assert coins.balance("ann") == 0


def test_a_savepoint_makes_it_safe(
    ctx: None, db: SQLAlchemy, coins: Coins, fail: Fail, engine: str
) -> None:
    if engine != "postgresql":
        pytest.skip("only there does any error end the transaction")
    coins.award("ann", 5, "gift")
    with suppress(DBAPIError), db.session.begin_nested():
        db.session.execute(sa.text("INSERT INTO nowhere VALUES (1)"))
    db.session.commit()
    assert coins.balance("ann") == 5
