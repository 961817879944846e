"""What the pages of the example app say."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

import pytest
from flask import Flask
from flask.testing import FlaskClient

from example_app.extensions import db
from example_app.models import Boss, User
from example_app.views import wording
from flask_coins.testing import travel

from . import learners
from .learners import (
    DAY,
    NOON,
    WEEK,
    answer,
    first_id,
    log_in,
    paid,
    right_answers,
    shown,
    sign_up,
    user,
)

CHOOSE_A_ZONE = "Choose a time zone from the list, such as Europe/Berlin."
NOT_PAID = "Your account is not paid in coins."
PAGES = (
    *("/goals/", "/exams/", "/exams/1", "/paragraphs/", "/bosses/", "/streak/", "/shop/"),
    *("/friends/", "/account", "/coins/"),
)
ELSEWHERE = [
    "https://evil.example/",
    "//evil.example/",
    "///evil.example/",
    "//goals/",
    "/\\goals/",
    "/\t/goals/",
    "/\\evil.example/",
    "/\t/evil.example/",
    "/\n/evil.example/",
    " //evil.example/",
    "evil.example",
    "javascript:alert(1)",
    "/goals/\r\nSet-Cookie: a=b",
    "/goals/?a=\\",
    "/nowhere",
    "/goals/daily",
    "",
]


@pytest.fixture
def app() -> Iterator[Flask]:
    with learners.host() as app:
        yield app


@pytest.fixture
def ada(app: Flask) -> FlaskClient:
    return sign_up(app, "ada")


def quest(page: str, name: str) -> str:
    """The words of the quest of that name."""
    (found,) = (
        each
        for each in re.findall(r'<li class="card quest.*?</li>', page, re.S)
        if f">{name}<" in each
    )
    return shown(found)


def forbid_coins(app: Flask, name: str = "ada", *but: str) -> None:
    """Leave the account only those permissions."""
    with app.app_context():
        account = db.session.get_one(User, user(app, name).id)
        account.permissions[:] = [each for each in account.permissions if each.name in but]
        db.session.commit()


def fight(client: FlaskClient, answer: str = "Man") -> str:
    path = f"/bosses/{first_id(client.application, Boss)}/fight"
    return client.post(path, data={"answer": answer}, follow_redirects=True).text


def clear_first_variant(client: FlaskClient) -> None:
    for path, right in right_answers(client.application)[:3]:
        client.post(path, data={"answer": right})


def test_the_next_page_tells_what_was_paid_and_what_was_not(app: Flask, ada: FlaskClient) -> None:
    answer(ada, 1)
    paid = ada.post("/goals/daily")
    assert paid.headers["Coins-Awarded"] == "daily_goal;amount=15;balance=25"
    again = ada.post("/goals/daily", follow_redirects=True).text
    assert "Daily goal is paid; again from Thu 04 Jun, 00:00." in again


def test_pages_have_no_inline_script_and_no_foreign_host(ada: FlaskClient) -> None:
    for path in ("/", *PAGES, "/nowhere"):
        response = ada.get(path)
        assert "Log out" in response.text
        assert "default-src 'self'" in response.headers["Content-Security-Policy"]
        assert not re.search(
            r"<script(?! src)|\son\w+=|style=|javascript:|(src|href)=\"(https?:)?//", response.text
        )


@pytest.mark.parametrize("path", ["/", "/signup", "/login"])
def test_a_stranger_sees_the_open_pages(app: Flask, path: str) -> None:
    assert app.test_client().get(path).status_code == 200


def test_a_stranger_is_sent_to_the_login(app: Flask) -> None:
    for path in PAGES:
        assert app.test_client().get(path).location.startswith("/login")


@pytest.mark.parametrize(
    ("method", "path", "status", "words"),
    [
        ("GET", "/nowhere", 404, "Not Found"),
        ("POST", "/paragraphs/999/close", 404, "Not Found"),
        ("GET", "/goals/daily", 405, "Method Not Allowed"),
        ("POST", "/goals/daily", 409, "You are not there yet."),
        ("POST", "/account", 400, "Bad Request"),
    ],
)
def test_errors_have_the_layout_of_all_pages(
    ada: FlaskClient, method: str, path: str, status: int, words: str
) -> None:
    response = ada.open(path, method=method)
    assert response.status_code == status
    assert words in shown(response.text)
    assert "Log out" in response.text


def test_a_wrong_method_is_told_the_right_one(ada: FlaskClient) -> None:
    assert set(ada.get("/goals/daily").allow) == {"POST", "OPTIONS"}


def test_the_api_keeps_its_own_errors(ada: FlaskClient) -> None:
    response = ada.get("/coins/api/history?before=-1")
    assert (response.status_code, response.mimetype) == (400, "application/problem+json")


def test_achievements_say_what_they_count(ada: FlaskClient) -> None:
    page = shown(ada.get("/").text)
    for words in (
        "First steps 1 correct answer",
        "Hundred answers 100 correct answers",
        "A whole week 7 days in a row",
        "Scholar 500 XP",
    ):
        assert f"Not yet: {words}" in page
    answer(ada, 1)
    assert "Reached: First steps 1 correct answer" in shown(ada.get("/").text)


def test_a_quest_says_what_it_pays_and_how_far_it_is(ada: FlaskClient) -> None:
    page = ada.get("/").text
    assert quest(page, "Daily login").endswith("10 coins ✓ paid again Thu 04 Jun, 00:00")
    assert quest(page, "Weekly goal").endswith("0 / 10 50 coins")
    assert quest(page, "Exam variant cleared").endswith("0 / 7 30 coins")
    assert quest(page, "Paragraph read to the end").endswith("0 / 5 5 coins")
    assert quest(page, "Boss defeated").endswith("0 / 3 60 coins")
    assert quest(page, "Friend invited").endswith("20 coins")
    answer(ada, 1)
    assert quest(ada.get("/").text, "Daily goal").endswith("15 coins Collect")


def test_a_goal_shows_no_more_answers_than_it_wants(ada: FlaskClient) -> None:
    assert "1 correct answer 0 / 1 " in shown(ada.get("/goals/").text)
    answer(ada, 11)
    page = shown(ada.get("/goals/").text)
    assert "1 correct answer 1 / 1 " in page
    assert "10 correct answers 10 / 10 " in page


def test_each_of_the_three_goals_shows_how_far_it_is(ada: FlaskClient) -> None:
    answer(ada, 4)
    assert ada.post("/goals/tier", data={"goal": "medium"}).status_code == 303
    page = shown(ada.get("/goals/").text)
    for words in ("1 correct answer 1 / 1", "3 correct answers 3 / 3 Your goal Collect"):
        assert words in page
    assert "5 correct answers 4 / 5 Choose hard" in page
    assert ada.post("/goals/tier", data={"goal": "heroic"}).status_code == 400


def test_the_calendar_shows_what_each_day_was(app: Flask, ada: FlaskClient) -> None:
    for days in (1, 3):
        with travel(app, NOON + days * DAY):
            log_in(app, "ada")
    with travel(app, NOON + 4 * DAY):
        page = ada.get("/streak/").text
    words = shown(page)
    assert "3 you were here 4 you were here 5 missed 6 you were here 7 today, still open" in words
    assert "1 day in a row Longest ever 2" in words
    assert page.count("Check in today") == 1
    assert "May 2026" in ada.get("/streak/?month=2026-05").text


@pytest.mark.parametrize("month", ["2026-13", "x", "0000-01", "1999-01", "2026-1"])
def test_a_month_that_cannot_be_is_not_found(ada: FlaskClient, month: str) -> None:
    assert ada.get(f"/streak/?month={month}").status_code == 404


def test_a_collected_goal_can_be_collected_again_when_it_says_so(ada: FlaskClient) -> None:
    answer(ada, 10)
    assert ada.get("/goals/").text.count("Collect</button>") == 2
    ada.post("/goals/daily")
    ada.post("/goals/weekly")
    page = ada.get("/goals/").text
    assert "Collect</button>" not in page
    assert "✓ collected, again Thu 04 Jun, 00:00" in shown(page)
    assert "✓ collected, again Mon 08 Jun, 00:00" in shown(page)
    with travel(ada.application, NOON + DAY):
        assert ada.get("/goals/").text.count("Collect</button>") == 1


def test_coins_are_named_after_what_they_were_for(app: Flask, ada: FlaskClient) -> None:
    sign_up(app, "bob", invite=user(app).invite_code)
    bob = str(user(app, "bob").id)
    with app.app_context():
        assert wording.words("variant_clear", "1") == "Exam variant cleared: math9: Variant 1"
        assert wording.words("streak_freeze", "daily_login") == "Streak freeze: Daily login"
        assert wording.words("boss_defeated", "1") == "Boss defeated: The Sphinx"
        assert wording.words("referral", bob) == "Friend invited: bob"
        assert (
            wording.words("boss_defeated", "999")
            == wording.words("boss_defeated", "x")
            == "Boss defeated"
        )


def test_the_wallet_tells_what_a_goal_of_the_day_pays(ada: FlaskClient) -> None:
    assert "15, 25 or 40 coins" in ada.get("/coins/").text


def test_the_old_history_leads_to_the_wallet(ada: FlaskClient) -> None:
    assert ada.get("/history").location == "/coins/"


def test_a_defeated_boss_is_marked_until_it_comes_back(app: Flask, ada: FlaskClient) -> None:
    answer(ada, 4)
    assert "✓" not in fight(ada, "a table")
    fight(ada)
    page = ada.get("/bosses/").text
    assert "The Sphinx ✓ defeated this week The Lost Number 2 of 6 hit points" in shown(page)
    assert "Fight</button>" not in page
    assert "✓" not in sign_up(app, "bob").get("/bosses/").text
    with travel(app, NOON + WEEK):
        assert "✓" not in ada.get("/bosses/").text


def test_exams_show_how_much_of_them_is_done(app: Flask, ada: FlaskClient) -> None:
    (path, right), (other, _) = right_answers(app)[3:5]
    for to, given in [(path, right), (path, right), (other, "wrong")]:
        ada.post(to, data={"answer": given})
    clear_first_variant(ada)
    page = shown(ada.get("/exams/").text)
    assert "math9: Variant 1 3 / 3 ✓ cleared" in page
    assert "math9: Variant 2 1 / 3" in page
    assert "math9: Variant 3 0 / 3" in page
    assert "Variant 1 0 / 3" in shown(sign_up(app, "bob").get("/exams/").text)


@pytest.mark.parametrize("zone", ["Mars/Crater", "+zz", "+99:99", "x\0y"])
def test_a_wrong_zone_is_answered_in_a_learners_words(
    app: Flask, ada: FlaskClient, zone: str
) -> None:
    form = {"name": "ada", "password": "lovelace1", "zone": zone, "goal": "hard"}
    stranger = app.test_client()
    for response in (
        stranger.post("/signup", data={**form, "name": "eve"}),
        stranger.post("/login", data=form),
        ada.post("/account", data=form),
    ):
        assert response.status_code == 400
        assert f'<p class="message is-error">{CHOOSE_A_ZONE}</p>' in response.text
    assert (user(app).zone, user(app).goal) == ("Europe/Berlin", "easy")


def test_a_goal_that_is_none_changes_nothing(app: Flask, ada: FlaskClient) -> None:
    response = ada.post("/account", data={"zone": "Asia/Tokyo", "goal": "heroic"})
    assert response.status_code == 400
    assert "There is no goal &#39;heroic&#39;." in response.text
    assert (user(app).zone, user(app).goal) == ("Europe/Berlin", "easy")


def test_a_saved_account_says_so(ada: FlaskClient) -> None:
    form = {"zone": "Asia/Tokyo", "goal": "hard"}
    assert (
        '<p class="message">Saved.</p>'
        in ada.post("/account", data=form, follow_redirects=True).text
    )


@pytest.mark.parametrize("path", ["/goals/", "/streak/?month=2026-05", "/exams/1"])
def test_a_login_leads_to_the_page_that_asked_for_it(
    app: Flask, ada: FlaskClient, path: str
) -> None:
    stranger = app.test_client()
    form = stranger.get(stranger.get(path).location).text
    action = re.search(r'<form class="card fields" method="post" action="(.*?)"', form)
    assert action
    response = stranger.post(
        html.unescape(action[1]), data={"name": "ada", "password": "lovelace1"}
    )
    assert (response.status_code, response.location) == (303, path)


def test_a_login_leads_nowhere_else(app: Flask, ada: FlaskClient) -> None:
    form = {"name": "ada", "password": "lovelace1"}
    for wanted in ELSEWHERE:
        response = app.test_client().post("/login", query_string={"next": wanted}, data=form)
        assert (response.status_code, response.location) == (303, "/")


def test_whoever_may_not_earn_coins_is_told(app: Flask, ada: FlaskClient) -> None:
    forbid_coins(app)
    answer(ada, 10)
    for goal in ("daily", "weekly"):
        assert NOT_PAID in ada.post(f"/goals/{goal}", follow_redirects=True).text
    assert NOT_PAID in fight(ada)
    assert paid(app) == {"daily_login": 10}


def test_nobody_is_told_that_another_account_is_not_paid(app: Flask, ada: FlaskClient) -> None:
    forbid_coins(app, "ada", "invite")
    bob = sign_up(app, "bob", invite=user(app).invite_code)
    page = bob.get("/").text
    assert NOT_PAID not in page
