"""Faults of set-up that would make a rule do nothing without a word."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any
from weakref import WeakSet

from flask import Flask, request_started
from werkzeug.routing import Rule as Route

from ._rewards import decorated_views, file_of, is_installed, layers, on_views
from ._state import State
from ._views import WRITING
from .errors import CoinsWarning

_NO_RESOLVER = (
    "Nobody says who the current user is: write a @coins.current_user_loader, set up Flask-Login,"
    " or set g.user in a before_request function."
)
_CURE = "Put it directly above 'def', below every other decorator."

_states: WeakSet[State] = WeakSet()


def faults(state: State) -> list[str]:
    """One sentence for each fault in how ``state.app`` is wired, with what to do."""
    return [*idle_rules(state), *unknown_user(state), *overlapping_routes(state)]


def warn_once(state: State) -> Callable[[], None]:
    """A ``before_request`` function that warns of each fault on the first request in debug mode."""
    _states.add(state)
    # Asked per request: app.run(debug=True) switches it on after init_app.
    waiting = [True]

    def check() -> None:
        if waiting and state.app.debug:
            waiting.clear()
            for fault in faults(state):
                warnings.warn(fault, CoinsWarning, stacklevel=2)

    return check


# -- rules ----------------------------------------------------------------------------------------


def idle_rules(state: State) -> list[str]:
    """Rules that do nothing: they are never run, or by no request that counts."""
    return [*unreached_rules(state), *unread_rules(state)]


def unreached_rules(state: State) -> list[str]:
    """Rules that never run, at all or for one route, because they stand above their route."""
    chains = {
        endpoint: [*layers(view)] for endpoint, view in state.app.view_functions.items() if view
    }
    reached = {id(layer) for chain in chains.values() for layer in chain}
    found = []
    for view, stands_above in sorted(decorated_views.items(), key=lambda each: _where(each[0])):
        function = inspect.unwrap(view)
        never = f"{_where(view)}: the rule for {view.__coins_rule__.reason!r} never runs"  # type: ignore[attr-defined]
        if id(function) not in reached:
            continue
        if id(view) in reached:
            plain = _plain_endpoints(chains, function) if stands_above else []
            found += [
                f"{never} for {each!r}: it stands above that route. {_CURE}" for each in plain
            ]
        elif not _serves_another(state, view):
            found.append(f"{never}: it stands above the route. {_CURE}")
    return found


def unread_rules(state: State) -> list[str]:
    """Rules on ``get`` of a class that writes too: a GET does not count on its route."""
    writing: dict[str, bool] = {}
    for route in state.app.url_map.iter_rules():
        methods = route.methods or set()
        if "GET" in methods:
            writes = not WRITING.isdisjoint(methods)
            writing[route.endpoint] = writing.get(route.endpoint, True) and writes
    found = [
        f"{_where(layer)}: the rule for {layer.__coins_rule__.reason!r} never counts, for its"
        " route writes too: say methods=['GET'] if a GET is to."
        for endpoint, view in state.app.view_functions.items()
        if writing.get(endpoint)
        for layer in layers(getattr(getattr(view, "view_class", None), "get", None))
        if hasattr(layer, "__coins_rule__") and layer.__coins_rule__.methods is None
    ]
    return [*dict.fromkeys(found)]  # a decorator above it looks like the rule itself


def _plain_endpoints(chains: dict[str, list[Any]], function: Any) -> list[str]:
    """Where the function is served without any rule."""
    return [
        endpoint
        for endpoint, chain in chains.items()
        if any(layer is function for layer in chain)
        and not any(hasattr(layer, "__coins_rule__") for layer in chain)
    ]


def _serves_another(state: State, view: Any) -> bool:
    """Whether the rule runs in another app, which this one shares the function with."""
    apps = [other.app for other in list(_states) if other is not state]
    return any(
        layer is view
        for app in apps
        for each in app.view_functions.values()
        for layer in layers(each)
    )


def _where(view: Callable[..., Any]) -> str:
    return f"{view.__module__}.{view.__qualname__}"


# -- routes ---------------------------------------------------------------------------------------


def overlapping_routes(state: State) -> list[str]:
    """Routes of the host's among those of the blueprint, wherever it is registered."""
    ours = [route for route in state.app.url_map.iter_rules() if _is_ours(state, route)]
    prefixes = {
        (route.host, route.subdomain, route.rule.removesuffix("/api"))
        for route in ours
        if route.rule.endswith("/api")
    }
    found = []
    for route in state.app.url_map.iter_rules():
        if _is_ours(state, route):
            continue
        for host, subdomain, prefix in sorted(prefixes, key=str):
            if (route.host, route.subdomain) == (host, subdomain) and _lies_under(route, prefix):
                setting = (
                    "COINS_URL_PREFIX" if prefix == state.settings.url_prefix else "the prefix"
                )
                found.append(
                    f"The route {route.rule!r} ({route.endpoint}) lies under {setting} {prefix!r}"
                    " of the blueprint of Flask-Coins: change one of the two."
                )
    return found


def _is_ours(state: State, route: Route) -> bool:
    view = state.app.view_functions.get(route.endpoint)
    # That of static files is a method of the blueprint's.
    owner = getattr(getattr(view, "__self__", None), "import_name", None)
    module = owner or getattr(view, "__module__", None)
    return str(module).startswith(f"{__package__}.")


def _lies_under(route: Route, prefix: str) -> bool:
    # At the root of the app, only the API is ours.
    below = prefix or "/api"
    return route.rule == below or route.rule.startswith(f"{below}/")


# -- the user -------------------------------------------------------------------------------------


def unknown_user(state: State) -> list[str]:
    """That nobody says who the current user is, where that is asked for."""
    app = state.app
    if state.loaders.current_user or hasattr(app, "login_manager") or sets_user(app):
        return []
    served = any(_is_ours(state, route) for route in app.url_map.iter_rules())
    return [_NO_RESOLVER] if served or any(rule.user is None for rule in on_views(app)) else []


def sets_user(app: Flask) -> bool:
    """Whether code of the host's may set ``g.user``, as far as that can be told.

    Any that runs before the views may; in a view with a rule, and around it, what names a ``user``.
    """
    before = [
        function
        for registry in (app.before_request_funcs, app.url_value_preprocessors)
        for functions in registry.values()
        for function in functions
    ]
    early = (*before, *request_started.receivers_for(app))
    return any(_is_hosts(app, each) for each in early) or any(
        _names_user(layer)
        for view in app.view_functions.values()
        if any(hasattr(layer, "__coins_rule__") for layer in layers(view))
        for layer in layers(view)
    )


def _is_hosts(app: Flask, function: Any) -> bool:
    while isinstance(function, partial):
        function = function.func
    module = str(function.__module__)
    path, package = file_of(module), module.partition(".")[0]
    if package == __package__:
        return False
    # An app may be installed as libraries are.
    mine = package == app.import_name.partition(".")[0]
    return mine or path is None or not is_installed(path)


def _names_user(layer: Any) -> bool:
    code = getattr(layer, "__code__", None)
    return code is not None and "user" in (*code.co_names, *code.co_consts)
