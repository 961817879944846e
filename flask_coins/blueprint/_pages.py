"""What every page has in common: whose it is, and where nobody is logged in."""

from __future__ import annotations

from typing import NoReturn

from flask import Response, abort
from werkzeug.wrappers import Response as AnyResponse

from .. import _checks
from .._state import State, current_state


def signed_in() -> tuple[State, str]:
    """The state of the app and the current user's id; nobody is sent where the host sends them."""
    state = current_state()
    user = state.current_user()
    if _checks.is_anonymous(user):
        _turn_away(state)
    return state, _checks.user_id(user)


def _turn_away(state: State) -> NoReturn:
    """To Flask-Login's login page where there is one, else to the host's page for 401."""
    manager = getattr(state.app, "login_manager", None)
    answer = manager.unauthorized() if manager else 401
    abort(answer if isinstance(answer, Response | AnyResponse) else 401)
