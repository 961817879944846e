"""``GET …/leaderboard``: who leads, and where the current user stands; and the switch to hide from it."""

from __future__ import annotations

from flask import Blueprint, abort, redirect, render_template, request
from werkzeug.wrappers import Response

from .. import _checks, _leaderboard, _words
from .._commits import committed
from ..errors import InvalidInput
from . import _csrf, _layout
from ._pages import signed_in

SHOWN = 10
_EACH_SIDE = 2
_WINDOWS = ("day", "week", "month", "all")


def add_routes(blueprint: Blueprint) -> None:
    """Put the leaderboard on ``blueprint``."""
    blueprint.add_url_rule("/leaderboard", "leaderboard", leaderboard)
    blueprint.add_url_rule(
        "/leaderboard/hidden", "leaderboard_hidden", set_hidden, methods=["GET", "POST"]
    )


def leaderboard() -> str:
    """The first places of ``?window=`` and ``?currency=``, and those around the current user."""
    state, user_id = signed_in()
    window, currency = _window(request.args.get("window", "week")), _currency()
    board = _leaderboard.board(state, None if window == "all" else window, None, currency)
    top = _leaderboard.top(state, board, SHOWN)
    around = _leaderboard.around(state, board, user_id, _EACH_SIDE)
    top, around = _leaderboard.named(state, top, around)
    return render_template(
        "coins/leaderboard.html",
        places=top,
        neighbours=[place for place in around if place not in top],
        mine=next((place for place in around if place.user_id == user_id), None),
        hidden=not around and _leaderboard.is_hidden(state, user_id),
        user_id=user_id,
        window=window,
        windows=_titles(),
        currency=currency,
        ends_at=board.period.end if board.period else None,
        zone=state.zone(user_id),
    )


def set_hidden() -> Response:
    """Leave the current user out of every leaderboard, or with ``hidden=0`` show them again.

    A GET, as it comes here after a login, leads to the leaderboard and changes nothing.
    """
    _, user_id = signed_in()
    if request.method != "POST":
        return redirect(_layout.url("leaderboard"))
    _csrf.check()
    window, hidden = _window(request.form.get("window", "week")), request.form.get("hidden")
    if hidden not in ("0", "1"):
        abort(400, "hidden is 0 or 1.")
    committed(lambda state: _leaderboard.hide(state, user_id, hidden == "1"))
    return redirect(_layout.url("leaderboard", window=window), 303)


def _titles() -> dict[str, str]:
    return {
        "day": _words.text("Today"),
        "week": _words.text("This week"),
        "month": _words.text("This month"),
        "all": _words.text("All time"),
    }


def _window(given: str) -> str:
    return given if given in _WINDOWS else abort(404)


def _currency() -> str:
    try:
        return _checks.currency(request.args.get("currency", "coins"))
    except InvalidInput:
        abort(404)
