"""No form is sent for somebody else, whether the host has Flask-WTF or not."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask, render_template_string
from flask.testing import FlaskClient
from flask_sqlalchemy import SQLAlchemy
from flask_wtf import CSRFProtect

from flask_coins import Coins, CoinsError
from flask_coins.blueprint import _csrf

from .apps import create_app

HostMaker = Callable[..., Flask]


@pytest.fixture
def who() -> dict[str, Any]:
    return {"id": 7}


@pytest.fixture
def host(db: SQLAlchemy, coins: Coins, who: dict[str, Any]) -> HostMaker:
    """``host(**config)``: an app with a form at ``/``."""
    coins.current_user_loader(lambda: who["id"])

    def make(**config: Any) -> Flask:
        app = create_app("sqlite://", db, coins, **config)

        @app.get("/")
        def form() -> str:
            return render_template_string("{{ coins_csrf() }}")

        @app.post("/")
        def sent() -> str:
            _csrf.check()
            return "done"

        return app

    return make


@pytest.fixture
def client(host: HostMaker) -> FlaskClient:
    return host().test_client()


def fields(client: FlaskClient) -> dict[str, str]:
    """What a browser would send back of the form."""
    found = re.findall(r'type="hidden" name="(.+?)" value="(.+?)"', client.get("/").text)
    assert len(found) == 1
    return dict(found)


def test_a_form_of_this_session_is_taken_as_often_as_it_is_sent(client: FlaskClient) -> None:
    sent = fields(client)
    assert client.post("/", data=sent).text == "done"
    assert client.post("/", data=sent).text == "done"


@pytest.mark.parametrize("token", ["", ".", "a.b", "é", "\0", "." + 64 * "0"])
def test_a_made_up_token_is_refused_with_what_to_do(client: FlaskClient, token: str) -> None:
    client.get("/")
    refused = client.post("/", data={"coins_csrf": token})
    assert refused.status_code == 400
    assert "reload the page" in refused.text


def test_a_token_without_a_session_is_refused(host: HostMaker) -> None:
    app = host()
    sent = fields(app.test_client())
    assert app.test_client().post("/", data=sent).status_code == 400


def test_a_token_of_another_session_is_refused(host: HostMaker) -> None:
    app = host()
    sent, other = fields(app.test_client()), app.test_client()
    other.get("/")
    assert other.post("/", data=sent).status_code == 400


def test_a_token_from_before_somebody_else_logged_in_is_refused(
    client: FlaskClient, who: dict[str, Any]
) -> None:
    sent = fields(client)
    who["id"] = 8
    assert client.post("/", data=sent).status_code == 400


def test_a_token_made_under_another_secret_is_refused(host: HostMaker) -> None:
    app = host()
    client = app.test_client()
    sent = fields(client)
    with client.session_transaction() as session:
        kept = dict(session)
    app.secret_key = "another"
    with client.session_transaction() as session:
        session.update(kept)
    assert client.post("/", data=sent).status_code == 400


def test_each_page_shows_another_text(client: FlaskClient) -> None:
    # Else its letters could be guessed one by one from the sizes of compressed pages.
    assert fields(client) != fields(client)


def test_a_secret_of_bytes_does(host: HostMaker) -> None:
    client = host(SECRET_KEY=b"\xff\x00").test_client()
    assert client.post("/", data=fields(client)).text == "done"


def test_without_a_secret_the_page_says_what_to_set(host: HostMaker) -> None:
    client = host(SECRET_KEY=None).test_client()
    with pytest.raises(CoinsError, match="SECRET_KEY"):
        client.get("/")
    assert client.post("/", data={"coins_csrf": "a.b"}).status_code == 400


# -- with Flask-WTF -------------------------------------------------------------------------------


@pytest.fixture
def guarded(host: HostMaker) -> Flask:
    """A host that lets Flask-WTF protect only what asks for it."""
    app = host(WTF_CSRF_CHECK_DEFAULT=False)
    CSRFProtect(app)
    return app


def test_flask_wtf_s_own_field_is_used_and_asked(guarded: Flask) -> None:
    client = guarded.test_client()
    sent = fields(client)
    assert sent.keys() == {"csrf_token"}
    assert client.post("/", data=sent).text == "done"


def test_what_flask_wtf_refuses_is_refused_with_what_to_do(guarded: Flask) -> None:
    refused = guarded.test_client().post("/")
    assert refused.status_code == 400
    assert "The CSRF token is missing. Nothing was changed." in refused.text


def test_a_host_whose_tests_turn_flask_wtf_off_needs_no_token(guarded: Flask) -> None:
    guarded.config["WTF_CSRF_ENABLED"] = False
    assert guarded.test_client().post("/").text == "done"
