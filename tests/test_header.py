"""``Coins-Awarded``: a list by RFC 9651 that survives any reason."""

from __future__ import annotations

import pytest
from flask import Flask, Response
from flask_sqlalchemy import SQLAlchemy

from flask_coins import Coins, Outcome, Receipt, award_once
from flask_coins._header import LONGEST, NAME, add_to_header, item


@pytest.mark.parametrize(
    ("reason", "shown"),
    [
        ("daily_goal", "daily_goal"),
        ("goal/easy:1", "goal/easy:1"),
        ("7days", '"7days"'),
        ("two words", '"two words"'),
        ('say "hi" \\o/', '"say \\"hi\\" \\\\o/"'),
        ("a, b;c=d", '"a, b;c=d"'),
        ("Grüße", '%"Gr%c3%bc%c3%9fe"'),
        ('100 % "ü"', '%"100 %25 %22%c3%bc%22"'),
        ("🏆", '%"%f0%9f%8f%86"'),
    ],
)
def test_any_reason_can_be_said(reason: str, shown: str) -> None:
    receipt = Receipt(Outcome.AWARDED, reason, 15, 40)
    assert item(receipt) == f"{shown};amount=15;balance=40"
    assert item(receipt).isascii()


def test_what_is_no_plain_award_says_so() -> None:
    spent = Receipt(Outcome.SPENT, "shop", -5, 35, currency="gems")
    assert item(spent) == "shop;amount=-5;balance=35;currency=gems;outcome=spent"


def test_several_are_a_list() -> None:
    response = Response()
    add_to_header(response, Receipt(Outcome.AWARDED, "a", 1, 1))
    add_to_header(response, Receipt(Outcome.AWARDED, "b", 2, 3))
    assert response.headers[NAME] == "a;amount=1;balance=1, b;amount=2;balance=3"


@pytest.mark.parametrize("reason", ["goal", 'a, "b", \\', "Grüße, ü", "😀" * 64])
def test_the_last_of_very_many_are_shown_whole(reason: str) -> None:
    response = Response()
    for number in range(1, 200):
        add_to_header(response, Receipt(Outcome.AWARDED, reason, 1, number))
    last = item(Receipt(Outcome.AWARDED, reason, 1, 198))
    shown = response.headers[NAME]
    assert len(shown) <= LONGEST
    assert shown.startswith(last.partition(";amount")[0])
    assert shown.endswith(f"{last}, {last[:-3]}199")


def test_a_direct_call_in_a_view_is_shown_once_committed(
    app: Flask, db: SQLAlchemy, coins: Coins
) -> None:
    @app.post("/<verb>")
    def view(verb: str) -> str:
        coins.award_once(7, 10, "goal")
        getattr(db.session, verb)()
        return "ok"

    client = app.test_client()
    assert NAME not in client.post("/rollback").headers
    assert client.post("/commit").headers[NAME] == "goal;amount=10;balance=10"
    assert NAME not in client.post("/commit").headers


@pytest.mark.parametrize(("current", "shown"), [(7, True), (None, True), (8, False)])
def test_nobody_is_shown_what_another_has(
    app: Flask, db: SQLAlchemy, coins: Coins, current: int | None, shown: bool
) -> None:
    @app.post("/")
    @award_once(10, "invited", user="7")
    def invited() -> str:
        return "ok"

    coins.current_user_loader(lambda: current)
    assert (NAME in app.test_client().post("/").headers) == shown


def test_it_is_shown_where_nobody_says_who_is_logged_in(
    app: Flask, db: SQLAlchemy, coins: Coins
) -> None:
    @app.post("/")
    def pay() -> str:
        coins.award(7, 10)
        db.session.commit()
        return "ok"

    assert NAME in app.test_client().post("/").headers


def test_a_loader_that_fails_costs_no_answer(
    app: Flask, db: SQLAlchemy, coins: Coins, caplog: pytest.LogCaptureFixture
) -> None:
    @app.post("/")
    def pay() -> str:
        coins.award(7, 10)
        db.session.commit()
        return "ok"

    coins.current_user_loader(lambda: {}["session"])
    response = app.test_client().post("/")
    assert (response.status_code, NAME in response.headers) == (200, False)
    assert "after a payment" in caplog.text
