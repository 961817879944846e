"""What a budget says without a database: its settings, its moment, and when it opens again."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from flask import Flask
from flask_sqlalchemy import SQLAlchemy

from flask_coins import Coins, CoinsError
from flask_coins._budgets import Budget, budgets
from flask_coins.windows import Between, Day, parse

UTC = timezone.utc
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
SEASON = Between("winter-2026", NOW - timedelta(days=1), NOW + timedelta(days=1))


def host(given: Any) -> Flask:
    app = Flask(__name__)
    app.config.update(SQLALCHEMY_DATABASE_URI="sqlite://", COINS_BUDGETS=given)
    Coins(app, SQLAlchemy(app))
    return app


DAILY = {"most": 100, "window": "day"}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("100 a day", "list of dicts"),
        ({"most": 100, "window": "day"}, "list of dicts"),
        (100, "list of dicts"),
        (None, "list of dicts"),
        ([100], "list of dicts"),
        ([{}], "list of dicts"),
        ([{"most": 100}], "list of dicts"),
        ([{"window": "day"}], "list of dicts"),
        ([{**DAILY, "user": "7"}], "list of dicts"),
        ([{**DAILY, 5: "7"}], "list of dicts"),
        ([{**DAILY, "most": -1}], "'most'"),
        ([{**DAILY, "most": 2.5}], "'most'"),
        ([{**DAILY, "most": True}], "'most'"),
        ([{**DAILY, "most": "100"}], "'most'"),
        ([{**DAILY, "most": None}], "'most'"),
        ([{**DAILY, "most": 10**15}], "'most'"),
        ([{**DAILY, "window": "fortnight"}], "not a window"),
        ([{**DAILY, "window": None}], "not a window"),
        ([{**DAILY, "window": ["day"]}], "not a window"),
        ([{**DAILY, "window": 86_400}], "not a window"),
        ([{**DAILY, "window": timedelta(0)}], "above zero"),
        ([{**DAILY, "per": "team"}], "'per'"),
        ([{**DAILY, "per": None}], "'per'"),
        ([{**DAILY, "per": ["user"]}], "'per'"),
        ([{**DAILY, "per": "app", "window": timedelta(days=1)}], "with a name"),
        ([{**DAILY, "reason": ""}], "reason"),
        ([{**DAILY, "reason": 5}], "reason"),
        ([{**DAILY, "reason": "x" * 65}], "reason"),
        ([{**DAILY, "reason": "goal "}], "reason"),
        ([{**DAILY, "currency": ""}], "currency"),
        ([{**DAILY, "currency": None}], "currency"),
        ([{**DAILY, "currency": "x" * 17}], "currency"),
    ],
)
def test_a_budget_that_cannot_be_is_refused_at_the_start(given: Any, words: str) -> None:
    with pytest.raises(CoinsError, match=r"^COINS_BUDGETS.*[^.]\.$") as error:
        host(given)
    assert words in str(error.value)


def test_the_error_says_which_budget_is_meant() -> None:
    with pytest.raises(CoinsError, match=r"^COINS_BUDGETS\[1\]: 'most'"):
        host([DAILY, {**DAILY, "most": "all"}])


@pytest.mark.parametrize("other", ["day", Day(starts_at=datetime(2026, 1, 1, 4).time())])
def test_two_budgets_of_the_app_cannot_count_in_one_row(other: Any) -> None:
    shared = {**DAILY, "per": "app"}
    with pytest.raises(CoinsError, match=r"^COINS_BUDGETS\[1\]: .*keep one"):
        host([shared, {"most": 50, "window": other, "per": "app"}])


def test_budgets_of_the_app_that_differ_stand_side_by_side() -> None:
    season = Between("summer-2026", NOW, NOW + timedelta(days=1))
    windows = ["hour", "day", "week", "month", "year", "forever", SEASON, season]
    many: list[dict[str, Any]] = [{"most": 9, "window": each, "per": "app"} for each in windows]
    many += [{**DAILY, "per": "app", "reason": "goal"}, {**DAILY, "per": "app", "currency": "gem"}]
    host([*many, DAILY, DAILY])


def test_the_environment_can_set_budgets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLASK_COINS_BUDGETS", '[{"most": 5, "window": "week", "reason": null}]')
    app = Flask(__name__)
    app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite://"
    app.config.from_prefixed_env()
    Coins(app, SQLAlchemy(app))
    assert app.extensions["coins"].settings.budgets == (Budget(5, parse("week")),)


def test_an_environment_that_is_no_json_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLASK_COINS_BUDGETS", "[{'most': 5, 'window': 'week'}]")
    app = Flask(__name__)
    app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite://"
    app.config.from_prefixed_env()
    with pytest.raises(CoinsError, match="COINS_BUDGETS must be a list of dicts"):
        Coins(app, SQLAlchemy(app))


def test_a_budget_covers_its_currency_and_its_reason_or_all() -> None:
    goal, every = budgets([{**DAILY, "reason": "goal"}, DAILY])
    assert [goal.covers(*it) for it in (("coins", "goal"), ("coins", "login"))] == [True, False]
    assert every.covers("coins", "login")
    assert not every.covers("gems", "login")


def opens(most: int, window: Any, amount: int, rows: Any = ()) -> datetime | None:
    (budget,) = budgets([{"most": most, "window": window}])
    cap = budget.cap(NOW, ZoneInfo("Europe/Berlin"))
    assert cap
    return cap.opens_at(amount, rows)


@pytest.mark.parametrize(
    ("window", "opens_at"),
    [
        ("hour", "2026-11-22T13:00"),
        ("day", "2026-11-22T23:00"),
        ("week", "2026-11-22T23:00"),
        ("month", "2026-11-30T23:00"),
        ("year", "2026-12-31T23:00"),
        ("forever", None),
        (SEASON, "2026-11-23T12:00"),
    ],
)
def test_a_full_budget_opens_with_the_next_window(window: Any, opens_at: str | None) -> None:
    wanted = datetime.fromisoformat(opens_at).replace(tzinfo=UTC) if opens_at else None
    assert opens(100, window, 100) == wanted


@pytest.mark.parametrize("window", ["hour", "day", "year", "forever", timedelta(days=1)])
def test_what_is_more_than_the_whole_budget_never_fits(window: Any) -> None:
    assert opens(100, window, 101) is None


def test_a_season_says_nothing_once_it_is_over() -> None:
    assert opens(0, SEASON, 1) == SEASON.end
    (budget,) = budgets([{"most": 0, "window": SEASON}])
    assert budget.cap(SEASON.start, UTC)
    assert budget.cap(SEASON.start - timedelta(microseconds=1), UTC) is None
    assert budget.cap(SEASON.end, UTC) is None


@pytest.mark.parametrize(("amount", "hours"), [(1, 1), (30, 1), (31, 2), (60, 2), (61, 3), (90, 3)])
def test_a_rolling_budget_opens_when_enough_has_left_it(amount: int, hours: int) -> None:
    start = NOW - timedelta(hours=6)
    rows = [(start + timedelta(hours=n), 30) for n in (2, 1, 3)]
    assert opens(90, timedelta(hours=6), amount, rows) == NOW + timedelta(hours=hours)
