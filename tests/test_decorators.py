"""What a rule is, which views it decorates, and when it counts a view as a success."""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
from collections.abc import Callable, Iterator
from functools import partial, wraps
from http import HTTPStatus
from operator import itemgetter
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from flask import Flask, Response, abort, g, jsonify, make_response, redirect, request
from flask.views import MethodView, View
from flask_login import LoginManager, UserMixin, current_user, login_required, login_user
from flask_sqlalchemy import SQLAlchemy
from werkzeug.exceptions import Forbidden, HTTPException, NotFound

from flask_coins import (
    Coins,
    CoinsError,
    CoinsWarning,
    InvalidAmount,
    InvalidInput,
    InvalidSubject,
    NoUserError,
    award,
    award_once,
    redirected,
)

from .views import Told, committed, visit

GOAL = award_once(15, "daily_goal", "day", user="ada")


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """What a rule decides is the same on every engine: one will do."""
    return f"sqlite:///{tmp_path / 'host.sqlite3'}"


# -- methods ------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_methods_that_write_pay(app: Flask, told: Told, method: str) -> None:
    visit(app, GOAL, "done", method, [method, "GET"])
    assert told.outcomes == ["awarded"]


def test_get_pays_where_nothing_else_can(app: Flask, told: Told) -> None:
    visit(app, GOAL, "done", "GET", ["GET"])
    assert told.outcomes == ["awarded"]


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
@pytest.mark.parametrize("rule", [GOAL, award(15, user="ada", methods=["post"])])
def test_methods_that_read_do_not_pay_beside_one_that_writes(
    app: Flask, told: Told, rule: Any, method: str
) -> None:
    visit(app, rule, "done", method, ["GET", "HEAD", "OPTIONS", "POST"])
    assert told.outcomes == ["not_earned"]


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS"])
@pytest.mark.parametrize("rule", [GOAL, award(15, user="ada", methods=["GET"])])
def test_head_and_options_never_pay(app: Flask, told: Told, rule: Any, method: str) -> None:
    visit(app, rule, "done", method, ["GET", "HEAD", "OPTIONS"])
    assert told.outcomes == ["not_earned"]


@pytest.mark.parametrize(
    ("method", "outcome"), [("GET", "awarded"), ("PUT", "awarded"), ("POST", "not_earned")]
)
def test_methods_can_be_named(app: Flask, told: Told, method: str, outcome: str) -> None:
    rule = award(1, user="ada", methods=["GET", "put"])
    visit(app, rule, "done", method, ["GET", "PUT", "POST"])
    assert told.outcomes == [outcome]


# -- status -------------------------------------------------------------------------------------


def _answered(*parts: Any) -> Callable[[], Any]:
    """A view's answer that begins with a Response."""
    return lambda: (make_response("body"), *parts)


def _stream() -> Iterator[str]:
    yield "one"
    yield "two"


def _forbidden() -> Forbidden:
    return Forbidden()


SUCCESSES = {
    "text": "done",
    "bytes": b"done",
    "dict": {"done": True},
    "list": [1, 2],
    "generator": _stream,
    "response": lambda: make_response("done", 201),
    "json": lambda: jsonify(done=True),
    "redirect": lambda: redirect("/elsewhere"),
    "body and status": ("done", 201),
    "body and HTTPStatus": ("done", HTTPStatus.CREATED),
    "body and text": ("done", "201 CREATED"),
    "body and number as text": ("done", "201"),
    "body and headers": ("done", {"X-Done": "yes"}),
    "body and list of headers": ("done", [("X-Done", "yes")]),
    "body, status and headers": ("done", 201, {"X-Done": "yes"}),
    "body, no status and headers": ("done", None, {"X-Done": "yes"}),
    "response and headers": _answered({"X-Done": "yes"}),
    "response and status": _answered(201),
    "an error given a better status": lambda: (make_response("x", 404), 200),
    "an HTTPException around a success": lambda: NotFound(response=Response("done", 200)),
    "text that is no number": ("done", "fine"),
}

