"""What the example answers to those who watch it, and what every answer of it forbids."""

from __future__ import annotations

from pathlib import Path

import pytest

from example_app import create_app
from example_app.replay import CONFIG


def test_it_is_well_while_the_database_answers() -> None:
    response = create_app(CONFIG).test_client().get("/healthz")
    assert (response.status_code, response.json) == (200, {"status": "ok", "database": "answers"})


def test_it_is_unwell_without_its_database(tmp_path: Path) -> None:
    config = {**CONFIG, "SQLALCHEMY_DATABASE_URI": f"sqlite:///{tmp_path}/none/app.sqlite3"}
    response = create_app(config).test_client().get("/healthz")
    assert response.status_code == 503
    assert response.json == {"status": "unavailable", "database": "does not answer"}


def test_without_a_secret_key_nothing_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SECRET_KEY", raising=False)
    monkeypatch.delenv("FLASK_DEBUG", raising=False)
    client = create_app({"SQLALCHEMY_DATABASE_URI": "sqlite://"}).test_client()
    for path in ("/login", "/healthz"):
        assert client.get(path).status_code == 500
    monkeypatch.setenv("FLASK_DEBUG", "1")
    client = create_app({"SQLALCHEMY_DATABASE_URI": "sqlite://"}).test_client()
    assert client.get("/healthz").status_code == 200


def test_every_answer_restricts_what_a_browser_may_load() -> None:
    client = create_app(CONFIG).test_client()
    for path in ("/healthz", "/login", "/nowhere", "/coins/api/balance"):
        policy = client.get(path).headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'self';")
