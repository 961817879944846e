"""Nobody gets in: every route, by every role and method; and nothing of others by any trick."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
import sqlalchemy as sa
from flask import Flask, request
from flask.testing import FlaskClient
from flask_login import LoginManager
from flask_sqlalchemy import SQLAlchemy
from werkzeug.test import TestResponse

from flask_coins import Coins, InvalidInput, award_once

from .apps import create_app
from .shop import PRICES, open_shop

SECRET = "canary"
"""It stands in all that is Bob's, and nowhere else."""
EVIL = "<script>alert(1)</script>"
UNREADABLE = "\u202eelbadaernu"
TOKEN = re.compile(r'name="coins_csrf" value="[^"]*"')
"""Its digits may be anything."""
METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")
SAFE = ("GET", "HEAD", "OPTIONS")
ROLES = (None, "ann", "bob", "root")

ANYBODY, USERS, ADMINS = "anybody", "users", "admins"
ROUTES: dict[str, tuple[str, str]] = {
    "static": (ANYBODY, "/coins/static/coins.css"),
    "api_openapi": (ANYBODY, "/coins/api/openapi.json"),
    "api_balance": (USERS, "/coins/api/balance"),
    "api_history": (USERS, "/coins/api/history"),
    "api_rewards": (USERS, "/coins/api/rewards"),
    "api_leaderboard": (USERS, "/coins/api/leaderboard"),
    "api_leaderboard_hidden": (USERS, "/coins/api/leaderboard/hidden"),
    "api_prices": (USERS, "/coins/api/prices"),
    "api_spend": (USERS, "/coins/api/spend"),
    "api_transfer": (USERS, "/coins/api/transfer"),
    "wallet": (USERS, "/coins/"),
    "history_csv": (USERS, "/coins/history.csv"),
    "leaderboard": (USERS, "/coins/leaderboard"),
    "leaderboard_hidden": (USERS, "/coins/leaderboard/hidden"),
    "admin_overview": (ADMINS, "/coins/admin/"),
    "admin_user": (ADMINS, "/coins/admin/user?id=bob"),
    "admin_adjustments": (ADMINS, "/coins/admin/adjustments"),
    "admin_entries_csv": (ADMINS, "/coins/admin/entries.csv?id=bob"),
    "admin_adjust": (ADMINS, "/coins/admin/adjust?id=bob"),
    "admin_reverse": (ADMINS, "/coins/admin/reverse?id=bob&entry=1"),
    "admin_release": (ADMINS, "/coins/admin/release?id=bob&hold=1"),
}
"""Each route of the blueprint: who may use it, and an address that has something to show."""
OFF = ("/coins/api/spend", "/coins/api/transfer", "/coins/api/prices")
"""What is not there until the host turns it on."""
NAMES = ("id", "user", "user_id", "users", "owner", "account", "name", "me", "sender")
FILTERS = ("before", "after", "cursor", "page", "reason", "currency", "limit", "from", "to", "show")
CURSORS = (
    "-1",
    "0",
    "1",
    "2",
    "3",
    "4",
    "9223372036854775807",
    "9" * 400,
    "1 OR 1=1",
    "bob",
    "%00",
)


@pytest.fixture(scope="module")
def app() -> Iterator[Flask]:
    """Ann, Bob and the admin Root; what is Bob's has the secret in it."""
    db, coins = SQLAlchemy(), Coins()
    open_shop(coins)
    coins.admin_check(lambda: request.headers.get("X-User") == "root")
    app = create_app("sqlite://", db, coins, COINS_API_PRICES=PRICES)
    app.add_url_rule("/goal", "goal", award_once(5, f"{SECRET}-goal", subject="x")(lambda: "done"))
    with app.app_context():
        db.create_all()
        coins.award("ann", 100, EVIL, subject=f"\"'><img src=x onerror={EVIL}>")
        coins.award("ann", 100, UNREADABLE, subject="x" * 128)
        coins.award("bob", 4711, f"{SECRET}-reason", subject=SECRET, details={"note": SECRET})
        coins.hold("bob", 11, f"{SECRET}-hold", subject=SECRET)
        coins.award("bob", 5, EVIL, subject=EVIL, details={EVIL: EVIL})
        coins.spend("bob", 5, "hint", subject=f"{SECRET}-subject")
        db.session.commit()
        yield app
        db.session.remove()