FAILURES = {
    "response": lambda: make_response("no", 404),
    "body and status": ("no", 400),
    "body and HTTPStatus": ("no", HTTPStatus.NOT_FOUND),
    "body and text": ("no", "404 NOT FOUND"),
    "body, status and headers": ("no", 500, {"X-Done": "no"}),
    "response and status": _answered(409),
    "response, status and headers": _answered("404 NOT FOUND", {"X-Done": "no"}),
    "error response and headers": lambda: (make_response("no", 404), {"X-Done": "no"}),
    "dict and status": ({"error": "no"}, 422),
    "returned HTTPException": _forbidden,
    "returned HTTPException and headers": lambda: (NotFound(), {"X-Done": "no"}),
    "HTTPException with a response": lambda: HTTPException(response=Response("no", 418)),
}


@pytest.mark.parametrize("answer", SUCCESSES.values(), ids=SUCCESSES)
def test_a_status_below_400_pays(app: Flask, told: Told, answer: Any) -> None:
    assert visit(app, GOAL, answer).status_code < 400
    assert told.outcomes == ["awarded"]


@pytest.mark.parametrize("answer", FAILURES.values(), ids=FAILURES)
def test_a_status_from_400_does_not(app: Flask, told: Told, answer: Any) -> None:
    assert visit(app, GOAL, answer).status_code >= 400
    assert told.outcomes == ["not_earned"]


def test_a_raised_http_exception_earns_nothing_and_is_answered(app: Flask, told: Told) -> None:
    assert visit(app, GOAL, lambda: abort(404)).status_code == 404
    assert told.outcomes == ["not_earned"]


def test_an_abort_with_a_good_response_earns_nothing_either(app: Flask, told: Told) -> None:
    assert visit(app, GOAL, lambda: abort(Response("fine"))).status_code == 200
    assert told.outcomes == ["not_earned"]


def test_an_exception_earns_nothing_and_propagates(app: Flask, told: Told) -> None:
    with pytest.raises(ZeroDivisionError):
        visit(app, GOAL, lambda: 1 // 0)
    assert told.outcomes == ["not_earned"]
    assert committed(app) == []


# -- when ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("when", "outcome"), [(lambda value: value["right"], "awarded"), (len, "awarded")]
)
def test_when_agrees(app: Flask, told: Told, when: Any, outcome: str) -> None:
    visit(app, award(1, user="ada", when=when), {"right": True})
    assert told.outcomes == [outcome]


def test_when_says_no(app: Flask, told: Told) -> None:
    visit(app, award(1, user="ada", when=itemgetter("right")), {"right": 0})
    assert told.outcomes == ["not_earned"]


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_redirected_serves_form_views(app: Flask, told: Told, code: int) -> None:
    visit(app, award(1, user="ada", when=redirected), lambda: redirect("/", code))
    assert told.outcomes == ["awarded"]


@pytest.mark.parametrize("answer", ["the form again", ("", 304), ("", 204)])
def test_a_form_shown_again_is_not_redirected(app: Flask, told: Told, answer: Any) -> None:
    visit(app, award(1, user="ada", when=redirected), answer)
    assert told.outcomes == ["not_earned"]


# -- the return value ---------------------------------------------------------------------------


def test_the_return_value_passes_through_as_it_is(app: Flask) -> None:
    value = object()
    view = GOAL(lambda: value)
    with app.test_request_context("/", method="POST"):
        assert view() is value


def test_callables_are_given_the_untouched_return_value(app: Flask) -> None:
    value, given = {"score": 3, "of": "bob"}, []

    def spy(key: str) -> Callable[[Any], Any]:
        return lambda rv: given.append(rv) or rv[key]

    rule = award(spy("score"), "quiz", subject=spy("of"), user=spy("of"), when=spy("of"))
    with app.test_request_context("/", method="POST"):
        rule(lambda: value)()
    assert len(given) == 4
    assert all(each is value for each in given)
    assert committed(app) == [("bob", 3, "quiz", "bob")]


def test_a_stream_is_not_read(app: Flask) -> None:
    assert visit(app, GOAL, _stream).text == "onetwo"
    assert committed(app) == [("ada", 15, "daily_goal", "")]


# -- the order of the questions -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("last", "answer"),
    [
        ("", {"status": 400}),
        ("when", {"when": False}),
        ("user", {"user": None}),
        ("amount", {"amount": 0}),
        ("subject", {}),
    ],
)
def test_the_first_no_stops(app: Flask, last: str, answer: dict[str, Any]) -> None:
    asked: list[str] = []

    def ask(name: str, default: Any) -> Callable[[Any], Any]:
        return lambda value: asked.append(name) or answer.get(name, default)

    rule = award(
        ask("amount", 1), user=ask("user", "ada"), subject=ask("subject", 7), when=ask("when", 1)
    )
    visit(app, rule, ("done", answer.get("status", 200)))
    order = ["when", "user", "amount", "subject"]
    assert asked == order[: order.index(last) + 1 if last else 0]


