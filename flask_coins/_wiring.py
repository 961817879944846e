"""Faults of set-up that would make a rule do nothing without a word."""

from __future__ import annotations

import warnings
from collections.abc import Callable

from ._rewards import unreached_views
from ._state import State
from .errors import CoinsWarning


def faults(state: State) -> list[str]:
    """One sentence for each fault in how ``state.app`` is wired, with what to do."""
    return [*unreached_views(state.app), *_no_user_resolver(state), *_overlapping_routes(state)]


def warn_once(state: State) -> Callable[[], None]:
    """A ``before_request`` function that warns of each fault on the first request."""
    waiting = [True]

    def check() -> None:
        if waiting:
            waiting.clear()
            for fault in faults(state):
                warnings.warn(fault, CoinsWarning, stacklevel=2)

    return check


def _no_user_resolver(state: State) -> list[str]:
    if state.loaders.current_user or hasattr(state.app, "login_manager"):
        return []
    fault = (
        "Nobody says who the current user is: neither @coins.current_user_loader nor Flask-Login"
        " is set up. That is right only where a before_request function sets g.user."
    )
    return [fault]


def _overlapping_routes(state: State) -> list[str]:
    prefix = state.settings.url_prefix
    if prefix is None:
        return []
    return [
        f"The route {rule.rule!r} ({rule.endpoint}) lies under COINS_URL_PREFIX {prefix!r}: change"
        " one of the two."
        for rule in state.app.url_map.iter_rules()
        if (rule.rule == prefix or rule.rule.startswith(prefix + "/"))
        and not rule.endpoint.startswith("coins.")
    ]