def kept(app: Flask) -> list[Any]:
    """Every row of every table."""
    db = app.extensions["sqlalchemy"]
    with app.app_context():
        return [
            sorted(map(repr, db.session.execute(sa.select(table))))
            for table in db.metadata.sorted_tables
        ]


def ask(app: Flask, role: str | None, path: str, method: str = "GET", **more: Any) -> TestResponse:
    """The answer to a request of ``role``, with nothing kept from others."""
    headers = {"X-User": role} if role else {}
    client: FlaskClient = app.test_client()
    with client.open(path, method=method, headers={**headers, **more}) as response:
        response.get_data()
        return response


def gets_in(level: str, role: str | None) -> bool:
    return level == ANYBODY or (role == "root" if level == ADMINS else role is not None)


# -- every route, role and method -----------------------------------------------------------------


def test_every_route_is_listed_here(app: Flask) -> None:
    found = {
        route.endpoint.removeprefix("coins.")
        for route in app.url_map.iter_rules()
        if route.endpoint.startswith("coins.")
    }
    assert found - {"api_other"} == ROUTES.keys()


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("endpoint", ROUTES)
def test_who_gets_in(app: Flask, endpoint: str, role: str | None) -> None:
    level, path = ROUTES[endpoint]
    methods = {
        method
        for route in app.url_map.iter_rules()
        if route.endpoint == f"coins.{endpoint}"
        for method in route.methods or ()
    }
    before = kept(app)
    for method in METHODS:
        response = ask(app, role, path, method)
        if method == "OPTIONS":
            assert (response.status_code, response.data) == (200, b""), method
        elif method not in methods:
            assert response.status_code == 405, method
        elif gets_in(level, role):
            assert response.status_code not in (401, 403, 404, 500), method
        else:
            assert response.status_code == (401 if role is None else 403), method
            assert SECRET not in response.text
    assert kept(app) == before


@pytest.mark.parametrize(
    "endpoint", [name for name, (level, _) in ROUTES.items() if level == ADMINS]
)
def test_who_is_no_admin_cannot_tell_what_exists(app: Flask, endpoint: str) -> None:
    path = ROUTES[endpoint][1].partition("?")[0]
    for method in ("GET", "POST"):
        answers = {
            (response.status_code, response.data)
            for query in ("", "?id=bob", "?id=nobody", "?id=", "?entry=3", "?hold=99", "?id=%00")
            for response in [ask(app, "ann", path + query, method)]
        }
        assert len(answers) == 1


def test_where_nobody_is_an_admin_nobody_gets_in() -> None:
    db, coins = SQLAlchemy(), Coins()
    open_shop(coins)
    app = create_app("sqlite://", db, coins)
    with app.app_context():
        db.create_all()
    for level, path in ROUTES.values():
        if level == ADMINS:
            assert ask(app, "root", path).status_code == 403


def test_people_are_sent_to_log_in_and_programs_are_told() -> None:
    app = create_app("sqlite://", SQLAlchemy(), Coins())
    manager = LoginManager(app)
    manager.login_view = "login"
    manager.user_loader(lambda user_id: None)
    app.add_url_rule("/login", "login", lambda: "Who are you?")
    for name, (level, path) in ROUTES.items():
        if level != ANYBODY and not path.startswith(OFF):
            method = {"api_leaderboard_hidden": "PUT", "leaderboard_hidden": "POST"}.get(
                name, "GET"
            )
            response = ask(app, None, path, method)
            is_page = not path.startswith("/coins/api/")
            assert response.status_code == (302 if is_page else 401)