def test_a_method_that_does_not_count_asks_nothing(app: Flask) -> None:
    rule = award(1, when=lambda value: pytest.fail("asked"), user="ada")
    visit(app, rule, "done", "GET", ["GET", "POST"])
    assert committed(app) == []


@pytest.mark.parametrize(
    ("user", "amount", "outcome"),
    [(None, 5, "anonymous"), ("ada", 0, "nothing_due"), ("ada", 5, "awarded")],
)
def test_what_is_not_due_is_told(
    app: Flask, told: Told, user: Any, amount: int, outcome: str
) -> None:
    visit(app, award(lambda value: amount, user=lambda value: user))
    assert told.outcomes == [outcome]


@pytest.mark.parametrize("amount", [-1, True, False, 0.0, 1.0, "5", None, 10**15])
def test_an_amount_that_is_none_is_an_error(app: Flask, amount: Any) -> None:
    with pytest.raises(InvalidAmount):
        visit(app, award(lambda value: amount, user="ada"))
    assert committed(app) == []


@pytest.mark.parametrize("subject", [None, "", 1.5, "x" * 129])
def test_a_subject_that_is_none_is_an_error(app: Flask, subject: Any) -> None:
    with pytest.raises(InvalidSubject):
        visit(app, award(1, user="ada", subject=lambda value: subject))
    assert committed(app) == []


# -- texts with the view's arguments in them ------------------------------------------------------


def test_texts_are_formatted_with_the_arguments(app: Flask) -> None:
    @app.post("/projects/<project_id>/goals/<int:goal_id>")
    @award_once(5, "goal", user="project:{project_id}", subject="{goal_id:03}")
    def view(project_id: str, goal_id: int) -> str:
        return "done"

    app.test_client().post("/projects/apollo/goals/7")
    assert committed(app) == [("project:apollo", 5, "goal", "007")]


def test_texts_reach_into_arguments(app: Flask) -> None:
    rule = award(5, "goal", user="{goal.owner}", subject="{parts[0]}")
    view = rule(lambda goal, parts: "done")
    with app.test_request_context("/", method="POST"):
        view(SimpleNamespace(owner="ada"), parts=["first"])
    assert committed(app) == [("ada", 5, "goal", "first")]


def test_texts_know_arguments_left_to_their_default(app: Flask) -> None:
    @app.post("/page")
    @award(5, "read", user="ada", subject="{page}")
    def view(page: int = 1) -> str:
        return "done"

    app.test_client().post("/page")
    assert committed(app) == [("ada", 5, "read", "1")]


def test_texts_know_keyword_arguments_of_a_method(app: Flask) -> None:
    class Goal(MethodView):
        owner = "ada"

        @award(5, "goal", user="{self.owner}", subject="{goal_id}")
        def post(self, **arguments: Any) -> str:
            return "done"

    app.add_url_rule("/goals/<goal_id>", view_func=Goal.as_view("goal"))
    app.test_client().post("/goals/g1")
    assert committed(app) == [("ada", 5, "goal", "g1")]


@pytest.mark.parametrize("text", ["{goal_id}", "goal {goal_id!r}", "{goal.id}"])
def test_a_text_with_nothing_in_it_is_nothing(app: Flask, told: Told, text: str) -> None:
    arguments = {"goal_id": None, "goal": SimpleNamespace(id=None)}
    user, subject = award(5, "goal", user=text), award(5, "goal", user="ada", subject=text)
    with app.test_request_context("/", method="POST"):
        user(lambda **arguments: "done")(**arguments)
        with pytest.raises(InvalidSubject, match="came out as None"):
            subject(lambda **arguments: "done")(**arguments)
    assert (committed(app), told.outcomes) == ([], ["anonymous"])


@pytest.mark.parametrize(
    ("text", "subject"), [("{{lit}}", "{lit}"), ("{{lit}}{goal_id}", "{lit}7"), ("a}}b", "a}b")]
)
def test_braces_are_written_twice(app: Flask, db: SQLAlchemy, text: str, subject: str) -> None:
    rule = award_once(5, "goal", user="{{ada}}", subject=text)
    with app.test_request_context("/", method="POST"):
        rule(lambda goal_id: "done")(goal_id=7)
        if "goal_id" not in text:
            assert rule.pay("{ada}").subject == subject
    assert committed(app) == [("{ada}", 5, "goal", subject)]


