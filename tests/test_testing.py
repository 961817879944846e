"""What hosts test with: clocks, entries, and proofs that find what they are there to find."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
import warnings
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import freezegun
import pytest
import sqlalchemy as sa
import time_machine
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import scoped_session, sessionmaker

from flask_coins import Coins, CoinsError, CoinsRetry
from flask_coins._models import balances, log
from flask_coins.testing import (
    assert_awards_once,
    assert_coins_invariants,
    make_entries,
    travel,
)

from .apps import NOON, Clock
from .racing_host import URL, create_host, pay, pay_naively, pay_nobody

WHEN = datetime(2030, 1, 2, 3, 4, 5, 678901, tzinfo=timezone.utc)


@pytest.fixture
def plain(database_url: str, db: SQLAlchemy) -> Iterator[tuple[Flask, Coins]]:
    """A host that was given no clock."""
    app, coins = Flask(__name__), Coins()
    app.config.update(TESTING=True, SQLALCHEMY_DATABASE_URI=database_url)
    db.init_app(app)
    coins.init_app(app, db)
    with app.app_context():
        db.create_all()
    yield app, coins
    with app.app_context():
        db.engine.dispose()


def paid_at(plain: tuple[Flask, Coins], db: SQLAlchemy) -> datetime:
    app, coins = plain
    with app.app_context():
        coins.award(7, 1)
        db.session.commit()
        return coins.history(7, 1)[0].created_at


def test_the_time_is_now(plain: tuple[Flask, Coins], db: SQLAlchemy) -> None:
    before = datetime.now(timezone.utc)
    assert before <= paid_at(plain, db) <= datetime.now(timezone.utc)


def test_freezegun_moves_the_clock(plain: tuple[Flask, Coins], db: SQLAlchemy) -> None:
    with freezegun.freeze_time(WHEN):
        assert paid_at(plain, db) == WHEN


def test_time_machine_moves_the_clock(plain: tuple[Flask, Coins], db: SQLAlchemy) -> None:
    with time_machine.travel(WHEN, tick=False):
        assert paid_at(plain, db) == WHEN


def test_travel_moves_the_clock_and_gives_it_back(
    app: Flask, ctx: None, db: SQLAlchemy, coins: Coins, clock: Clock
) -> None:
    with travel(app, WHEN) as traveller:
        assert coins.award_once(7, 1, "goal").entry.created_at == WHEN  # type: ignore[union-attr]
        assert not coins.award_once(7, 1, "goal")
        traveller.shift(days=1)
        assert coins.award_once(7, 1, "goal")
        traveller.move_to("2030-01-10T00:00:00+02:00")
        assert coins.award_once(7, 1, "goal").entry.created_at == datetime(  # type: ignore[union-attr]
            2030, 1, 9, 22, tzinfo=timezone.utc
        )
        traveller.shift(days=-300)
        assert not coins.award_once(7, 1, "goal")
    assert coins.award(7, 1).entry.created_at == NOON  # type: ignore[union-attr]


def test_travel_gives_the_clock_back_after_an_error(app: Flask, ctx: None, coins: Coins) -> None:
    with pytest.raises(ZeroDivisionError), travel(app, WHEN):
        raise ZeroDivisionError
    assert coins.award(7, 1).entry.created_at == NOON  # type: ignore[union-attr]


def test_journeys_nest(app: Flask, ctx: None, coins: Coins) -> None:
    with travel(app, WHEN):
        with travel(app, WHEN + timedelta(days=1)):
            pass
        assert coins.award(7, 1).entry.created_at == WHEN  # type: ignore[union-attr]


@pytest.mark.parametrize("naive", [datetime(2030, 1, 1), "2030-01-01T00:00:00", 5])
def test_a_journey_needs_an_offset(app: Flask, naive: Any) -> None:
    with pytest.raises(CoinsError, match="no moment with a UTC offset"), travel(app, naive):
        pass


def test_a_clock_must_know_its_zone(ctx: None, coins: Coins, clock: Clock) -> None:
    clock.now = datetime(2030, 1, 1)
    with pytest.raises(CoinsError, match="aware"):
        coins.award(7, 1)


# -- entries --------------------------------------------------------------------------------------


def test_entries_are_made_day_by_day_up_to_now(app: Flask, ctx: None, coins: Coins) -> None:
    entries = make_entries(app, 7, 3, amount=5, reason="goal", subject="a")
    assert [entry.created_at for entry in entries] == [
        NOON - timedelta(days=days) for days in (2, 1, 0)
    ]
    assert [entry.balance_after for entry in entries] == [5, 10, 15]
    assert coins.history(7) == entries[::-1]
    assert {(entry.reason, entry.subject) for entry in entries} == {("goal", "a")}


def test_entries_are_committed(app: Flask, db: SQLAlchemy, coins: Coins) -> None:
    make_entries(app, 7)
    with app.app_context():
        assert coins.balance(7) == 100


def test_entries_of_a_window_use_it_up(app: Flask, ctx: None, coins: Coins) -> None:
    half = timedelta(hours=12)
    assert len(make_entries(app, 7, 4, reason="goal", window="day", every=half)) == 2
    assert not coins.award_once(7, 1, "goal")
    assert len(make_entries(app, 8, 4, reason="goal", every=half)) == 4


# -- proofs ---------------------------------------------------------------------------------------


def test_books_in_order_are_proved(app: Flask) -> None:
    make_entries(app, 7, window="day")
    assert_coins_invariants(app)


def test_a_balance_that_is_not_its_log_is_found(app: Flask, ctx: None, db: SQLAlchemy) -> None:
    make_entries(app, 7, 2)
    db.session.execute(sa.update(balances).values(balance=21, earned=21))
    with pytest.raises(AssertionError, match=r"7, coins: coin_balance has 21 .* the log 20 "):
        assert_coins_invariants(app)


def test_what_is_not_committed_is_proved_and_stays(app: Flask, ctx: None, coins: Coins) -> None:
    coins.award(7, 5)
    assert_coins_invariants(app)
    assert coins.balance(7) == 5


def test_a_window_that_was_paid_twice_is_found(app: Flask, ctx: None, db: SQLAlchemy) -> None:
    indexes = {index.name: index for index in log.indexes}
    indexes["uq_coin_log_once"].drop(db.session.connection())
    make_entries(app, 7, 2, reason="goal")
    db.session.execute(sa.update(log).values(once_key="day:2026-11-22"))
    with pytest.raises(AssertionError, match="7, coins, goal, day:2026-11-22: paid 2 times"):
        assert_coins_invariants(app)


# -- races ----------------------------------------------------------------------------------------


@pytest.fixture
def host(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Flask]:
    """The app of ``create_host`` on an empty database, for this process and those it starts."""
    monkeypatch.setenv(URL, database_url)
    app = create_host()
    with app.app_context():
        app.extensions["sqlalchemy"].create_all()
    yield app
    with app.app_context():
        app.extensions["sqlalchemy"].engine.dispose()


needs_fork = pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="this platform does not fork"
)


@pytest.mark.races
def test_a_call_that_awards_once_passes(host: Flask) -> None:
    assert_awards_once(create_host, pay, users=["ada", "bob"], processes=4)


@pytest.mark.races
def test_factory_and_call_may_be_named(host: Flask) -> None:
    here = "tests.racing_host"
    assert_awards_once(f"{here}:create_host", f"{here}:pay", processes=2)


@pytest.mark.races
def test_check_then_award_is_caught(host: Flask) -> None:
    with pytest.raises(AssertionError, match="ada, coins, goal: 4 times"):
        assert_awards_once(create_host, pay_naively, users=["ada"], processes=4)


@needs_fork
def test_an_app_itself_is_forked(host: Flask) -> None:
    assert_awards_once(host, pay, processes=4)
    with pytest.raises(AssertionError, match="carl, coins, goal: 4 times"):
        assert_awards_once(host, lambda app: pay_naively(app, "carl"), processes=4)


@needs_fork
def test_a_call_that_pays_nobody_is_caught(host: Flask) -> None:
    pay(host, "ada")  # what was paid before does not count
    with pytest.raises(AssertionError, match="1 were paid at all, 2 were to be"):
        assert_awards_once(host, pay, users=["ada", "bob"], processes=2)
    with pytest.raises(AssertionError, match="0 were paid at all, 1 were to be"):
        assert_awards_once(host, pay_nobody, processes=2)


@needs_fork
def test_a_payment_may_be_due_more_than_once(host: Flask) -> None:
    def gift(app: Flask, user: str) -> None:
        pay(app, user, limit=3)

    assert_awards_once(host, gift, users=["ada"], times=3, processes=4)
    with pytest.raises(AssertionError, match="bob, coins, goal: 3 times"):
        assert_awards_once(host, gift, users=["bob"], processes=4)


@needs_fork
@pytest.mark.parametrize("error", [ZeroDivisionError("0"), SystemExit(3), CoinsRetry("lost")])
def test_a_call_that_raises_is_caught(host: Flask, error: BaseException) -> None:
    def fail(app: Flask) -> None:
        pay(app)
        raise error

    with pytest.raises(AssertionError, match=rf"2 calls raised {type(error).__name__}"):
        assert_awards_once(host, fail, processes=2)


@needs_fork
def test_a_lost_race_is_repeated(host: Flask) -> None:
    lost: list[bool] = []

    def lose_first(app: Flask) -> None:
        if not lost:
            lost.append(True)
            raise CoinsRetry
        pay(app)

    assert_awards_once(host, lose_first, processes=2)


@needs_fork
def test_books_that_a_race_leaves_wrong_are_caught(host: Flask) -> None:
    def pay_beside_the_log(app: Flask) -> None:
        pay(app)
        with app.app_context():
            session = app.extensions["sqlalchemy"].session
            session.execute(sa.update(balances).values(balance=1))
            session.commit()

    with pytest.raises(AssertionError, match="coin_balance has 1 "):
        assert_awards_once(host, pay_beside_the_log, processes=2)


@pytest.mark.races
def test_a_race_leaves_the_tests_own_session_alone(host: Flask) -> None:
    with host.app_context():
        session = host.extensions["sqlalchemy"].session
        assert session.scalar(sa.select(sa.func.count()).select_from(log)) == 0
        assert_awards_once(create_host, pay, processes=2)
        session.rollback()
        assert session.scalar(sa.select(sa.func.count()).select_from(log)) == 1


@pytest.mark.parametrize(
    "url", ["sqlite://", "sqlite:///:memory:", "sqlite:///file:a?mode=memory&uri=true"]
)
def test_a_database_in_memory_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(URL, url)
    warnings.simplefilter("ignore", sa.exc.SADeprecationWarning)  # of the third
    with pytest.raises(CoinsError, match="SQLite database in memory: give the app a file"):
        assert_awards_once(create_host, pay)


def test_a_session_on_one_connection_is_refused(host: Flask) -> None:
    db = host.extensions["sqlalchemy"]
    with host.app_context(), db.engine.connect() as connection:
        db.session = scoped_session(sessionmaker(connection))
        with pytest.raises(CoinsError, match="cannot share a connection"):
            assert_awards_once(host, pay)


def test_what_another_process_cannot_import_is_refused(host: Flask) -> None:
    with pytest.raises(CoinsError, match="define it with def at the top of a module"):
        assert_awards_once(create_host, lambda app: None)
    with pytest.raises(CoinsError, match="cannot import"):
        assert_awards_once(lambda: host, pay)


@pytest.mark.races
def test_a_factory_that_fails_in_a_process_is_told(
    host: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RACING_HOST_FAILS", str(multiprocessing.current_process().pid))
    with pytest.raises(AssertionError, match=r"calls raised LookupError\('not here'\)"):
        assert_awards_once(create_host, pay, processes=2)


@pytest.mark.races
def test_a_factory_with_a_database_for_each_process_is_refused(
    host: Flask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(URL, f"sqlite:///{tmp_path}/{{pid}}.sqlite3")
    app = create_host()
    with app.app_context():
        app.extensions["sqlalchemy"].create_all()
    with pytest.raises(CoinsError, match="another database: name one that all share"):
        assert_awards_once(create_host, pay_nobody, processes=2)


def test_a_platform_without_fork_asks_for_the_factory(
    host: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(multiprocessing, "get_all_start_methods", lambda: ["spawn"])
    with pytest.raises(CoinsError, match="pass its factory instead"):
        assert_awards_once(host, pay)


# -- pytest ---------------------------------------------------------------------------------------

CONFTEST = """
import pytest
from tests.racing_host import create_host

