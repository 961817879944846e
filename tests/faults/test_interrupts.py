"""What raises in the middle of a call: loaders, receivers, and interrupts at any moment."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.exc import PendingRollbackError

from flask_coins import Coins, award_once, signals
from flask_coins._verify import faults
from tests.races import reconcile

GOAL = award_once(15, "goal", "day")


class GreenletExit(BaseException):
    """As gevent raises it: no Exception."""


RAISED = [RuntimeError, KeyboardInterrupt, SystemExit, GreenletExit]


@pytest.fixture(params=RAISED)
def raised(request: pytest.FixtureRequest) -> type[BaseException]:
    """What is raised."""
    kind: type[BaseException] = request.param
    return kind


@pytest.fixture
def note(ctx: None, db: SQLAlchemy) -> Iterator[None]:
    """A table of the host's."""
    with db.engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE host_note (text VARCHAR(40))")
    yield
    db.session.rollback()
    with db.engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE host_note")


def add_note(db: SQLAlchemy, text: str = "work") -> None:
    db.session.execute(sa.text("INSERT INTO host_note VALUES (:text)"), {"text": text})


def notes(db: SQLAlchemy) -> list[str]:
    with db.engine.connect() as connection:
        return list(connection.exec_driver_sql("SELECT text FROM host_note").scalars())


def paid(db: SQLAlchemy) -> list[str]:
    """The subjects of what is in the log, which must agree with all else."""
    with db.engine.connect() as connection:
        assert reconcile(connection) == []
        assert list(faults(connection)) == []
        rows = connection.exec_driver_sql("SELECT subject FROM coin_log ORDER BY id")
        return list(rows.scalars())


# -- loaders ---------------------------------------------------------------------------------


def _failing(kind: type[BaseException]) -> Callable[..., Any]:
    def loader(*args: Any) -> Any:
        raise kind("no answer")

    return loader


LOADERS = ["timezone_loader", "eligible_check"]


@pytest.mark.parametrize("loader", LOADERS)
def test_a_loader_that_raises_leaves_the_hosts_transaction_alone(
    note: None, db: SQLAlchemy, coins: Coins, loader: str, raised: type[BaseException]
) -> None:
    getattr(coins, loader)(_failing(raised))
    add_note(db)
    with pytest.raises(raised, match="no answer"):
        coins.award_once("ann", 5, "goal", "day")
    db.session.commit()
    assert (notes(db), paid(db)) == (["work"], [])


@pytest.mark.parametrize("loader", ["current_user_loader", *LOADERS])
def test_a_loader_that_raises_after_a_view_pays_nothing_and_takes_no_half(
    note: None, app: Flask, db: SQLAlchemy, coins: Coins, loader: str, raised: type[BaseException]
) -> None:
    coins.current_user_loader(lambda: "ann")
    getattr(coins, loader)(_failing(raised))

    @GOAL
    def view() -> str:
        add_note(db)
        return "done"

    with pytest.raises(raised, match="no answer"), app.app_context():
        view()
    assert (notes(db), paid(db)) == ([], [])


# -- receivers -------------------------------------------------------------------------------


def test_a_receiver_that_interrupts_the_commit_undoes_and_repeats_nothing(
    note: None, app: Flask, db: SQLAlchemy, coins: Coins, raised: type[BaseException]
) -> None:
    def receive(sender: Flask, **sent: Any) -> None:
        raise raised("not now")

    with signals.coins_awarded.connected_to(receive):
        add_note(db)
        coins.award("ann", 5, "gift", subject="first")
        with suppress(raised):
            db.session.commit()
    db.session.rollback()
    coins.award("ann", 5, "gift", subject="second")
    db.session.commit()
    assert (notes(db), paid(db)) == (["work"], ["first", "second"])


def test_a_receiver_that_interrupts_a_view_undoes_and_repeats_nothing(
    note: None, app: Flask, db: SQLAlchemy, coins: Coins, raised: type[BaseException]
) -> None:
    coins.current_user_loader(lambda: "ann")
    heard = []

    def receive(sender: Flask, **sent: Any) -> None:
        heard.append(sent["receipt"].outcome)
        raise raised("not now")

    @award_once(15, "goal", "day", subject="first")
    def view() -> str:
        add_note(db)
        return "done"

    with signals.coins_awarded.connected_to(receive), suppress(raised), app.app_context():
        view()
    assert (notes(db), paid(db), heard) == (["work"], ["first"], ["awarded"])
    with app.app_context():
        assert view() == "done"
    assert (len(notes(db)), paid(db)) == (2, ["first"])


# -- at any moment ---------------------------------------------------------------------------

MOMENTS = ["before_cursor_execute", "after_cursor_execute", "commit"]


@contextmanager
def interrupted_at(engine: sa.Engine, number: int) -> Iterator[list[str]]:
    """Raise GreenletExit before or after a statement or before the commit: at moment ``number``."""
    passed: list[str] = []

    def strike(moment: str) -> None:
        passed.append(moment)
        if len(passed) == number:
            raise GreenletExit

    strikes = {moment: lambda *args, moment=moment: strike(moment) for moment in MOMENTS}
    for moment, listener in strikes.items():
        sa.event.listen(engine, moment, listener)
    try:
        yield passed
    finally:
        for moment, listener in strikes.items():
            sa.event.remove(engine, moment, listener)


@pytest.mark.parametrize("commits", [False, True])
def test_an_interrupt_at_any_moment_leaves_no_half(
    note: None, app: Flask, db: SQLAlchemy, coins: Coins, commits: bool
) -> None:
    """Also where the host commits in spite of it: then its own part may be alone, no payment."""
    coins.award("ann", 1, "start")
    db.session.commit()
    for number in range(1, 100):
        with interrupted_at(db.engine, number) as passed, suppress(GreenletExit):
            add_note(db, str(number))
            coins.award_once("ann", 15, "goal", "day", subject=number)
            coins.spend("ann", 3, "shop", subject=number)
            db.session.commit()
        if len(passed) < number:
            break
        with suppress(PendingRollbackError):
            (db.session.commit if commits else db.session.rollback)()
        db.session.rollback()
        gc.collect()  # SQLite's lock stays as long as an interrupted cursor does
        assert commits or notes(db) == []
        assert commits or paid(db) == [""]
    assert 10 < number < 99
    log = paid(db)
    assert log[-2:] == [str(number)] * 2
    assert str(number) in notes(db)