@pytest.mark.parametrize("field", ["subject", "user"])
@pytest.mark.parametrize(
    "text", ["{gaol_id}", "{goal_id:{gaol_id}}", "{gaol.id}", "{gaol[0]}", "{}", "{0}"]
)
def test_an_unknown_name_fails_at_import(field: str, text: str) -> None:
    rule = award(5, "goal", **{field: text})
    with pytest.raises(InvalidInput, match=r"the arguments of .*view are goal_id"):

        @rule
        def view(goal_id: int) -> str:
            return "done"


@pytest.mark.parametrize("field", ["subject", "user"])
def test_a_name_without_its_braces_is_told_at_import(field: str) -> None:
    said = "'goal_id' is the same for all in the rule for 'goal': .* write '{goal_id}'"
    with pytest.warns(CoinsWarning, match=said) as warned:

        @award(5, "goal", **{field: "goal_id"})
        def view(goal_id: int) -> str:
            return "done"

    assert warned[0].filename == __file__


@pytest.mark.parametrize(
    "text",
    ["{other}", "{self}", "{goal_id.missing}", "{}", "{goal_id:zz}", "{parts:3}", "{parts.}"],
)
def test_a_text_that_cannot_be_filled_says_so(app: Flask, text: str) -> None:
    view = award(5, "goal", user="ada", subject=text)(lambda **arguments: "done")
    with (
        app.test_request_context("/", method="POST"),
        pytest.raises(InvalidInput, match="of 'goal' cannot be filled"),
    ):
        view(goal_id=7, parts=[1])


# -- what can be decorated ------------------------------------------------------------------------


def test_a_view_keeps_its_name_and_signature() -> None:
    @GOAL
    def complete(goal_id: int) -> str:
        """Complete a goal."""
        return "done"

    assert (complete.__name__, complete.__doc__) == ("complete", "Complete a goal.")
    assert list(inspect.signature(complete).parameters) == ["goal_id"]


def test_one_rule_decorates_many_views_closures_included(app: Flask) -> None:
    rule = award_once(10, "weekly_goal", "week", limit=3, user="ada")
    for number in range(2):
        app.add_url_rule(f"/{number}", str(number), rule(lambda n=number: f"view {n}"))
    client = app.test_client()
    assert [client.get(f"/{number}").text for number in range(2)] == ["view 0", "view 1"]
    assert len(committed(app)) == 2


def test_a_partial_can_be_decorated(app: Flask) -> None:
    app.add_url_rule("/", "view", GOAL(partial(lambda word: word, "done")))
    assert app.test_client().get("/").text == "done"
    assert len(committed(app)) == 1


def test_an_async_view_stays_one_and_pays(app: Flask) -> None:
    pytest.importorskip("asgiref")

    @app.post("/")
    @GOAL
    async def view() -> str:
        await asyncio.sleep(0)
        return "done"

    assert inspect.iscoroutinefunction(view)
    assert app.test_client().post("/").text == "done"
    assert committed(app) == [("ada", 15, "daily_goal", "")]


def test_an_async_view_that_fails_earns_nothing(app: Flask, told: Told) -> None:
    pytest.importorskip("asgiref")

    async def answer() -> str:
        abort(409)

    app.add_url_rule("/", view_func=GOAL(answer))
    assert app.test_client().get("/").status_code == 409
    assert told.outcomes == ["not_earned"]


def _method() -> type[View]:
    class Goal(MethodView):
        def get(self, goal_id: str) -> str:
            return "a goal"

        @award(5, "goal", user="ada", subject="{goal_id}")
        def post(self, goal_id: str) -> str:
            return "done"

    return Goal


def _listed() -> type[View]:
    class Goal(View):
        methods = ("GET", "POST")
        decorators = (award(5, "goal", user="ada", subject="{goal_id}"),)

        def dispatch_request(self, goal_id: str) -> str:
            return "done"

    return Goal


def _decorated() -> type[View]:
    @award(5, "goal", user="ada", subject="{goal_id}")
    class Goal(View):
        methods = ("GET", "POST")

        def dispatch_request(self, goal_id: str) -> str:
            return "done"

    return Goal