pytest_plugins = ["flask_coins.testing"]

@pytest.fixture
def app():
    return create_host()
"""
HOSTS_TEST = """
from datetime import timedelta

def test_the_clock_stands_still_and_moves(app, coins_clock):
    state = app.extensions["coins"]
    then = state.now()
    assert state.now() == then
    coins_clock.shift(days=1)
    assert state.now() == then + timedelta(days=1)
"""


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *words]
    root = str(Path(__file__).parents[1])
    environment = {"PYTHONPATH": root, URL: "sqlite://", "PATH": ""}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_a_host_has_a_clock_by_naming_the_plugin(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_host.py").write_text(HOSTS_TEST)
    done = run(tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_pytest_is_not_needed_to_travel(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['pytest'] = None; import flask_coins.testing as t;"
        "from tests.racing_host import create_host;"
        "app = create_host()\n"
        "with t.travel(app, '2030-01-01T00:00Z'): print(hasattr(t, 'coins_clock'))"
    )
    done = run(tmp_path, "-c", code)
    assert (done.stdout, done.stderr) == ("False\n", "")


def test_pytest_finds_nothing_of_ours_by_itself(tmp_path: Path) -> None:
    (tmp_path / "test_host.py").write_text(
        "import sys\ndef test_it(): assert 'flask_coins' not in sys.modules\n"
    )
    done = run(tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert "1 passed" in done.stdout, done.stdout + done.stderr
