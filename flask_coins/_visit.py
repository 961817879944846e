"""Paying after a view: what is due is collected while views run, and paid when the outermost ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from inspect import signature
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from flask import (
    Flask,
    Response,
    after_this_request,
    g,
    has_request_context,
    request,
    request_finished,
)
from flask.ctx import AppContext
from flask.globals import app_ctx
from sqlalchemy.exc import DBAPIError, InvalidRequestError
from sqlalchemy.orm import Session
from werkzeug.exceptions import HTTPException

from ._claims import Claim
from ._faults import ATTEMPTS, is_transient, roll_back
from ._logs import fields, nameless
from ._session import begun_by_hand, has_entries, has_work
from ._sources import filled
from ._state import State, current_state, state_of
from ._watching import Called
from ._writes import Movement
from .errors import CoinsRetry, InvalidInput, MissingTablesError, NoUserError
from .results import Outcome, Receipt

if TYPE_CHECKING:
    from ._views import ViewRule

UNASKED = object()
# What the proxy looks into: each look through it would cost a refusal several steps.
_app_context: ContextVar[AppContext] = app_ctx.__wrapped__  # type: ignore[attr-defined]
request_context: ContextVar[Any] = request.__wrapped__  # type: ignore[attr-defined]
"""Contexts that have the request, as ``request`` itself looks it up."""
_FIRST = "_coins_first"
_WAITING = "flask_coins.waiting"
_RESPONSE = "flask_coins.response"


class _CommittedError(Exception):
    """All was committed, then a listener of the host's raised ``error``: not to be tried again."""

    def __init__(self, error: Exception) -> None:
        self.error = error


def status_of(value: Any) -> int:
    """The HTTP status that Flask will make of a view's return ``value``."""
    if isinstance(value, HTTPException):
        value = value.get_response()
    status = getattr(value, "status_code", None)
    if isinstance(status, int):
        return status
    if not isinstance(value, tuple) or not value:
        return 200
    for part in value[1:2]:
        if isinstance(part, int):
            return int(part)
        if isinstance(part, str):
            number = part.partition(" ")[0]
            return int(number) if number.isdecimal() else 0
    return status_of(value[0])


class Work(Protocol):
    """What is to be done for one run of a view, and for whom."""

    @property
    def user_id(self) -> str | None:
        """The user, if there is one."""

    def pay(self, state: State) -> Receipt:
        """Do it in the session's transaction; nothing is committed."""


class Order(NamedTuple):
    """What a rule has decided: a refusal to tell, or a movement to make and what it claims."""

    decided: Receipt | Movement
    user_id: str | None = None
    claim: Claim | None = None

    def pay(self, state: State) -> Receipt:
        """Write the movement in the session's transaction; nothing is committed."""
        if isinstance(self.decided, Receipt):
            return self.decided
        if self.claim is None:
            return state.pay(self.decided)
        return state.pay_once(self.decided, self.claim)


