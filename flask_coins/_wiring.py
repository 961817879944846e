"""Faults of set-up that would make a rule do nothing without a word."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from flask import Flask

from ._rewards import decorated_views, layers
from ._state import State
from .errors import CoinsWarning

_NO_RESOLVER = (
    "Nobody says who the current user is: write a @coins.current_user_loader, set up Flask-Login,"
    " or set g.user in a before_request function."
)


def faults(state: State) -> list[str]:
    """One sentence for each fault in how ``state.app`` is wired, with what to do."""
    return [*unreached_rules(state), *unknown_user(state), *overlapping_routes(state)]


def warn_once(state: State) -> Callable[[], None]:
    """A ``before_request`` function that warns of each fault on the first request in debug mode."""
    # Asked per request: app.run(debug=True) switches it on after init_app.
    waiting = [True]

    def check() -> None:
        if waiting and state.app.debug:
            waiting.clear()
            for fault in faults(state):
                warnings.warn(fault, CoinsWarning, stacklevel=2)

    return check


def unreached_rules(state: State) -> list[str]:
    """Rules that never run because they stand above their route."""
    reached = {id(layer) for view in state.app.view_functions.values() for layer in layers(view)}
    return [
        f"{_where(view)}: the rule for {view.__coins_rule__.reason!r} never runs: it stands above"  # type: ignore[attr-defined]
        " the route. Put it directly above 'def', below every other decorator."
        for view in sorted(decorated_views, key=_where)
        if id(view) not in reached and id(inspect.unwrap(view)) in reached
    ]


def _where(view: Callable[..., Any]) -> str:
    return f"{view.__module__}.{view.__qualname__}"


def unknown_user(state: State) -> list[str]:
    """That nobody says who the current user is."""
    app = state.app
    if state.loaders.current_user or hasattr(app, "login_manager"):
        return []
    if any(_names_user(function) for function in _before_views(app)):
        return []
    return [_NO_RESOLVER]


def overlapping_routes(state: State) -> list[str]:
    """Routes of the host's under the prefix of the blueprint."""
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


def _before_views(app: Flask) -> Iterator[Callable[..., Any]]:
    for registry in (app.before_request_funcs, app.url_value_preprocessors):
        for functions in registry.values():
            yield from functions


def _names_user(function: Callable[..., Any]) -> bool:
    """Whether the function seems to set ``g.user``."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    return code is not None and "user" in code.co_names
