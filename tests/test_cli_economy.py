"""The commands for leaderboards and figures: tables for people, and one JSON document for programs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import Result
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.pool import StaticPool

from flask_coins import Coins

from .apps import create_app


@pytest.fixture
def app(db: SQLAlchemy, coins: Coins) -> Iterator[Flask]:
    """On SQLite alone; Ann and Bob were paid, Bob is hidden, and Ann has spent."""
    app = create_app(
        "sqlite://",
        db,
        coins,
        SQLALCHEMY_ENGINE_OPTIONS={"poolclass": StaticPool},
        COINS_BUDGETS=[{"most": 90, "window": "day", "per": "app"}],
    )
    coins.user_names_loader(lambda user_ids: {"ann": "Ann"})
    with app.app_context():
        db.create_all()
        coins.award("ann", 30, "goal")
        coins.award("bob", 50, "quiz")
        coins.award("cid", 5, "quiz")
        coins.spend("ann", 10, "hat")
        coins.hide_from_leaderboard("bob")
        db.session.commit()
    yield app
    with app.app_context():
        db.engine.dispose()


def run(app: Flask, *args: str) -> Result:
    return app.test_cli_runner().invoke(args=["coins", *args])


def read(app: Flask, *args: str) -> Any:
    return json.loads(run(app, *args, "--json").stdout)


def test_the_leaderboard_is_a_table(app: Flask) -> None:
    assert run(app, "leaderboard").stdout.splitlines() == [
        "rank  user  name  score",
        "   1  ann   Ann      30",
        "   2  cid   -         5",
    ]
    assert run(app, "leaderboard", "--currency", "gems").stdout == "Nobody has a place.\n"


def test_the_leaderboard_is_a_document(app: Flask) -> None:
    options = ("--window", "week", "--reason", "quiz", "--limit", "1")
    assert read(app, "leaderboard", *options) == {
        "window": "week",
        "currency": "coins",
        "places": [{"rank": 1, "user": "cid", "name": None, "score": 5}],
    }


def test_figures_are_tables(app: Flask) -> None:
    totals, days, reasons, earners, budgets = run(app, "stats").stdout.split("\n\n")
    assert "minted          85\n" in totals
    assert "in circulation  75\n" in totals
    assert days.splitlines()[1].split() == ["2026-11-22", "85", "10", "0", "0", "0"]
    assert [line.split()[0] for line in reasons.splitlines()[1:]] == ["quiz", "goal", "hat"]
    assert [line.split()[1] for line in earners.splitlines()[1:]] == ["bob", "ann", "cid"]
    assert budgets.splitlines()[1].split() == ["-", "day", "85", "90"]


def test_figures_are_a_document(app: Flask) -> None:
    found = read(app, "stats", "--since", "2026-11-22", "--until", "2026-11-22T12:00:00.000001Z")
    assert (found["since"], found["until"]) == (
        "2026-11-22T00:00:00Z",
        "2026-11-22T12:00:00.000001Z",
    )
    assert found["total"]["net"] == found["now"]["in_circulation"] == 75
    assert found["days"][0]["day"] == "2026-11-22"
    assert found["budgets"][0]["end"] == "2026-11-23T00:00:00Z"


def test_of_nothing_there_are_totals_alone(app: Flask) -> None:
    assert "\n\n" not in run(app, "stats", "--currency", "gems").stdout
    assert read(app, "stats", "--until", "2026-11-21")["days"] == []


@pytest.mark.parametrize("given", ["yesterday", "2026-13-01", "2026-11-22T12:00"])
def test_a_bound_is_a_day_or_a_moment_with_an_offset(app: Flask, given: str) -> None:
    result = run(app, "stats", "--since", given)
    assert result.exit_code == 2
    assert "--since is a day or a moment such as" in result.output
