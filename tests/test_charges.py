"""Views that cost coins: held before, spent with the view's work, free again if it fails."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask, Response, abort, request
from flask.testing import FlaskClient
from flask_sqlalchemy import SQLAlchemy

from flask_coins import Coins, InvalidAmount, InvalidInput, award_once, charge

from .apps import Clock
from .races import reconcile
from .statements import Failing, before
from .views import Told, committed, define_note, listening, notes, visit

HINT = charge(30, "hint")
SPENT = ("ada", -30, "hint", "")
START = ("ada", 50, "start", "")


@pytest.fixture(autouse=True)
def note(db: SQLAlchemy, coins: Coins) -> Any:
    """A model of the host's own; its user is always Ada."""
    coins.current_user_loader(lambda: "ada")
    return define_note(db)


@pytest.fixture(autouse=True)
def rich(note: Any, app: Flask, db: SQLAlchemy, coins: Coins) -> None:
    """Ada has 50 coins."""
    with app.app_context():
        coins.award("ada", 50, "start")
        db.session.commit()


@pytest.fixture
def told(rich: None) -> Iterator[Told]:
    with listening() as told:
        yield told


@pytest.fixture(autouse=True)
def books_agree(rich: None, app: Flask, db: SQLAlchemy) -> Iterator[None]:
    """After each test the log adds up, and no hold is left that the row does not know of."""
    yield
    with app.app_context():
        assert reconcile(db.session.connection()) == []
        held = sa.text("SELECT COALESCE(SUM(held), 0) FROM coin_balance")
        open_holds = sa.text("SELECT COALESCE(SUM(amount), 0) FROM coin_hold WHERE status = 'open'")
        assert db.session.scalar(held) == db.session.scalar(open_holds)


def available(app: Flask, coins: Coins, user: str = "ada") -> int:
    with app.app_context():
        return coins.available(user)


# -- the coins ------------------------------------------------------------------------------------


def test_a_view_is_charged_for_once_it_has_succeeded(app: Flask, told: Told) -> None:
    response = visit(app, HINT)
    assert response.text == "done"
    assert response.headers["Coins-Awarded"] == "hint;amount=-30;balance=20;outcome=spent"
    assert committed(app) == [START, SPENT]
    assert told.outcomes == ["spent"]


def test_where_coins_are_short_the_view_does_not_run(app: Flask, coins: Coins, told: Told) -> None:
    ran = []
    response = visit(app, charge(51, "hint"), lambda: ran.append(1) or "done")
    assert (response.status_code, ran) == (402, [])
    assert response.content_type == "application/problem+json"
    assert response.get_json() == {
        "type": "about:blank",
        "title": "Payment Required",
        "status": 402,
        "code": "insufficient_coins",
        "detail": "51 coins are needed, 50 are there.",
        "balance": 50,
        "amount": 51,
        "currency": "coins",
    }
    assert (committed(app), told) == ([START], [])
    assert available(app, coins) == 50


def test_a_browser_is_told_on_a_page(app: Flask) -> None:
    @app.post("/castle")
    @charge(51, "castle")
    def castle() -> str:
        return "yours"

    headers = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    response = app.test_client().post("/castle", headers=headers)
    assert (response.status_code, response.mimetype) == (402, "text/html")
    assert "51 coins are needed, 50 are there." in response.text


def test_meanwhile_they_are_held_for_everybody_to_see(
    app: Flask, db: SQLAlchemy, coins: Coins
) -> None:
    seen = []

    def view() -> str:
        with db.engine.connect() as other:
            seen.append(other.scalar(sa.text("SELECT held FROM coin_balance")))
        return "done"

    visit(app, HINT, view)
    assert seen == [30]
    assert available(app, coins) == 20


def test_two_at_once_cannot_spend_the_same_coins(app: Flask) -> None:
    answers = []

    @app.post("/buy")
    @HINT
    def buy() -> str:
        if request.args.get("first"):
            answers.append(app.test_client().post("/buy").status_code)
        return "done"

    answers.append(app.test_client().post("/buy?first=1").status_code)
    assert sorted(answers) == [200, 402]
    assert committed(app) == [START, SPENT]


@pytest.mark.parametrize(
    "answer",
    [
        ("no", 400),
        ("no", 500),
        Response("no", 404),
        lambda: abort(409),
    ],
    ids=["400", "500", "a response", "abort"],
)
def test_a_view_that_fails_costs_nothing(app: Flask, coins: Coins, told: Told, answer: Any) -> None:
    assert visit(app, HINT, answer).status_code >= 400
    assert (committed(app), available(app, coins), told) == ([START], 50, [])


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_view_that_raises_costs_nothing(
    app: Flask, coins: Coins, error: type[BaseException]
) -> None:
    def view() -> str:
        raise error

    with pytest.raises(error):
        visit(app, HINT, view)
    assert (committed(app), available(app, coins)) == ([START], 50)