def test_what_is_below_the_api_and_no_route_is_the_same_for_all(app: Flask) -> None:
    for path in ("/coins/api", "/coins/api/users/bob", "/coins/api/balance/bob"):
        for role in ROLES:
            assert ask(app, role, path).status_code == 404


# -- by no parameter ------------------------------------------------------------------------------


def own_pages() -> list[str]:
    return [path for level, path in ROUTES.values() if level == USERS]


@pytest.mark.parametrize("path", own_pages())
def test_no_parameter_shows_somebody_elses(app: Flask, path: str) -> None:
    plain = ask(app, "ann", path)
    for name in NAMES:
        for value in ("bob", "7", "root", "ann' OR '1'='1"):
            answer = ask(app, "ann", f"{path}?{name}={value}")
            assert answer.status_code == plain.status_code
            assert "4711" not in TOKEN.sub("", answer.text)
            assert f"{SECRET}-reason" not in answer.text


@pytest.mark.parametrize("path", own_pages())
@pytest.mark.parametrize(
    "name", ["before", "after", "cursor", "page", "reason", "currency", "limit"]
)
def test_a_forged_cursor_shows_nothing_of_others(app: Flask, path: str, name: str) -> None:
    before = kept(app)
    for value in (*CURSORS, f"{SECRET}-reason"):
        answer = ask(app, "ann", f"{path}?{name}={value}")
        assert answer.status_code in (200, 302, 400, 404, 405, 415)
        assert "4711" not in TOKEN.sub("", answer.text)
        assert f"{SECRET}-subject" not in answer.text
    assert kept(app) == before


@pytest.mark.parametrize("path", ["/coins/api/spend", "/coins/api/transfer"])
def test_nobody_elses_coins_move(app: Flask, path: str) -> None:
    before = kept(app)
    sent = {"reason": "hint", "to": "Cid", "amount": 1}
    for name in NAMES:
        keyed = {"X-User": "ann", "Idempotency-Key": f"key-{name}"}
        client = app.test_client()
        response = client.post(f"{path}?{name}=bob", json={**sent, name: "bob"}, headers=keyed)
        assert response.status_code == 400
    assert kept(app) == before


def test_a_page_of_the_history_has_an_end(app: Flask) -> None:
    assert ask(app, "ann", "/coins/api/history?limit=101").status_code == 400
    assert ask(app, "ann", "/coins/api/history?limit=100").status_code == 200


# -- stored text ----------------------------------------------------------------------------------


@pytest.mark.parametrize("endpoint", ROUTES)
@pytest.mark.parametrize("role", ["ann", "root"])
def test_stored_text_is_never_markup(app: Flask, endpoint: str, role: str) -> None:
    response = ask(app, role, ROUTES[endpoint][1])
    if response.mimetype == "text/html":
        assert EVIL not in response.text
        assert "<img src=x" not in response.text
    assert response.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("endpoint", ROUTES)
def test_what_is_asked_for_is_never_markup(app: Flask, endpoint: str) -> None:
    path = ROUTES[endpoint][1].partition("?")[0]
    for name in (*NAMES, *FILTERS, "note", "amount", "entry", "hold", "window"):
        response = ask(app, "root", f"{path}?{name}={quote(EVIL)}")
        assert response.status_code < 500
        assert response.mimetype != "text/html" or EVIL not in response.text
        assert "<script" not in str(response.headers)


def test_stored_text_does_reach_the_pages(app: Flask) -> None:
    assert "&lt;script&gt;" in ask(app, "ann", "/coins/").text
    assert UNREADABLE in ask(app, "ann", "/coins/api/history").json["entries"][0]["reason"]
    assert f"{SECRET}-reason" in ask(app, "bob", "/coins/api/history").text
    assert SECRET in ask(app, "root", "/coins/admin/user?id=bob").text


@pytest.mark.parametrize("reason", ["a\r\nSet-Cookie: x=1", "a\nb", "a\x00b"])
def test_no_line_breaks_are_kept(app: Flask, reason: str) -> None:
    with app.test_request_context(), pytest.raises(InvalidInput):
        app.extensions["coins"].movement("ann", 1, reason)
