"""The catalogue that rules fill as they are written, and how each reward stands for a user."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from weakref import WeakSet, ref

from flask import Flask

from ._claims import Claim
from ._ledger import Movement
from .results import Reward

if TYPE_CHECKING:
    from ._decorators import Rule
    from ._state import State

_values: list[ref[Rule]] = []
decorated_views: WeakSet[Callable[..., Any]] = WeakSet()


def remember_value(rule: Rule) -> None:
    """Note a rule where it is written: its module says which app's it is."""
    _values[:] = [*(kept for kept in _values if kept() is not None), ref(rule)]


def remember_view(view: Callable[..., Any], rule: Rule) -> None:
    """Mark ``view`` as decorated, so that it can be found again below other decorators."""
    view.__coins_rule__ = rule  # type: ignore[attr-defined]
    decorated_views.add(view)


def rules_of(state: State) -> list[Rule]:
    """The rules of an app, each reward once.

    Those are the rules on its views and signals, those that stand in its own package, and those
    that were paid through it.
    """
    found = [
        *_on_views(state.app),
        *state.loaders.signal_rules,
        *_in_package(state.app),
        *state.rules_in_use.values(),
    ]
    rules: dict[Any, Rule] = {}
    for rule in found:
        rules.setdefault(rule.listed_as, rule)
    return list(rules.values())


def status(state: State, user: Any) -> list[Reward]:
    """Each reward as it stands for ``user``, or for the current user; one SELECT for each."""
    user_id = state.user_id(user)
    return [reward_of(state, rule, user_id) for rule in rules_of(state)]


def reward_of(state: State, rule: Rule, user_id: str) -> Reward:
    """One rule as it stands for one user now."""
    subject, window = rule.constant_subject, rule.window
    listed = rule.listed(subject)
    if not state.eligible(user_id, rule.reason):
        return replace(listed, state="excluded")
    if window is None:
        return listed
    if subject is None:
        return replace(listed, state="varies")
    now, zone = state.now(), state.zone(user_id)
    period = window.period(now, zone)
    if period is None:
        return replace(listed, state="not_open", opens_at=window.opens_at(now, zone))
    claim = Claim(window, zone, period, rule.limit)
    movement = Movement(user_id, 0, rule.reason, now, subject, rule.currency)
    paid = state.reader.paid(state.session, movement.params(), claim)
    if claim.refuses(paid):
        return replace(listed, state="paid", opens_at=claim.opens_at(paid))
    return listed


def _on_views(app: Flask) -> Iterator[Rule]:
    for view in app.view_functions.values():
        for layer in layers(view):
            rule = getattr(layer, "__coins_rule__", None)
            if rule is not None:
                yield rule


def _in_package(app: Flask) -> Iterator[Rule]:
    package = app.import_name.partition(".")[0]
    for kept in _values:
        rule = kept()
        if rule is not None and rule.module.partition(".")[0] == package:
            yield rule


def layers(view: Any) -> Iterator[Any]:
    """A view function and all that it wraps; for a class, its methods too."""
    while view is not None:
        yield view
        for name in getattr(getattr(view, "view_class", None), "methods", None) or ():
            method = getattr(view.view_class, name.lower(), None)
            if method is not None:
                yield from layers(method)
        view = getattr(view, "__wrapped__", None)
