"""A coin flies in: what pages, redirects and responses to scripts tell of what was just paid."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator
from typing import Any

import flask_babel
import pytest
from flask import Flask, jsonify, redirect, render_template_string, session
from flask.testing import FlaskClient
from flask_login import LoginManager
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.pool import StaticPool

from flask_coins import Coins, award_once

from .apps import APART, create_app

TOAST = '{% from "coins/macros.html" import coins_toast with context %}{{ coins_toast() }}'
Who = dict[str, Any]


@pytest.fixture
def make(db: SQLAlchemy, coins: Coins, who: Who) -> Iterator[Callable[..., Flask]]:
    """``make(**config)``: a host in memory with a page that shows toasts."""
    apps: list[Flask] = []

    def made(**config: Any) -> Flask:
        options = {"poolclass": StaticPool}
        app = create_app(
            *("sqlite://", db, coins),
            import_name=APART,
            SQLALCHEMY_ENGINE_OPTIONS=options,
            **config,
        )
        apps.append(app)
        app.add_url_rule("/", "home", lambda: render_template_string(TOAST))
        with app.app_context():
            db.create_all()
        return app

    yield made
    for app in apps:
        with app.app_context():
            db.engine.dispose()


@pytest.fixture
def app(make: Callable[..., Flask]) -> Flask:
    return make()


@pytest.fixture
def view(app: Flask, db: SQLAlchemy, coins: Coins) -> Callable[..., None]:
    """``view("/paid", redirect, 5, "bonus", …)``: a POST that moves coins, then answers so."""

    def add(path: str, answer: Callable[[], Any], *moves: tuple[Any, ...]) -> None:
        def act() -> Any:
            for amount, reason, user, *more in moves:
                call = coins.award if amount > 0 else coins.spend
                call(user, abs(amount), reason, **dict(more))
            db.session.commit()
            return answer()

        app.add_url_rule(path, path, act, methods=["POST"])

    return add


def away() -> Any:
    return redirect("/")


def page() -> Any:
    return render_template_string(TOAST)


def shown(markup: str) -> list[str]:
    """What each toast of a page says, but not the script's templates."""
    markup = re.sub(r"<template>.*?</template>", "", markup, flags=re.S)
    toasts = re.findall(r"<strong>(.*?)</strong> <span>(.*?)</span>", markup)
    return [html.unescape(f"{sum_} {words}").strip() for sum_, words in toasts]


# -- which page shows what ------------------------------------------------------------------------


def test_the_page_of_a_payment_shows_it(view: Any, client: FlaskClient) -> None:
    view("/paid", page, (15, "daily_goal", 7), (-4, "hint", 7), (1, "tip", 7))
    assert shown(client.post("/paid").text) == [
        "+15 coins Daily goal",
        "−4 coins Hint",
        "+1 coin Tip",
    ]
    assert shown(client.get("/").text) == []


def test_what_is_paid_before_a_redirect_is_shown_behind_it_once(
    view: Any, client: FlaskClient
) -> None:
    view("/paid", away, (15, "daily_goal", 7), (2, "tip", 7, ("currency", "gems")))
    client.post("/paid")
    assert shown(client.get("/").text) == ["+15 coins Daily goal", "+2 gems Tip"]
    assert shown(client.get("/").text) == []


def test_redirects_in_a_row_add_up_and_many_are_counted(view: Any, client: FlaskClient) -> None:
    view("/first", away, (1, "a", 7), (2, "b", 7))
    view("/second", away, *((n, f"r{n}", 7) for n in range(3, 10)))
    client.post("/first")
    client.post("/second")
    with client.session_transaction() as kept:
        assert len(str(dict(kept))) < 200
    wanted = ["+7 coins R7", "+8 coins R8", "+9 coins R9", "+6 more"]
    assert shown(client.get("/").text) == wanted


def test_long_words_leave_room_in_the_cookie(view: Any, client: FlaskClient) -> None:
    popper = "\N{PARTY POPPER}"
    view("/paid", away, *[(n, popper * 9, 7, ("subject", popper * 40)) for n in range(1, 6)])
    client.post("/paid")
    assert shown(client.get("/").text) == [
        f"+4 coins {popper * 9}",
        f"+5 coins {popper * 9}",
        "+3 more",
    ]


def test_what_is_paid_behind_its_page_is_shown_on_the_next(app: Flask, client: FlaskClient) -> None:
    app.add_url_rule("/goal", "goal", award_once(15, "goal")(page), methods=["POST"])
    assert shown(client.post("/goal").text) == []
    assert shown(client.get("/").text) == ["+15 coins Goal"]


def test_a_response_to_a_script_leaves_its_header_alone(view: Any, client: FlaskClient) -> None:
    view("/json", lambda: jsonify(ok=True), (15, "goal", 7))
    response = client.post("/json")
    assert response.headers["Coins-Awarded"] == "goal;amount=15;balance=15"
    assert "Set-Cookie" not in response.headers
    assert shown(client.get("/").text) == []


def test_htmx_reads_the_header_and_is_told_of_earlier_redirects(
    view: Any, client: FlaskClient
) -> None:
    view("/paid", page, (15, "goal", 7))
    view("/before", away, (4, "login", 7))
    client.post("/before")
    response = client.post("/paid", headers={"HX-Request": "true"})
    assert shown(response.text) == ["+4 coins Login"]
    assert shown(client.get("/").text) == []


