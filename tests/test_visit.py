"""What happens after a view: one transaction with the host's work, one commit, one story told."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import wraps
from threading import Barrier
from typing import Any, NamedTuple

import pytest
import sqlalchemy as sa
from flask import Flask, Response, abort, g
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.exc import IntegrityError, OperationalError

from flask_coins import (
    Coins,
    CoinsRetry,
    InsufficientCoins,
    Outcome,
    Receipt,
    award,
    award_once,
)
from flask_coins.signals import coins_awarded

from .statements import Failing
from .views import Told, committed, define_note, notes, visit

GOAL = award_once(15, "daily_goal", "day")
BONUS = award(5, "bonus")
NEVER = award(5, "never", when=lambda value: False)
BROKEN = award(lambda value: 1 // 0, "broken")

PAID = [("ada", 15, "daily_goal", "")]

Make = Callable[..., Flask]


@pytest.fixture(autouse=True)
def note(db: SQLAlchemy, coins: Coins) -> Any:
    """A model of the host's own; its user is always Ada."""
    coins.current_user_loader(lambda: "ada")
    return define_note(db)


@pytest.fixture
def add(db: SQLAlchemy, note: Any) -> Callable[..., Any]:
    """``add(answer)``: a view that adds a row, does not commit and returns ``answer``."""

    def made(answer: Any = "done", text: str = "work") -> Callable[[], Any]:
        def view() -> Any:
            db.session.add(note(text=text))
            return answer

        return view

    return made


@pytest.fixture
def commits(app: Flask, db: SQLAlchemy) -> list[Any]:
    """One item for each commit that reaches the database."""
    with app.app_context():
        seen: list[Any] = []
        sa.event.listen(db.engine, "commit", seen.append)
    return seen


# -- one transaction, one commit ------------------------------------------------------------------


def test_work_and_award_are_committed_together(
    app: Flask, add: Any, commits: list[Any], told: Told
) -> None:
    visit(app, GOAL, add())
    assert (notes(app), committed(app), len(commits)) == (["work"], PAID, 1)
    assert told.outcomes == ["awarded"]


@pytest.mark.parametrize(
    "rule",
    [
        award(lambda value: 0),
        award(1, user=lambda value: None),
        award_once(1, "closed", user="eve"),
    ],
    ids=["nothing due", "anonymous", "excluded"],
)
def test_a_success_is_committed_whatever_the_outcome(
    app: Flask, coins: Coins, add: Any, commits: list[Any], rule: Any, told: Told
) -> None:
    coins.eligible_check(lambda user_id, reason: user_id != "eve")
    visit(app, rule, add())
    assert (notes(app), committed(app), len(commits)) == (["work"], [], 1)
    assert [bool(receipt) for receipt in told] == [False]


def test_a_second_visit_in_the_window_is_committed_too(
    app: Flask, db: SQLAlchemy, note: Any, told: Told
) -> None:
    @app.post("/<text>")
    @GOAL
    def view(text: str) -> str:
        db.session.add(note(text=text))
        return "done"

    for text in ("one", "two"):
        app.test_client().post(f"/{text}")
    assert (notes(app), committed(app)) == (["one", "two"], PAID)
    assert told.outcomes == ["awarded", "already"]


def test_what_is_raised_is_not_committed(app: Flask, add: Any, commits: list[Any]) -> None:
    visit(app, GOAL, lambda: add()() and abort(404))
    assert (notes(app), committed(app), commits) == ([], [], [])


NO_SUCCESS = pytest.mark.parametrize(
    ("rule", "method", "answer"),
    [(GOAL, "POST", ("no", 400)), (NEVER, "POST", "done"), (GOAL, "GET", "done")],
    ids=["status", "when", "method"],
)


@NO_SUCCESS
def test_what_is_no_success_is_not_committed(
    app: Flask, add: Any, commits: list[Any], rule: Any, method: str, answer: Any
) -> None:
    visit(app, rule, add(answer), method, ["GET", "POST"])
    assert (notes(app), committed(app), commits) == ([], [], [])


@NO_SUCCESS
def test_what_is_no_success_is_not_rolled_back_either(
    app: Flask, db: SQLAlchemy, add: Any, rule: Any, method: str, answer: Any
) -> None:
    @app.after_request
    def commit(response: Response) -> Response:
        db.session.commit()
        return response

    visit(app, rule, add(answer), method, ["GET", "POST"])
    assert (notes(app), committed(app)) == (["work"], [])


