"""What the tests of decorated views share: a visit, what was told of it, what was committed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from inspect import isfunction
from typing import Any

import sqlalchemy as sa
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import Mapped, mapped_column
from werkzeug.test import TestResponse

from flask_coins import Receipt
from flask_coins.signals import award_refused, coins_awarded, coins_spent


class Told(list[Receipt]):
    """The receipts that the signals carried, in order."""

    @property
    def outcomes(self) -> list[str]:
        """How each of them ended."""
        return [str(receipt.outcome) for receipt in self]


@contextmanager
def listening() -> Iterator[Told]:
    """Collect what every signal tells."""
    told = Told()

    def receive(sender: Flask, receipt: Receipt, user_id: str | None) -> None:
        told.append(receipt)

    with (
        coins_awarded.connected_to(receive),
        coins_spent.connected_to(receive),
        award_refused.connected_to(receive),
    ):
        yield told


def visit(
    app: Flask,
    rule: Callable[[Any], Any],
    answer: Any = "done",
    method: str = "POST",
    methods: Sequence[str] = ("POST",),
) -> TestResponse:
    """Send one request to a view under ``rule``, which returns ``answer`` or what it gives."""

    @app.route("/visit", methods=list(methods))
    @rule
    def view() -> Any:
        return answer() if isfunction(answer) else answer

    return app.test_client().open("/visit", method=method)


def committed(app: Flask) -> list[tuple[Any, ...]]:
    """The log as another connection sees it: user, amount, reason and subject of each row."""
    statement = "SELECT user_id, amount, reason, subject FROM coin_log ORDER BY id"
    return _rows(app, statement)


def notes(app: Flask) -> list[str]:
    """The host's own rows as another connection sees them."""
    return [text for (text,) in _rows(app, "SELECT text FROM note ORDER BY text")]


def _rows(app: Flask, statement: str) -> list[tuple[Any, ...]]:
    with app.app_context(), app.extensions["sqlalchemy"].engine.connect() as connection:
        return [tuple(row) for row in connection.execute(sa.text(statement))]


def define_note(db: SQLAlchemy) -> Any:
    """A model of the host's own."""

    class Note(db.Model):  # type: ignore[name-defined,misc]
        id: Mapped[int] = mapped_column(primary_key=True)
        text: Mapped[str] = mapped_column(sa.String(40), unique=True)

    return Note
