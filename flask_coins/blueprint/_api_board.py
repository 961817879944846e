"""``GET …/api/leaderboard``, and ``PUT`` and ``DELETE …/api/leaderboard/hidden``."""

from __future__ import annotations

from typing import Any

from flask import Response

from .. import _leaderboard
from .._commits import committed
from ..results import Place
from ._api_input import changing, choice, currency, current, number

WINDOWS = ("day", "week", "month", "all")
_EACH_SIDE = 2


def leaderboard() -> dict[str, Any]:
    """Who leads, where the current user stands and who is near: ``?window=``, ``?limit=``."""
    state, user_id = current()
    window, limit, of = choice("window", WINDOWS, "week"), number("limit", 100) or 10, currency()
    board = _leaderboard.board(state, None if window == "all" else window, None, of)
    top = _leaderboard.top(state, board, limit)
    around = _leaderboard.around(state, board, user_id, _EACH_SIDE)
    places, near = (
        [_place_json(each, user_id) for each in named]
        for named in _leaderboard.named(state, top, around)
    )
    return {
        "window": window,
        "currency": of,
        "places": places,
        "mine": next((each for each in near if each["me"]), None),
        "neighbours": near,
        "hidden": _leaderboard.is_hidden(state, user_id),
    }


def _place_json(place: Place, user_id: str) -> dict[str, Any]:
    """A place without the id of whose it is."""
    return {
        "rank": place.rank,
        "score": place.score,
        "name": place.name,
        "me": place.user_id == user_id,
    }


def hide() -> Response:
    """Leave the current user out of every leaderboard."""
    return _set_hidden(True)


def show() -> Response:
    """Show the current user on leaderboards again."""
    return _set_hidden(False)


def _set_hidden(hidden: bool) -> Response:
    _, user_id = changing()
    committed(lambda state: _leaderboard.hide(state, user_id, hidden))
    return Response(status=204)
