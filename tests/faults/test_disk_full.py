"""A disk that is full: a clear error, nothing half done, and all goes on when there is room."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import StaticPool

from flask_coins import Coins, award
from flask_coins._verify import faults
from tests.races import reconcile
from tests.views import listening

LONG = {"note": "x" * 900}
CALLS: dict[str, Callable[[Coins, int], Any]] = {
    "award": lambda coins, n: coins.award("ann", 5, "gift", details=LONG),
    "award_once": lambda coins, n: coins.award_once(
        "ann", 5, "goal", "day", subject=n, details=LONG
    ),
    "spend": lambda coins, n: coins.spend("ann", 5, "shop", details=LONG),
}


@pytest.fixture(scope="session", params=["sqlite"])
def engine(request: pytest.FixtureRequest) -> str:
    """Where a test can say how large a database may grow."""
    return str(request.param)


@pytest.fixture
def app(make_app: Callable[..., Flask], db: SQLAlchemy, coins: Coins) -> Flask:
    """A host with one connection, a table of its own and a rich user."""
    app = make_app(TESTING=False, SQLALCHEMY_ENGINE_OPTIONS={"poolclass": StaticPool})
    with app.app_context():
        db.session.execute(sa.text("CREATE TABLE host_note (text TEXT)"))
        coins.award("ann", 10_000, "start")
        db.session.commit()
    return app


def fill(db: SQLAlchemy, pages: int) -> None:
    """Leave room for a few pages more."""
    with db.engine.begin() as connection:
        size = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {size + pages}")


def empty(db: SQLAlchemy) -> None:
    """Make room."""
    with db.engine.begin() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 100000")


def books(db: SQLAlchemy) -> tuple[int, int]:
    """How many entries, and rows of the host, there are; both must agree with all else."""
    with db.engine.connect() as connection:
        assert reconcile(connection) == []
        assert list(faults(connection)) == []
        counts = [f"SELECT count(*) FROM {table}" for table in ("coin_log", "host_note")]
        entries, notes = (connection.exec_driver_sql(count).scalar_one() for count in counts)
    return int(entries), int(notes)


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("room", [0, 1, 3])
def test_a_movement_for_which_there_is_no_room_is_not_made(
    ctx: None, db: SQLAlchemy, coins: Coins, name: str, room: int
) -> None:
    fill(db, room)
    paid = 0
    with listening() as told, pytest.raises(OperationalError, match="disk is full"):  # noqa: PT012
        for number in range(1000):
            db.session.execute(sa.text("INSERT INTO host_note VALUES ('work')"))
            CALLS[name](coins, number)
            db.session.commit()
            paid += 1
    db.session.rollback()
    assert coins.balance("ann") == 10_000 + paid * (-5 if name == "spend" else 5)
    assert books(db) == (paid + 1, paid)
    assert len(told) == paid
    empty(db)
    assert CALLS[name](coins, 1001)
    db.session.commit()
    assert books(db) == (paid + 2, paid)


@pytest.mark.parametrize("has_work", [False, True])
def test_a_view_says_so_where_it_lost_work_and_else_answers(
    app: Flask, db: SQLAlchemy, coins: Coins, has_work: bool
) -> None:
    coins.current_user_loader(lambda: "ann")

    @award(5, "bonus")
    def view() -> str:
        if has_work:
            db.session.execute(sa.text("INSERT INTO host_note VALUES (:long)"), {"long": "x" * 900})
        return "done"

    app.post("/")(view)
    client = app.test_client()
    with app.app_context():
        fill(db, 0)
    with listening() as told:
        answers = [client.post("/").status_code for _ in range(100)]
    assert answers[-1] == (500 if has_work else 200)
    with app.app_context():
        paid = told.outcomes.count("awarded")
        assert 0 < paid < 100
        assert books(db) == (paid + 1, paid if has_work else 0)
        empty(db)
    assert client.post("/").headers["Coins-Awarded"].startswith("bonus;amount=5")