def _resource() -> type[View]:
    class Resource(MethodView):
        def dispatch_request(self, **arguments: str) -> Response:
            return make_response(jsonify(super().dispatch_request(**arguments)), 200)

    class Goal(Resource):
        def get(self, goal_id: str) -> dict[str, str]:
            return {}

        @award(5, "goal", user="ada", subject="{goal_id}")
        def post(self, goal_id: str) -> dict[str, str]:
            return {"done": goal_id}

    return Goal


@pytest.mark.parametrize("make", [_method, _listed, _decorated, _resource])
def test_class_based_views_pay(app: Flask, make: Callable[[], type[View]]) -> None:
    app.add_url_rule("/<goal_id>", view_func=make().as_view("goal"))
    client = app.test_client()
    assert client.get("/g1").status_code == client.post("/g1").status_code == 200
    assert committed(app) == [("ada", 5, "goal", "g1")]


def test_a_rule_on_a_class_leaves_its_parent_alone() -> None:
    class Parent(View):
        pass

    child = GOAL(type("Child", (Parent,), {}))
    assert (Parent.decorators, child.decorators) == ([], [GOAL])


def test_a_class_that_is_no_view_is_refused() -> None:
    with pytest.raises(InvalidInput, match="Decorate the methods of Plain"):

        @GOAL
        class Plain:
            pass


def test_outside_of_a_request_the_status_decides(app: Flask, told: Told) -> None:
    with app.app_context():
        GOAL(lambda: ("no", 400))()
        GOAL(lambda: "done")()
    assert told.outcomes == ["not_earned", "awarded"]


def test_an_app_without_the_extension_is_told_before_the_view_runs() -> None:
    view = GOAL(lambda: pytest.fail("the view ran"))
    with (
        Flask("bare").test_request_context("/", method="POST"),
        pytest.raises(CoinsError, match=r"forget to call coins.init_app\(app, db\)"),
    ):
        view()


# -- who is paid ----------------------------------------------------------------------------------


class User(UserMixin):
    def __init__(self, id_: str) -> None:
        self.id = id_


@pytest.fixture
def login(app: Flask) -> None:
    manager = LoginManager(app)
    manager.user_loader(User)
    manager.login_view = "login"

    @app.post("/login")
    @award_once(10, "daily_login")
    def login() -> str:
        login_user(User("ada"))
        return "welcome"


@pytest.mark.usefixtures("login")
def test_flask_login_is_asked_after_the_view(app: Flask) -> None:
    app.test_client().post("/login")
    assert committed(app) == [("ada", 10, "daily_login", "")]


@pytest.mark.usefixtures("login")
@pytest.mark.parametrize(
    ("order", "outcomes"), [([GOAL, login_required], []), ([login_required, GOAL], ["anonymous"])]
)
def test_login_required_goes_above_or_below(
    app: Flask, told: Told, order: list[Any], outcomes: list[str]
) -> None:
    rule = award_once(15, "daily_goal")
    view: Any = lambda: "done"  # noqa: E731  # decorated in either order
    for decorator in order:
        view = (rule if decorator is GOAL else decorator)(view)
    app.add_url_rule("/goal", "goal", view, methods=["POST"])
    client = app.test_client()
    assert client.post("/goal").status_code == 302
    assert told.outcomes == outcomes
    client.post("/login")
    assert client.post("/goal").text == "done"
    assert committed(app)[1:] == [("ada", 15, "daily_goal", "")]


@pytest.mark.usefixtures("login")
def test_a_proxy_can_be_named_as_the_user(app: Flask, told: Told) -> None:
    rule = award(1, "proxy", user=current_user)
    app.add_url_rule("/proxy", "proxy", rule(lambda: "done"))
    client = app.test_client()
    client.get("/proxy")
    client.post("/login")
    client.get("/proxy")
    assert told.outcomes == ["anonymous", "awarded", "awarded"]


def test_g_user_is_the_default(app: Flask, told: Told) -> None:
    def answer() -> str:
        g.user = request.args.get("user")
        return "done"

    app.add_url_rule("/", view_func=award(1)(answer))
    for path in ("/?user=bob", "/"):
        app.test_client().get(path)
    assert told.outcomes == ["awarded", "anonymous"]
    assert committed(app) == [("bob", 1, "xp_bonus", "")]


def test_a_loader_wins_and_is_asked_after_the_view(app: Flask, coins: Coins) -> None:
    coins.current_user_loader(lambda: g.found)

    def answer() -> str:
        g.user, g.found = "wrong", UUID(int=7)
        return "done"

    visit(app, award(1), answer)
    assert committed(app)[0][0] == "00000000-0000-0000-0000-000000000007"


