"""Paying on a signal: within a view's transaction, after a request, or at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from blinker import Signal
from flask import (
    Flask,
    Response,
    abort,
    make_response,
    request_finished,
    stream_with_context,
)
from flask_login import LoginManager, UserMixin, login_user, user_logged_in
from flask_sqlalchemy import SQLAlchemy

from flask_coins import Coins, InvalidInput, award

from .apps import create_app
from .views import Told, committed, define_note, notes, visit

BONUS = award(5, "bonus")
PAID = ("ada", 10, "solved", "")


@pytest.fixture(autouse=True)
def note(db: SQLAlchemy, coins: Coins) -> Any:
    coins.current_user_loader(lambda: "ada")
    return define_note(db)


@pytest.fixture
def solved(coins: Coins) -> Signal:
    """A signal of the host's that pays."""
    signal = Signal()
    coins.award_on(signal, 10, "solved", "day")
    return signal


@pytest.fixture
def solve(db: SQLAlchemy, note: Any, solved: Signal) -> Callable[[], str]:
    """A view that adds a row and sends the signal."""

    def view() -> str:
        db.session.add(note(text="work"))
        solved.send("host")
        return "done"

    return view


def _plain(view: Callable[..., Any]) -> Callable[..., Any]:
    return view


# -- in a decorated view --------------------------------------------------------------------------


def test_a_decorated_view_pays_both_at_once(
    app: Flask, solve: Callable[[], str], told: Told
) -> None:
    def view() -> str:
        solve()
        assert told == []
        return "done"

    response = visit(app, BONUS, view)
    assert (notes(app), committed(app)) == (["work"], [PAID, ("ada", 5, "bonus", "")])
    assert [receipt.balance for receipt in told] == [10, 15]
    assert response.headers["Coins-Awarded"].startswith("solved;amount=10;balance=10, bonus;")


@pytest.mark.parametrize("fail", [lambda: ("no", 400), lambda: abort(404)])
def test_a_decorated_view_that_fails_pays_neither(
    app: Flask, solve: Callable[[], str], told: Told, fail: Callable[[], Any]
) -> None:
    visit(app, BONUS, lambda: solve() and fail())
    assert (notes(app), committed(app)) == ([], [])
    assert told.outcomes == ["not_earned", "not_earned"]


def test_a_decorated_function_outside_of_a_request_pays_both_at_once(
    app: Flask, solve: Callable[[], str], told: Told
) -> None:
    def work() -> str:
        solve()
        assert (told, committed(app)) == ([], [])
        return "done"

    with app.app_context():
        BONUS(work)()
    assert (notes(app), len(committed(app))) == (["work"], 2)


# -- in any other view ----------------------------------------------------------------------------


def test_a_plain_view_is_paid_after_the_request(
    app: Flask, solve: Callable[[], str], told: Told
) -> None:
    def view() -> str:
        solve()
        assert told == []
        return "done"

    response = visit(app, _plain, view)
    assert (notes(app), committed(app)) == (["work"], [PAID])
    assert response.headers["Coins-Awarded"] == "solved;amount=10;balance=10"


@pytest.mark.parametrize(
    "fail", [lambda: ("no", 400), lambda: abort(404), lambda: make_response("no", 500)]
)
def test_a_plain_view_that_fails_is_not_paid(
    app: Flask, solve: Callable[[], str], told: Told, fail: Callable[[], Any]
) -> None:
    visit(app, _plain, lambda: solve() and fail())
    assert (notes(app), committed(app), told.outcomes) == ([], [], ["not_earned"])


