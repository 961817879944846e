"""Faults of set-up that would make a rule do nothing without a word."""

from __future__ import annotations

import dis
import inspect
import sys
import warnings
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from pathlib import Path
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any
from weakref import WeakSet

from flask import Flask, g
from werkzeug.local import LocalProxy
from werkzeug.routing import Rule as Route

from ._rewards import decorated_views, is_installed, layers, on_views
from ._state import State
from .errors import CoinsWarning

_NO_RESOLVER = (
    "Nobody says who the current user is: write a @coins.current_user_loader, set up Flask-Login,"
    " or set g.user in a before_request function."
)
_CURE = "Put it directly above 'def', below every other decorator."

_states: WeakSet[State] = WeakSet()


def faults(state: State) -> list[str]:
    """One sentence for each fault in how ``state.app`` is wired, with what to do."""
    return [*unreached_rules(state), *unknown_user(state), *overlapping_routes(state)]


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
    prefixes = {(route.host, route.subdomain, _prefix(route)) for route in ours}
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
    return str(getattr(view, "__module__", None)).startswith(f"{__package__}.")


def _prefix(route: Route) -> str:
    return route.rule.rpartition("/api")[0]


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
    """Whether ``g.user`` is set before a view or by a decorator of one, or that cannot be told."""
    before = [
        function
        for registry in (app.before_request_funcs, app.url_value_preprocessors)
        for functions in registry.values()
        for function in functions
    ]
    return any(_sets_user(each, doubts=True) for each in before) or any(
        _sets_user(layer, doubts=False)
        for view in app.view_functions.values()
        for layer in layers(view)
        if any(hasattr(each, "__coins_rule__") for each in layers(view))
    )


def _sets_user(value: Any, doubts: bool, steps: int = 2) -> bool:
    """Whether a function sets ``g.user``, or another one does that it names.

    With ``doubts`` also where that cannot be told; of libraries it always can.
    """
    function, owner = _function_of(value)
    if function is None:
        return doubts
    own = _is_hosts(function)
    codes = [*_codes(function.__code__)]
    known = _known(function, owner, {name for code in codes for name in code.co_names})
    if any(_stores_user(code, known, doubts and own) for code in codes):
        return True
    called = [
        each for each in known.values() if isinstance(each, FunctionType | MethodType | partial)
    ]
    return steps > 0 and any(
        _sets_user(each, doubts and own, steps - 1 if own else 0) for each in called
    )


def _function_of(value: Any) -> tuple[FunctionType | None, Any]:
    """The function below partials, methods and callable objects, and whose method it is."""
    while isinstance(value, partial):
        value = value.func
    if isinstance(value, MethodType):
        owner, value = value.__self__, value.__func__
    elif isinstance(value, FunctionType):
        owner = None
    else:
        owner, value = value, getattr(value, "__wrapped__", type(value).__call__)
    return (value, owner) if isinstance(value, FunctionType) else (None, owner)


def _is_hosts(function: FunctionType) -> bool:
    top = str(function.__module__).partition(".")[0]
    ours = top in sys.stdlib_module_names or top == __package__
    return not ours and not is_installed(Path(function.__code__.co_filename))


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _known(function: FunctionType, owner: Any, names: set[str]) -> dict[str, Any]:
    """What the names in a function stand for, and its attributes' names, without running any of it."""
    code = function.__code__
    known = {name: function.__globals__[name] for name in names & function.__globals__.keys()}
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        try:
            known[name] = cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    if owner is not None and code.co_argcount:
        known[code.co_varnames[0]] = owner
    for _ in range(2):  # as in self.auth.load_user
        for value in [*known.values()]:
            known |= {name: found for name, found in _attributes(value, names) if name not in known}
    return known


def _attributes(value: Any, names: set[str]) -> Iterator[tuple[str, Any]]:
    if type(value) is LocalProxy:
        return
    for name in names:
        found = inspect.getattr_static(value, name, None)
        found = getattr(found, "__func__", found)
        if isinstance(found, FunctionType) and not isinstance(value, ModuleType):
            found = MethodType(found, value)
        if found is not None:
            yield name, found


_PLAIN = (str, bytes, int, float, list, dict, set, datetime)
_WRITERS = {"setattr", "setdefault", "vars", "__dict__", "__setattr__"}


def _stores_user(code: CodeType, known: dict[str, Any], doubts: bool) -> bool:
    """Whether the code has ``g.user = ...`` in it, or as good as that."""
    names_g = any(value is g for value in known.values())
    if names_g and "user" in code.co_consts and not _WRITERS.isdisjoint(code.co_names):
        return True
    if not doubts and "user" not in code.co_names:
        return False
    receiver: Any = None
    for step in dis.get_instructions(code):
        if step.opname == "STORE_ATTR" and step.argval == "user":
            is_known = isinstance(receiver, str) and receiver in known
            if known[receiver] is g if is_known else doubts:
                return True
        if doubts and isinstance(receiver, str) and _calls_method(step):
            # What a local variable holds, and what its method does, is not known before.
            unknown = receiver in code.co_varnames and receiver not in known
            if unknown and not any(hasattr(plain, step.argval) for plain in _PLAIN):
                return True
        if step.opname not in ("CACHE", "EXTENDED_ARG"):
            receiver = step.argval
    return False


def _calls_method(step: dis.Instruction) -> bool:
    if sys.version_info >= (3, 12):
        return step.opname == "LOAD_ATTR" and bool((step.arg or 0) & 1)
    return step.opname == "LOAD_METHOD"