def test_a_view_may_commit_for_itself(
    app: Flask, db: SQLAlchemy, add: Any, commits: list[Any]
) -> None:
    def view() -> str:
        add()()
        db.session.commit()
        return "done"

    visit(app, GOAL, view)
    assert (notes(app), committed(app), len(commits)) == (["work"], PAID, 2)


def test_a_view_may_roll_back_or_remove_its_session(app: Flask, db: SQLAlchemy, add: Any) -> None:
    def view() -> str:
        add()()
        db.session.remove()
        return "done"

    visit(app, GOAL, view)
    assert (notes(app), committed(app)) == ([], PAID)


def test_the_hosts_objects_are_not_expired(app: Flask, db: SQLAlchemy, note: Any) -> None:
    def view() -> str:
        g.note = note(text="work")
        db.session.add(g.note)
        return "done"

    @app.after_request
    def look(response: Response) -> Response:
        state = sa.inspect(g.note)
        response.headers["X-Look"] = f"{state.expired_attributes} {db.session().expire_on_commit}"
        return response

    assert visit(app, GOAL, view).headers["X-Look"] == "set() True"


def test_expiring_is_switched_on_again_when_the_commit_fails(app: Flask, db: SQLAlchemy) -> None:
    with app.test_request_context("/", method="POST"):
        with Failing(db, "commit", times=9), pytest.raises(CoinsRetry):
            GOAL(lambda: "done")()
        assert db.session().expire_on_commit is True


def test_an_award_that_fails_takes_the_work_along(app: Flask, add: Any, told: Told) -> None:
    with pytest.raises(ZeroDivisionError):
        visit(app, BROKEN, add())
    assert (notes(app), committed(app), told) == ([], [], [])


def test_work_that_fails_takes_the_award_along(app: Flask, add: Any, told: Told) -> None:
    @app.post("/visit/<int:number>")
    @BONUS
    def view(number: int) -> Any:
        return add()()

    client = app.test_client()
    client.post("/visit/1")
    with pytest.raises(IntegrityError):
        client.post("/visit/2")
    assert (notes(app), len(committed(app)), told.outcomes) == (["work"], 1, ["awarded"])


def test_a_failed_commit_tells_nothing(app: Flask, db: SQLAlchemy, add: Any, told: Told) -> None:
    with app.app_context():
        failing = Failing(db, "commit", times=9)
    with failing, pytest.raises(CoinsRetry):
        visit(app, GOAL, add())
    assert (notes(app), committed(app), told) == ([], [], [])


def test_requests_at_once_are_paid_once_and_lose_no_work(
    app: Flask, db: SQLAlchemy, note: Any
) -> None:
    together = Barrier(8, timeout=30)

    @app.post("/<text>")
    @GOAL
    def view(text: str) -> str:
        db.session.add(note(text=text))
        together.wait()
        return "done"

    def post(number: int) -> str | None:
        return app.test_client().post(f"/{number}").headers.get("Coins-Awarded")

    with ThreadPoolExecutor(8) as threads:
        headers = list(threads.map(post, range(8)))
    assert sorted(filter(None, headers)) == ["daily_goal;amount=15;balance=15"]
    assert (notes(app), committed(app)) == (list("01234567"), PAID)


# -- several rules ----------------------------------------------------------------------------------