def test_a_crash_is_not_paid(
    make_app: Callable[..., Flask], solve: Callable[[], str], told: Told
) -> None:
    app = make_app(TESTING=False)
    assert visit(app, _plain, lambda: solve() and 1 // 0).status_code == 500
    assert (notes(app), committed(app), told.outcomes) == ([], [], ["not_earned"])


@pytest.mark.parametrize(
    ("methods", "outcome"), [(["GET"], "awarded"), (["GET", "POST"], "not_earned")]
)
def test_methods_count_as_for_a_rule(
    app: Flask, solve: Callable[[], str], told: Told, methods: list[str], outcome: str
) -> None:
    visit(app, _plain, solve, "GET", methods)
    assert told.outcomes == [outcome]


def test_once_is_once_however_often_it_is_sent(app: Flask, solved: Signal, told: Told) -> None:
    visit(app, _plain, lambda: str([solved.send("host") for _ in range(3)]))
    assert committed(app) == [PAID]
    assert told.outcomes == ["awarded", "already", "already"]


# -- outside of a request -------------------------------------------------------------------------


def test_outside_of_a_request_it_is_paid_and_committed_at_once(
    app: Flask, solved: Signal, told: Told
) -> None:
    with app.app_context():
        solved.send("host")
        assert (committed(app), told.outcomes) == ([PAID], ["awarded"])


def test_outside_of_a_request_the_hosts_work_keeps_its_own_commit(
    app: Flask, db: SQLAlchemy, solve: Callable[[], str], told: Told
) -> None:
    with app.app_context():
        solve()
        assert (notes(app), committed(app), told) == ([], [], [])
        db.session.commit()
        assert (notes(app), committed(app), told.outcomes) == (["work"], [PAID], ["awarded"])


def test_a_direct_award_is_work_of_the_hosts(
    app: Flask, db: SQLAlchemy, solved: Signal, told: Told
) -> None:
    with app.app_context():
        BONUS.pay("ada")
        solved.send("host")
        assert committed(app) == []
        db.session.rollback()
    assert (committed(app), told) == ([], [])


def test_a_transaction_that_the_host_has_begun_is_the_hosts(
    app: Flask, db: SQLAlchemy, note: Any, solved: Signal, told: Told
) -> None:
    with app.app_context():
        with db.session.begin():
            solved.send("host")
            assert (committed(app), told) == ([], [])
            db.session.add(note(text="work"))
        assert (notes(app), committed(app), told.outcomes) == (["work"], [PAID], ["awarded"])


def test_a_savepoint_of_the_hosts_takes_the_payment_along(
    app: Flask, db: SQLAlchemy, note: Any, solved: Signal, told: Told
) -> None:
    with app.app_context():
        db.session.add(note(text="kept"))
        savepoint = db.session.begin_nested()
        solved.send("host")
        savepoint.rollback()
        db.session.commit()
    assert (notes(app), committed(app), told) == (["kept"], [], [])


def test_a_host_that_has_only_read_is_paid_at_once(
    app: Flask, db: SQLAlchemy, note: Any, solved: Signal, told: Told
) -> None:
    with app.app_context():
        db.session.scalar(db.select(note))
        solved.send("host")
    assert (committed(app), told.outcomes) == ([PAID], ["awarded"])


def test_a_payment_that_fails_with_the_hosts_work_is_no_secret(
    make_app: Callable[..., Flask], db: SQLAlchemy, coins: Coins, note: Any
) -> None:
    app, signal = make_app(TESTING=False, COINS_ON_ERROR="log"), Signal()
    coins.award_on(signal, lambda sent: 1 // 0, "broken")
    with app.app_context():
        db.session.scalar(db.select(note))
        signal.send("host")
        db.session.add(note(text="work"))
        with pytest.raises(ZeroDivisionError):
            signal.send("host")
        db.session.rollback()


def test_another_app_pays_in_its_own_database(
    app: Flask, db: SQLAlchemy, coins: Coins, solved: Signal, tmp_path: Path
) -> None:
    other = create_app(f"sqlite:///{tmp_path / 'other.sqlite3'}", db, coins)
    with other.app_context():
        db.create_all()

    def send() -> str:
        with other.app_context():
            solved.send("host")
        return "done"

    visit(app, _plain, send)
    assert (committed(app), committed(other)) == ([], [PAID])
    with other.app_context():
        db.engine.dispose()


# -- after the view -------------------------------------------------------------------------------


def _after_request(app: Flask, send: Callable[[], Any]) -> None:
    @app.after_request
    def receive(response: Response) -> Response:
        send()
        return response


def _finished(app: Flask, send: Callable[[], Any]) -> None:
    request_finished.connect(lambda *args, **sent: send(), app, weak=False)


def _teardown(app: Flask, send: Callable[[], Any]) -> None:
    app.teardown_request(lambda error: send() and None)


@contextmanager
def _answered(app: Flask) -> Iterator[None]:
    """A request whose response is ready, and whose context is still there."""
    with app.test_request_context("/", method="POST"):
        request_finished.send(app, response=make_response("done"))
        yield


LATE = pytest.mark.parametrize("late", [_after_request, _finished, _teardown])


@LATE
@pytest.mark.parametrize(("rule", "before"), [(BONUS, [("ada", 5, "bonus", "")]), (_plain, [])])
def test_what_is_sent_after_the_view_is_paid_too(
    app: Flask, solved: Signal, told: Told, late: Any, rule: Any, before: list[Any]
) -> None:
    late(app, lambda: solved.send("host"))
    visit(app, rule)
    assert committed(app) == [*before, PAID]
    assert set(told.outcomes) == {"awarded"}


@LATE
def test_what_is_sent_after_an_error_is_not(
    app: Flask, solved: Signal, told: Told, late: Any
) -> None:
    late(app, lambda: solved.send("host"))
    visit(app, _plain, ("no", 400))
    assert (committed(app), told.outcomes) == ([], ["not_earned"])


@LATE
def test_what_is_sent_after_a_view_that_has_read_is_committed(
    app: Flask, db: SQLAlchemy, note: Any, solved: Signal, late: Any
) -> None:
    late(app, lambda: solved.send("host"))
    visit(app, _plain, lambda: str(db.session.scalar(db.select(note))))
    assert committed(app) == [PAID]


def test_what_is_sent_in_a_block_after_the_view_is_the_blocks(
    app: Flask, db: SQLAlchemy, note: Any, solved: Signal
) -> None:
    with _answered(app), db.session.begin():
        solved.send("host")
        assert committed(app) == []
        db.session.add(note(text="work"))
    assert (notes(app), committed(app)) == (["work"], [PAID])


def test_work_left_open_is_not_committed_by_what_is_sent_later(
    app: Flask, db: SQLAlchemy, note: Any, solved: Signal
) -> None:
    with _answered(app):
        db.session.add(note(text="work"))
        solved.send("host")
        assert (notes(app), committed(app)) == ([], [])
        db.session.rollback()


def test_what_a_stream_sends_is_paid(app: Flask, solved: Signal, told: Told) -> None:
    def stream() -> Iterator[str]:
        yield "one"
        solved.send("host")
        yield "two"

    response = visit(app, _plain, lambda: Response(stream_with_context(stream())))
    assert (response.text, committed(app), told.outcomes) == ("onetwo", [PAID], ["awarded"])


def test_a_request_is_not_paid_twice_when_a_later_function_fails(
    make_app: Callable[..., Flask], solved: Signal, told: Told
) -> None:
    app = make_app(TESTING=False)

    @app.after_request
    def fail(response: Response) -> Response:
        return response if response.status_code == 500 else 1 // 0  # type: ignore[return-value]

    assert visit(app, _plain, lambda: str(solved.send("host"))).status_code == 500
    assert (committed(app), told.outcomes) == ([PAID], ["awarded"])


def test_one_request_leaves_nothing_for_the_next(app: Flask, solved: Signal) -> None:
    with app.app_context():  # a context that spans requests, as in many a test
        visit(app, _plain, "done")
        with app.test_request_context("/", method="POST"):
            solved.send("host")
            assert committed(app) == []
            app.process_response(make_response("done"))
            assert committed(app) == [PAID]


# -- what it is told ------------------------------------------------------------------------------


@pytest.mark.usefixtures("ctx")
@pytest.mark.parametrize(
    ("options", "sent", "row"),
    [
        ({}, {}, ("ada", "")),
        ({}, {"user": "bob"}, ("bob", "")),
        ({"user": "eve"}, {"user": "bob"}, ("eve", "")),
        ({"user": "{by.name}"}, {"by": SimpleNamespace(name="bob")}, ("bob", "")),
        ({"user": lambda sent: sent["by"]}, {"by": 7}, ("7", "")),
        ({"subject": "{exam}"}, {"exam": 12}, ("ada", "12")),
        ({"subject": lambda sent: sent["exam"]}, {"exam": "x"}, ("ada", "x")),
        ({"when": lambda sent: sent["right"]}, {"right": True}, ("ada", "")),
    ],
)
def test_rules_read_the_signals_arguments(
    app: Flask, coins: Coins, options: Any, sent: Any, row: Any
) -> None:
    signal = Signal()
    coins.award_on(signal, lambda sent: 10, "solved", "day", **options)
    signal.send("host", **sent)
    assert [(user, subject) for user, _, _, subject in committed(app)] == [row]


@pytest.mark.usefixtures("ctx")
@pytest.mark.parametrize(
    ("options", "sent", "outcome"),
    [
        ({"when": lambda sent: False}, {}, "not_earned"),
        ({}, {"user": None}, "anonymous"),
        ({"amount": lambda sent: 0}, {}, "nothing_due"),
    ],
)
def test_rules_say_no_to_a_signal(
    coins: Coins, told: Told, options: Any, sent: Any, outcome: str
) -> None:
    signal = Signal()
    coins.award_on(signal, **({"amount": 10, "reason": "solved"} | options))
    signal.send("host", **sent)
    assert told.outcomes == [outcome]


@pytest.mark.usefixtures("ctx")
def test_a_name_that_the_signal_does_not_send_says_so(coins: Coins) -> None:
    signal = Signal()
    coins.award_on(signal, 10, "solved", subject="{exam}")
    with pytest.raises(InvalidInput, match=r"'{exam}' of 'solved' cannot be filled"):
        signal.send("host", score=3)


def test_arguments_are_checked_where_it_is_written(coins: Coins) -> None:
    signal = Signal()
    with pytest.raises(InvalidInput):
        coins.award_on(signal, 0, "solved")
    assert not signal.receivers


@pytest.mark.usefixtures("app")
def test_another_extension_does_not_pay(database_url: str, solved: Signal, told: Told) -> None:
    other = create_app(database_url, SQLAlchemy(), Coins())
    with other.app_context():
        solved.send("host")
    assert told == []


class User(UserMixin):
    id = "lin"


@pytest.fixture
def logged_in() -> Iterator[Signal]:
    """Flask-Login's own signal, its receivers as they were afterwards."""
    before = dict(user_logged_in.receivers)
    yield user_logged_in
    for key in user_logged_in.receivers.keys() - before.keys():
        user_logged_in.disconnect(user_logged_in.receivers[key])


def test_the_login_signal_of_flask_login_pays(app: Flask, coins: Coins, logged_in: Signal) -> None:
    LoginManager(app).user_loader(lambda user_id: User())
    coins.award_on(logged_in, 10, "daily_login", "day")
    for _ in range(2):
        with app.test_request_context("/login", method="POST"):
            login_user(User())
            app.process_response(make_response("welcome"))
    assert committed(app) == [("lin", 10, "daily_login", "")]
