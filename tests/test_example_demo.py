"""The weeks of the demo: lived by the app's rules, once, and with something for every page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest
from flask import Flask
from sqlalchemy import func, select

from example_app import demo, seeds
from example_app.extensions import db
from example_app.models import User
from flask_coins import CoinEntry
from flask_coins.testing import assert_coins_invariants

from . import learners
from .learners import DAY, NOON, paid, shown, streak

REASONS = {
    *("boss_defeated", "daily_goal", "daily_login", "paragraph_close", "referral"),
    *("variant_clear", "weekly_goal", "gift", "hint", "shop", "streak_freeze"),
}


@pytest.fixture(scope="module")
def app() -> Iterator[Flask]:
    with learners.host() as app:
        with app.app_context():
            assert demo.fill(app)
        yield app


@pytest.fixture(autouse=True)
def context(app: Flask) -> Iterator[None]:
    with app.app_context():
        yield


def count(model: type) -> int:
    return db.session.scalar(select(func.count()).select_from(model)) or 0


def test_the_books_are_right(app: Flask) -> None:
    assert_coins_invariants(app)


def test_there_is_something_of_everything(app: Flask) -> None:
    found = Counter(db.session.scalars(select(CoinEntry.reason)))
    assert found.keys() >= REASONS
    assert count(User) == len(demo.PEOPLE) + 1


def test_it_is_some_weeks_and_ends_now(app: Flask) -> None:
    moments = db.session.scalars(select(CoinEntry.created_at).order_by(CoinEntry.id)).all()
    assert NOON - 50 * DAY < moments[0] < NOON - 35 * DAY
    assert NOON - DAY < moments[-1] <= NOON
    assert list(moments) == sorted(moments)


def test_the_learner_has_a_streak_to_keep(app: Flask) -> None:
    client = app.test_client()
    before = streak(app, demo.LEARNER)
    form = {"name": demo.LEARNER, "password": demo.LEARNER_PASSWORD}
    assert client.post("/login", data=form).status_code == 303
    assert streak(app, demo.LEARNER) == before + 1 > 10
    assert "Reserved until" in client.get("/shop/").text


def test_the_admin_is_not_paid(app: Flask) -> None:
    form = {"name": demo.ADMIN, "password": demo.ADMIN_PASSWORD}
    assert app.test_client().post("/login", data=form).status_code == 303
    assert paid(app, demo.ADMIN) == {}


def test_nobody_logs_in_as_the_others(app: Flask) -> None:
    for password in ("", demo.LEARNER_PASSWORD):
        form = {"name": "Aiko", "password": password}
        assert app.test_client().post("/login", data=form).status_code == 401


def test_the_start_page_shows_who_can_log_in(app: Flask) -> None:
    page = shown(app.test_client().get("/").text)
    for name, password, _ in demo.LOGINS:
        assert f"{name} {password}" in page


def test_again_it_changes_nothing(app: Flask) -> None:
    before = count(CoinEntry)
    seeds.seed()
    assert not demo.fill(app)
    assert count(CoinEntry) == before


def test_seeds_alone_have_nobody_in_them() -> None:
    with learners.host() as app:
        assert "Look around" not in app.test_client().get("/").text


def test_a_name_that_is_taken_stops_it_before_anything_is_changed() -> None:
    with learners.host() as app:
        learners.sign_up(app, demo.LEARNER)
        with app.app_context():
            with pytest.raises(ValueError, match="There is a learner 'demo' already"):
                demo.fill(app)
            assert count(User) == 1
