"""Leaderboards by the API: places with names and no ids, and a switch to be left out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask_sqlalchemy import SQLAlchemy

from flask_coins import Coins

from .apps import Clock, create_app
from .held import HeldClient
from .shop import open_shop

NAMES = {"ann": "Ann", "bob": "Bob <b>"}
Board = Callable[..., dict[str, Any]]


@pytest.fixture
def ann(db: SQLAlchemy, coins: Coins, clock: Clock) -> HeldClient:
    """Ann, of six: Ann has 30 of today, Bob 50 of last month, u1 to u4 have 1 to 4 of this month."""
    open_shop(coins)
    coins.user_names_loader(lambda ids: {user: NAMES[user] for user in ids if user in NAMES})
    app = create_app("sqlite://", db, coins)
    app.test_client_class = HeldClient
    with app.app_context():
        db.create_all()
        clock.forward(days=-30)
        coins.award("bob", 50)
        clock.forward(days=20)
        for number in range(1, 5):
            coins.award(f"u{number}", number)
        clock.forward(days=10)
        coins.award("ann", 30)
        db.session.commit()
    client = app.test_client()
    assert isinstance(client, HeldClient)
    client.user = "ann"
    return client


@pytest.fixture
def board(ann: HeldClient) -> Board:
    def read(query: str = "", user: str = "ann") -> dict[str, Any]:
        ann.user = user
        found = ann.get(f"/coins/api/leaderboard{query}").json
        assert found is not None
        return dict(found)

    return read


@pytest.mark.parametrize(
    ("query", "scores"),
    [
        ("?window=all", [50, 30, 4, 3, 2, 1]),
        ("?window=month", [30, 4, 3, 2, 1]),
        ("?window=week", [30]),
        ("?window=day", [30]),
        ("", [30]),
        ("?window=all&limit=2", [50, 30]),
        ("?window=all&currency=gems", []),
    ],
)
def test_a_window_and_a_limit_choose_the_places(
    board: Board, query: str, scores: list[int]
) -> None:
    assert [place["score"] for place in board(query)["places"]] == scores


def test_places_have_names_and_no_ids(board: Board) -> None:
    found = board("?window=all&limit=3")
    assert found["places"] == [
        {"rank": 1, "score": 50, "name": "Bob <b>", "me": False},
        {"rank": 2, "score": 30, "name": "Ann", "me": True},
        {"rank": 3, "score": 4, "name": None, "me": False},
    ]
    assert "u4" not in str(found)


def test_ones_own_place_is_there_with_those_near(board: Board) -> None:
    found = board("?window=all&limit=1", "u3")
    assert found["mine"] == {"rank": 4, "score": 3, "name": None, "me": True}
    assert [place["rank"] for place in found["neighbours"]] == [2, 3, 4, 5, 6]


def test_who_has_no_score_has_no_place(board: Board) -> None:
    found = board("?window=all", "eve")
    assert (found["mine"], found["neighbours"], found["hidden"]) == (None, [], False)


def test_a_user_can_be_left_out_and_come_back(ann: HeldClient, board: Board) -> None:
    for _ in range(2):
        assert ann.put("/coins/api/leaderboard/hidden").status_code == 204
    found = board("?window=all")
    assert (found["hidden"], found["mine"], found["neighbours"]) == (True, None, [])
    assert 30 not in [place["score"] for place in found["places"]]
    assert not board("?window=all", "bob")["hidden"]
    ann.user = "ann"
    for _ in range(2):
        assert ann.delete("/coins/api/leaderboard/hidden").status_code == 204
    assert 30 in [place["score"] for place in board("?window=all")["places"]]


@pytest.mark.parametrize("query", ["window=year", "window=", "limit=0", "limit=101"])
def test_what_is_no_window_or_limit_is_told(ann: HeldClient, query: str) -> None:
    response = ann.get(f"/coins/api/leaderboard?{query}")
    assert response.json is not None
    assert (response.status_code, response.json["code"]) == (400, "invalid_parameter")


def test_another_sites_page_hides_nobody(ann: HeldClient) -> None:
    ann.set_cookie("session", "somebody")
    response = ann.put("/coins/api/leaderboard/hidden", headers={"Sec-Fetch-Site": "cross-site"})
    assert response.status_code == 403


def test_nobody_has_no_leaderboard(ann: HeldClient) -> None:
    ann.user = None
    for method, path in (("GET", ""), ("PUT", "/hidden"), ("DELETE", "/hidden")):
        response = ann.open(f"/coins/api/leaderboard{path}", method=method)
        assert response.status_code == 401
