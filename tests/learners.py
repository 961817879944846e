"""The example app on an empty database, and what its learners do there."""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from example_app import create_app, seeds
from example_app.extensions import coins, db
from example_app.models import Boss, Paragraph, Question, User
from example_app.replay import CONFIG
from flask_coins.testing import travel

from .apps import Compiled

NOON = datetime(2026, 6, 3, 12, tzinfo=timezone.utc)
DAY, WEEK = timedelta(days=1), timedelta(weeks=1)


@contextmanager
def host() -> Iterator[Flask]:
    """The app, seeded; it is noon there."""
    app = create_app({**CONFIG, "TESTING": True})
    app.jinja_env.bytecode_cache = Compiled()
    with app.app_context():
        db.create_all()
        seeds.seed()
    with travel(app, NOON):
        yield app


def sign_up(app: Flask, name: str, **more: str) -> FlaskClient:
    client = app.test_client()
    form = {"name": name, "password": "lovelace1", "zone": "Europe/Berlin", **more}
    assert client.post("/signup", data=form).status_code == 303
    return client


def log_in(app: Flask, name: str, **more: str) -> int:
    form = {"name": name, "password": "lovelace1", **more}
    return app.test_client().post("/login", data=form).status_code


def user(app: Flask, name: str = "ada") -> User:
    with app.app_context():
        return db.session.scalars(select(User).where(User.name == name)).one()


def paid(app: Flask, name: str = "ada") -> Counter[str]:
    """How many coins of each reason."""
    with app.app_context():
        total: Counter[str] = Counter()
        for entry in coins.history(user(app, name)):
            total[entry.reason] += entry.amount
        assert coins.balance(user(app, name)) == total.total()
        return total


def balance(app: Flask, name: str = "ada") -> int:
    with app.app_context():
        return coins.balance(user(app, name))


def earn(app: Flask, name: str, amount: int) -> None:
    """Give a learner some coins to begin with."""
    with app.app_context():
        coins.award(user(app, name), amount, "start")
        db.session.commit()


def shown(page: str) -> str:
    """The words of a page, one space between any two."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


def right_answers(app: Flask) -> list[tuple[str, str]]:
    with app.app_context():
        questions = db.session.scalars(select(Question).order_by(Question.id))
        return [(f"/exams/questions/{each.id}", each.answer) for each in questions]


def answer(client: FlaskClient, count: int) -> None:
    """Give ``count`` right answers, all to the first question."""
    path, right = right_answers(client.application)[0]
    for _ in range(count):
        assert client.post(path, data={"answer": right}).status_code == 303


def streak(app: Flask, name: str = "ada") -> int:
    with app.app_context():
        return user(app, name).streak


def first_id(app: Flask, model: type[Boss | Paragraph]) -> int:
    with app.app_context():
        return db.session.scalars(select(model.id).order_by(model.id)).first() or 0
