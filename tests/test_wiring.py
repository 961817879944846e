"""Faults of set-up are found: a rule that never runs, nobody to pay, a prefix that is taken."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from functools import partial, update_wrapper, wraps
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import flask
import pytest
from flask import Blueprint, Flask, g, request_started
from flask.views import MethodView, View
from flask_login import LoginManager
from flask_sqlalchemy import SQLAlchemy
from flask_wtf import CSRFProtect

from flask_coins import Coins, award, award_once
from flask_coins._wiring import unreached_rules
from flask_coins.errors import CoinsWarning

from .apps import create_app

GOAL = award_once(15, "daily_goal", "day", user="ada")
NEVER_RUNS = "the rule for 'daily_goal' never runs: it stands above the route"

Make = Callable[..., Flask]


@pytest.fixture
def our_pages() -> str:
    return "/coins"


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """What is wired up has nothing to do with the engine."""
    return f"sqlite:///{tmp_path / 'host.sqlite3'}"


def _above(app: Flask) -> Any:
    @GOAL
    @app.post("/goal")
    def complete_goal() -> str:
        return "done"

    return complete_goal


# -- a rule above its route -----------------------------------------------------------------------


def test_a_rule_above_its_route_is_found(app: Flask) -> None:
    kept = _above(app)
    (fault,) = unreached_rules(app.extensions["coins"])
    assert fault.startswith(f"{__name__}._above.<locals>.complete_goal: {NEVER_RUNS}")
    assert "directly above 'def'" in fault
    assert kept is not app.view_functions["complete_goal"]


def test_so_is_one_above_the_route_of_a_blueprint(app: Flask) -> None:
    blueprint = Blueprint("goals", __name__)
    view = GOAL(blueprint.get("/goal")(lambda: "done"))
    app.register_blueprint(blueprint)
    assert len(unreached_rules(app.extensions["coins"])) == 1
    assert callable(view)


def test_so_is_one_of_two(app: Flask) -> None:
    view = GOAL(app.get("/goal")(award(1, "bonus")(lambda: "done")))
    (fault,) = unreached_rules(app.extensions["coins"])
    assert "'daily_goal'" in fault
    assert callable(view)


def _between(view: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(view)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return view(*args, **kwargs)

    return wrapper


class Goal(MethodView):
    @GOAL
    def post(self) -> str:
        return "done"


@GOAL
class Closed(View):
    def dispatch_request(self) -> str:
        return "done"


@pytest.mark.parametrize(
    "view",
    [
        GOAL(lambda: "done"),
        GOAL(award(1)(lambda: "done")),
        GOAL(_between(award(1)(lambda: "done"))),
        _between(GOAL(lambda: "done")),
        Goal.as_view("goal"),
        _between(Goal.as_view("goal")),
        Closed.as_view("goal"),
    ],
)
def test_a_rule_below_its_route_is_no_fault(app: Flask, view: Any) -> None:
    app.add_url_rule("/goal", "goal", view)
    assert unreached_rules(app.extensions["coins"]) == []


def _unwrapped(view: Callable[..., Any]) -> Callable[..., Any]:
    def wrapper() -> Any:
        return view()

    return wrapper


class Wrapper:
    def __init__(self, view: Callable[..., Any]) -> None:
        update_wrapper(self, view)

    def __call__(self) -> Any:
        return self.__wrapped__()  # type: ignore[attr-defined]


@pytest.mark.parametrize("between", [_unwrapped, Wrapper])
def test_other_decorators_may_stand_between(app: Flask, between: Callable[..., Any]) -> None:
    app.add_url_rule("/goal", "goal", between(GOAL(lambda: "done")))
    assert unreached_rules(app.extensions["coins"]) == []


def test_a_second_route_below_the_rule_is_found(app: Flask) -> None:
    @app.post("/above")
    @GOAL
    @app.post("/below", endpoint="below")
    def goal() -> str:
        return "done"

    (fault,) = unreached_rules(app.extensions["coins"])
    assert "the rule for 'daily_goal' never runs for 'below'" in fault


def test_a_function_may_be_served_with_and_without_a_rule(app: Flask) -> None:
    def goal() -> str:
        return "done"

    app.add_url_rule("/plain", "plain", goal)
    paying = GOAL(goal)
    app.add_url_rule("/paying", "paying", paying)
    assert unreached_rules(app.extensions["coins"]) == []


def test_another_app_may_pay_for_what_this_one_serves(app: Flask, tmp_path: Path) -> None:
    def goal() -> str:
        return "done"

    other = create_app(f"sqlite:///{tmp_path / 'other'}", SQLAlchemy(), Coins())
    app.add_url_rule("/goal", "goal", goal)
    paying = GOAL(goal)
    assert len(unreached_rules(app.extensions["coins"])) == 1
    other.add_url_rule("/goal", "goal", paying)
    assert unreached_rules(app.extensions["coins"]) == []


def test_a_view_without_a_route_is_no_fault(app: Flask) -> None:
    view = GOAL(lambda: "called by others")
    assert unreached_rules(app.extensions["coins"]) == []
    assert callable(view)


# -- a rule on a GET ------------------------------------------------------------------------------


class Look(MethodView):
    @GOAL
    def get(self) -> str:
        return "seen"


class LookAndDo(Look):
    get = _between(Look.get)

    def post(self) -> str:
        return "done"


class LookOutright(LookAndDo):
    @award_once(15, "daily_goal", "day", user="ada", methods=["GET"])
    def get(self) -> str:
        return "seen"


@pytest.mark.parametrize(
    ("view", "methods", "pays"),
    [
        (Look, None, True),
        (LookAndDo, None, False),
        (LookAndDo, ["GET"], True),
        (LookOutright, None, True),
        (Goal, None, True),
    ],
)
def test_a_rule_on_a_get_beside_a_post_is_found(
    make_app: Make, view: type[View], methods: list[str] | None, pays: bool
) -> None:
    app = make_app()
    app.add_url_rule("/look", view_func=_between(view.as_view("look")), methods=methods)
    app.debug, (method, *_) = True, methods or sorted(view.methods or ["POST"])
    found = [each for each in _warnings(app) if "never counts" in each]
    assert ("Coins-Awarded" in app.test_client().open("/look", method=method).headers) is pays
    assert len(found) == (not pays)
    assert all("Look.get: the rule for 'daily_goal'" in each for each in found)


def test_a_get_that_is_served_elsewhere_or_never_is_no_fault(make_app: Make) -> None:
    app = make_app(DEBUG=True)
    app.add_url_rule("/do", view_func=LookAndDo.as_view("do"), methods=["POST"])
    app.add_url_rule("/look", view_func=LookAndDo.as_view("look"), methods=["GET"])
    app.add_url_rule("/look-and-do", "look", methods=["GET", "POST"])
    assert [each for each in _warnings(app) if "never counts" in each] == []


# -- the warning ----------------------------------------------------------------------------------


@pytest.fixture
def resolver(coins: Coins) -> None:
    coins.current_user_loader(lambda: "ada")


@pytest.mark.usefixtures("resolver")
def test_debug_mode_warns_on_the_first_request_only(make_app: Make) -> None:
    app = make_app(DEBUG=True)
    view, client = _above(app), app.test_client()
    with pytest.warns(CoinsWarning, match=NEVER_RUNS) as warned:
        assert client.post("/goal").text == "done"
    assert client.post("/goal").text == "done"
    assert [each.category for each in warned].count(CoinsWarning) == 1
    assert callable(view)


@pytest.mark.usefixtures("resolver")
def test_debug_mode_may_be_switched_on_after_set_up(app: Flask) -> None:
    view, app.debug = _above(app), True
    with pytest.warns(CoinsWarning, match=NEVER_RUNS):
        app.test_client().post("/goal")
    assert callable(view)


def test_other_modes_are_silent(app: Flask) -> None:
    view = _above(app)
    assert app.test_client().post("/goal").text == "done"
    assert callable(view)


# -- the user -------------------------------------------------------------------------------------


def _warnings(app: Flask) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        app.test_client().get("/")
    return [str(each.message) for each in caught if each.category is CoinsWarning]


def test_debug_mode_warns_that_nobody_says_who_the_user_is(make_app: Make) -> None:
    (warning,) = _warnings(make_app(DEBUG=True))
    assert "@coins.current_user_loader" in warning


def _loader(app: Flask, coins: Coins) -> None:
    coins.current_user_loader(lambda: "ada")


def _login(app: Flask, coins: Coins) -> None:
    LoginManager(app).user_loader(lambda user_id: None)


def _before_request(app: Flask, coins: Coins) -> None:
    @app.before_request
    def load_user() -> None:
        g.user = None


def _set_user(user: Any = "ada", **sent: Any) -> None:
    g.user = user


def _helper(app: Flask, coins: Coins) -> None:
    @app.before_request
    def load_user() -> None:
        _set_user()


def _method(app: Flask, coins: Coins) -> None:
    class Auth:
        def load(self) -> None:
            self.remember("ada")

        def remember(self, user: str) -> None:
            flask.g.user = user

    app.before_request(Auth().load)


def _of_another(app: Flask, coins: Coins) -> None:
    class Load:
        auth = SimpleNamespace(load_user=_set_user)

        def __call__(self) -> None:
            self.auth.load_user()

    app.before_request(Load())


def _setattr(app: Flask, coins: Coins) -> None:
    app.before_request(lambda: setattr(g, "user", "ada"))


def _partial(app: Flask, coins: Coins) -> None:
    app.before_request(partial(_set_user, "ada"))


def _callable(app: Flask, coins: Coins) -> None:
    class Load:
        def __call__(self) -> None:
            g.user = "ada"

    app.before_request(Load())


def _coroutine(app: Flask, coins: Coins) -> None:
    @app.before_request
    async def load_user() -> None:
        g.user = "ada"


def _decorator(app: Flask, coins: Coins) -> None:
    def token_required(view: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(view)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            g.user = "ada"
            return view(*args, **kwargs)

        return wrapper

    app.add_url_rule("/goal", "goal", token_required(award(1, "goal")(lambda: "done")))


def _receiver(app: Flask, coins: Coins) -> None:
    request_started.connect(_set_user, app, weak=False)


def _view(app: Flask, coins: Coins) -> None:
    @app.post("/login")
    @award(1, "login")
    def login() -> str:
        g.user = "ada"
        return "Welcome"


SAID = [
    _loader,
    _login,
    _before_request,
    _helper,
    _method,
    _of_another,
    _setattr,
    _partial,
    _callable,
]
SAID += [_coroutine, _decorator, _receiver, _view]


@pytest.mark.parametrize("told", SAID)
def test_one_who_says_it_is_enough(
    make_app: Make, coins: Coins, told: Callable[[Flask, Coins], None]
) -> None:
    app = make_app(DEBUG=True)
    told(app, coins)
    assert _warnings(app) == []


def _installed(monkeypatch: pytest.MonkeyPatch, name: str) -> Callable[[], None]:
    """A function of a module that ``pip`` has installed."""
    module = ModuleType(name)
    module.__file__ = f"/venv/lib/site-packages/{name.replace('.', '/')}.py"
    monkeypatch.setitem(sys.modules, name, module)
    exec("from flask import g\ndef load_user(): g.user = 'ada'", vars(module))
    load_user: Callable[[], None] = module.load_user  # type: ignore[attr-defined]
    return load_user


@pytest.mark.parametrize(("module", "count"), [("school.auth", 0), ("bought.auth", 1)])
def test_an_app_may_be_installed_as_libraries_are(
    db: SQLAlchemy, coins: Coins, monkeypatch: pytest.MonkeyPatch, module: str, count: int
) -> None:
    app = Flask("school.app", root_path="/venv/lib/site-packages/school")
    app.config.update(DEBUG=True, SQLALCHEMY_DATABASE_URI="sqlite://")
    db.init_app(app)
    coins.init_app(app, db)
    app.before_request(_installed(monkeypatch, module))
    assert len(_warnings(app)) == count


def test_a_librarys_functions_do_not_say_it(make_app: Make) -> None:
    app = make_app(DEBUG=True, SECRET_KEY="test")
    CSRFProtect(app)
    (warning,) = _warnings(app)
    assert "@coins.current_user_loader" in warning


@pytest.mark.parametrize(
    ("view", "count"),
    [(None, 0), (GOAL(lambda: "done"), 0), (award(1, "whose")(lambda: "done"), 1)],
)
def test_a_user_whom_nobody_asks_for_need_not_be_known(
    make_app: Make, view: Any, count: int
) -> None:
    app = make_app(DEBUG=True, COINS_URL_PREFIX=None)
    if view:
        app.add_url_rule("/goal", "goal", view)
    assert len(_warnings(app)) == count


# -- the prefix -----------------------------------------------------------------------------------


@pytest.mark.usefixtures("resolver")
@pytest.mark.parametrize("path", ["/coins", "/coins/", "/coins/shop", "/coins/<name>"])
def test_a_route_under_the_prefix_warns(make_app: Make, path: str) -> None:
    app = make_app(DEBUG=True)
    app.add_url_rule(path, "shop", lambda name="": "shop")
    (warning,) = _warnings(app)
    assert f"The route '{path}' (shop) lies under COINS_URL_PREFIX '/coins'" in warning


@pytest.mark.usefixtures("resolver")
@pytest.mark.parametrize(
    ("prefix", "path"), [("/coins", "/coinshop"), ("/wallet", "/coins/shop"), (None, "/coins/shop")]
)
def test_a_route_beside_the_prefix_does_not(make_app: Make, prefix: str | None, path: str) -> None:
    app = make_app(DEBUG=True, COINS_URL_PREFIX=prefix)
    app.add_url_rule(path, "shop", lambda: "shop")
    assert _warnings(app) == []


@pytest.mark.usefixtures("resolver")
def test_a_route_among_those_that_the_host_registers_warns(make_app: Make, coins: Coins) -> None:
    app = make_app(DEBUG=True, COINS_URL_PREFIX=None)
    app.add_url_rule("/coins/shop", "shop", lambda: "shop")
    app.add_url_rule("/wallet/api/balance", "mine", lambda: "mine")
    app.register_blueprint(coins.blueprint, name="wallet", url_prefix="/wallet")
    (warning,) = _warnings(app)
    assert "The route '/wallet/api/balance' (mine) lies under the prefix '/wallet'" in warning


@pytest.mark.usefixtures("resolver")
def test_a_route_of_another_subdomain_does_not(make_app: Make) -> None:
    app = make_app(DEBUG=True)
    app.add_url_rule("/coins", "shop", lambda: "shop", subdomain="shop")
    assert _warnings(app) == []
