"""The JSON API: the current user's coins, nobody else's, and errors as problems."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask, Response, abort, g, json
from flask.testing import FlaskClient
from flask_login import LoginManager
from flask_sqlalchemy import SQLAlchemy
from werkzeug.exceptions import HTTPException
from werkzeug.test import TestResponse

from flask_coins import Coins, CoinsError, award, award_once
from flask_coins.windows import Between

from .apps import Clock
from .held import HeldClient
from .statements import statements

PATHS = ["/coins/api/balance", "/coins/api/history", "/coins/api/rewards"]
Who = dict[str, Any]


@pytest.fixture
def our_pages() -> str:
    return "/coins"


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """SQLite alone: what is sent to the database is claimed elsewhere."""
    return f"sqlite:///{tmp_path / 'host.sqlite3'}"


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """A browser that holds each answer to what describes it."""
    app.test_client_class = HeldClient
    return app.test_client()


@pytest.fixture
def paid(app: Flask, db: SQLAlchemy, coins: Coins, who: Who, clock: Clock) -> None:
    """Users 7 and 8 with three entries each, by turns."""
    with app.app_context():
        for amount in (10, 20, 30):
            for user in (7, 8):
                coins.award(user, amount + user, f"r{amount}")
            clock.forward(minutes=1)
        db.session.commit()


def problem(response: TestResponse) -> dict[str, Any]:
    """The members of a problem, which must be one by its headers too."""
    assert response.content_type == "application/problem+json"
    assert response.json is not None
    assert response.json["status"] == response.status_code
    return dict(response.json)


def figures(balance: int, available: int, currency: str = "coins") -> dict[str, Any]:
    """The answer to ``GET /coins/api/balance``."""
    held = balance - available
    return {"balance": balance, "available": available, "held": held, "currency": currency}


def rewards_of(client: FlaskClient) -> dict[str, Any]:
    """The rewards of the current user, by reason."""
    return {each["reason"]: each for each in client.get("/coins/api/rewards").json["rewards"]}


# -- what is there --------------------------------------------------------------------------------


@pytest.mark.usefixtures("paid")
def test_balance(client: FlaskClient) -> None:
    assert client.get("/coins/api/balance").json == figures(81, 81)


def test_what_is_held_is_the_balance_without_what_is_available(
    app: Flask, client: FlaskClient, db: SQLAlchemy, coins: Coins, who: Who
) -> None:
    with app.app_context():
        coins.award(who["id"], 30)
        coins.hold(who["id"], 10, "raffle")
        coins.hold(who["id"], 15, "raffle", expires_in=timedelta(minutes=1))
        db.session.commit()
    assert client.get("/coins/api/balance").json == figures(30, 5)


def test_who_never_had_coins_has_none(client: FlaskClient, who: Who) -> None:
    who["id"] = "student:1"
    assert client.get("/coins/api/balance").json == figures(0, 0)
    assert client.get("/coins/api/history").json == {"entries": [], "next": None}


def test_currencies_are_apart(
    client: FlaskClient, app: Flask, db: SQLAlchemy, coins: Coins, who: Who
) -> None:
    with app.app_context():
        coins.award(who["id"], 5, "found", currency="gems")
        db.session.commit()
    assert client.get("/coins/api/balance?currency=gems").json["balance"] == 5
    assert len(client.get("/coins/api/history?currency=gems").json["entries"]) == 1
    assert client.get("/coins/api/history").json["entries"] == []


def test_an_entry_has_texts_for_ids_and_the_moment_in_utc(
    client: FlaskClient, app: Flask, db: SQLAlchemy, coins: Coins, who: Who
) -> None:
    with app.app_context():
        coins.award(who["id"], 9, "other")
        receipt = coins.spend(who["id"], 4, "hat", subject="red", details={"note": "ours"})
        db.session.commit()
    assert client.get("/coins/api/history?limit=1").json["entries"] == [
        {
            "id": str(receipt.entry.id),
            "amount": -4,
            "balance_after": 5,
            "reason": "hat",
            "subject": "red",
            "currency": "coins",
            "created_at": "2026-11-22T12:00:00Z",
        }
    ]


@pytest.mark.usefixtures("paid")
def test_pages_show_each_entry_once_newest_first(client: FlaskClient) -> None:
    first = client.get("/coins/api/history?limit=2").json
    second = client.get(f"/coins/api/history?limit=2&before={first['next']}").json
    shown = [entry["reason"] for entry in first["entries"] + second["entries"]]
    assert shown == ["r30", "r20", "r10"]
    assert isinstance(first["next"], str)
    assert second["next"] is None


@pytest.mark.usefixtures("paid")
def test_a_full_last_page_is_the_last(client: FlaskClient) -> None:
    page = client.get("/coins/api/history?limit=3").json
    assert (len(page["entries"]), page["next"]) == (3, None)


def test_rewards_tell_what_is_paid_and_when_it_opens(
    app: Flask, client: FlaskClient, db: SQLAlchemy, coins: Coins, who: Who
) -> None:
    daily = award_once(15, "daily_goal", "day")
    season = award_once(5, "season", Between("later", datetime(2030, 1, 1), datetime(2030, 2, 1)))
    app.add_url_rule("/a", "a", daily(lambda: "a"))
    app.add_url_rule("/b", "b", award(3, "bonus")(lambda: "b"))
    app.add_url_rule("/c", "c", season(lambda: "c"))
    app.add_url_rule("/d/<n>", "d", award_once(9, "each", subject="{n}")(lambda n: n))
    with app.app_context():
        daily.pay(who["id"])
        db.session.commit()
    found = {reason: (it["state"], it["opens_at"]) for reason, it in rewards_of(client).items()}
    assert {reason: found[reason] for reason in ("daily_goal", "bonus", "season", "each")} == {
        "daily_goal": ("paid", "2026-11-23T00:00:00Z"),
        "bonus": ("open", None),
        "season": ("not_open", "2030-01-01T00:00:00Z"),
        "each": ("varies", None),
    }


def test_a_reward_says_what_it_pays(app: Flask, client: FlaskClient, who: Who) -> None:
    rule = award_once(15, "weekly_goal", "week", limit=2, subject="easy")
    app.add_url_rule("/goal", "goal", rule(lambda: "done"))
    assert rewards_of(client)["weekly_goal"] == {
        "reason": "weekly_goal",
        "amount": 15,
        "amounts": [],
        "currency": "coins",
        "window": "week",
        "limit": 2,
        "subject": "easy",
        "state": "open",
        "opens_at": None,
        "times": 0,
        "left": None,
    }


# -- nobody else's --------------------------------------------------------------------------------


@pytest.mark.usefixtures("paid")
@pytest.mark.parametrize("name", ["user", "user_id", "id", "users"])
def test_no_parameter_names_a_user(client: FlaskClient, name: str) -> None:
    assert client.get(f"/coins/api/balance?{name}=8").json["balance"] == 81
    entries = client.get(f"/coins/api/history?{name}=8").json["entries"]
    assert [entry["amount"] for entry in entries] == [37, 27, 17]


@pytest.mark.usefixtures("paid")
def test_a_cursor_of_somebody_else_shows_only_ones_own(client: FlaskClient, who: Who) -> None:
    cursor = client.get("/coins/api/history?limit=1").json["next"]
    who["id"] = 8
    entries = client.get(f"/coins/api/history?before={cursor}").json["entries"]
    assert [entry["amount"] for entry in entries] == [28, 18]


@pytest.mark.parametrize("path", PATHS)
def test_no_shared_cache_keeps_an_answer(client: FlaskClient, who: Who, path: str) -> None:
    kept = "no-cache" if path.endswith("balance") else "no-store"
    response = client.get(path)
    assert response.headers["Cache-Control"] == f"private, {kept}"
    assert response.vary.as_set() == {"cookie", "authorization"}
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    who["id"] = None
    assert client.get(path).headers["Cache-Control"] == "private, no-store"


def test_an_unchanged_balance_is_not_sent_again(
    app: Flask, client: FlaskClient, db: SQLAlchemy, coins: Coins, who: Who
) -> None:
    known = {"If-None-Match": client.get("/coins/api/balance").headers["ETag"]}
    for method in ("GET", "HEAD"):
        response = client.open("/coins/api/balance", method=method, headers=known)
        assert (response.status_code, response.data) == (304, b"")
        assert response.headers["ETag"] == known["If-None-Match"]
        assert response.headers["Cache-Control"] == "private, no-cache"
    with app.app_context():
        coins.award(who["id"], 1)
        db.session.commit()
    assert client.get("/coins/api/balance", headers=known).json == figures(1, 1)


def test_static_files_may_be_kept(client: FlaskClient) -> None:
    with client.get("/coins/static/coins.css") as response:
        assert response.status_code == 200
        assert "private" not in response.headers["Cache-Control"]


# -- problems -------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PATHS)
def test_nobody_is_logged_in(client: FlaskClient, who: Who, path: str) -> None:
    who["id"] = None
    response = client.get(path + "?limit=wrong")
    assert problem(response) == {
        "type": "about:blank",
        "title": "Unauthorized",
        "status": 401,
        "detail": "Nobody is logged in.",
        "code": "anonymous",
    }


def test_flask_logins_anonymous_user_is_nobody(app: Flask, client: FlaskClient) -> None:
    LoginManager(app).user_loader(lambda user_id: None)
    assert problem(client.get("/coins/api/balance"))["code"] == "anonymous"


@pytest.mark.parametrize(
    ("query", "name", "allowed"),
    [
        ("limit=0", "limit", "1 to 100"),
        ("limit=101", "limit", "1 to 100"),
        ("limit=", "limit", "1 to 100"),
        ("limit=ten", "limit", "1 to 100"),
        ("limit=%D9%A3", "limit", "1 to 100"),
        ("before=-1", "before", "from 1"),
        ("before=9223372036854775808", "before", "9223372036854775807"),
        (f"before={'9' * 5000}", "before", "from 1"),
        ("currency=", "currency", "1 to 16 characters"),
        ("currency=%00", "currency", "control characters"),
    ],
)
def test_bad_parameters_are_named_with_what_is_allowed(
    client: FlaskClient, who: Who, query: str, name: str, allowed: str
) -> None:
    found = problem(client.get(f"/coins/api/history?{query}"))
    assert (found["status"], found["code"], found["parameter"]) == (400, "invalid_parameter", name)
    assert allowed in found["detail"]


def test_without_any_loader_the_problem_shows_one(client: FlaskClient) -> None:
    found = problem(client.get("/coins/api/balance"))
    assert (found["status"], found["code"]) == (500, "no_user_loader")
    assert "@coins.current_user_loader" in found["detail"]


@pytest.mark.parametrize("path", PATHS)
def test_missing_tables_are_told_with_the_command(
    app: Flask, client: FlaskClient, db: SQLAlchemy, who: Who, path: str
) -> None:
    app.add_url_rule("/goal", "goal", award_once(15, "daily_goal")(lambda: "done"))
    app.after_request(lambda response: response if db.session.scalar(sa.text("SELECT 1")) else 1)
    with app.app_context():
        db.drop_all()
    found = problem(client.get(path))
    assert (found["status"], found["code"]) == (503, "missing_tables")
    assert "flask db upgrade" in found["detail"]


def test_a_wrong_loader_is_the_servers_fault(client: FlaskClient, coins: Coins) -> None:
    coins.current_user_loader(object)
    found = problem(client.get("/coins/api/balance"))
    assert (found["status"], found["code"]) == (500, "not_set_up")
    assert "coins_id" in found["detail"]


@pytest.mark.parametrize(
    ("loader", "code", "secret"),
    [(None, "no_user_loader", "current_user"), (lambda: {"ada@example.org"}, "not_set_up", "ada")],
)
def test_what_lies_in_the_hosts_code_is_told_to_developers_only(
    make_app: Callable[..., Flask],
    coins: Coins,
    caplog: pytest.LogCaptureFixture,
    loader: Callable[[], Any] | None,
    code: str,
    secret: str,
) -> None:
    if loader:
        coins.current_user_loader(loader)
    app = make_app(TESTING=False)
    found = problem(app.test_client().get("/coins/api/balance"))
    assert (found["status"], found["code"]) == (500, code)
    assert "log" in found["detail"]
    assert secret not in str(found)
    assert secret in caplog.text
    app.testing = True
    assert secret in problem(app.test_client().get("/coins/api/balance"))["detail"]


def test_a_crash_is_a_problem_that_tells_nothing(make_app: Callable[..., Flask], who: Who) -> None:
    del who["id"]
    client = make_app(TESTING=False).test_client()
    found = problem(client.get("/coins/api/balance"))
    assert (found["status"], found["code"]) == (500, "internal_server_error")


def catch_all(app: Flask) -> None:
    app.register_error_handler(Exception, lambda error: ("the host's page", 500))


def test_a_crash_is_none_of_the_hosts_pages(
    make_app: Callable[..., Flask], who: Who, caplog: pytest.LogCaptureFixture
) -> None:
    app = make_app(TESTING=False)
    catch_all(app)
    del who["id"]
    found = problem(app.test_client().get("/coins/api/balance"))
    assert (found["status"], found["code"]) == (500, "internal_server_error")
    assert "KeyError" in caplog.text


def test_a_crash_reaches_a_test(app: Flask, client: FlaskClient, who: Who) -> None:
    catch_all(app)
    del who["id"]
    with pytest.raises(KeyError):
        client.get("/coins/api/balance")


def test_a_handler_for_an_error_of_the_hosts_own_is_asked(app: Flask, coins: Coins) -> None:
    class Error(Exception):
        pass

    class NotPaired(Error):
        pass

    def fail() -> None:
        raise NotPaired

    catch_all(app)
    app.register_error_handler(Error, lambda error: ("Pair your device.", 403))
    coins.current_user_loader(fail)
    response = app.test_client().get("/coins/api/balance")
    assert (response.status_code, response.text) == (403, "Pair your device.")


def test_an_error_with_a_status_of_the_hosts_own_is_a_problem(
    app: Flask, client: FlaskClient
) -> None:
    class Asleep(HTTPException):
        code = 499
        description = "Asleep."

    def fail() -> None:
        raise Asleep

    app.before_request(fail)
    found = problem(client.get("/coins/api/balance"))
    assert (found["status"], found["detail"]) == (499, "Asleep.")


def test_a_response_that_the_host_aborts_with_is_sent(app: Flask) -> None:
    own = Response("Who are you?", 401, {"WWW-Authenticate": "Basic"})
    app.before_request(lambda: abort(401, response=own))
    response = app.test_client().get("/coins/api/balance")
    assert (response.status_code, response.text) == (401, "Who are you?")
    assert response.headers["WWW-Authenticate"] == "Basic"
    assert response.headers["Cache-Control"] == "private, no-store"


def test_what_the_host_refuses_is_a_problem_too(app: Flask, client: FlaskClient) -> None:
    app.before_request(lambda: abort(403, "Not on Sundays."))
    app.register_error_handler(403, lambda error: ("the host's page", 403))
    found = problem(client.get("/coins/api/balance"))
    assert (found["code"], found["detail"]) == ("forbidden", "Not on Sundays.")


def test_the_hosts_errors_stay_its_own(app: Flask, client: FlaskClient) -> None:
    @app.get("/host")
    def host() -> str:
        raise CoinsError("the host's")

    assert client.get("/nowhere").content_type.startswith("text/html")
    with pytest.raises(CoinsError, match="the host's"):
        client.get("/host")


# -- how it is reached ----------------------------------------------------------------------------


@pytest.mark.parametrize("path", PATHS)
def test_head_is_answered_and_nothing_is_written_to(
    client: FlaskClient, who: Who, path: str
) -> None:
    assert client.head(path).status_code == 200
    for method in ("POST", "PUT", "PATCH", "DELETE", "TRACE"):
        response = client.open(path, method=method)
        assert problem(response)["code"] == "method_not_allowed"
        assert response.status_code == 405
        assert response.allow.as_set() == {"get", "head", "options"}
        assert response.headers["Cache-Control"] == "private, no-store"


@pytest.mark.parametrize("path", PATHS)
def test_options_are_told_without_a_user(client: FlaskClient, path: str) -> None:
    response = client.options(path)
    assert (response.status_code, response.data) == (200, b"")
    assert response.allow.as_set() == {"get", "head", "options"}


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
@pytest.mark.parametrize("path", ["", "/", "/nope", "/balance/", "/balance/7", "/Balance"])
def test_a_path_that_is_not_there_is_a_problem(
    app: Flask, client: FlaskClient, method: str, path: str
) -> None:
    catch_all(app)
    response = client.open(f"/coins/api{path}", method=method)
    found = problem(response)
    assert (found["status"], found["code"]) == (404, "not_found")
    assert response.headers["Cache-Control"] == "private, no-store"


def test_a_wrong_method_is_none_of_the_hosts_pages(app: Flask, client: FlaskClient) -> None:
    catch_all(app)
    app.register_error_handler(405, lambda error: ("the host's page", 405))
    assert problem(client.post("/coins/api/balance"))["code"] == "method_not_allowed"


def test_its_own_routes_do_not_overlap(app: Flask, client: FlaskClient, who: Who) -> None:
    result = app.test_cli_runner().invoke(args=["coins", "doctor", "--json"])
    checks = {each["name"]: each["faults"] for each in json.loads(result.stdout)["checks"]}
    assert checks["routes"] == []
    app.debug = True
    assert client.get("/coins/api/balance").status_code == 200


@pytest.mark.usefixtures("paid")
@pytest.mark.parametrize("path", PATHS)
def test_reading_writes_nothing(app: Flask, client: FlaskClient, db: SQLAlchemy, path: str) -> None:
    app.add_url_rule("/goal", "goal", award_once(15, "daily_goal")(lambda: "done"))
    with app.app_context(), statements(db.engine) as seen:
        assert client.get(path).status_code == 200
    assert seen
    assert all(words.startswith("SELECT") for words in seen)


def test_a_host_may_register_it_elsewhere(
    make_app: Callable[..., Flask], coins: Coins, who: Who
) -> None:
    app = make_app(COINS_URL_PREFIX=None)
    app.register_blueprint(coins.blueprint, url_prefix="/wallet")
    assert app.test_client().get("/wallet/api/balance").status_code == 200
    assert app.test_client().get("/coins/api/balance").status_code == 404


def test_two_apps_share_one_extension(make_app: Callable[..., Flask], coins: Coins) -> None:
    apps = [make_app(), make_app(COINS_URL_PREFIX="/purse")]
    coins.current_user_loader(lambda: g.me)
    for app, prefix in zip(apps, ("/coins", "/purse"), strict=True):
        app.before_request(lambda: g.setdefault("me", 7) and None)
        assert app.test_client().get(f"{prefix}/api/history").json["entries"] == []


def test_an_app_that_was_forgotten_says_so(coins: Coins) -> None:
    app = Flask("forgotten")
    app.debug = True
    app.register_blueprint(coins.blueprint, url_prefix="/coins")
    found = problem(app.test_client().get("/coins/api/balance"))
    assert found["code"] == "not_set_up"
    assert "init_app" in found["detail"]
