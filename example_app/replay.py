"""Sixteen years of real activity, sent through the app's own pages: see data/README.md."""

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from flask import Flask
from flask.testing import FlaskClient

from flask_coins import Receipt
from flask_coins.signals import coins_awarded
from flask_coins.testing import travel

from . import seeds
from .extensions import db
from .models import Variant

ACTIVITY = Path(__file__).parent / "data" / "activity.csv"
CONFIG = {
    "SECRET_KEY": "of a replay",
    "SQLALCHEMY_DATABASE_URI": "sqlite://",
    "WTF_CSRF_ENABLED": False,
    "PASSWORD_METHOD": "pbkdf2:sha256:1",
    "PROPAGATE_EXCEPTIONS": True,
}
GOALS = ("easy", "medium", "hard")
PASSWORD = "correct horse"
QUESTIONS = [("One and one?", "2"), ("Two and none?", "2"), ("Three less one?", "2")]


@dataclass(frozen=True)
class Event:
    """A correct attempt of ``actor`` in the exam variant ``area``; ``at`` knows the offset."""

    actor: int
    at: datetime
    area: str


def read_events() -> list[Event]:
    """All events, in the order of time."""
    with ACTIVITY.open(encoding="utf-8", newline="") as file:
        return [
            Event(int(row["actor"]), datetime.fromisoformat(row["at"]), row["area"])
            for row in csv.DictReader(file)
        ]


class Replay:
    """The app made from :data:`CONFIG`, with a database that is gone with it."""

    def __init__(self, app: Flask, events: Sequence[Event]) -> None:
        self.app = app
        self.totals: Counter[str] = Counter()
        """Coins paid so far, by reason."""
        self._actors: set[int] = set()
        self._attempts: Counter[tuple[int, str]] = Counter()
        self._questions: dict[str, list[int]] = {}
        coins_awarded.connect(self._count, app)
        with app.app_context():
            db.create_all()
            seeds.seed()
            for area in dict.fromkeys(event.area for event in events):
                self._questions[area] = _add_variant(area)

    def play(self, event: Event) -> None:
        """Log in, answer the next question, and ask for both goals, all at ``event.at``."""
        client = self.app.test_client()
        with travel(self.app, event.at):
            self._enter(client, event)
            _post(client, f"/exams/questions/{self._next_question(event)}", answer="2")
            _post(client, "/goals/daily")
            _post(client, "/goals/weekly")

    def _enter(self, client: FlaskClient, event: Event) -> None:
        zone = event.at.strftime("%z")
        who = {"name": f"actor {event.actor}", "password": PASSWORD, "zone": zone}
        if event.actor in self._actors:
            _post(client, "/login", **who)
        else:
            self._actors.add(event.actor)
            _post(client, "/signup", **who)
            _post(client, "/account", zone=zone, goal=GOALS[event.actor % 3])

    def _next_question(self, event: Event) -> int:
        questions = self._questions[event.area]
        done = self._attempts[event.actor, event.area]
        self._attempts[event.actor, event.area] += 1
        return questions[done % len(questions)]

    def _count(self, _: Flask, receipt: Receipt, **__: Any) -> None:
        self.totals[receipt.reason] += receipt.amount


def _add_variant(area: str) -> list[int]:
    variant = Variant(exam="history", title=area, questions=seeds.numbered(QUESTIONS))
    db.session.add(variant)
    db.session.commit()
    return [question.id for question in variant.questions]


def _post(client: FlaskClient, path: str, **form: str) -> None:
    response = client.post(path, data=form)
    if response.status_code not in (303, 409):
        raise RuntimeError(f"POST {path} answered {response.status}")