def test_changes_of_a_view_that_failed_are_neither_committed_nor_in_the_way(
    app: Flask, db: SQLAlchemy, coins: Coins, note: Any
) -> None:
    def view() -> tuple[str, int]:
        db.session.add(note(text="unwanted"))
        db.session.flush()
        return "no", 400

    assert visit(app, HINT, view).status_code == 400
    assert (notes(app), committed(app), available(app, coins)) == ([], [START], 50)


def test_a_flush_that_failed_is_no_obstacle(
    app: Flask, db: SQLAlchemy, coins: Coins, note: Any
) -> None:
    def view() -> str:
        db.session.add_all([note(text="twice"), note(text="twice")])
        db.session.flush()
        return "never"

    with pytest.raises(sa.exc.IntegrityError):
        visit(app, HINT, view)
    assert (notes(app), committed(app), available(app, coins)) == ([], [START], 50)


def test_when_narrows_what_is_charged_for(app: Flask, coins: Coins) -> None:
    assert visit(app, charge(30, "hint", when=lambda text: text != "none left"), "none left").text
    assert (committed(app), available(app, coins)) == ([START], 50)


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_what_does_not_count_costs_nothing(app: Flask, coins: Coins, method: str) -> None:
    assert visit(app, HINT, method=method, methods=["GET", "POST"]).status_code == 200
    assert (committed(app), available(app, coins)) == ([START], 50)


def test_methods_can_be_named(app: Flask) -> None:
    visit(app, charge(30, "hint", methods=["GET"]), method="GET", methods=["GET", "POST"])
    assert committed(app) == [START, SPENT]


# -- one transaction with the view's work ----------------------------------------------------------


def test_the_spend_goes_with_the_views_work(app: Flask, db: SQLAlchemy, note: Any) -> None:
    def view() -> str:
        db.session.add(note(text="hint shown"))
        return "done"

    visit(app, HINT, view)
    assert (notes(app), committed(app)) == (["hint shown"], [START, SPENT])


def test_a_spend_that_fails_takes_the_views_work_along(
    app: Flask, db: SQLAlchemy, coins: Coins, note: Any
) -> None:
    def view() -> str:
        db.session.add(note(text="hint shown"))
        return "done"

    def fail() -> None:
        raise RuntimeError("no room")

    with app.app_context():
        engine = db.engine
    with before(engine, "INSERT INTO coin_log", fail), pytest.raises(RuntimeError, match="no room"):
        visit(app, HINT, view)
    assert (notes(app), committed(app), available(app, coins)) == ([], [START], 50)


def test_what_the_database_gave_up_is_tried_again(app: Flask, db: SQLAlchemy) -> None:
    with app.app_context():
        failing = Failing(db, "before_cursor_execute", 2)
    with failing:
        assert visit(app, HINT).status_code == 200
    assert failing.attempts == 3
    assert committed(app) == [START, SPENT]


def test_a_hold_that_the_database_gave_up_is_tried_again(app: Flask, db: SQLAlchemy) -> None:
    with app.app_context():
        failing = Failing(db, "commit", 2)
    with failing:
        assert visit(app, HINT).status_code == 200
    assert failing.attempts == 4
    assert committed(app) == [START, SPENT]


def test_what_was_begun_before_the_view_is_not_committed_by_a_charge(
    app: Flask, db: SQLAlchemy, coins: Coins, note: Any
) -> None:
    @app.before_request
    def begin() -> None:
        db.session.add(note(text="seen"))

    assert visit(app, HINT, ("no", 400)).status_code == 400
    assert (notes(app), committed(app), available(app, coins)) == ([], [START], 50)
    app.before_request_funcs[None].clear()


def test_what_was_begun_before_the_view_goes_with_its_success(
    app: Flask, db: SQLAlchemy, note: Any
) -> None:
    @app.before_request
    def begin() -> None:
        db.session.add(note(text="seen"))

    assert visit(app, HINT).status_code == 200
    assert (notes(app), committed(app)) == (["seen"], [START, SPENT])


@pytest.mark.parametrize("charged_first", [True, False])
def test_with_an_award_on_the_same_view_it_is_one_transaction(
    app: Flask, told: Told, charged_first: bool
) -> None:
    goal = award_once(5, "goal", "day")
    both = (lambda view: HINT(goal(view))) if charged_first else (lambda view: goal(HINT(view)))
    response = visit(app, both)
    assert response.status_code == 200
    paid = ("ada", 5, "goal", "")
    assert sorted(committed(app)) == sorted([START, SPENT, paid])
    assert sorted(told.outcomes) == ["awarded", "spent"]


