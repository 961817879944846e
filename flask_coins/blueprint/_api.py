"""``GET …/api/balance``, ``…/api/history`` and ``…/api/rewards``."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, request
from werkzeug.exceptions import MethodNotAllowed, NotFound

from .. import _checks, _output, _rewards
from .._state import State, current_state
from ..errors import InvalidInput
from ._problems import Problem

_LARGEST_ID = 2**63 - 1
_ALLOWED = ("GET", "HEAD", "OPTIONS")
_METHODS = (*_ALLOWED, "POST", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT")


def add_routes(blueprint: Blueprint) -> None:
    """Put the API on ``blueprint``."""
    for name, view in _VIEWS.items():
        # Flask's own answer to OPTIONS would name the methods of the catch-all below, too.
        blueprint.add_url_rule(
            f"/api/{name}", f"api_{name}", view, methods=["GET"], provide_automatic_options=False
        )
    # What no route matches belongs to no blueprint, and would get the host's error pages.
    for path in ("/api", "/api/<path:path>"):
        blueprint.add_url_rule(path, "api_other", other, methods=_METHODS, strict_slashes=False)


def balance() -> dict[str, Any]:
    """What the current user has: ``?currency=``."""
    state, user_id = _current()
    currency = _currency()
    return {"balance": state.balance(user_id, currency), "currency": currency}


def history() -> dict[str, Any]:
    """Entries of the current user, newest first: ``?limit=``, ``?before=``, ``?currency=``.

    ``next`` is what ``before`` must be for the next page.
    """
    state, user_id = _current()
    limit = _number("limit", 100) or 50
    before, currency = _number("before", _LARGEST_ID), _currency()
    return _output.page(state.history(user_id, limit + 1, before, currency), limit)


def rewards() -> dict[str, Any]:
    """Each reward of the app as it stands for the current user."""
    state, user_id = _current()
    return {"rewards": [_output.reward_json(each) for each in _rewards.status(state, user_id)]}


_VIEWS = {view.__name__: view for view in (balance, history, rewards)}


def other(path: str = "") -> Response:
    """Every request that is no GET of the above: OPTIONS, another method, or no such path."""
    if path not in _VIEWS:
        raise NotFound
    if request.method != "OPTIONS":
        raise MethodNotAllowed(_ALLOWED)
    return Response(headers={"Allow": ", ".join(_ALLOWED)})


def _current() -> tuple[State, str]:
    state = current_state()
    user = state.current_user()
    if _checks.is_anonymous(user):
        raise Problem(401, "anonymous", "Nobody is logged in.")
    return state, _checks.user_id(user)


def _number(name: str, largest: int) -> int | None:
    """A parameter from 1 to ``largest``; None where it is not given."""
    given = request.args.get(name)
    if given is None:
        return None
    # int() is slow for very long texts, and takes other digits than these.
    plain = given.isascii() and given.isdigit() and len(given) <= len(str(largest))
    if not plain or not 1 <= int(given) <= largest:
        raise _invalid(name, f"{name} is a whole number from 1 to {largest}.")
    return int(given)


def _currency() -> str:
    try:
        return _checks.currency(request.args.get("currency", "coins"))
    except InvalidInput as error:
        raise _invalid("currency", str(error)) from error


def _invalid(name: str, allowed: str) -> Problem:
    return Problem(400, "invalid_parameter", allowed, parameter=name)