@pytest.mark.parametrize("testing", [True, False])
def test_without_anyone_to_ask_the_error_shows_a_loader(
    make_app: Callable[..., Flask], testing: bool
) -> None:
    app = make_app(TESTING=testing, PROPAGATE_EXCEPTIONS=True, COINS_ON_ERROR="log")
    with pytest.raises(
        NoUserError, match=r"@coins.current_user_loader\n    def .*\n        return"
    ):
        visit(app, award(1))


def test_a_subject_may_be_a_mapped_object(db: SQLAlchemy, app: Flask) -> None:
    class Goal(db.Model):  # type: ignore[name-defined,misc]
        id = db.Column(db.Integer, primary_key=True)

    goal = Goal(id=7)
    with app.app_context():
        db.create_all()
        db.session.add(goal)
        db.session.commit()
    visit(app, award(1, "goal", user="ada", subject=lambda value: db.session.merge(goal)))
    assert committed(app) == [("ada", 1, "goal", "7")]


# -- rules are values -----------------------------------------------------------------------------


def test_rules_are_frozen_values() -> None:
    same = award_once(15, "daily_goal", "day", user="ada")
    assert len({GOAL, same, award(15, "daily_goal", user="ada")}) == 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        GOAL.amount = 16  # type: ignore[misc]