class Due:
    """One run of a decorated view, or one signal: what its rule looks at.

    A ``with`` block is the run of the view, which sets ``value``: it pays when it ends.
    """

    state: State
    context: dict[str, Any]
    value: Any = None
    """What the rule's callables are given: a view's own return value, or a signal's arguments."""
    user: Any = UNASKED
    """Who the current user is, once ``Rule.refused_again`` has asked."""
    shortly: Any = None
    """The key under which that remembers a refusal."""
    first: Due | None = None
    """The run that this one joins: it began within that, or beside it in another coroutine."""
    open = 1
    """How many that join this one are still running, itself included."""
    earlier: Sequence[Due] = ()
    """Those that ended before the last of them."""

    def __init__(
        self, rule: ViewRule, view: Callable[..., Any] | None, args: Any, kwargs: Mapping[str, Any]
    ) -> None:
        self.rule = rule
        self.view = view
        self.args = args
        self.kwargs = kwargs

    def __enter__(self) -> Due:
        """Join the run that is going on, or be the one that others join."""
        here = _app_context.get(None)
        if here is None:
            here = app_ctx._get_current_object()  # type: ignore[attr-defined]  # says what is wrong
        state = here.app.extensions.get("coins")
        self.state = state if type(state) is State else state_of(here.app)
        self.context = context = here.g.__dict__
        first = context.setdefault(_FIRST, self)
        if first is not self:
            self.first = first
            first.open += 1
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        """The view has returned its value, or raised."""
        if error is None:
            self.end()
        else:
            self.fail()

    def end(self) -> None:
        """Pay, unless others that belong together still run."""
        first, value = self.first or self, self.value
        if first.open > 1:
            first.open -= 1
            first.join(self)
            return
        del self.context[_FIRST]
        is_text = type(value) is str
        if not is_text and _has_no_body(value) and has_request_context():
            settle_by_response(self.state, [*first.earlier, self])
            return
        if not first.earlier and (is_text or status_of(value) < 400):
            try:
                if self.rule.refused_again(self.state, self):
                    return
            except Exception as error:
                _failed(self.state, [self], error, has_work(self.state.open_session()))
                return
        # An answer speaks for those that ran within its view, not beside it.
        settle(self.state, [*first.earlier, self], value if first is self else "")

    def fail(self) -> None:
        """Nothing is paid of what ends with a view that has raised."""
        first, missed = self.first or self, [self]
        if first.open > 1:
            first.open -= 1
        else:
            del self.context[_FIRST]
            missed += first.earlier
        for each in missed:
            each.refuse(self.state, Outcome.NOT_EARNED)

    def join(self, due: Due) -> None:
        """Have ``due`` paid with this one."""
        self.earlier = [*self.earlier, due]

    def fill(self, template: str) -> str | None:
        """``template``, such as ``"{goal_id}"``, with the arguments of the view or signal in it.

        None where one of them is None.
        """
        try:
            try:
                return filled(template, self.kwargs)
            except KeyError:
                return filled(template, self.arguments())
        except (LookupError, AttributeError, TypeError, ValueError) as error:
            raise InvalidInput(
                f"{template!r} of {self.rule.reason!r} cannot be filled: {error!r}."
            ) from error

    def arguments(self) -> Mapping[str, Any]:
        """All arguments by name: those given by position and those left to their defaults too."""
        if self.view is None:
            return self.kwargs
        parameters = signature(self.view).parameters
        defaults = {
            name: each.default
            for name, each in parameters.items()
            if each.default is not each.empty
        }
        return {**defaults, **dict(zip(parameters, self.args, strict=False)), **self.kwargs}

    def let_go(self) -> None:
        """Give back what was set aside before the view; an award sets nothing aside."""

    def refuse(self, state: State, outcome: Outcome) -> None:
        """Tell that nothing was paid, and why."""
        state.tell(self.rule.receipt(outcome), None)


def _has_no_body(value: Any) -> bool:
    """Whether Flask fails on ``value``, unless another decorator makes an answer of it."""
    return (value[0] if value and isinstance(value, tuple) else value) is None


def pay_for_signal(rule: ViewRule, sent: Mapping[str, Any]) -> None:
    """Pay what a signal with the arguments ``sent`` is worth.

    In a request that happens after the view, with the view's own payments if it has any; where the
    response is ready already, and outside of a request, at once.
    """
    due = Due(rule, None, (), sent)
    due.value = sent
    state = current_state()
    if _FIRST in g:
        g.get(_FIRST).join(due)
    elif _serves(state.app):
        settle_by_response(state, [due])
    else:
        settle(state, [due], sent, joins=True)


def _serves(app: Flask) -> bool:
    """Whether the request is one to ``app``: code may push the context of another."""
    context = request_context.get(None)
    return context is not None and context.app is app and has_request_context()


def settle_by_response(state: State, due: Sequence[Due]) -> None:
    """Pay by the status of the response: as soon as there is one, at once where it has been made."""
    environ = request.environ
    if _RESPONSE in environ:
        settle(state, due, environ[_RESPONSE], joins=True)
    else:
        environ.setdefault(_WAITING, []).append((state, due))
        after_this_request(_settle_waiting)


def _settle_waiting(response: Response) -> Response:
    # Each once: where a function after the request fails, Flask calls them all for its 500 again.
    waiting = request.environ.get(_WAITING)
    while waiting:
        state, due = waiting.pop(0)
        settle(state, due, response)
    return response