def _between(view: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(view)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return view(*args, **kwargs)

    return wrapper


@pytest.mark.parametrize(
    "stack", [lambda view: GOAL(BONUS(view)), lambda view: GOAL(_between(BONUS(view)))]
)
def test_stacked_rules_share_one_commit(
    app: Flask, add: Any, commits: list[Any], told: Told, stack: Any
) -> None:
    visit(app, stack, add())
    assert len(commits) == 1
    assert committed(app) == [("ada", 5, "bonus", ""), *PAID]
    assert [receipt.balance for receipt in told] == [5, 20]


@pytest.mark.parametrize("stack", [lambda view: GOAL(NEVER(view)), lambda view: NEVER(GOAL(view))])
def test_a_stacked_rule_that_says_no_stops_no_other(
    app: Flask, add: Any, told: Told, stack: Any
) -> None:
    visit(app, stack, add())
    assert (notes(app), committed(app)) == (["work"], PAID)
    assert sorted(told.outcomes) == ["awarded", "not_earned"]


def test_stacked_rules_fail_together(app: Flask, add: Any, told: Told) -> None:
    with pytest.raises(ZeroDivisionError):
        visit(app, lambda view: GOAL(BROKEN(view)), add())
    assert (notes(app), committed(app), told) == ([], [], [])


def test_a_timeout_between_two_payments_takes_the_first_along(
    app: Flask, db: SQLAlchemy, coins: Coins
) -> None:
    class Timeout(BaseException):
        """As gevent's: no Exception."""

    @coins.eligible_check
    def check(user_id: str, reason: str) -> bool:
        if reason == "bonus":
            raise Timeout
        return True

    with app.test_request_context("/", method="POST"):
        with pytest.raises(Timeout):
            BONUS(GOAL(lambda: "done"))()
        db.session.commit()
    assert committed(app) == []


def test_what_stands_between_may_turn_a_success_into_a_failure(
    app: Flask, add: Any, told: Told
) -> None:
    def refuse(view: Callable[[], Any]) -> Callable[[], Any]:
        return wraps(view)(lambda: (view(), 409))

    visit(app, lambda view: GOAL(refuse(BONUS(view))), add())
    assert (notes(app), committed(app)) == ([], [])
    assert told.outcomes == ["not_earned", "not_earned"]


def test_a_view_inside_another_joins_it(
    app: Flask, db: SQLAlchemy, add: Any, commits: list[Any], told: Told
) -> None:
    def outer() -> Any:
        BONUS(add())()
        assert (told, commits) == ([], [])
        return add(text="more")()

    visit(app, GOAL, outer)
    assert (notes(app), len(commits)) == (["more", "work"], 1)
    assert told.outcomes == ["awarded", "awarded"]


@pytest.mark.parametrize("answer", [("no", 400), None])
def test_a_view_inside_one_that_fails_earns_nothing(
    app: Flask, add: Any, told: Told, answer: Any
) -> None:
    def outer() -> Any:
        BONUS(add())()
        return answer or abort(404)

    visit(app, GOAL, outer)
    assert (notes(app), committed(app)) == ([], [])
    assert told.outcomes == ["not_earned", "not_earned"]


def test_a_view_may_catch_what_one_inside_it_raises(app: Flask, told: Told) -> None:
    def outer() -> str:
        with pytest.raises(ZeroDivisionError):
            BONUS(lambda: 1 // 0)()
        return "done"

    visit(app, GOAL, outer)
    assert committed(app) == PAID
    assert told.outcomes == ["not_earned", "awarded"]


def test_a_view_inside_is_judged_by_its_own_answer(app: Flask, told: Told) -> None:
    def outer() -> str:
        BONUS(lambda: ("no", 422))()
        return "done"

    visit(app, GOAL, outer)
    assert (committed(app), told.outcomes) == (PAID, ["not_earned", "awarded"])


def test_one_request_leaves_nothing_for_the_next(app: Flask, told: Told) -> None:
    with app.app_context():  # a context that spans requests, as in many a test
        for answer in ("no", 400), "done":
            with app.test_request_context("/", method="POST"):
                GOAL(lambda answer=answer: answer)()
    assert told.outcomes == ["not_earned", "awarded"]


class Task(NamedTuple):
    """A coroutine of a view's: what it is paid by, when it ends and what it returns."""

    rule: Any
    seconds: float
    answer: Any = "done"


def _side_by_side(app: Flask, outer: Callable[..., Any], *tasks: Task) -> None:
    pytest.importorskip("asgiref")

    async def run(task: Task) -> Any:
        await asyncio.sleep(task.seconds)
        return task.answer

    @app.post("/")
    @outer
    async def view() -> str:
        awaited = (task.rule(run)(task) for task in tasks)
        return str(await asyncio.gather(*awaited, return_exceptions=True))

    app.test_client().post("/")


@pytest.mark.parametrize("seconds", [(0.0, 0.02), (0.02, 0.0)])
@pytest.mark.parametrize("outer", [lambda view: view, BONUS])
def test_coroutines_side_by_side_share_one_commit(
    app: Flask, commits: list[Any], told: Told, seconds: tuple[float, float], outer: Any
) -> None:
    _side_by_side(app, outer, Task(GOAL, seconds[0]), Task(award(1, "other"), seconds[1]))
    paid = sorted(receipt.reason for receipt in told)
    assert paid == ["bonus"] * (outer is BONUS) + ["daily_goal", "other"]
    assert (set(told.outcomes), len(commits)) == ({"awarded"}, 1)


@pytest.mark.parametrize("failing", [0, 1])
def test_coroutines_side_by_side_are_judged_one_by_one(
    app: Flask, told: Told, failing: int
) -> None:
    tasks = [Task(GOAL, 0.0), Task(BONUS, 0.02)]
    tasks[failing] = tasks[failing]._replace(answer=("no", 400))
    _side_by_side(app, lambda view: view, *tasks)
    assert [(receipt.reason, bool(receipt)) for receipt in told] == [
        (tasks[failing].rule.reason, False),
        (tasks[1 - failing].rule.reason, True),
    ]


# -- a view without an answer -----------------------------------------------------------------------


@pytest.mark.parametrize("nothing", [None, (None, 201), (None, {"X-Done": "yes"})])
def test_a_view_that_forgot_its_return_is_not_paid(
    make_app: Make, add: Any, told: Told, nothing: Any
) -> None:
    app = make_app(TESTING=False)
    response = visit(app, GOAL, add(nothing))
    assert (response.status_code, "Coins-Awarded" in response.headers) == (500, False)
    assert (notes(app), committed(app), told.outcomes) == ([], [], ["not_earned"])


def test_where_another_decorator_answers_for_the_view_it_is_paid(
    app: Flask, add: Any, told: Told
) -> None:
    def no_content(view: Callable[[], Any]) -> Callable[[], Any]:
        return wraps(view)(lambda: ("", 204 if view() is None else 500))

    response = visit(app, lambda view: no_content(GOAL(view)), add(None))
    assert (notes(app), committed(app), told.outcomes) == (["work"], PAID, ["awarded"])
    assert response.headers["Coins-Awarded"] == "daily_goal;amount=15;balance=15"


def test_outside_of_a_request_nothing_is_an_answer(app: Flask) -> None:
    with app.app_context():
        GOAL(lambda: None)()
    assert committed(app) == PAID


# -- errors -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["DEBUG", "TESTING", "neither"])
@pytest.mark.parametrize("policy", [None, "raise", "log"])
@pytest.mark.parametrize("working", [True, False])
def test_errors_are_raised_or_logged(
    make_app: Make,
    add: Any,
    told: Told,
    caplog: pytest.LogCaptureFixture,
    mode: str,
    policy: str | None,
    working: bool,
) -> None:
    app = make_app(TESTING=False, PROPAGATE_EXCEPTIONS=False, COINS_ON_ERROR=policy)
    app.config[mode] = True
    raises = working or policy == "raise" or (policy is None and mode != "neither")
    response = visit(app, BROKEN, add() if working else "done")
    assert response.status_code == (500 if raises else 200)
    assert (notes(app), committed(app)) == ([], [])
    assert told.outcomes == ([] if raises else ["failed"])
    assert ("Coins were not paid after the view" in caplog.text) is not raises


def test_a_failure_is_logged_by_the_app_with_its_cause(
    make_app: Make, caplog: pytest.LogCaptureFixture
) -> None:
    visit(make_app(TESTING=False), BROKEN)
    (record,) = caplog.records
    assert record.name == "tests.apps"
    assert record.exc_info is not None
    assert record.exc_info[0] is ZeroDivisionError


def test_the_log_says_first_that_the_tables_are_missing(
    make_app: Make, db: SQLAlchemy, caplog: pytest.LogCaptureFixture
) -> None:
    app = make_app(TESTING=False)
    with app.app_context():
        db.drop_all()
    assert visit(app, GOAL, "done").status_code == 200
    assert "were not paid after the view: The coin tables are missing" in caplog.messages[-1]
    assert "run 'flask db upgrade'" in caplog.messages[-1]


def _pending(db: SQLAlchemy, note: Any) -> None:
    db.session.add(note(text="work"))


def _flushed(db: SQLAlchemy, note: Any) -> None:
    db.session.add(note(text="work"))
    db.session.flush()


def _bulk(db: SQLAlchemy, note: Any) -> None:
    db.session.bulk_save_objects([note(text="work")])


def _statement(db: SQLAlchemy, note: Any) -> None:
    db.session.execute(sa.insert(note), [{"text": "work"}])


def _text(db: SQLAlchemy, note: Any) -> None:
    db.session.execute(sa.text(" insert into note (text) values ('work')"))


def _connection(db: SQLAlchemy, note: Any) -> None:
    db.session.connection().exec_driver_sql("INSERT INTO note (text) VALUES ('work')")


def _savepoint(db: SQLAlchemy, note: Any) -> None:
    with db.session.begin_nested():
        db.session.execute(sa.text("UPDATE note SET text = 'work'"))


def _coins(db: SQLAlchemy, note: Any) -> None:
    BONUS.pay("bob")


WORK = [_pending, _flushed, _bulk, _statement, _text, _connection, _savepoint, _coins]


@pytest.mark.parametrize("work", WORK)
def test_work_of_the_hosts_is_never_lost_in_silence(
    make_app: Make, db: SQLAlchemy, note: Any, told: Told, work: Callable[..., None]
) -> None:
    app = make_app(TESTING=False, COINS_ON_ERROR="log")
    response = visit(app, lambda view: BROKEN(GOAL(view)), lambda: work(db, note) or "done")
    assert response.status_code == 500
    assert (notes(app), committed(app), told) == ([], [], [])


def test_what_a_rules_callable_writes_is_work_too(
    make_app: Make, db: SQLAlchemy, note: Any, told: Told
) -> None:
    def amount(value: Any) -> int:
        _pending(db, note)
        return 5

    app = make_app(TESTING=False, COINS_ON_ERROR="log")
    with app.app_context():
        failing = Failing(db, "commit", times=1)
    with failing as fault:
        assert visit(app, award(amount, "counted")).status_code == 500
    assert (fault.attempts, notes(app), committed(app), told) == (1, [], [], [])


@pytest.mark.parametrize("statement", ["SELECT 1", " select 1", "\nSelect 1"])
def test_reading_is_no_work(make_app: Make, db: SQLAlchemy, statement: str) -> None:
    def view() -> str:
        db.session.execute(sa.text(statement))
        return "done"

    assert visit(make_app(TESTING=False), BROKEN, view).text == "done"


def test_work_that_was_committed_is_safe(make_app: Make, db: SQLAlchemy, add: Any) -> None:
    def view() -> Any:
        add()()
        db.session.commit()
        return "done"

    app = make_app(TESTING=False)
    assert visit(app, BROKEN, view).text == "done"
    assert notes(app) == ["work"]


@pytest.mark.parametrize("field", ["amount", "user", "subject", "when"])
def test_every_rule_is_told_once_when_one_fails(make_app: Make, told: Told, field: str) -> None:
    broken = award(**({"amount": 1, "reason": "broken"} | {field: lambda value: 1 // 0}))
    visit(make_app(TESTING=False), lambda view: broken(NEVER(view)))
    assert sorted(receipt.reason for receipt in told) == ["broken", "never"]
    assert told[-1].outcome is Outcome.FAILED


@pytest.mark.parametrize("policy", ["raise", "log"])
def test_what_fails_after_the_commit_comes_out_as_it_is(
    make_app: Make, db: SQLAlchemy, told: Told, policy: str
) -> None:
    app = make_app(TESTING=False, PROPAGATE_EXCEPTIONS=True, COINS_ON_ERROR=policy)
    error = OperationalError("", {}, sqlite3.OperationalError("database is locked"))
    error.__cause__ = OSError("no index")

    def fail(session: Any) -> None:
        raise error

    with app.app_context():
        sa.event.listen(db.session, "after_commit", fail)
    with pytest.raises(OperationalError) as raised:
        visit(app, BONUS)
    assert raised.value is error
    assert isinstance(error.__cause__, OSError)
    assert (len(committed(app)), told.outcomes) == (1, ["awarded"])


def test_a_session_that_cannot_go_on_hides_no_error(app: Flask, db: SQLAlchemy, note: Any) -> None:
    def fail(session: Any) -> None:
        raise OSError("no index")

    def view() -> str:
        _pending(db, note)
        with pytest.raises(OSError, match="no index"):
            db.session.commit()
        return "done"

    with app.app_context():
        sa.event.listen(db.session, "after_commit", fail, once=True)
    with pytest.raises(ZeroDivisionError):
        visit(app, BROKEN, view)
    assert notes(app) == ["work"]


def test_a_flush_that_failed_before_any_sql_is_no_success(
    make_app: Make, db: SQLAlchemy, note: Any
) -> None:
    app = make_app(TESTING=False, PROPAGATE_EXCEPTIONS=True)

    def refuse(*_: object) -> None:
        raise ValueError("not this one")

    def view() -> str:
        db.session.add(note(text="work"))
        with pytest.raises(ValueError, match="not this one"):
            db.session.flush()
        return "saved"

    sa.event.listen(note, "before_insert", refuse)
    with pytest.raises(sa.exc.PendingRollbackError):
        visit(app, BONUS, view)
    assert notes(app) == []


def test_missing_tables_are_told_with_the_command(make_app: Make, db: SQLAlchemy) -> None:
    app = make_app(TESTING=False, PROPAGATE_EXCEPTIONS=True, COINS_ON_ERROR="raise")
    with app.app_context():
        db.drop_all()
    with pytest.raises(Exception, match="run 'flask db upgrade'"):
        visit(app, GOAL)


# -- transient faults -------------------------------------------------------------------------------


@pytest.fixture(params=["before_cursor_execute", "commit"])
def failing(request: pytest.FixtureRequest, app: Flask, db: SQLAlchemy) -> Callable[[int], Any]:
    """``failing(times)``, at a statement and at the commit."""

    def made(times: int) -> Failing:
        with app.app_context():
            return Failing(db, request.param, times)

    return made


@pytest.mark.parametrize("times", [1, 4])
def test_a_transient_fault_is_tried_again(
    app: Flask, failing: Callable[[int], Any], told: Told, times: int
) -> None:
    with failing(times) as fault:
        response = visit(app, lambda view: GOAL(NEVER(view)))
    assert (fault.attempts, committed(app)) == (times + 1, PAID)
    assert sorted(told.outcomes) == ["awarded", "not_earned"]
    assert response.headers["Coins-Awarded"] == "daily_goal;amount=15;balance=15"


def test_a_fault_that_stays_is_given_up(
    app: Flask, failing: Callable[[int], Any], told: Told
) -> None:
    with failing(5) as fault, pytest.raises(CoinsRetry):
        visit(app, GOAL)
    assert (fault.attempts, committed(app), told) == (5, [], [])


def test_a_fault_that_stays_is_logged_in_production(
    make_app: Make, db: SQLAlchemy, told: Told
) -> None:
    app = make_app(TESTING=False)
    with app.app_context():
        failing = Failing(db, "commit", 5)
    with failing:
        assert visit(app, GOAL).text == "done"
    assert (committed(app), told.outcomes) == ([], ["failed"])


@pytest.mark.parametrize("work", [work for work in WORK if work is not _savepoint])
def test_nothing_is_tried_again_once_the_host_has_written(
    app: Flask,
    db: SQLAlchemy,
    note: Any,
    failing: Callable[[int], Any],
    work: Callable[..., None],
    told: Told,
) -> None:
    def view() -> str:
        work(db, note)
        fault.__enter__()
        return "done"

    fault = failing(1)
    with pytest.raises(CoinsRetry):
        visit(app, GOAL, view)
    fault.__exit__()
    assert (fault.attempts, notes(app), committed(app), told) == (1, [], [], [])


def test_what_is_not_transient_is_not_tried_again(app: Flask, coins: Coins) -> None:
    asked: list[str] = []

    @coins.eligible_check
    def check(user_id: str, reason: str) -> bool:
        asked.append(user_id)
        raise InsufficientCoins

    app.config["TRAP_HTTP_EXCEPTIONS"] = True
    with pytest.raises(InsufficientCoins):
        visit(app, GOAL)
    assert asked == ["ada"]


def test_a_lock_of_another_process_is_waited_for(
    make_app: Make, db: SQLAlchemy, database_url: str, told: Told
) -> None:
    if not database_url.startswith("sqlite"):
        pytest.skip("a lock on the whole database is SQLite's")
    app = make_app(SQLALCHEMY_ENGINE_OPTIONS={"connect_args": {"timeout": 0}})
    other = sqlite3.connect(database_url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with app.app_context():
        sa.event.listen(db.engine, "rollback", lambda connection: other.rollback(), once=True)
    visit(app, GOAL)
    other.close()
    assert (committed(app), told.outcomes) == (PAID, ["awarded"])


# -- what is told -----------------------------------------------------------------------------------


def test_the_header_lists_every_payment(app: Flask, coins: Coins) -> None:
    gems = award(3, "Zoë's gift", currency="gems")
    response = visit(app, lambda view: GOAL(gems(award(1, "two words")(BONUS(view)))))
    assert response.headers["Coins-Awarded"] == (
        "bonus;amount=5;balance=5"
        ', "two words";amount=1;balance=6'
        ', %"Zo%c3%ab\'s gift";amount=3;balance=3;currency=gems'
        ", daily_goal;amount=15;balance=21"
    )


@pytest.mark.parametrize(
    ("rule", "answer"),
    [(NEVER, "done"), (GOAL, ("no", 400)), (award(1, user=lambda value: None), "done")],
)
def test_the_header_is_absent_on_a_refusal(app: Flask, rule: Any, answer: Any) -> None:
    assert "Coins-Awarded" not in visit(app, rule, answer).headers


def test_the_header_is_absent_when_the_window_is_paid(app: Flask) -> None:
    app.add_url_rule("/", view_func=GOAL(lambda: "done"), methods=["POST"])
    client = app.test_client()
    headers = [client.post("/").headers.get("Coins-Awarded") for _ in range(2)]
    assert headers == ["daily_goal;amount=15;balance=15", None]


def test_receipts_of_direct_calls_stand_beside_those_of_rules(
    app: Flask, db: SQLAlchemy, coins: Coins, told: Told
) -> None:
    seen: list[Any] = []

    @app.after_request
    def keep(response: Response) -> Response:
        seen.extend(g.coins_receipts)
        return response

    def view() -> str:
        coins.award("ada", 30, "gift")
        coins.spend("ada", 10, "shop")
        assert "coins_receipts" not in g
        return "done"

    header = visit(app, GOAL, view).headers["Coins-Awarded"]
    assert [receipt.reason for receipt in seen] == ["gift", "shop", "daily_goal"]
    assert seen == told
    assert header.count(",") == 2
    assert "shop;amount=-10;balance=20;outcome=spent" in header


def test_a_receipt_tells_all(app: Flask, told: Told) -> None:
    visit(app, award_once(15, "goal", subject=lambda value: 7))
    (receipt,) = told
    assert (receipt.amount, receipt.balance, receipt.subject) == (15, 15, "7")
    assert receipt.entry is not None
    assert (receipt.entry.user_id, receipt.entry.balance_after) == ("ada", 15)


def test_a_receiver_may_use_the_session_and_pay(
    app: Flask, db: SQLAlchemy, note: Any, told: Told
) -> None:
    def receive(sender: Flask, receipt: Receipt, user_id: str) -> None:
        if receipt.reason == "daily_goal":
            db.session.add(note(text=f"{user_id} has {receipt.balance}"))
            BONUS.pay(user_id)
            db.session.commit()

    with coins_awarded.connected_to(receive, app):
        header = visit(app, GOAL).headers["Coins-Awarded"]
    assert (notes(app), len(committed(app))) == (["ada has 15"], 2)
    assert (told.outcomes, header.count(",")) == (["awarded", "awarded"], 1)


def test_a_receiver_that_fails_harms_no_one(
    app: Flask, caplog: pytest.LogCaptureFixture, told: Told
) -> None:
    def receive(sender: Flask, **sent: Any) -> None:
        raise RuntimeError(sender.name)

    with coins_awarded.connected_to(receive, app):
        assert visit(app, GOAL).text == "done"
    assert (committed(app), told.outcomes) == (PAID, ["awarded"])
    assert "RuntimeError: tests.apps" in caplog.text


def test_a_refusal_that_is_remembered_is_told_without_sql(
    make_app: Make, db: SQLAlchemy, told: Told
) -> None:
    app = make_app(TESTING=False)
    app.add_url_rule("/", view_func=GOAL(lambda: "done"), methods=["POST"])
    client = app.test_client()
    client.post("/")
    client.post("/")
    with app.app_context():
        statements: list[Any] = []
        sa.event.listen(db.engine, "before_cursor_execute", lambda *args: statements.append(args))
    client.post("/")
    assert (told.outcomes, statements) == (["awarded", "already", "already"], [])
