"""The example's shop, hints and gifts: coins go once, stock is never sold twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from example_app import create_app, seeds
from example_app.extensions import coins, db
from example_app.models import Item, Purchase, Question
from example_app.replay import CONFIG
from flask_coins import _races
from flask_coins.testing import assert_coins_invariants, travel

from . import learners
from .learners import DAY, NOON, balance, earn, log_in, paid, shown, sign_up, streak, user

RACERS = 6


@pytest.fixture
def app() -> Iterator[Flask]:
    with learners.host() as app:
        yield app
        assert_coins_invariants(app)


@pytest.fixture
def ada(app: Flask) -> FlaskClient:
    client = sign_up(app, "ada")
    earn(app, "ada", 190)
    return client


def item(app: Flask, icon: str) -> Item:
    with app.app_context():
        return db.session.scalars(select(Item).where(Item.icon == icon)).one()


def buy(client: FlaskClient, icon: str, key: str = "a form", how: str = "buy") -> int:
    path = f"/shop/items/{item(client.application, icon).id}/{how}"
    return client.post(path, data={"key": key}).status_code


def set_stock(app: Flask, icon: str, stock: int) -> None:
    with app.app_context():
        db.session.get_one(Item, item(app, icon).id).stock = stock
        db.session.commit()


def close(client: FlaskClient, how: str, number: int = 1) -> int:
    return client.post(f"/shop/purchases/{number}/{how}").status_code


def test_what_is_bought_is_paid_and_shown(app: Flask, ada: FlaskClient) -> None:
    assert buy(ada, "rocket") == 303
    assert paid(app)["shop"] == -30
    assert item(app, "rocket").stock == 49
    assert "Yours Rocket badge" in shown(ada.get("/shop/").text)
    assert "You wear: rocket" in ada.get("/").text


def test_a_form_that_is_sent_twice_buys_once(app: Flask, ada: FlaskClient) -> None:
    assert [buy(ada, "rocket"), buy(ada, "rocket")] == [303, 303]
    assert paid(app)["shop"] == -30
    assert item(app, "rocket").stock == 49
    buy(ada, "rocket", key="another form")
    assert paid(app)["shop"] == -60


def test_a_key_that_comes_back_with_another_item_is_refused(app: Flask, ada: FlaskClient) -> None:
    buy(ada, "rocket")
    assert buy(ada, "owl") == 409
    assert item(app, "owl").stock == 5


def test_whoever_is_short_is_told_what_is_missing(app: Flask) -> None:
    bob = sign_up(app, "bob")
    path = f"/shop/items/{item(app, 'owl').id}/buy"
    response = bob.post(path, data={"key": "a form"})
    assert response.status_code == 402
    assert "This costs 120 coins , and you can spend 10 coins" in shown(response.text)
    assert paid(app, "bob") == {"daily_login": 10}
    assert item(app, "owl").stock == 5


def test_what_is_sold_out_costs_nothing(app: Flask, ada: FlaskClient) -> None:
    set_stock(app, "owl", 0)
    assert "Sold out" in ada.get("/shop/").text
    assert buy(ada, "owl") == 409
    assert balance(app) == 200


def test_a_freeze_bridges_a_missed_day(app: Flask, ada: FlaskClient) -> None:
    buy(ada, "freeze")
    with travel(app, NOON + 2 * DAY):
        log_in(app, "ada")
        assert streak(app) == 2
        assert "bridged by a freeze" in ada.get("/streak/").text
        assert 'class="day-frozen"' in ada.get("/").text


def test_a_reservation_sets_coins_aside_until_it_is_confirmed(app: Flask, ada: FlaskClient) -> None:
    assert [buy(ada, "telescope", how="reserve") for _ in range(2)] == [303, 303]
    assert balance(app) == 200
    assert "You can spend 140 coins" in shown(ada.get("/shop/").text)
    assert item(app, "telescope").stock == 7
    assert [close(ada, "confirm"), close(ada, "confirm")] == [303, 303]
    assert paid(app)["shop"] == -60
    assert close(ada, "cancel") == 409
    assert item(app, "telescope").stock == 7


def test_a_cancelled_reservation_gives_all_back(app: Flask, ada: FlaskClient) -> None:
    buy(ada, "telescope", how="reserve")
    assert [close(ada, "cancel"), close(ada, "cancel")] == [303, 303]
    assert item(app, "telescope").stock == 8
    assert close(ada, "confirm") == 409
    assert balance(app) == 200


def test_what_is_never_confirmed_is_free_for_others(app: Flask, ada: FlaskClient) -> None:
    set_stock(app, "telescope", 1)
    bob = sign_up(app, "bob")
    earn(app, "bob", 190)
    buy(ada, "telescope", how="reserve")
    assert buy(bob, "telescope", how="reserve") == 409
    with travel(app, NOON + DAY):
        assert close(ada, "confirm") == 409
        assert "1 left" in shown(bob.get("/shop/").text)
        assert buy(bob, "telescope", how="reserve") == 303
        assert buy(ada, "telescope", "another form", how="reserve") == 409
        assert [close(ada, how) for how in ("confirm", "cancel")] == [409, 303]
    assert item(app, "telescope").stock == 0
    with app.app_context():
        statuses = db.session.scalars(select(Purchase.status).order_by(Purchase.id)).all()
    assert statuses == ["expired", "reserved"]


@pytest.mark.parametrize("how", ["confirm", "cancel"])
def test_what_was_bought_at_once_is_no_reservation(app: Flask, ada: FlaskClient, how: str) -> None:
    buy(ada, "rocket")
    assert close(ada, how) == 404


@pytest.mark.parametrize("how", ["confirm", "cancel"])
def test_nobody_closes_what_another_has_reserved(app: Flask, ada: FlaskClient, how: str) -> None:
    buy(ada, "telescope", how="reserve")
    assert close(sign_up(app, "bob"), how) == 404
    assert item(app, "telescope").stock == 7


def test_a_hint_is_paid_once_and_stays(app: Flask, ada: FlaskClient) -> None:
    with app.app_context():
        question = db.session.scalars(select(Question).order_by(Question.id)).first()
    assert question
    path = f"/exams/questions/{question.id}/hint"
    assert [ada.post(path).status_code for _ in range(2)] == [303, 409]
    assert paid(app)["hint"] == -5
    assert "It lies between 50 and 60." in ada.get("/exams/1").text
    with app.app_context():
        assert coins.holds(user(app)) == []


def test_a_gift_goes_to_the_friend_once(app: Flask, ada: FlaskClient) -> None:
    sign_up(app, "bob")
    form = {"name": "bob", "amount": "20", "key": "a form"}
    assert [ada.post("/friends/gift", data=form).status_code for _ in range(2)] == [303, 303]
    assert (paid(app)["gift"], paid(app, "bob")["gift"]) == (-20, 20)


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"name": "nobody"}, 409),
        ({"name": "ada"}, 409),
        ({"name": "b\0b"}, 409),
        ({"amount": "0"}, 409),
        ({"amount": "-5"}, 409),
        ({"amount": "1.5"}, 409),
        ({"amount": "501"}, 409),
        ({"amount": "201"}, 402),
        ({"key": ""}, 303),
        ({"key": "x" * 200}, 400),
    ],
)
def test_a_gift_that_cannot_be_moves_nothing(
    app: Flask, ada: FlaskClient, change: dict[str, str], status: int
) -> None:
    sign_up(app, "bob")
    form = {"name": "bob", "amount": "20", "key": "a form", **change}
    assert ada.post("/friends/gift", data=form).status_code == status
    assert balance(app) == (180 if status == 303 else 200)


def test_racing_processes_never_oversell(tmp_path: Path) -> None:
    app = create_app({**CONFIG, "SQLALCHEMY_DATABASE_URI": f"sqlite:///{tmp_path}/shop.sqlite3"})
    with app.app_context():
        db.create_all()
        seeds.seed()
    set_stock(app, "owl", 2)
    names = [f"racer {number}" for number in range(RACERS)]
    for name in names:
        sign_up(app, name)
        earn(app, name, 490)
    path = f"/shop/items/{item(app, 'owl').id}/buy"
    with _races.start(RACERS, "fork", app) as racers:
        answers = racers.run(rush, [(name, path) for name in names])
    assert Counter(answers) == {303: 2, 409: RACERS - 2}
    assert item(app, "owl").stock == 0
    assert sum(paid(app, name)["shop"] for name in names) == -240
    assert_coins_invariants(app)


def rush(name: str, path: str) -> int:
    """In a process: log in, wait for the others, buy."""
    app = _races.inherited
    with app.app_context():
        db.engine.dispose(close=False)  # what a parent has opened is the parent's
    client = app.test_client()
    client.post("/login", data={"name": name, "password": "lovelace1"})
    _races.wait()
    return client.post(path, data={"key": "a form"}).status_code