def test_an_award_that_fails_leaves_nothing_charged(app: Flask, coins: Coins) -> None:
    broken = award_once(lambda value: 1 // 0, "broken", "day")
    with pytest.raises(ZeroDivisionError):
        visit(app, lambda view: broken(HINT(view)))
    assert (committed(app), available(app, coins)) == ([START], 50)


def test_a_coroutine_view_is_charged_for(app: Flask, coins: Coins) -> None:
    @HINT
    async def view() -> str:
        await asyncio.sleep(0)
        return "done"

    app.post("/hint")(view)
    assert app.test_client().post("/hint").text == "done"
    assert (committed(app), available(app, coins)) == ([START, SPENT], 20)


# -- what is read from the view ---------------------------------------------------------------------


def test_price_subject_and_user_come_from_the_views_arguments(
    app: Flask, db: SQLAlchemy, coins: Coins
) -> None:
    prices = {"hat": 20, "castle": 5000}

    @app.post("/<owner>/buy/<item>")
    @charge(lambda args: prices[args["item"]], "shop", subject="{item}", user="{owner}")
    def buy(owner: str, item: str) -> str:
        return f"{owner} has a {item}"

    client = app.test_client()
    assert client.post("/ada/buy/hat").text == "ada has a hat"
    assert client.post("/ada/buy/castle").status_code == 402
    assert client.post("/bob/buy/hat").status_code == 402
    assert committed(app) == [START, ("ada", -20, "shop", "hat")]


def test_a_view_may_cost_another_currency(app: Flask, db: SQLAlchemy, coins: Coins) -> None:
    with app.app_context():
        coins.award("ada", 5, currency="gems")
        db.session.commit()
    told = visit(app, charge(3, "skin", currency="gems")).headers["Coins-Awarded"]
    assert told == "skin;amount=-3;balance=2;currency=gems;outcome=spent"
    assert available(app, coins) == 50


def test_nobody_is_told_to_log_in(app: Flask, coins: Coins) -> None:
    coins.current_user_loader(lambda: None)
    ran = []
    assert visit(app, HINT, lambda: ran.append(1) or "done").status_code == 401
    assert (ran, committed(app)) == ([], [START])


def test_a_price_that_cannot_be_is_an_error_before_the_view(app: Flask) -> None:
    ran = []
    with pytest.raises(InvalidAmount):
        visit(app, charge(lambda args: 0, "hint"), lambda: ran.append(1) or "done")
    assert ran == []


@pytest.mark.parametrize(
    "make",
    [
        lambda: charge(0, "hint"),
        lambda: charge(5, ""),
        lambda: charge(5, "hint", subject="{nope}")(lambda view: view),
        lambda: charge(5, "hint", expires_in=60),  # type: ignore[arg-type]
        lambda: charge(5, "hint", expires_in=timedelta(0)),
        lambda: charge(5, "hint", expires_in=timedelta(days=2)),
        lambda: charge(7, 5, "hint"),  # type: ignore[arg-type]
        lambda: charge(5, "hint", methods=["HEAD"]),
    ],
)
def test_a_rule_that_cannot_be_is_refused_where_it_is_written(make: Callable[[], Any]) -> None:
    with pytest.raises(InvalidInput):
        make()


def test_a_charge_is_no_reward(app: Flask, coins: Coins) -> None:
    visit(app, HINT)
    with app.app_context():
        assert "hint" not in [reward.reason for reward in coins.status("ada")]


# -- what goes wrong ------------------------------------------------------------------------------


def test_a_worker_that_dies_leaves_them_held_until_the_hold_expires(
    app: Flask, db: SQLAlchemy, coins: Coins, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as dead:
        dead.setattr("flask_coins._charges._release", lambda state, held: None)
        visit(app, HINT, ("no", 500))
    assert available(app, coins) == 20
    clock.forward(minutes=15)
    assert available(app, coins) == 50
    with app.app_context():
        assert coins.spend("ada", 50, "shop").balance == 0
        db.session.commit()


def test_a_view_that_outlasts_its_hold_is_not_delivered(
    app: Flask, db: SQLAlchemy, coins: Coins, clock: Clock, note: Any
) -> None:
    def view() -> str:
        clock.forward(minutes=15)
        db.session.add(note(text="too late"))
        return "done"

    app.config["PROPAGATE_EXCEPTIONS"] = False
    assert visit(app, HINT, view).status_code == 500
    assert (notes(app), committed(app), available(app, coins)) == ([], [START], 50)


def test_a_release_that_fails_costs_the_view_nothing_but_a_line_in_the_log(
    app: Flask, coins: Coins, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any) -> None:
        raise RuntimeError("gone")

    with monkeypatch.context() as broken:
        broken.setattr("flask_coins._holds.Holds.release", fail)
        assert visit(app, HINT, ("no", 400)).status_code == 400
    assert "it expires at" in caplog.text
    assert available(app, coins) == 20


def test_a_view_may_move_coins_of_its_own(app: Flask, db: SQLAlchemy, coins: Coins) -> None:
    def view() -> str:
        coins.spend("ada", 20, "extra")
        return "done"

    visit(app, HINT, view)
    assert committed(app) == [START, ("ada", -20, "extra", ""), SPENT]


def test_a_view_cannot_spend_what_is_held_for_it(
    app: Flask, coins: Coins, client: FlaskClient
) -> None:
    response = visit(app, HINT, lambda: coins.spend("ada", 21, "extra") and "done")
    assert response.status_code == 402
    assert (committed(app), available(app, coins)) == ([START], 50)
