"""The API's description: held to the routes, to the settings, and to the standard."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from jsonschema import Draft202012Validator

from flask_coins import Coins

from .apps import create_app

EVERYTHING = {"COINS_API_PRICES": {"hint": 5}}


@pytest.fixture
def coins() -> Coins:
    coins = Coins()
    coins.recipient_loader(lambda name: None)
    return coins


@pytest.fixture
def app(coins: Coins) -> Flask:
    return create_app("sqlite://", SQLAlchemy(), coins, **EVERYTHING)


def described(app: Flask, path: str = "/coins/api/openapi.json", **more: Any) -> dict[str, Any]:
    found = app.test_client().get(path, **more).json
    assert found is not None
    return dict(found)


def test_each_route_is_described_and_each_description_has_a_route(app: Flask) -> None:
    routes = {
        (route.rule.removeprefix("/coins/api"), method.lower())
        for route in app.url_map.iter_rules()
        if route.endpoint.startswith("coins.api_") and route.endpoint != "coins.api_other"
        for method in (route.methods or set()) - {"HEAD", "OPTIONS"}
    }
    paths = described(app)["paths"]
    assert {(path, method) for path, methods in paths.items() for method in methods} == routes


def test_it_is_openapi(app: Flask) -> None:
    validator = pytest.importorskip("openapi_spec_validator", reason="needs the extra 'openapi'")
    validator.validate(described(app))


def test_its_schemas_are_schemas(app: Flask) -> None:
    for schema in described(app)["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_every_operation_has_a_name_of_its_own(app: Flask) -> None:
    paths = described(app)["paths"].values()
    names = [each["operationId"] for methods in paths for each in methods.values()]
    assert len(names) == len(set(names))


def test_what_is_not_turned_on_is_not_described() -> None:
    paths = described(create_app("sqlite://", SQLAlchemy(), Coins()))["paths"]
    assert not {"/spend", "/prices", "/transfer"} & paths.keys()
    assert "/balance" in paths


def test_it_has_the_real_prefix(coins: Coins) -> None:
    app = create_app("sqlite://", SQLAlchemy(), coins, COINS_URL_PREFIX=None)
    app.register_blueprint(coins.blueprint, name="purse", url_prefix="/my/purse")
    path = "/my/purse/api/openapi.json"
    assert described(app, path)["servers"] == [{"url": "/my/purse/api"}]
    below = {"SCRIPT_NAME": "/app"}
    assert described(app, path, environ_overrides=below)["servers"][0]["url"] == "/app/my/purse/api"


def test_it_names_the_cookie_of_the_session(coins: Coins) -> None:
    app = create_app("sqlite://", SQLAlchemy(), coins, SESSION_COOKIE_NAME="mine")
    assert described(app)["components"]["securitySchemes"]["session"]["name"] == "mine"


def test_anybody_may_read_it_and_keep_it(app: Flask) -> None:
    client = app.test_client()
    first = client.get("/coins/api/openapi.json")
    assert (first.status_code, first.headers["Cache-Control"]) == (200, "no-cache")
    assert "Vary" not in first.headers
    again = client.get("/coins/api/openapi.json", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")


def test_it_tells_nothing_of_prices(app: Flask) -> None:
    assert "hint" not in app.test_client().get("/coins/api/openapi.json").text
