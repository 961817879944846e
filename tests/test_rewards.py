"""The catalogue: which rewards an app has, and how each of them stands for a user."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from functools import wraps
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from blinker import Signal
from flask import Blueprint, Flask
from flask.views import MethodView, View
from flask_sqlalchemy import SQLAlchemy

from flask_coins import Coins, InvalidInput, NoUserError, award, award_once
from flask_coins.results import Reward
from flask_coins.windows import Between

from .apps import NOON, Clock
from .statements import statements

UTC = timezone.utc
SHOP = {"__name__": "shop.rules", "award_once": award_once}
ELSEWHERE = SHOP | {"__name__": "elsewhere.rules"}

Find = Callable[..., Reward | None]


ORDER = ("first", "second", "third")


@pytest.fixture
def find(app: Flask, coins: Coins) -> Find:
    """``find(reason, user="ada")``: the one reward of that name, or None."""

    def found(reason: str, user: str = "ada") -> Reward | None:
        with app.app_context():
            rewards = [each for each in coins.status(user) if each.reason == reason]
        assert len(rewards) < 2
        return rewards[0] if rewards else None

    return found


def _serve(app: Flask, view: Any, path: str = "/visit") -> None:
    app.add_url_rule(path, path, view, methods=["POST"])


def _pay(app: Flask, db: SQLAlchemy, rule: Any, **options: Any) -> None:
    with app.app_context():
        rule.pay("ada", **options)
        db.session.commit()


# -- how a reward stands --------------------------------------------------------------------------


def test_a_reward_is_open_until_it_is_paid(app: Flask, db: SQLAlchemy, find: Find) -> None:
    rule = award_once(15, "daily", "day", user="ada")
    _serve(app, rule(lambda: "done"))
    assert find("daily") == Reward("daily", 15, "coins", "day", 1, None, "open")
    app.test_client().post("/visit")
    tomorrow = datetime(2026, 11, 23, tzinfo=UTC)
    assert find("daily") == Reward("daily", 15, "coins", "day", 1, None, "paid", tomorrow, 1)
    assert find("daily", "bob") == Reward("daily", 15, "coins", "day", 1, None, "open")


def test_whom_the_host_excludes_is_told_so(app: Flask, coins: Coins, find: Find) -> None:
    _serve(app, award_once(15, "daily")(lambda: "done"))
    coins.eligible_check(lambda user_id, reason: (user_id, reason) != ("ada", "daily"))
    assert (find("daily").state, find("daily", "bob").state) == ("excluded", "open")


def test_it_opens_again_in_the_next_window(
    app: Flask, db: SQLAlchemy, clock: Clock, find: Find
) -> None:
    rule = award_once(15, "daily", "day")
    _serve(app, rule(lambda: "done"))
    _pay(app, db, rule)
    clock.forward(hours=12)
    assert find("daily").state == "open"


def test_any_payment_counts(app: Flask, db: SQLAlchemy, coins: Coins, find: Find) -> None:
    rule = award_once(15, "rolling", timedelta(hours=24))
    _serve(app, rule(lambda: "done"))
    with app.app_context():
        coins.award("ada", 1, "rolling")
        db.session.commit()
    reward = find("rolling")
    assert (reward.state, reward.opens_at) == ("paid", NOON + timedelta(days=1))


def test_a_limit_is_open_until_it_is_met(app: Flask, db: SQLAlchemy, find: Find) -> None:
    rule = award_once(15, "thrice", "day", limit=3)
    _serve(app, rule(lambda: "done"))
    states = []
    for _ in range(4):
        reward = find("thrice")
        states.append((reward.state, reward.times))
        _pay(app, db, rule)
    assert states == [("open", 0), ("open", 1), ("open", 2), ("paid", 3)]


def test_a_season_says_when_it_opens(app: Flask, find: Find) -> None:
    opens = datetime(2026, 12, 1, tzinfo=UTC)
    rule = award_once(1, "xmas", Between("xmas", opens, opens + timedelta(days=24)))
    _serve(app, rule(lambda: "done"))
    reward = find("xmas")
    assert (reward.state, reward.opens_at) == ("not_open", opens)


def test_forever_never_opens_again(app: Flask, db: SQLAlchemy, find: Find) -> None:
    _pay(app, db, eval("award_once(30, 'first', 'forever', subject='x')", ELSEWHERE))
    gc.collect()
    reward = find("first")
    assert (reward.state, reward.subject, reward.opens_at) == ("paid", "x", None)


def test_what_hangs_on_a_view_varies(app: Flask, db: SQLAlchemy, find: Find) -> None:
    rule = award_once(len, "varying", subject="{goal}")
    _serve(app, rule(lambda goal: "done"), "/<goal>")
    _pay(app, db, rule, subject="g1", amount=3)
    reward = find("varying")
    assert (reward.state, reward.amount, reward.subject) == ("varies", None, None)


def test_a_rule_says_what_its_view_may_decide(app: Flask, find: Find) -> None:
    _serve(
        app, award_once(lambda value: 1, "tiers", amounts=iter([40, 15, 25, 15]))(lambda: "done")
    )
    reward = find("tiers")
    assert (reward.amount, reward.amounts) == (None, (15, 25, 40))


@pytest.mark.parametrize("amounts", [[0], ["5"], [True], 5, range(1, 102)], ids=str)
@pytest.mark.parametrize("rule", [award, award_once])
def test_amounts_are_amounts(rule: Any, amounts: Any) -> None:
    with pytest.raises(InvalidInput):
        rule(lambda value: 1, "tiers", amounts=amounts)


@pytest.mark.parametrize("rule", [award, award_once])
def test_amounts_go_with_an_amount_that_a_view_decides(rule: Any) -> None:
    with pytest.raises(InvalidInput, match="amounts"):
        rule(15, "tiers", amounts=[15, 25])


def test_a_callable_subject_varies_too(app: Flask, find: Find) -> None:
    _serve(app, award_once(1, "called", subject=lambda value: 7)(lambda: "done"))
    assert find("called").state == "varies"


def test_what_pays_each_time_is_always_open(app: Flask, db: SQLAlchemy, find: Find) -> None:
    rule = award(5, "each time")
    _serve(app, rule(lambda: "done"))
    _pay(app, db, rule)
    assert find("each time") == Reward("each time", 5, "coins", None, 1, None, "open")


def test_the_users_own_day_counts(app: Flask, db: SQLAlchemy, coins: Coins, find: Find) -> None:
    coins.timezone_loader(lambda user_id: "Asia/Tokyo" if user_id == "ada" else None)
    rule = award_once(1, "daily", "day")
    _serve(app, rule(lambda: "done"))
    _pay(app, db, rule)
    assert find("daily").opens_at == datetime(2026, 11, 22, 15, tzinfo=UTC)


@pytest.mark.usefixtures("ctx")
def test_the_current_user_is_the_default(app: Flask, coins: Coins) -> None:
    _serve(app, award_once(1, "mine")(lambda: "done"))
    coins.current_user_loader(lambda: None)
    with pytest.raises(NoUserError):
        coins.status()
    coins.current_user_loader(lambda: "ada")
    assert "mine" in [reward.reason for reward in coins.status()]


@pytest.mark.usefixtures("ctx")
def test_all_rewards_are_looked_up_at_once(app: Flask, db: SQLAlchemy, coins: Coins) -> None:
    rules = [award_once(1, f"r{n}", limit=n % 3 + 1) for n in range(30)]
    for rule in rules:
        _serve(app, rule(lambda: "done"), f"/{rule.reason}")
    for rule in rules[::2]:
        rule.pay("ada")
    db.session.commit()
    with statements(db.engine) as seen:
        rewards = {each.reason: each for each in coins.status("ada")}
    assert len(seen) == 1
    assert [rewards[f"r{n}"].times for n in range(30)] == [1, 0] * 15


@pytest.mark.usefixtures("ctx")
def test_rewards_paid_ahead_open_behind_what_was_paid(
    app: Flask, db: SQLAlchemy, coins: Coins, clock: Clock
) -> None:
    rules = [award_once(1, "ahead"), award_once(1, "now")]
    for rule in rules:
        _serve(app, rule(lambda: "done"), f"/{rule.reason}")
    clock.forward(days=6)
    for _ in range(6):
        rules[0].pay("ada")
        clock.forward(days=-1)
    rules[1].pay("ada")
    db.session.commit()
    clock.forward(days=1)
    opens = {each.reason: each.opens_at for each in coins.status("ada")}
    assert (opens["ahead"], opens["now"]) == (NOON.replace(day=29, hour=0), None)


# -- which rewards an app has -----------------------------------------------------------------------


def _blueprint(app: Flask, rule: Any) -> None:
    blueprint = Blueprint("goals", __name__)
    blueprint.add_url_rule("/goal", "goal", rule(lambda: "done"))
    app.register_blueprint(blueprint)


def _below_another(app: Flask, rule: Any) -> None:
    view = rule(lambda: "done")

    @wraps(view)
    def wrapper() -> Any:
        return view()

    _serve(app, wrapper)


def _method(app: Flask, rule: Any) -> None:
    goal = type("Goal", (MethodView,), {"post": rule(lambda self: "done")})
    _serve(app, goal.as_view("goal"))


def _class(app: Flask, rule: Any) -> None:
    goal = rule(type("Goal", (View,), {"dispatch_request": lambda self: "done"}))
    _serve(app, goal.as_view("goal"))


def _dispatch(app: Flask, rule: Any) -> None:
    goal = type("Goal", (View,), {"dispatch_request": rule(lambda self: "done")})
    _serve(app, goal.as_view("goal"))


def _stacked(app: Flask, rule: Any) -> None:
    _serve(app, award(1, "other")(rule(lambda: "done")))


def _twice(app: Flask, rule: Any) -> None:
    for path in ("/one", "/two"):
        _serve(app, rule(lambda: "done"), path)


PLACES = [_blueprint, _below_another, _method, _class, _dispatch, _stacked, _twice]


@pytest.mark.parametrize("place", PLACES)
def test_rules_are_found_on_views(app: Flask, find: Find, place: Callable[..., None]) -> None:
    place(app, eval("award_once(15, 'placed')", ELSEWHERE))
    gc.collect()
    assert find("placed") is not None


def test_rules_are_found_on_signals(coins: Coins, find: Find) -> None:
    coins.award_on(Signal(), 10, "signalled", "day")
    assert find("signalled") is not None


def test_rules_are_found_once_they_were_paid(app: Flask, db: SQLAlchemy, find: Find) -> None:
    rule = eval("award_once(15, 'elsewhere')", ELSEWHERE)
    assert find("elsewhere") is None
    _pay(app, db, rule)
    assert find("elsewhere").state == "paid"


@pytest.fixture
def shop(db: SQLAlchemy, coins: Coins, tmp_path: Path) -> Iterator[Flask]:
    """An app whose package is called ``shop``."""
    app = Flask("shop.web", root_path=str(tmp_path))
    app.config["SQLALCHEMY_DATABASE_URI"] = f"sqlite:///{tmp_path / 'shop.sqlite3'}"
    db.init_app(app)
    coins.init_app(app, db)
    with app.app_context():
        db.create_all()
        yield app
        db.engine.dispose()


@pytest.mark.usefixtures("shop")
def test_values_are_found_in_the_apps_own_package(coins: Coins) -> None:
    mine = eval("award_once(15, 'mine')", SHOP)
    theirs = eval("award_once(15, 'theirs')", SHOP | {"__name__": "shopping.rules"})
    assert [reward.reason for reward in coins.status("ada")] == [mine.reason]
    assert theirs.reason == "theirs"


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """``module(path)``: the names of an imported module of one file below ``tmp_path``."""

    def write(path: str) -> dict[str, Any]:
        made = ModuleType(Path(path).stem)
        made.__file__ = str(tmp_path / path)
        monkeypatch.setitem(sys.modules, made.__name__, made)
        return vars(made) | {"award_once": award_once}

    return write


def test_values_are_found_beside_an_app_of_one_file(
    module: Callable[..., dict[str, Any]], db: SQLAlchemy, coins: Coins, tmp_path: Path
) -> None:
    module("flat/flat_app.py")
    mine = eval("award_once(15, 'mine')", module("flat/flat_rewards.py"))
    others = [
        eval("award_once(15, 'theirs')", module("other/other_rewards.py")),
        eval("award_once(15, 'library')", module("flat/venv/site-packages/bought.py")),
        eval("award_once(15, 'unknown')", {"award_once": award_once, "__name__": "lost"}),
    ]
    app = Flask("flat_app", root_path=str(tmp_path / "flat"))
    app.config["SQLALCHEMY_DATABASE_URI"] = f"sqlite:///{tmp_path / 'flat.sqlite3'}"
    db.init_app(app)
    coins.init_app(app, db)
    with app.app_context():
        db.create_all()
        assert [reward.reason for reward in coins.status("ada")] == [mine.reason]
        db.engine.dispose()
    assert len(others) == 3


@pytest.mark.usefixtures("shop")
def test_rules_that_functions_make_are_nobodys(coins: Coins) -> None:
    names = SHOP.copy()
    exec(
        "def make(): return award_once(15, 'made')\nmade = make()\nkept = award_once(15, 'kept')",
        names,
    )
    assert [reward.reason for reward in coins.status("ada")] == ["kept"]
    names.clear()  # or its rules would live on in a circle, for other tests to see


@pytest.mark.usefixtures("shop")
def test_a_rule_that_is_gone_takes_no_equal_one_along(coins: Coins) -> None:
    rules = [eval("award_once(15, 'equal')", SHOP) for _ in range(2)]
    del rules[0]
    gc.collect()
    assert [reward.reason for reward in coins.status("ada")] == ["equal"]


@pytest.mark.usefixtures("shop")
def test_rules_that_are_alike_are_one_reward(coins: Coins) -> None:
    rules = [eval(f"award_once(15, 'alike', limit={limit})", SHOP) for limit in (1, 1, 2)]
    assert [reward.limit for reward in coins.status("ada")] == [1, 2]
    assert len(rules) == 3


def test_paying_does_not_change_their_order(app: Flask, db: SQLAlchemy, coins: Coins) -> None:
    rules = [award_once(1, reason) for reason in ("first", "second", "third")]
    for rule in rules:
        _serve(app, rule(lambda: "done"), f"/{rule.reason}")

    def order() -> list[str]:
        with app.app_context():
            return [each.reason for each in coins.status("ada") if each.reason in ORDER]

    before = order()
    _pay(app, db, rules[1])
    _pay(app, db, rules[0])
    assert order() == before == list(ORDER)