@request_finished.connect
def _note_response(sender: Flask, response: Response, **sent: Any) -> None:
    """Pay what was due too late for ``after_this_request``, and note that it is over."""
    request.environ[_RESPONSE] = _settle_waiting(response)


def settle(state: State, due: Sequence[Due], answer: Any, joins: bool = False) -> None:
    """Pay what was earned in one transaction with the view's work, and commit it once.

    Nothing is committed or rolled back where ``answer``, what the outermost view returned, is an
    error, or where no rule counts its view as a success. What ``joins`` leaves the commit to the
    host if the host has changed anything, or has begun the transaction by hand.
    """
    session, earned = state.open_session(), due
    at_stake = (joins and begun_by_hand(session)) or has_work(session)
    try:
        earned = _earned(state, due, answer)
        if not earned:
            return
        orders = [each.rule.order(state, each) for each in earned]
        session = state.open_session()
        at_stake = at_stake or has_work(session)
        commits = not (joins and at_stake)
        called = [each.rule.called for each in earned]
        for receipt, user_id in _pay(state, orders, called, commits, retries=not at_stake):
            state.tell(receipt, user_id)
    except _CommittedError as late:
        raise late.error from late.error.__cause__
    except Exception as error:
        _failed(state, earned, error, at_stake)


def _earned(state: State, due: Sequence[Due], answer: Any) -> list[Due]:
    """Those that count, if ``answer`` and their own view's value are no errors."""
    earned: list[Due] = []
    missed: list[Due] = []
    succeeded = status_of(answer) < 400
    for each in due:
        own = each.value is answer or status_of(each.value) < 400
        counts = succeeded and own and each.rule.counts(each.value)
        (earned if counts else missed).append(each)
    for each in missed:
        each.refuse(state, Outcome.NOT_EARNED)
    return earned


def _pay(
    state: State, orders: Sequence[Work], called: Sequence[Called], commits: bool, retries: bool
) -> list[tuple[Receipt, str | None]]:
    """The refusals, still to be told; what moved is told by the commit."""

    def attempt() -> list[tuple[Receipt, str | None]]:
        try:
            answers = [(order.pay(state), order.user_id) for order in orders]
            if commits:
                commit(state)
        except BaseException:
            _undone(state.session)
            raise
        return answers

    answers = state.tried(attempt, ATTEMPTS if retries else 1, called)
    return [each for each in answers if not each[0]]


def commit(state: State) -> None:
    """Commit the host's session, its objects kept as they are."""
    session = state.open_session()
    if session is None:
        return
    expires, session.expire_on_commit = session.expire_on_commit, False
    try:
        session.commit()
    except Exception as error:
        if not _undone(session):
            raise _CommittedError(error) from error
        if isinstance(error, DBAPIError) and is_transient(error):
            raise CoinsRetry from error
        raise
    finally:
        session.expire_on_commit = expires


def _undone(session: Session) -> bool:
    """Roll back; False where that came too late, as all was committed."""
    try:
        roll_back(session)
    except InvalidRequestError:
        if transaction := session.get_transaction():
            transaction.close()
        return False
    return True


def _failed(state: State, due: Sequence[Due], error: Exception, at_stake: bool) -> None:
    """Raise, or log and let the view's answer pass: never where the host's own work was lost."""
    session = state.open_session()
    if session is not None and (has_entries(session) or not at_stake):
        _undone(session)
    app, policy = state.app, state.settings.on_error
    raises = policy == "raise" or (policy is None and (app.debug or app.testing))
    if raises or at_stake or isinstance(error, NoUserError):
        for each in due:
            each.let_go()
        raise error
    why = f": {error}" if isinstance(error, MissingTablesError) else ""
    app.logger.exception(
        "Coins were not paid after the view%s", why, exc_info=nameless(error), extra=_told_of(due)
    )
    for each in due:
        each.refuse(state, Outcome.FAILED)


def _told_of(due: Sequence[Due]) -> dict[str, Any]:
    rules = [each.rule for each in due]
    reasons, currencies = ({rule.reason for rule in rules}, {rule.currency for rule in rules})
    return fields(
        "not_paid",
        reason=", ".join(sorted(reasons)),
        currency=", ".join(sorted(currencies)),
        outcome=str(Outcome.FAILED),
    )
