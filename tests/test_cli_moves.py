"""``flask coins transfer``, ``reverse`` and ``holds``."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import Result
from flask import Flask
from flask_sqlalchemy import SQLAlchemy

from flask_coins import Coins

from .apps import Clock

Run = Callable[..., Result]


@pytest.fixture
def run(app: Flask) -> Run:
    """``run("holds", "7")``: a command on ``app``; Ada has 50 coins."""

    def run(*args: str) -> Result:
        return app.test_cli_runner().invoke(args=["coins", *args])

    assert run("award", "ada", "50", "--reason", "quest").exit_code == 0
    return run


def document(result: Result) -> Any:
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return json.loads(result.stdout)


def balances(run: Run) -> list[int]:
    rows = document(run("balance", "ada", "bob", "--json"))["balances"]
    return [row["balance"] for row in rows]


def test_transfer_prints_the_senders_receipt_and_commits(run: Run) -> None:
    receipt = document(run("transfer", "ada", "bob", "20", "--subject", "gift", "--json"))
    assert (receipt["outcome"], receipt["user"], receipt["amount"]) == ("spent", "ada", -20)
    assert (receipt["reason"], receipt["subject"]) == ("transfer", "gift")
    assert balances(run) == [30, 20]


def test_a_key_makes_a_repeated_transfer_safe(run: Run) -> None:
    outcomes = [document(run("transfer", "ada", "bob", "20", "--key", "k", "--json")) for _ in "ab"]
    assert [each["outcome"] for each in outcomes] == ["spent", "replayed"]
    assert balances(run) == [30, 20]


@pytest.mark.parametrize(
    ("args", "status", "words"),
    [
        (("transfer", "ada", "bob", "51"), 1, "51 coins are needed, 50 are there"),
        (("transfer", "ada", "ada", "5"), 2, "two users"),
        (("transfer", "ada", "", "5"), 2, "1 to 64 characters"),
        (("reverse", "99"), 2, "There is no entry 99"),
        (("reverse", "1", "--amount", "51"), 2, "50 are left"),
        (("reverse", "0"), 2, "0"),
        (("holds",), 2, "Name a USER, or pass --expire"),
        (("holds", "ada", "--expire"), 2, "Name a USER, or pass --expire"),
    ],
)
def test_what_cannot_be_is_said_in_one_line_and_changes_nothing(
    run: Run, args: tuple[str, ...], status: int, words: str
) -> None:
    result = run(*args)
    assert (result.exit_code, words in result.output) == (status, True)
    assert balances(run) == [50, 0]


def test_reverse_takes_an_entry_back_in_parts(run: Run) -> None:
    part = document(run("reverse", "1", "--amount", "20", "--key", "k", "--json"))
    again = document(run("reverse", "1", "--amount", "20", "--key", "k", "--json"))
    rest = document(run("reverse", "1", "--reason", "fraud", "--json"))
    none = document(run("reverse", "1", "--json"))
    found = [(each["outcome"], each["amount"], each["user"]) for each in (part, again, rest, none)]
    assert found == [
        ("spent", -20, "ada"),
        ("replayed", -20, "ada"),
        ("spent", -30, "ada"),
        ("already", 0, "ada"),
    ]
    assert balances(run) == [0, 0]


def test_holds_are_listed_and_swept(
    run: Run, app: Flask, db: SQLAlchemy, coins: Coins, clock: Clock
) -> None:
    with app.app_context():
        coins.hold("ada", 10, "hat", subject="red", expires_in=timedelta(hours=1))
        coins.hold("ada", 5, "boots")
        db.session.commit()
    (first, second) = document(run("holds", "ada", "--json"))["holds"]
    assert (first["amount"], first["subject"], first["status"]) == (10, "red", "open")
    assert (first["expires_at"], second["expires_at"]) == ("2026-11-22T13:00:00Z", None)
    assert "boots" in run("holds", "ada").output
    clock.forward(hours=1)
    assert [each["reason"] for each in document(run("holds", "ada", "--json"))["holds"]] == [
        "boots"
    ]
    with app.app_context():
        held = sa.text("SELECT held FROM coin_balance")
        assert db.session.scalar(held) == 15
        assert document(run("holds", "--expire", "--json")) == {"users": 1}
        assert document(run("holds", "--expire", "--json")) == {"users": 0}
        db.session.rollback()
        assert db.session.scalar(held) == 5
    assert run("holds", "bob").output == "User bob has no open holds of coins.\n"
