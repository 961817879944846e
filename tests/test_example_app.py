"""The example app, through its pages; its replay, against a count that shares no code with it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import flask_migrate
import pytest
from flask import Flask
from flask.testing import FlaskClient
from markupsafe import escape
from sqlalchemy import select, text

from example_app import create_app, seeds
from example_app.extensions import coins, db
from example_app.models import Boss, Paragraph, Permission, User
from example_app.replay import ACTIVITY, CONFIG, Replay, read_events
from example_app.rewards import TIERS
from flask_coins.testing import travel

from . import learners, replay_oracle
from .learners import (
    DAY,
    NOON,
    WEEK,
    answer,
    first_id,
    log_in,
    paid,
    right_answers,
    sign_up,
    streak,
    user,
)

ROOT = Path(__file__).parents[1]


@pytest.fixture
def app() -> Iterator[Flask]:
    with learners.host() as app:
        yield app


@pytest.fixture
def ada(app: Flask) -> FlaskClient:
    return sign_up(app, "ada")


def test_a_sign_up_is_a_login_and_logins_pay_once_a_day(app: Flask, ada: FlaskClient) -> None:
    assert log_in(app, "ada") == 303
    assert paid(app) == {"daily_login": 10}


def test_the_next_day_begins_at_midnight_in_the_users_own_zone(
    app: Flask, ada: FlaskClient
) -> None:
    with travel(app, datetime(2026, 6, 3, 21, 59, 59, tzinfo=timezone.utc)):
        log_in(app, "ada")
    assert paid(app) == {"daily_login": 10}
    with travel(app, datetime(2026, 6, 3, 22, tzinfo=timezone.utc)):
        log_in(app, "ada")
    assert paid(app) == {"daily_login": 20}


def test_the_streak_grows_by_the_day_and_a_missed_day_ends_it(app: Flask, ada: FlaskClient) -> None:
    for days, days_in_a_row in [(0, 1), (1, 2), (2, 3), (4, 1)]:
        with travel(app, NOON + days * DAY):
            log_in(app, "ada")
            assert streak(app) == days_in_a_row
    assert user(app).xp == 4 * 5


def test_a_traveller_is_not_paid_twice_for_one_day(app: Flask, ada: FlaskClient) -> None:
    for zone in ("Pacific/Kiritimati", "-11:00", "Europe/Berlin"):
        assert log_in(app, "ada", zone=zone) == 303
    assert paid(app) == {"daily_login": 10}


@pytest.mark.parametrize("name", TIERS)
def test_a_daily_goal_pays_its_coins_and_xp_once(app: Flask, ada: FlaskClient, name: str) -> None:
    tier = TIERS[name]
    ada.post("/account", data={"zone": "UTC", "goal": name})
    answer(ada, tier.answers - 1)
    assert ada.post("/goals/daily").status_code == 409
    assert paid(app)["daily_goal"] == 0
    answer(ada, 1)
    for _ in range(2):
        assert ada.post("/goals/daily").status_code == 303
    assert paid(app)["daily_goal"] == tier.coins
    assert user(app).xp == 5 + 2 * tier.answers + tier.xp


def test_another_tier_on_the_same_day_pays_nothing_more(app: Flask, ada: FlaskClient) -> None:
    answer(ada, 5)
    for tier in TIERS:
        ada.post("/account", data={"zone": "UTC", "goal": tier})
        ada.post("/goals/daily")
    assert paid(app)["daily_goal"] == 15


def test_yesterdays_answers_do_not_count_today(app: Flask, ada: FlaskClient) -> None:
    answer(ada, 5)
    with travel(app, NOON + DAY):
        assert ada.post("/goals/daily").status_code == 409
    assert paid(app)["daily_goal"] == 0


def test_the_weekly_goal_pays_once_a_week(app: Flask, ada: FlaskClient) -> None:
    answer(ada, 9)
    assert ada.post("/goals/weekly").status_code == 409
    answer(ada, 1)
    ada.post("/goals/weekly")
    with travel(app, NOON + DAY):
        ada.post("/goals/weekly")
    assert paid(app)["weekly_goal"] == 50


def test_the_last_right_answer_clears_a_variant_for_ever(app: Flask, ada: FlaskClient) -> None:
    *first, last = right_answers(app)[:3]
    for path, right in first:
        ada.post(path, data={"answer": right})
    ada.post(last[0], data={"answer": "wrong"})
    assert paid(app)["variant_clear"] == 0
    for days in (0, 0, 400):
        with travel(app, NOON + days * DAY):
            ada.post(last[0], data={"answer": last[1]})
    assert paid(app)["variant_clear"] == 30


def test_each_variant_is_a_reward_of_its_own(app: Flask, ada: FlaskClient) -> None:
    for path, right in right_answers(app)[:6]:
        ada.post(path, data={"answer": right})
    assert paid(app)["variant_clear"] == 60


def test_a_paragraph_is_closed_once(app: Flask, ada: FlaskClient) -> None:
    path = f"/paragraphs/{first_id(app, Paragraph)}/close"
    for _ in range(2):
        assert ada.post(path).status_code == 303
    assert paid(app)["paragraph_close"] == 5
    assert ada.get("/paragraphs/").text.count("✓ closed") == 1


def test_a_paragraph_that_is_not_there_pays_nothing(app: Flask, ada: FlaskClient) -> None:
    assert ada.post("/paragraphs/999/close").status_code == 404
    assert paid(app)["paragraph_close"] == 0


def test_a_boss_is_worth_coins_once_a_week(app: Flask, ada: FlaskClient) -> None:
    path = f"/bosses/{first_id(app, Boss)}/fight"
    answer(ada, 3)
    assert ada.post(path, data={"answer": "a table"}).status_code == 200
    assert paid(app)["boss_defeated"] == 0
    for weeks, coins_in_all in [(0, 60), (0, 60), (1, 120)]:
        with travel(app, NOON + weeks * WEEK):
            answer(ada, 3)
            ada.post(path, data={"answer": "Man"})
        assert paid(app)["boss_defeated"] == coins_in_all


def test_a_boss_with_hit_points_left_is_not_defeated(app: Flask, ada: FlaskClient) -> None:
    answer(ada, 2)
    path = f"/bosses/{first_id(app, Boss)}/fight"
    assert ada.post(path, data={"answer": "Man"}).status_code == 409
    assert paid(app)["boss_defeated"] == 0


def test_who_stays_logged_in_checks_in_once_a_day(app: Flask, ada: FlaskClient) -> None:
    for days, coins_in_all in [(0, 10), (1, 20), (1, 20)]:
        with travel(app, NOON + days * DAY):
            assert ada.post("/check-in").status_code == 303
        assert paid(app) == {"daily_login": coins_in_all}
    with travel(app, NOON + DAY):
        assert streak(app) == 2


def test_an_inviter_is_paid_once_for_each_invited(app: Flask, ada: FlaskClient) -> None:
    code = user(app).invite_code
    for name in ("bob", "cem"):
        sign_up(app, name, invite=code)
    form = {"name": "bob", "password": "lovelace1", "zone": "UTC", "invite": code}
    assert app.test_client().post("/signup", data=form).status_code == 409
    assert paid(app)["referral"] == 40
    assert paid(app, "bob") == {"daily_login": 10}


def test_whoever_may_not_earn_coins_learns_without_pay(app: Flask, ada: FlaskClient) -> None:
    with app.app_context():
        staff = db.session.get_one(User, user(app).id)
        staff.permissions.clear()
        db.session.commit()
    answer(ada, 5)
    ada.post("/goals/daily")
    assert paid(app) == {"daily_login": 10}


@pytest.mark.parametrize(
    ("change", "status"),
    [({"zone": "Mars/Crater"}, 400), ({"name": ""}, 400), ({"password": "short"}, 400)],
)
def test_a_bad_sign_up_makes_no_account(app: Flask, change: dict[str, str], status: int) -> None:
    form = {"name": "eve", "password": "lovelace1", "zone": "UTC", **change}
    assert app.test_client().post("/signup", data=form).status_code == status
    with app.app_context():
        assert db.session.scalars(select(User)).all() == []


@pytest.mark.parametrize("name", [" ", " eve", "eve ", "x\0y", "e\nve", "\u202eeve", "\xa0"])
def test_a_name_is_letters_that_can_be_seen(app: Flask, name: str) -> None:
    form = {"name": name, "password": "lovelace1", "zone": "UTC"}
    response = app.test_client().post("/signup", data=form)
    assert response.status_code == 400
    assert "no invisible characters, and no space at its start or end." in response.text
    with app.app_context():
        assert db.session.scalars(select(User)).all() == []


@pytest.mark.parametrize("name", ["Zoë Müller", "李雷", "o'Neil <b>", "+"])
def test_other_names_are_taken_and_shown_as_they_are(app: Flask, name: str) -> None:
    assert escape(name) in sign_up(app, name).get("/").text


def test_a_name_with_a_nul_belongs_to_nobody(app: Flask) -> None:
    form = {"name": "a\0da", "password": "lovelace1"}
    assert app.test_client().post("/login", data=form).status_code == 401


def test_a_wrong_password_pays_nothing(app: Flask, ada: FlaskClient) -> None:
    with travel(app, NOON + DAY):
        form = {"name": "ada", "password": "byron"}
        assert app.test_client().post("/login", data=form).status_code == 401
    assert paid(app) == {"daily_login": 10}


def test_a_form_without_its_token_is_refused(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'app.sqlite3'}"
    app = create_app({"SECRET_KEY": "of a test", "SQLALCHEMY_DATABASE_URI": url})
    client = app.test_client()
    assert client.post("/login", data={"name": "ada", "password": "x"}).status_code == 400
    assert 'name="csrf_token"' in client.get("/login").text


def test_seeds_run_again_without_a_change(app: Flask) -> None:
    def counts() -> list[int]:
        return [
            db.session.scalar(select(db.func.count()).select_from(table)) or 0
            for table in db.metadata.sorted_tables
        ]

    with app.app_context():
        before = counts()
        db.session.scalars(select(Permission)).first().title = "Changed by hand"  # type: ignore[union-attr]
        seeds.seed()
        assert counts() == before
        assert db.session.scalars(select(Permission)).first().title == "Changed by hand"  # type: ignore[union-attr]


def test_its_migrations_make_its_tables_and_write_nothing_new(tmp_path: Path) -> None:
    app = create_app({"SQLALCHEMY_DATABASE_URI": f"sqlite:///{tmp_path / 'app.sqlite3'}"})
    versions = Path(app.root_path, "migrations", "versions")
    files = sorted(versions.glob("*.py"))
    with app.app_context():
        flask_migrate.upgrade()
        flask_migrate.check()
    assert sorted(versions.glob("*.py")) == files


def test_its_copies_are_the_shipped_revisions() -> None:
    def steps(folder: Path) -> list[str]:
        files = sorted((folder / "versions").glob("coins_*.py"))
        return [file.read_text().partition("branch_labels")[2] for file in files]

    shipped = steps(ROOT / "migrations")
    assert all(shipped)
    assert steps(ROOT / "example_app" / "migrations") == shipped


def test_seed_and_replay_are_commands(app: Flask) -> None:
    runner = app.test_cli_runner()
    assert runner.invoke(args=["seed"]).exit_code == 0
    result = runner.invoke(args=["replay", "--limit", "3", "--json"])
    # Old versions of Click give a command's two streams as one.
    totals = json.loads(result.stdout[result.stdout.index("{") :])
    assert totals == {"daily_goal": 25, "daily_login": 10, "total": 35}
    assert "total" in runner.invoke(args=["replay", "--limit", "3"]).stdout


def test_the_demo_command_sets_everything_up_and_serves(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # From another folder: what is installed is tested, not what lies beside the example.
    example = str(ROOT / "example_app")
    command = [sys.executable, "-m", "flask", "--app", example, "demo", "--port", str(port)]
    env = {**os.environ, "DATABASE_URL": f"sqlite:///{tmp_path / 'demo.sqlite3'}"}
    with subprocess.Popen(command, cwd=tmp_path, env=env, stderr=subprocess.DEVNULL) as server:
        try:
            assert "Sign up" in first_page(f"http://127.0.0.1:{port}/signup")
        finally:
            server.terminate()


def test_the_demo_command_says_what_to_do_about_a_taken_port(app: Flask) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = app.test_cli_runner().invoke(args=["demo", "--port", str(port)])
    assert result.exit_code == 1
    assert f"Port {port} is taken: choose another one with --port." in result.output


def first_page(url: str) -> str:
    for _ in range(1200):
        try:
            with urlopen(url) as response:
                return str(response.read().decode())
        except URLError:
            time.sleep(0.1)
    raise AssertionError(f"{url} was never served")


@pytest.fixture(scope="module")
def replayed() -> Replay:
    events = read_events()
    replay = Replay(create_app(CONFIG), events)
    for event in events:
        replay.play(event)
    return replay


@pytest.fixture(scope="module")
def expected() -> list[replay_oracle.Payment]:
    return replay_oracle.payments(ACTIVITY)


def read(replay: Replay, query: str) -> list[tuple]:
    with replay.app.app_context():
        return [tuple(row) for row in db.session.execute(text(query))]


@pytest.mark.slow
def test_the_replay_agrees_on_every_single_decision(
    replayed: Replay, expected: list[replay_oracle.Payment]
) -> None:
    rows = read(
        replayed,
        "SELECT u.name, l.created_at, l.reason, coalesce(v.title, ''), l.amount FROM coin_log l"
        ' JOIN "user" u ON CAST(u.id AS TEXT) = l.user_id'
        " LEFT JOIN variant v ON CAST(v.id AS TEXT) = l.subject ORDER BY l.id",
    )
    found = [
        (name, datetime.fromisoformat(at).replace(tzinfo=timezone.utc), *rest)
        for name, at, *rest in rows
    ]
    assert found == [
        (f"actor {each.actor}", each.at, each.reason, each.about, each.amount) for each in expected
    ]


@pytest.mark.slow
def test_the_replay_agrees_on_every_balance(
    replayed: Replay, expected: list[replay_oracle.Payment]
) -> None:
    balances: Counter[str] = Counter()
    for each in expected:
        balances[f"actor {each.actor}"] += each.amount
    with replayed.app.app_context():
        names = {user.id: user.name for user in db.session.scalars(select(User))}
        found = coins.balances(names)
        assert {names[int(user_id)]: balance for user_id, balance in found.items()} == balances


@pytest.mark.slow
def test_the_replay_agrees_on_every_total(
    replayed: Replay, expected: list[replay_oracle.Payment]
) -> None:
    totals: Counter[str] = Counter()
    for each in expected:
        totals[each.reason] += each.amount
    assert replayed.totals == totals
