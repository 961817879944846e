"""The page of the leaderboard: who is on it, the windows, and the switch to be left out."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.pool import StaticPool

from flask_coins import Coins

from .apps import Clock, create_app
from .statements import statements

PAGE = "/coins/leaderboard"
NAMES = {"1": "Ann", "2": "<b>Bob</b>", "7": "Me"}


@pytest.fixture
def who(who: dict[str, Any], coins: Coins) -> dict[str, Any]:
    """Whose requests these are, and some have names."""
    coins.user_names_loader(lambda user_ids: {it: NAMES[it] for it in user_ids if it in NAMES})
    return who


@pytest.fixture
def app(db: SQLAlchemy, coins: Coins, who: dict[str, Any]) -> Iterator[Flask]:
    """On SQLite alone; twenty users, of whom number 1 has most and 20 least."""
    app = create_app("sqlite://", db, coins, SQLALCHEMY_ENGINE_OPTIONS={"poolclass": StaticPool})
    with app.app_context():
        db.create_all()
        for number in range(1, 21):
            coins.award(number, 2100 - 100 * number)
        db.session.commit()
    yield app
    with app.app_context():
        db.engine.dispose()


def places(client: FlaskClient, address: str = PAGE) -> list[tuple[int, str]]:
    """The rows of the page: rank and name."""
    rows = re.findall(
        r'<td class="coins-number">(\d+)</td>\s*<th scope="row">(.*?)</th>',
        client.get(address).text,
        re.S,
    )
    return [
        (int(rank), html.unescape(" ".join(re.sub("<.*?>", " ", name).split())).strip())
        for rank, name in rows
    ]


def hide(client: FlaskClient, changed: dict[str, str]) -> Any:
    token = re.search(r'name="coins_csrf" value="(.*?)"', client.get(PAGE).text)
    assert token
    form = {"coins_csrf": token[1], "hidden": "1", "window": "month", **changed}
    return client.post(f"{PAGE}/hidden", data=form)


def test_it_shows_ten_places_and_marks_the_users_own(client: FlaskClient) -> None:
    found = places(client)
    assert [rank for rank, _ in found] == list(range(1, 11))
    assert (found[0], found[6]) == ((1, "Ann"), (7, "Me You"))
    assert found[2] == (3, "Somebody")
    text = client.get(PAGE).text
    assert "Number 7" in text
    assert text.count('<tr aria-current="true">') == 1
    assert "Around you" not in text


def test_who_is_further_down_sees_those_around(client: FlaskClient, who: dict[str, Any]) -> None:
    who["id"] = 15
    assert [rank for rank, _ in places(client)] == [*range(1, 11), *range(13, 18)]
    assert "Around you" in client.get(PAGE).text
    who["id"] = 11
    assert [rank for rank, _ in places(client)] == [*range(1, 11), *range(11, 14)]


def test_names_are_escaped_and_ids_not_shown(
    app: Flask, db: SQLAlchemy, coins: Coins, client: FlaskClient
) -> None:
    with app.app_context():
        coins.award("somebody's-id", 5000)
        db.session.commit()
    text = client.get(PAGE).text
    assert "&lt;b&gt;Bob&lt;/b&gt;" in text
    assert "s-id" not in text


def test_windows_are_links_and_count_their_own_time(client: FlaskClient, clock: Clock) -> None:
    text = client.get(f"{PAGE}?window=month").text
    for window in ("day", "week", "month", "all"):
        assert f'href="/coins/leaderboard?window={window}"' in text
    assert re.search(r'window=month" aria-current="true">This month', text)
    clock.forward(days=1)  # from Sunday to Monday
    assert places(client, f"{PAGE}?window=day") == places(client) == []
    assert "Nobody has earned any yet." in client.get(PAGE).text
    assert len(places(client, f"{PAGE}?window=all")) == 10


def test_a_window_says_when_it_ends_on_the_users_clock(client: FlaskClient, coins: Coins) -> None:
    coins.timezone_loader(lambda user_id: "Asia/Tokyo")
    assert "It ends tomorrow at 09:00." in client.get(f"{PAGE}?window=day").text
    assert "It ends 1 December 2026, 09:00." in client.get(f"{PAGE}?window=month").text
    assert "It ends" not in client.get(f"{PAGE}?window=all").text


def test_it_is_of_one_currency(client: FlaskClient) -> None:
    text = client.get(f"{PAGE}?currency=gems").text
    assert "Nobody has earned any yet." in text
    assert 'href="/coins/leaderboard?window=day&amp;currency=gems"' in text


@pytest.mark.parametrize("query", ["window=fortnight", "window=", f"currency={'x' * 17}"])
def test_what_is_no_board_is_not_found(client: FlaskClient, query: str) -> None:
    assert client.get(f"{PAGE}?{query}").status_code == 404


def test_a_user_hides_and_is_shown_again(client: FlaskClient, who: dict[str, Any]) -> None:
    answer = hide(client, {})
    assert (answer.status_code, answer.location) == (303, f"{PAGE}?window=month")
    text = client.get(PAGE).text
    assert "You are hidden" in text
    assert "Show me again" in text
    assert "Me" not in [name for _, name in places(client)]
    assert [rank for rank, _ in places(client)] == list(range(1, 11))
    assert hide(client, {"hidden": "0"}).status_code == 303
    assert "Number 7" in client.get(PAGE).text


@pytest.mark.parametrize(
    "changed", [{"coins_csrf": "x"}, {"hidden": "yes"}, {"window": "//evil.example"}], ids=str
)
def test_a_form_that_is_not_ours_changes_nothing(
    client: FlaskClient, changed: dict[str, str]
) -> None:
    assert hide(client, changed).status_code in (400, 404)
    assert "Number 7" in client.get(PAGE).text


def test_no_get_hides_anybody(client: FlaskClient) -> None:
    answer = client.get(f"{PAGE}/hidden?hidden=1")
    assert (answer.status_code, answer.location) == (302, PAGE)
    assert "Number 7" in client.get(PAGE).text


def test_nobody_is_turned_away(client: FlaskClient, who: dict[str, Any]) -> None:
    who["id"] = None
    assert client.get(PAGE).status_code == 401
    assert client.post(f"{PAGE}/hidden", data={"hidden": "1"}).status_code == 401


def test_a_new_user_is_told_how_to_get_a_place(client: FlaskClient, who: dict[str, Any]) -> None:
    who["id"] = 99
    assert "You have no place yet" in client.get(PAGE).text


def test_it_takes_few_statements(app: Flask, db: SQLAlchemy, client: FlaskClient) -> None:
    with app.app_context(), statements(db.engine) as sent:
        client.get(PAGE)
    assert len(sent) == 2
