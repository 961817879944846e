"""The log: every record says what happened in fields for machines, and none names a user."""

from __future__ import annotations

import ast
import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from flask_sqlalchemy import SQLAlchemy

import flask_coins
from flask_coins import CoinBalance, Coins, award_once, charge, signals
from flask_coins._logs import nameless

from .apps import create_app

ANN, SUBJECT, KEY = "ann@example.org", "secret-7", "key-8"

db, coins = SQLAlchemy(), Coins()
coins.current_user_loader(lambda: ANN)


@pytest.fixture
def app() -> Flask:
    app = create_app("sqlite://", db, coins, TESTING=False)
    app.logger.setLevel("INFO")
    with app.app_context():
        db.create_all()
        coins.award(ANN, 50, "quest", subject=SUBJECT, idempotency_key=KEY)
        db.session.commit()
    return app


def twice(*_: object, **__: object) -> None:
    """Fail as a duplicate key does: the statement has the user's id as a parameter."""
    row = sa.insert(CoinBalance.__table__).values(user_id=ANN, currency="coins", balance=0)
    db.session.execute(row)


def missing(*_: object, **__: object) -> None:
    """Fail as a missing table does."""
    db.session.execute(sa.text("SELECT 1 FROM nowhere WHERE name = :name"), {"name": ANN})


def visit(app: Flask, view: Callable[[], str]) -> None:
    app.post("/view")(view)
    app.test_client().post("/view")


def not_paid(app: Flask, cause: Callable[..., Any]) -> None:
    visit(app, award_once(cause, "goal", subject=SUBJECT)(lambda: "done"))


def receiver(app: Flask, cause: Callable[..., Any]) -> None:
    signals.coins_awarded.connect(cause, app)
    with app.app_context():
        coins.award(ANN, 5, "goal", subject=SUBJECT)
        db.session.commit()


async def asleep(*_: object, **__: object) -> None:
    """A receiver that is not run."""


def hold_not_released(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    @charge(5, "hint", subject=SUBJECT)
    def view() -> str:
        monkeypatch.setattr("flask_coins._moves.release", twice)
        raise RuntimeError

    app.config["PROPAGATE_EXCEPTIONS"] = True
    with pytest.raises(RuntimeError):
        visit(app, view)


def cannot_answer(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    with app.app_context():
        db.drop_all()
    app.test_client().get("/coins/api/balance")


def watcher_failed(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    app.extensions["coins"].watchers.append(twice)
    with app.app_context():
        coins.award(ANN, 1, "bet", subject=SUBJECT)
        db.session.commit()


PATHS = {
    "not_paid": lambda app, patch: not_paid(app, twice),
    "not_paid ": lambda app, patch: not_paid(app, missing),
    "receiver_failed": lambda app, patch: receiver(app, twice),
    "receiver_not_run": lambda app, patch: receiver(app, asleep),
    "hold_not_released": hold_not_released,
    "cannot_answer": cannot_answer,
    "watcher_failed": watcher_failed,
}


class Shown(logging.Handler):
    """Keeps records, and all of each as a formatter would write it."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)
        self.text += f"{self.format(record)}\n{vars(record)}\n"


@pytest.fixture
def shown(app: Flask) -> Iterator[Shown]:
    handler = Shown()
    app.logger.addHandler(handler)
    yield handler
    app.logger.removeHandler(handler)


@pytest.mark.parametrize("event", PATHS)
def test_a_record_names_nobody(
    app: Flask, shown: Shown, event: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    PATHS[event](app, monkeypatch)
    assert event.strip() in [vars(record)["coins_event"] for record in shown.records]
    for name in (ANN, SUBJECT, KEY):
        assert name not in shown.text


def test_the_fields_tell_what_it_was_about(app: Flask, shown: Shown) -> None:
    not_paid(app, twice)
    (record,) = shown.records
    fields = {name: value for name, value in vars(record).items() if name.startswith("coins_")}
    assert fields == {
        "coins_event": "not_paid",
        "coins_reason": "goal",
        "coins_currency": "coins",
        "coins_outcome": "failed",
    }
    assert record.name == app.logger.name


def test_a_traceback_still_shows_the_way(app: Flask, shown: Shown) -> None:
    not_paid(app, missing)
    assert "no such table: nowhere" in shown.text
    assert "test_logs.py" in shown.text


def test_causes_lose_the_values_of_their_rows_too(app: Flask) -> None:
    with app.app_context(), pytest.raises(RuntimeError) as caught:  # noqa: PT012
        try:
            twice()
        except sa.exc.IntegrityError as error:
            raise RuntimeError("no more") from error
    formatted = logging.Formatter().formatException(
        (RuntimeError, nameless(caught.value), caught.value.__traceback__)
    )
    assert "IntegrityError in: INSERT INTO coin_balance" in formatted
    assert ANN not in formatted


def test_a_warning_of_lost_coins_names_nobody(app: Flask) -> None:
    with pytest.warns(flask_coins.CoinsWarning, match=r"\(goal\)") as caught, app.app_context():
        coins.award(ANN, 5, "goal", subject=SUBJECT)
    assert ANN not in str(caught[0].message)


def calls_to_a_log() -> Iterator[tuple[str, ast.Call]]:
    for path in sorted(Path(flask_coins.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                owner = node.func.value
                if isinstance(owner, ast.Attribute) and owner.attr == "logger":
                    yield f"{path.name}:{node.lineno}", node


def test_every_record_has_fields() -> None:
    found = dict(calls_to_a_log())
    assert len(found) >= 9
    for place, call in found.items():
        assert "extra" in {keyword.arg for keyword in call.keywords}, place


def test_every_event_is_in_the_docs() -> None:
    page = (Path(__file__).parents[1] / "docs" / "watching.md").read_text(encoding="utf-8")
    package = Path(flask_coins.__file__).parent
    written = "".join(path.read_text(encoding="utf-8") for path in package.rglob("*.py"))
    events = set(re.findall(r'(?:fields|_told_of)\([^()"]*"(\w+)"', written))
    assert len(events) >= 9
    assert [event for event in events if f"`{event}`" not in page] == []
