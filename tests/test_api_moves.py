"""Spending and sending by the API: with a key, once, and only one's own coins."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, g
from flask_sqlalchemy import SQLAlchemy
from flask_wtf import CSRFProtect
from werkzeug.test import TestResponse

from flask_coins import Coins, CoinsRetry, signals
from flask_coins._models import MAX_AMOUNT

from .held import HeldClient
from .shop import PRICES, open_shop

SPEND, TRANSFER = "/coins/api/spend", "/coins/api/transfer"
HINT = {"reason": "hint"}
GIFT = {"to": "Bob", "amount": 4}


@pytest.fixture
def our_pages() -> str:
    return "/coins"


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'host.sqlite3'}"


@pytest.fixture
def app(make_app: Callable[..., Flask], db: SQLAlchemy, coins: Coins) -> Flask:
    """Ann has 20 coins, of which 3 are held, and 5 gems."""
    open_shop(coins)
    app = make_app(COINS_API_PRICES=PRICES)
    with app.app_context():
        coins.award("ann", 20)
        coins.award("ann", 5, currency="gems")
        coins.hold("ann", 3, "raffle")
        db.session.commit()
    return app


@pytest.fixture
def ann(app: Flask) -> HeldClient:
    app.test_client_class = HeldClient
    client = app.test_client()
    assert isinstance(client, HeldClient)
    client.user = "ann"
    return client


def move(client: HeldClient, path: str, sent: Any, key: str = "k1", **headers: str) -> TestResponse:
    return client.post(path, json=sent, headers={"Idempotency-Key": key, **headers})


def code(response: TestResponse) -> tuple[int, str]:
    assert response.json is not None
    return response.status_code, response.json["code"]


def has(app: Flask, coins: Coins, user: str, currency: str = "coins") -> int:
    with app.app_context():
        return coins.balance(user, currency)


# -- spending -------------------------------------------------------------------------------------


def test_spending_takes_the_price_and_answers_with_the_entry(ann: HeldClient) -> None:
    response = move(ann, SPEND, {**HINT, "subject": "exam:7"})
    assert response.status_code == 201
    assert response.json is not None
    assert {name: response.json[name] for name in ("amount", "reason", "subject")} == {
        "amount": -5,
        "reason": "hint",
        "subject": "exam:7",
    }
    history = ann.get("/coins/api/history").json
    assert history is not None
    assert history["entries"][0] == response.json
    assert response.headers["Coins-Awarded"] == "hint;amount=-5;balance=15;outcome=spent"


def test_a_price_may_be_in_another_currency(app: Flask, ann: HeldClient, coins: Coins) -> None:
    assert move(ann, SPEND, {"reason": "skin"}).status_code == 201
    assert (has(app, coins, "ann", "gems"), has(app, coins, "ann")) == (2, 20)


def test_prices_are_listed(ann: HeldClient) -> None:
    assert ann.get("/coins/api/prices").json == {
        "prices": [
            {"reason": "hint", "amount": 5, "currency": "coins"},
            {"reason": "skin", "amount": 3, "currency": "gems"},
        ]
    }


def test_what_has_no_price_is_not_sold(app: Flask, ann: HeldClient, coins: Coins) -> None:
    assert code(move(ann, SPEND, {"reason": "castle"})) == (422, "not_for_sale")
    assert has(app, coins, "ann") == 20


def test_coins_that_are_held_are_not_there_to_be_spent(
    app: Flask, ann: HeldClient, coins: Coins, db: SQLAlchemy
) -> None:
    with app.app_context():
        coins.spend("ann", 13, "hat")
        db.session.commit()
    response = move(ann, SPEND, HINT)
    assert code(response) == (402, "insufficient_coins")
    assert response.json is not None
    assert (response.json["balance"], response.json["amount"]) == (4, 5)
    assert "Coins-Awarded" not in response.headers


def test_the_hosts_page_for_402_is_not_for_programs(app: Flask, ann: HeldClient) -> None:
    from flask_coins import InsufficientCoins

    app.register_error_handler(InsufficientCoins, lambda error: ("the host's page", 402))
    for number in range(3):
        move(ann, SPEND, HINT, f"k{number}")
    assert code(move(ann, SPEND, HINT, "k9")) == (402, "insufficient_coins")


# -- keys -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "sent"), [(SPEND, HINT), (TRANSFER, GIFT)])
def test_a_repeat_is_answered_as_the_first_time(
    app: Flask, ann: HeldClient, coins: Coins, path: str, sent: dict[str, Any]
) -> None:
    first, again = move(ann, path, sent), move(ann, path, sent)
    assert (again.status_code, again.json) == (first.status_code, first.json)
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert "Coins-Awarded" not in again.headers
    assert has(app, coins, "ann") in (15, 16)


def test_a_repeat_is_answered_when_the_coins_are_gone(ann: HeldClient) -> None:
    first = move(ann, TRANSFER, {"to": "Bob", "amount": 17})
    assert move(ann, TRANSFER, {"to": "Bob", "amount": 17}).json == first.json


def test_a_repeat_is_answered_at_the_price_of_then(app: Flask, ann: HeldClient) -> None:
    first = move(ann, SPEND, HINT)
    prices = app.extensions["coins"].settings.api_prices
    prices["hint"] = prices["hint"]._replace(amount=7)
    assert move(ann, SPEND, HINT).json == first.json
    del prices["hint"]
    assert move(ann, SPEND, HINT).json == first.json


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        (SPEND, {**HINT, "subject": "exam:8"}),
        (SPEND, {"reason": "skin"}),
        (TRANSFER, GIFT),
    ],
)
def test_a_key_is_for_one_movement(
    app: Flask, ann: HeldClient, coins: Coins, path: str, sent: dict[str, Any]
) -> None:
    move(ann, SPEND, HINT)
    assert code(move(ann, path, sent)) == (422, "idempotency_conflict")
    assert (has(app, coins, "ann"), has(app, coins, "bob")) == (15, 0)


def test_a_key_of_a_transfer_is_for_one_recipient_and_amount(ann: HeldClient, app: Flask) -> None:
    app.extensions["coins"].loaders.recipient = lambda name: name.lower()
    move(ann, TRANSFER, GIFT)
    for sent in ({**GIFT, "to": "Dee"}, {**GIFT, "amount": 5}, {**GIFT, "currency": "gems"}):
        assert code(move(ann, TRANSFER, sent)) == (422, "idempotency_conflict")


@pytest.mark.parametrize(
    ("one", "other"), [('"abc"', "abc"), (r'"a\"b\\c"', r'"a\"b\\c"'), ('"a b"', '"a b"')]
)
def test_quotes_are_not_part_of_a_key(ann: HeldClient, one: str, other: str) -> None:
    move(ann, SPEND, HINT, one)
    assert "Idempotent-Replayed" in move(ann, SPEND, HINT, other).headers


@pytest.mark.parametrize(
    "key", ["", '""', '"', 'a"b', "a b", "a,b", "a, b", "a;b", "ä", "k" * 256, '"a']
)
def test_what_is_no_key_moves_nothing(app: Flask, ann: HeldClient, coins: Coins, key: str) -> None:
    assert code(move(ann, SPEND, HINT, key)) == (400, "invalid_idempotency_key")
    assert has(app, coins, "ann") == 20


@pytest.mark.parametrize("path", [SPEND, TRANSFER])
def test_without_a_key_nothing_moves(ann: HeldClient, path: str) -> None:
    assert code(ann.post(path, json=HINT)) == (400, "idempotency_key_missing")


def test_the_hosts_own_keys_are_others(
    app: Flask, ann: HeldClient, coins: Coins, db: SQLAlchemy
) -> None:
    with app.app_context():
        for key in ("k1", "api:k1"):
            coins.spend("ann", 1, "hat", idempotency_key=key)
        db.session.commit()
    assert move(ann, SPEND, HINT).status_code == 201


def test_everybody_has_their_own_keys(app: Flask, ann: HeldClient, coins: Coins) -> None:
    move(ann, TRANSFER, {"to": "Bob", "amount": 10})
    ann.user = "bob"
    assert move(ann, SPEND, HINT).status_code == 201
    assert has(app, coins, "bob") == 5


def test_what_moved_nothing_uses_no_key(
    app: Flask, ann: HeldClient, coins: Coins, db: SQLAlchemy
) -> None:
    ann.user = "bob"
    assert move(ann, SPEND, HINT).status_code == 402
    with app.app_context():
        coins.award("bob", 5)
        db.session.commit()
    assert move(ann, SPEND, HINT).status_code == 201


# -- sending --------------------------------------------------------------------------------------


def test_sending_moves_coins_and_tells_nothing_of_the_recipient(
    app: Flask, ann: HeldClient, coins: Coins, db: SQLAlchemy
) -> None:
    with app.app_context():
        coins.award("bob", 1000)
        db.session.commit()
    response = move(ann, TRANSFER, GIFT)
    assert (has(app, coins, "ann"), has(app, coins, "bob")) == (16, 1004)
    assert "bob" not in f"{response.text}{response.headers}"
    assert "1004" not in f"{response.text}{response.headers}"


def test_other_currencies_can_be_sent(app: Flask, ann: HeldClient, coins: Coins) -> None:
    assert move(ann, TRANSFER, {**GIFT, "currency": "gems"}).status_code == 201
    assert has(app, coins, "bob", "gems") == 4


def test_a_whole_number_may_be_written_with_a_point(ann: HeldClient) -> None:
    response = ann.post(
        TRANSFER,
        data='{"to": "Bob", "amount": 4.0}',
        headers={"Idempotency-Key": "k", "Content-Type": "application/json"},
    )
    assert response.json is not None
    assert response.json["amount"] == -4


@pytest.mark.parametrize("name", ["Nobody", "Ann", "Cid"])
def test_nobody_oneself_and_the_excluded_look_alike(
    app: Flask, ann: HeldClient, coins: Coins, name: str
) -> None:
    response = move(ann, TRANSFER, {**GIFT, "to": name})
    assert code(response) == (422, "unknown_recipient")
    assert response.json is not None
    assert response.json["detail"] == "Nobody of this name can be sent coins."
    assert has(app, coins, "ann") == 20


@pytest.mark.parametrize("name", ["Nobody", "Ann", "Bob", "Cid"])
def test_who_has_no_coins_learns_no_names(ann: HeldClient, name: str) -> None:
    ann.user = "eve"
    assert code(move(ann, TRANSFER, {**GIFT, "to": name})) == (402, "insufficient_coins")


@pytest.mark.parametrize("name", ["Nobody", "Ann", "Cid", "Eve"])
def test_a_key_that_was_used_tells_no_names(ann: HeldClient, name: str) -> None:
    move(ann, TRANSFER, GIFT)
    assert code(move(ann, TRANSFER, {**GIFT, "to": name})) == (422, "idempotency_conflict")


def test_a_repetition_asks_no_more_who_may_receive(ann: HeldClient, app: Flask) -> None:
    move(ann, TRANSFER, GIFT)
    app.extensions["coins"].loaders.eligible = lambda user_id, reason: user_id != "bob"
    assert "Idempotent-Replayed" in move(ann, TRANSFER, GIFT).headers


@pytest.mark.parametrize("name", ["forgotten:1", "x" * 65])
def test_where_names_are_ids_one_that_cannot_be_is_nobodys(
    ann: HeldClient, app: Flask, name: str
) -> None:
    app.extensions["coins"].loaders.recipient = lambda name: name
    assert code(move(ann, TRANSFER, {**GIFT, "to": name})) == (422, "unknown_recipient")


def test_the_excluded_cannot_send(app: Flask, ann: HeldClient) -> None:
    ann.user = "cid"
    assert code(move(ann, TRANSFER, GIFT)) == (403, "excluded")


def test_a_recipient_cannot_have_too_many(
    app: Flask, ann: HeldClient, coins: Coins, db: SQLAlchemy
) -> None:
    with app.app_context():
        coins.award("bob", MAX_AMOUNT)
        db.session.commit()
    assert code(move(ann, TRANSFER, GIFT)) == (422, "too_many_coins")
    assert has(app, coins, "ann") == 20


# -- bodies ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "sent", "parameter"),
    [
        (SPEND, {}, "reason"),
        (SPEND, {"reason": 5}, "reason"),
        (SPEND, {"reason": "x" * 65}, "reason"),
        (SPEND, {"reason": "a\x00b"}, "reason"),
        (SPEND, {"reason": "\ud800"}, "reason"),
        (SPEND, {**HINT, "subject": ""}, "subject"),
        (SPEND, {**HINT, "subject": 7}, "subject"),
        (SPEND, {**HINT, "amount": 1}, "amount"),
        (SPEND, {**HINT, "user": "bob"}, "user"),
        (SPEND, {**HINT, "\ud800" * 90: 1}, "?" * 80),
        (TRANSFER, {"to": "Bob"}, "amount"),
        (TRANSFER, {"amount": 4}, "to"),
        (TRANSFER, {**GIFT, "to": ["Bob"]}, "to"),
        (TRANSFER, {**GIFT, "to": "x" * 129}, "to"),
        (TRANSFER, {**GIFT, "amount": 0}, "amount"),
        (TRANSFER, {**GIFT, "amount": -4}, "amount"),
        (TRANSFER, {**GIFT, "amount": "4"}, "amount"),
        (TRANSFER, {**GIFT, "amount": 4.5}, "amount"),
        (TRANSFER, {**GIFT, "amount": True}, "amount"),
        (TRANSFER, {**GIFT, "amount": 10**15}, "amount"),
        (TRANSFER, {**GIFT, "currency": ""}, "currency"),
        (TRANSFER, {**GIFT, "sender": "bob"}, "sender"),
    ],
)
def test_a_wrong_member_is_named(
    app: Flask, ann: HeldClient, coins: Coins, path: str, sent: Any, parameter: str
) -> None:
    response = move(ann, path, sent)
    assert code(response) == (400, "invalid_parameter")
    assert response.json is not None
    assert response.json["parameter"] == parameter
    assert (has(app, coins, "ann"), has(app, coins, "bob")) == (20, 0)


@pytest.mark.parametrize(
    "data", [b" ", b"{", b"[]", b"5", b"null", b"\xff", b"[" * 9000, b'{"a":' + b"9" * 9000 + b"}"]
)
def test_what_is_no_json_object_is_refused(ann: HeldClient, data: bytes) -> None:
    headers = {"Idempotency-Key": "k", "Content-Type": "application/json"}
    response = ann.post(SPEND, data=data, headers=headers)
    assert code(response) == (400, "invalid_json")


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_a_form_cannot_move_coins(ann: HeldClient, kind: str) -> None:
    headers = {"Idempotency-Key": "k", "Content-Type": kind}
    response = ann.post(SPEND, data=b'{"reason": "hint"}', headers=headers)
    assert code(response) == (415, "unsupported_media_type")


def test_a_body_has_a_length_and_an_end(ann: HeldClient) -> None:
    headers = {"Idempotency-Key": "k", "Content-Type": "application/json"}
    large = ann.post(SPEND, data=b" " * 16_385, headers=headers)
    assert code(large) == (413, "content_too_large")
    endless = {"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"}
    response = ann.post(SPEND, data=b"{}", headers=headers, environ_overrides=endless)
    assert code(response) == (411, "length_required")


# -- off, and by others ---------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["spend", "transfer", "prices"])
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "DELETE"])
def test_what_is_not_turned_on_is_not_there(
    make_app: Callable[..., Flask], coins: Coins, path: str, method: str
) -> None:
    coins.current_user_loader(lambda: "ann")
    response = make_app().test_client().open(f"/coins/api/{path}", method=method)
    assert code(response) == (404, "not_found")


@pytest.mark.parametrize("path", [SPEND, TRANSFER])
def test_nobody_moves_nothing(ann: HeldClient, path: str) -> None:
    ann.user = None
    assert code(move(ann, path, HINT)) == (401, "anonymous")


@pytest.mark.parametrize(
    ("headers", "refused"),
    [
        ({"Sec-Fetch-Site": "cross-site"}, True),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "http://elsewhere"}, False),
        ({"Origin": "http://elsewhere"}, True),
        ({"Origin": "null"}, True),
        ({"Origin": "http://["}, True),
        ({"Origin": "http://localhost"}, False),
        ({}, False),
    ],
)
def test_another_sites_page_moves_nothing_by_a_cookie(
    ann: HeldClient, headers: dict[str, str], refused: bool
) -> None:
    assert move(ann, SPEND, HINT, "k1", **headers).status_code == 201
    ann.set_cookie("session", "somebody")
    expected = (403, "cross_site") if refused else (201, None)
    response = move(ann, SPEND, HINT, "k2", **headers)
    assert response.json is not None
    assert (response.status_code, response.json.get("code")) == expected


def test_flask_wtf_protects_it_until_it_is_exempt(
    app: Flask, ann: HeldClient, coins: Coins
) -> None:
    csrf = CSRFProtect(app)
    assert code(move(ann, SPEND, HINT)) == (400, "bad_request")
    csrf.exempt(coins.blueprint)
    assert move(ann, SPEND, HINT).status_code == 201


# -- the transaction ------------------------------------------------------------------------------


def test_a_busy_database_is_asked_again_and_then_told(
    app: Flask, ann: HeldClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, tries = app.extensions["coins"], []
    monkeypatch.setattr("time.sleep", lambda seconds: None)

    def give_up(*args: Any) -> None:
        tries.append(args)
        raise CoinsRetry

    monkeypatch.setattr(state.ledger, "spend", give_up)
    response = move(ann, SPEND, HINT)
    assert code(response) == (503, "busy")
    assert response.headers["Retry-After"] == "1"
    assert len(tries) == 5


def test_what_the_host_has_changed_is_never_repeated(
    app: Flask, ann: HeldClient, coins: Coins, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[Any] = []
    app.before_request(lambda: coins.award("bob", 1) and None)

    def give_up(*args: Any) -> None:
        tries.append(args)
        raise CoinsRetry

    monkeypatch.setattr(app.extensions["coins"].ledger, "spend", give_up)
    assert code(move(ann, SPEND, HINT)) == (503, "busy")
    assert len(tries) == 1


def test_it_is_committed_and_told_once(app: Flask, ann: HeldClient) -> None:
    told: list[Any] = []

    @signals.coins_spent.connect_via(app)
    def hear(sender: Flask, receipt: Any, user_id: str) -> None:
        told.append((user_id, receipt.amount, list(g.coins_receipts)))

    move(ann, SPEND, HINT)
    move(ann, SPEND, HINT)
    assert [(user, amount) for user, amount, _ in told] == [("ann", -5)]