@pytest.mark.parametrize(
    "wrong",
    [
        {"amount": 0},
        {"amount": -1},
        {"amount": True},
        {"amount": 1.5},
        {"amount": "5"},
        {"amount": lambda: 5},
        {"reason": ""},
        {"reason": "x" * 65},
        {"reason": "end "},
        {"window": "fortnight"},
        {"window": 7},
        {"limit": 0},
        {"limit": True},
        {"subject": ""},
        {"subject": 1.5},
        {"subject": ["list"]},
        {"subject": True},
        {"subject": "{open"},
        {"user": 1.5},
        {"user": "{open"},
        {"user": lambda: "ada"},
        {"when": "redirected"},
        {"when": lambda: True},
        {"when": lambda one, two: True},
        {"methods": "POST"},
        {"methods": ["HEAD"]},
        {"methods": []},
        {"methods": [1]},
        {"methods": [None]},
        {"methods": 5},
        {"methods": b"POST"},
        {"subject": "{x!q}"},
        {"subject": "{x[0}"},
        {"subject": "{x:{y!q}}"},
        {"subject": "{x:{y:{z}}}"},
        {"subject": "{{" + "}}" * 128},
        {"user": "{x!q}"},
        {"currency": "x" * 17},
    ],
)
def test_arguments_are_checked_where_the_rule_is_written(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        award_once(**({"amount": 1, "reason": "goal"} | wrong))


def test_what_is_called_cannot_be_async() -> None:
    async def right(value: Any) -> bool:
        return False

    with pytest.raises(InvalidInput, match="when cannot be async"):
        award_once(1, "goal", when=right)


class AsyncCallable:
    async def __call__(self, value: Any) -> Any:
        return 1


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("field", ["amount", "when", "user", "subject"])
@pytest.mark.parametrize(
    "later", [AsyncCallable(), lambda value: asyncio.sleep(0), lambda value: SimpleAwaitable()]
)
def test_what_would_have_to_be_awaited_is_refused(app: Flask, field: str, later: Any) -> None:
    rule = award(**({"amount": 1, "reason": "goal", "user": "ada"} | {field: later}))
    with pytest.raises(InvalidInput, match=f"{field} cannot be async"):
        visit(app, rule)
    assert committed(app) == []


class SimpleAwaitable:
    def __await__(self) -> Iterator[Any]:
        yield


def score(value: Any) -> int:
    """How much a view is worth."""
    return len(value)


class Listed(View):
    """A class that somebody decorates."""


@pytest.mark.parametrize("make", [award, award_once])
@pytest.mark.parametrize("view", [score, Listed, AsyncCallable.__call__])
def test_decorating_with_the_bare_name_says_so(make: Any, view: Any) -> None:
    with pytest.raises(InvalidAmount, match=r"no reason.*write @award.*To pay now, call coins\.a"):
        make(view)
    assert make(score, "quiz").amount is score


@pytest.mark.parametrize("make", [award, award_once])
@pytest.mark.parametrize("user", [7, True, SimpleNamespace(id=7), UserMixin()])
def test_paying_by_keywords_says_so(make: Any, user: Any) -> None:
    with pytest.raises(InvalidInput, match=rf"write @{make.__name__}\(.*pay now, call coins\.a"):
        make(user=user, amount=5, reason="goal")


def test_paying_a_mapped_object_by_keywords_says_so(db: SQLAlchemy, app: Flask) -> None:
    class Person(db.Model):  # type: ignore[name-defined,misc]
        id = db.Column(db.Integer, primary_key=True)

    with app.app_context():
        db.create_all()
        person = Person(id=7)
        db.session.add(person)
        db.session.commit()
        with pytest.raises(InvalidInput, match=r"To pay now, call coins\.award_once"):
            award_once(user=person, amount=5, reason="goal")


@pytest.mark.parametrize(
    "call",
    [
        lambda: award_once("ada", 10, "goal"),  # type: ignore[arg-type]
        lambda: award_once("ada", 10, "goal", "week"),  # type: ignore[arg-type]
        lambda: award_once(current_user, 10, "goal", "week"),  # type: ignore[arg-type]
        lambda: award("ada", 10),  # type: ignore[arg-type]
        lambda: award("ada", 10, "goal"),  # type: ignore[arg-type]
    ],
)
def test_paying_by_the_decorators_name_says_so(call: Callable[[], Any]) -> None:
    with pytest.raises(InvalidAmount, match=r"To pay now, call coins\.award"):
        call()


def test_decorating_by_the_extensions_name_says_so(coins: Coins) -> None:
    for call in (partial(coins.award_once, 15, "goal", "day"), partial(coins.award, 15, "goal")):
        with pytest.raises(InvalidAmount, match="To decorate a view: from flask_coins import"):
            call()


# -- .pay -----------------------------------------------------------------------------------------


def test_pay_is_the_direct_call(app: Flask, db: SQLAlchemy) -> None:
    with app.app_context():
        assert [str(GOAL.pay("bob").outcome) for _ in range(2)] == ["awarded", "already"]
        assert committed(app) == []
        db.session.commit()
    assert committed(app) == [("bob", 15, "daily_goal", "")]


@pytest.mark.usefixtures("ctx")
def test_pay_keeps_a_constant_subject() -> None:
    rule = award(5, "level", subject=UUID(int=1))
    assert rule.pay("ada").subject == str(UUID(int=1))
    assert rule.pay("ada", subject="other").subject == "other"


@pytest.mark.usefixtures("ctx")
def test_pay_asks_for_what_a_view_would_tell() -> None:
    rule = award_once(len, "goal", subject="{goal_id}")
    with pytest.raises(InvalidAmount, match="pass amount="):
        rule.pay("ada", subject=7)
    with pytest.raises(InvalidSubject, match="pass subject="):
        rule.pay("ada", amount=3)
    with pytest.raises(NoUserError):
        rule.pay(None, amount=3, subject=7)
    assert rule.pay("ada", amount=3, subject=7).balance == 3


CLASS_LEVEL = """
class Goals:
    rules = [award_once(1, f"class {number}") for number in range(2)]

def make(number):
    return award_once(1, f"made {number}")

rules = {number: award_once(1, f"module {number}") for number in range(2)}
"""


@pytest.mark.usefixtures("ctx")
def test_only_what_stands_in_the_program_is_listed_once_it_was_paid(coins: Coins) -> None:
    module: dict[str, Any] = {"award_once": award_once, "__name__": "elsewhere.rules"}
    exec(CLASS_LEVEL, module)
    made = [module["make"](number) for number in range(3)]
    for rule in [*module["rules"].values(), *module["Goals"].rules, *made]:
        assert rule.pay("ada")
    paid = [reward.reason for reward in coins.status("ada") if reward.state == "paid"]
    assert paid == ["module 0", "module 1", "class 0", "class 1"]


@pytest.mark.usefixtures("ctx")
def test_templates_can_ask_for_the_balance(app: Flask, coins: Coins) -> None:
    coins.award("ada", 5)
    template = app.jinja_env.from_string("{{ coins.balance('ada') }}")
    assert template.render() == "5"


def test_views_are_wrapped_as_functools_does() -> None:
    def inner() -> str:
        return "done"

    @wraps(inner)
    def between() -> str:
        return inner()

    assert inspect.unwrap(GOAL(between)) is inner
