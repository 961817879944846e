"""The host's transaction is joined, never hijacked: who commits, and what a rollback takes along."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask, abort
from flask_sqlalchemy import SQLAlchemy

from flask_coins import Coins, CoinsError, CoinsWarning, InsufficientCoins, Outcome
from flask_coins._models import OWN_COLUMNS, log
from flask_coins._session import has_work

from .statements import statements
from .views import listening


@pytest.fixture
def note(db: SQLAlchemy) -> Any:
    class Note(db.Model):  # type: ignore[name-defined,misc]
        id = sa.Column(sa.Integer, primary_key=True)
        text = sa.Column(sa.String(50))

    return Note


def committed(app: Flask, db: SQLAlchemy) -> list[int]:
    """The amounts that another connection sees."""
    with app.app_context(), db.engine.connect() as connection:
        return list(connection.scalars(sa.select(log.c.amount).order_by(log.c.id)))


def test_direct_calls_do_not_commit(ctx: None, app: Flask, db: SQLAlchemy, coins: Coins) -> None:
    coins.award(7, 10)
    coins.award_once(7, 5, "goal")
    coins.award_xp(7, 30)
    coins.spend(7, 1, "shop")
    assert committed(app, db) == []
    db.session.commit()
    assert committed(app, db) == [10, 5, 3, -1]


def test_a_rollback_takes_the_award_along(
    note: Any, ctx: None, app: Flask, db: SQLAlchemy, coins: Coins
) -> None:
    db.session.add(note(text="gone"))
    coins.award_once(7, 10, "goal")
    db.session.rollback()
    assert coins.balance(7) == 0
    assert db.session.scalar(sa.select(note.text)) is None
    assert coins.award_once(7, 10, "goal")


def test_an_award_commits_with_the_hosts_work(
    note: Any, ctx: None, app: Flask, db: SQLAlchemy, coins: Coins
) -> None:
    db.session.add(note(text="kept"))
    coins.award_once(7, 10, "goal")
    db.session.commit()
    with app.app_context():
        assert db.session.scalar(sa.select(note.text)) == "kept"
        assert coins.balance(7) == 10


def test_an_award_does_not_flush_the_hosts_work(
    note: Any, ctx: None, db: SQLAlchemy, coins: Coins
) -> None:
    pending = note(text="not yet")
    db.session.add(pending)
    coins.award_once(7, 10, "goal")
    coins.balance(7)
    coins.history(7)
    assert pending in db.session.new


def test_a_refusal_writes_nothing_and_leaves_the_session_usable(
    note: Any, ctx: None, app: Flask, db: SQLAlchemy, coins: Coins
) -> None:
    coins.award_once(7, 10, "goal")
    db.session.commit()
    db.session.add(note(text="kept"))
    db.session.flush()
    with statements(db.engine) as seen:
        assert coins.award_once(7, 10, "goal").outcome is Outcome.ALREADY
    assert [sql.split()[0] for sql in seen] == ["SELECT"]
    db.session.commit()
    assert db.session.scalar(sa.select(note.text)) == "kept"


def test_objects_of_the_host_are_not_expired(
    note: Any, ctx: None, db: SQLAlchemy, coins: Coins
) -> None:
    kept = note(text="kept")
    db.session.add(kept)
    db.session.flush()
    coins.award(7, 10)
    assert not sa.inspect(kept).expired_attributes


# -- savepoints ------------------------------------------------------------------------------


def test_a_savepoint_takes_back_what_was_paid_in_it(
    savepoints: None, app: Flask, db: SQLAlchemy, coins: Coins
) -> None:
    coins.award(7, 1)
    with pytest.raises(ZeroDivisionError), db.session.begin_nested():  # noqa: PT012
        coins.award_once(7, 10, "goal")
        raise ZeroDivisionError
    with db.session.begin_nested():
        assert coins.award_once(7, 20, "goal")
    db.session.commit()
    assert committed(app, db) == [1, 20]
    assert coins.balance(7) == 21


def _undone_by_the_block(db: SQLAlchemy, pay: Callable[[], object]) -> None:
    with suppress(ZeroDivisionError), db.session.begin_nested():
        pay()
        raise ZeroDivisionError


def _undone_by_a_flush(db: SQLAlchemy, pay: Callable[[], object]) -> None:
    with suppress(sa.exc.StatementError), db.session.begin_nested():
        pay()
        db.session.add(db.Model.registry._class_registry["Note"](id="no number"))
        db.session.flush()


def _closed(db: SQLAlchemy, pay: Callable[[], object]) -> None:
    savepoint = db.session.begin_nested()
    pay()
    savepoint.close()


def _undone_with_its_outer(db: SQLAlchemy, pay: Callable[[], object]) -> None:
    outer = db.session.begin_nested()
    with db.session.begin_nested():
        pay()
    outer.rollback()


UNDONE = [_undone_by_the_block, _undone_by_a_flush, _closed, _undone_with_its_outer]


@pytest.mark.parametrize("undo", UNDONE)
def test_what_a_savepoint_took_back_is_not_told(
    note: Any, savepoints: None, app: Flask, db: SQLAlchemy, coins: Coins, undo: Any
) -> None:
    db.metadata.create_all(db.engine)
    with listening() as told:
        coins.award(7, 1, "kept")
        undo(db, lambda: coins.award(7, 10, "undone"))
        with db.session.begin_nested():
            coins.award(7, 2, "released")
        db.session.commit()
    assert committed(app, db) == [1, 2]
    assert [receipt.reason for receipt in told] == ["kept", "released"]


def test_a_refusal_in_a_savepoint_leaves_it_usable(
    savepoints: None, app: Flask, db: SQLAlchemy, coins: Coins
) -> None:
    with db.session.begin_nested():
        coins.award_once(7, 10, "goal")
        assert not coins.award_once(7, 10, "goal")
        with pytest.raises(InsufficientCoins):
            coins.spend(7, 11, "shop")
    db.session.commit()
    assert committed(app, db) == [10]


# -- what the host has written ---------------------------------------------------------------


def _nothing(db: SQLAlchemy, note: Any) -> None:
    db.session.execute(sa.select(note)).all()


def _added(db: SQLAlchemy, note: Any) -> None:
    db.session.add(note(text="x"))


def _flushed(db: SQLAlchemy, note: Any) -> None:
    _added(db, note)
    db.session.flush()


def _changed(db: SQLAlchemy, note: Any) -> None:
    _flushed(db, note)
    db.session.commit()
    db.session.scalars(sa.select(note)).one().text = "y"


def _deleted(db: SQLAlchemy, note: Any) -> None:
    _flushed(db, note)
    db.session.commit()
    db.session.delete(db.session.scalars(sa.select(note)).one())


def _core(db: SQLAlchemy, note: Any) -> None:
    db.session.execute(sa.insert(note).values(text="x"))


def _raw(db: SQLAlchemy, note: Any) -> None:
    db.session.execute(sa.text("  delete from note"))


def _before_a_savepoint(db: SQLAlchemy, note: Any) -> None:
    _core(db, note)
    with db.session.begin_nested():
        db.session.execute(sa.select(note)).all()


def _within_a_savepoint(db: SQLAlchemy, note: Any) -> None:
    with db.session.begin_nested():
        _core(db, note)


@pytest.mark.parametrize(
    "work",
    [_added, _flushed, _changed, _deleted, _core, _raw, _before_a_savepoint, _within_a_savepoint],
)
def test_work_of_the_host_is_seen(note: Any, ctx: None, db: SQLAlchemy, work: Any) -> None:
    assert not has_work(db.session())
    work(db, note)
    assert has_work(db.session())
    db.session.commit()
    assert not has_work(db.session())


READS = [
    "SELECT 1",
    "  select 1",
    "/* who asks */ SELECT 1",
    "-- who asks\nSELECT 1",
    "WITH deleted_ones AS (SELECT 1) SELECT * FROM deleted_ones",
]


@pytest.mark.parametrize("statement", READS)
def test_reading_by_hand_is_no_work(ctx: None, db: SQLAlchemy, statement: str) -> None:
    db.session.execute(sa.text(statement)).all()
    assert not has_work(db.session())


def test_a_common_table_expression_may_write(
    note: Any, ctx: None, db: SQLAlchemy, engine: str
) -> None:
    _flushed(db, note)
    db.session.commit()
    # MariaDB knows such expressions in a SELECT alone.
    expression = "" if engine == "mariadb" else "WITH one AS (SELECT 1) "
    db.session.execute(sa.text(f"{expression}DELETE FROM note"))
    assert has_work(db.session())


def test_reading_is_no_work(note: Any, ctx: None, db: SQLAlchemy, coins: Coins) -> None:
    _nothing(db, note)
    with db.session.begin_nested():
        _nothing(db, note)
    coins.balance(7)
    assert not has_work(db.session())
    coins.award(7, 1)
    assert has_work(db.session())
    db.session.rollback()
    assert not has_work(db.session())


# -- a forgotten commit ----------------------------------------------------------------------


def test_a_forgotten_commit_is_an_error_in_tests(app: Flask, db: SQLAlchemy, coins: Coins) -> None:
    words = r"never committed \(gift of user 7, goal of user 8\): call db.session.commit"
    with pytest.raises(CoinsError, match=words), app.app_context():  # noqa: PT012
        coins.award(7, 1, "gift")
        coins.award_once(8, 1, "goal")
    assert committed(app, db) == []


def test_a_forgotten_commit_leaves_no_lock_behind(app: Flask, db: SQLAlchemy, coins: Coins) -> None:
    with pytest.raises(CoinsError, match="never committed"), app.app_context():  # noqa: PT012
        kept = db.session()
        coins.award(7, 1)
    assert not kept.in_transaction()
    with app.app_context():
        assert db.session() is not kept
        assert coins.award(7, 1).balance == 1
        db.session.commit()


def test_a_forgotten_commit_warns_elsewhere(
    make_app: Callable[..., Flask], db: SQLAlchemy, coins: Coins
) -> None:
    app = make_app(TESTING=False)
    with pytest.warns(CoinsWarning, match=r"\(xp_bonus\)"), app.app_context():
        coins.award(7, 1)
    assert committed(app, db) == []


@pytest.mark.parametrize(
    ("fail", "status"),
    [
        (lambda coins: abort(409), 409),
        (lambda coins: coins.spend(7, 999, "shop"), 402),
        (lambda coins: ("no", 422), 422),
    ],
)
def test_a_request_that_fails_needs_no_commit(
    app: Flask, db: SQLAlchemy, coins: Coins, fail: Any, status: int
) -> None:
    @app.post("/")
    def view() -> Any:
        coins.award(7, 1)
        return fail(coins)

    assert app.test_client().post("/").status_code == status
    assert committed(app, db) == []


def test_a_request_that_succeeds_does(app: Flask, coins: Coins) -> None:
    @app.post("/")
    def view() -> str:
        coins.award(7, 1)
        return "done"

    with pytest.raises(CoinsError, match="never committed"):
        app.test_client().post("/")


def test_a_session_that_came_later_is_told_from_too(
    app: Flask, db: SQLAlchemy, coins: Coins, monkeypatch: pytest.MonkeyPatch
) -> None:
    with app.app_context(), db.engine.connect() as connection:
        # What many tests do: all in one transaction, which is rolled back at the end.
        replaced = db._make_scoped_session({"bind": connection})
        monkeypatch.setattr(db, "session", replaced)
        with listening() as told:
            coins.award(7, 10, "gift")
            db.session.commit()
        assert [receipt.reason for receipt in told] == ["gift"]
        db.session.remove()


@pytest.mark.parametrize("where", ["engine", "connection"])
def test_a_connection_without_transactions_is_refused(
    make_app: Callable[..., Flask], db: SQLAlchemy, coins: Coins, where: str
) -> None:
    options = {"isolation_level": "AUTOCOMMIT"} if where == "engine" else {}
    app = make_app(SQLALCHEMY_ENGINE_OPTIONS=options)
    with app.app_context():
        if where == "connection":
            db.session.connection(execution_options={"isolation_level": "AUTOCOMMIT"})
        for call in (coins.award, coins.spend):
            with pytest.raises(CoinsError, match="do not set the isolation level AUTOCOMMIT"):
                call(7, 1, "gift")
            if where == "connection":
                db.session.connection(execution_options={"isolation_level": "AUTOCOMMIT"})
    assert committed(app, db) == []


def test_what_was_given_up_needs_no_commit(app: Flask, db: SQLAlchemy, coins: Coins) -> None:
    with app.app_context():
        coins.award(7, 1)
        db.session.rollback()
    with app.app_context():
        coins.award(7, 1)
        db.session.close()
    with pytest.raises(ZeroDivisionError), app.app_context():  # noqa: PT012
        coins.award(7, 1)
        raise ZeroDivisionError
    with app.app_context():
        coins.award(7, 1)
        db.session.commit()
        assert not coins.award_once(7, 1, "xp_bonus")


# -- another database ------------------------------------------------------------------------


def test_coins_may_live_in_another_database(note: Any, apart: Coins, db: SQLAlchemy) -> None:
    assert set(sa.inspect(db.engines["ledger"]).get_table_names()) == set(OWN_COLUMNS)
    assert sa.inspect(db.engines[None]).get_table_names() == ["note"]
    db.session.add(note(text="kept"))
    assert apart.award_once(7, 10, "goal")
    db.session.commit()
    assert not apart.award_once(7, 10, "goal")
    assert apart.spend(7, 3, "shop").balance == apart.balance(7) == 7
    assert [entry.amount for entry in apart.history(7)] == [-3, 10]
    assert apart.balances([7]) == {"7": 7}


def test_a_rollback_reaches_both_databases(note: Any, apart: Coins, db: SQLAlchemy) -> None:
    db.session.add(note(text="gone"))
    db.session.flush()
    apart.award(7, 10)
    db.session.rollback()
    assert apart.balance(7) == 0
    assert db.session.scalar(sa.select(note.text)) is None
