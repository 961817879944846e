"""``GET …/api/balance``, ``…/api/history`` and ``…/api/rewards``."""

from __future__ import annotations

from typing import Any

from flask import Response, jsonify, request

from .. import _output, _rewards
from ._api_input import LARGEST_ID, currency, current, number


def balance() -> Response:
    """What the current user has, can spend and has set aside: ``?currency=``."""
    state, user_id = current()
    of = currency()
    has, available = state.reader.account(state.session, user_id, of, state.now())
    figures = {"balance": has, "available": available, "held": has - available, "currency": of}
    return revalidated(figures, "private, no-cache")


def revalidated(answer: dict[str, Any], caching: str) -> Response:
    """``answer`` with an ETag to ask by the next time; 304 where the client has it already."""
    response = jsonify(answer)
    response.headers["Cache-Control"] = caching
    response.add_etag()
    response.make_conditional(request)
    return response


def history() -> dict[str, Any]:
    """Entries of the current user, newest first: ``?limit=``, ``?before=``, ``?currency=``.

    ``next`` is what ``before`` must be for the next page.
    """
    state, user_id = current()
    limit = number("limit", 100) or 50
    before, of = number("before", LARGEST_ID), currency()
    return _output.page(state.history(user_id, limit + 1, before, of), limit)


def rewards() -> dict[str, Any]:
    """Each reward of the app as it stands for the current user."""
    state, user_id = current()
    return {"rewards": [_output.reward_json(each) for each in _rewards.status(state, user_id)]}