def test_htmx_is_not_told_twice_of_what_is_paid_behind_its_page(
    app: Flask, client: FlaskClient
) -> None:
    app.add_url_rule("/goal", "goal", award_once(15, "goal")(page), methods=["POST"])
    response = client.post("/goal", headers={"HX-Request": "true"})
    assert "goal;amount=15" in response.headers["Coins-Awarded"]
    assert shown(client.get("/").text) == []


def test_refusals_are_no_toasts(app: Flask, client: FlaskClient) -> None:
    app.add_url_rule("/goal", "goal", award_once(15, "goal")(away), methods=["POST"])
    client.post("/goal")
    client.get("/")
    assert "Set-Cookie" not in client.post("/goal").headers
    assert shown(client.get("/").text) == []


# -- whose they are -------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", [away, page])
def test_others_are_not_told(view: Any, client: FlaskClient, who: Who, answer: Any) -> None:
    view("/paid", answer, (15, "goal", 7), (20, "referral", 8))
    said = shown(client.post("/paid").text) + shown(client.get("/").text)
    assert said == ["+15 coins Goal"]


def test_who_logs_in_next_sees_none_of_it(view: Any, client: FlaskClient, who: Who) -> None:
    view("/paid", away, (15, "goal", 7))
    client.post("/paid")
    who["id"] = 8
    assert shown(client.get("/").text) == []
    who["id"] = 7
    assert shown(client.get("/").text) == []


def test_nobody_is_told_nothing(view: Any, client: FlaskClient, who: Who) -> None:
    view("/paid", away, (15, "goal", 7))
    who["id"] = None
    assert "Set-Cookie" not in client.post("/paid").headers
    assert shown(client.get("/").text) == []


def test_an_app_that_knows_no_users_tells_nobody(
    view: Any, client: FlaskClient, coins: Coins
) -> None:
    coins._loaders.current_user = None
    view("/paid", away, (15, "goal", 7))
    assert client.post("/paid").status_code == 302
    assert shown(client.get("/").text) == []


# -- sessions -------------------------------------------------------------------------------------


def test_without_a_secret_key_redirects_are_silent(make: Any, db: SQLAlchemy, coins: Coins) -> None:
    app = make(SECRET_KEY=None)
    app.add_url_rule("/goal", "goal", award_once(15, "goal")(away), methods=["POST"])
    client = app.test_client()
    assert client.post("/goal").status_code == 302
    assert shown(client.get("/").text) == []
    assert client.post("/goal").status_code == 302


def test_an_app_may_keep_its_sessions_free_of_it(make: Any) -> None:
    app = make(COINS_TOASTS=False)
    app.add_url_rule("/goal", "goal", award_once(15, "goal")(away), methods=["POST"])
    client = app.test_client()
    assert "Set-Cookie" not in client.post("/goal").headers
    assert shown(client.get("/").text) == []


def test_a_session_that_is_nothing_to_us_stays_as_it_is(app: Flask, client: FlaskClient) -> None:
    app.add_url_rule("/keep", "keep", lambda: session.setdefault("mine", "yes"))
    client.get("/keep")
    assert "Set-Cookie" not in client.get("/").headers


# -- words ----------------------------------------------------------------------------------------


def test_stored_text_is_only_text(view: Any, client: FlaskClient) -> None:
    view("/paid", page, (1, "<script>alert(1)</script>", 7))
    page_ = client.post("/paid").text
    assert "<script" not in page_
    assert shown(page_) == ["+1 coin <script>alert(1)</script>"]


def data(markup: str, name: str) -> str:
    found = re.search(rf"data-{name}='([^']*)'", markup)
    assert found
    return html.unescape(found[1])


def test_the_script_is_told_the_words(app: Flask, client: FlaskClient, coins: Coins) -> None:
    for name in ("daily_goal", "shop's_best"):
        rule = award_once(1, name)
        app.add_url_rule(f"/{name}", name, rule(away), methods=["POST"])
    coins.words_loader(lambda name, subject: "It's <b>best</b>" if "best" in name else None)
    markup = client.get("/").text
    assert app.json.loads(data(markup, "forms")) == {"1": "# coin", "2": "# coins"}
    assert app.json.loads(data(markup, "reasons")) == {"shop's_best": "It's <b>best</b>"}


def test_the_script_is_told_another_language(app: Flask, client: FlaskClient) -> None:
    flask_babel.Babel(app, default_locale="de")
    app.add_url_rule("/goal", "goal", award_once(1, "daily_goal")(away), methods=["POST"])
    markup = client.get("/").text
    assert app.json.loads(data(markup, "forms")) == {"1": "# Münze", "2": "# Münzen"}
    assert app.json.loads(data(markup, "reasons"))["daily_goal"] == "Tagesziel"


def test_a_login_is_asked_for_after_it_has_happened(
    make: Any, db: SQLAlchemy, coins: Coins
) -> None:
    coins._loaders.current_user = None
    app = make()
    manager = LoginManager(app)
    from flask_login import UserMixin, login_user

    class User(UserMixin):
        id = "7"

    manager.user_loader(lambda user_id: User())

    def log_in() -> Any:
        login_user(User())
        coins.award(7, 10, "login")
        db.session.commit()
        return away()

    app.add_url_rule("/login", "login", log_in, methods=["POST"])
    client = app.test_client()
    client.post("/login")
    assert shown(client.get("/").text) == ["+10 coins Login"]
