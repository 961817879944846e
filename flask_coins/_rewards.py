"""The catalogue that rules fill as they are written, and how each reward stands for a user."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, tzinfo
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakValueDictionary

from flask import Flask

from ._budgets import Shortage
from ._claims import Claim, Paid
from ._wallet_reads import Look, WalletReader
from .results import Reward

if TYPE_CHECKING:
    from ._decorators import Rule
    from ._state import State
    from ._views import ViewRule

# By identity: rules that are equal live and die one by one.
_values: WeakValueDictionary[int, ViewRule] = WeakValueDictionary()
_CLOSED = ("paid", "not_open", "excluded")
decorated_views: WeakKeyDictionary[Callable[..., Any], bool] = WeakKeyDictionary()
"""The views that rules have made; true where the rule is written above ``def``, with an ``@``."""


def remember_value(rule: ViewRule) -> None:
    """Note a rule where it is written: its module says which app's it is.

    Those that functions make are nobody's until they are used: there may be ever new ones.
    """
    if rule.module:
        _values[id(rule)] = rule


def remember_view(view: Callable[..., Any], rule: ViewRule) -> None:
    """Mark ``view`` as decorated, so that it can be found again below other decorators."""
    view.__coins_rule__ = rule  # type: ignore[attr-defined]
    decorated_views[view] = _stands_above(inspect.unwrap(view), sys._getframe(2))


def _stands_above(function: Callable[..., Any], caller: FrameType) -> bool:
    """Whether ``caller`` decorates where the function is being defined, not in a later call."""
    code = getattr(function, "__code__", None)
    if code is None or code.co_filename != caller.f_code.co_filename:
        return False
    last = max(line for *_, line in code.co_lines() if line)
    return bool(code.co_firstlineno <= caller.f_lineno <= last)


def rules_of(state: State) -> list[Rule]:
    """The rules of an app, each reward once.

    Those are the rules on its views and signals, those that stand in its own package, or beside
    its one module, and those that were paid through it.
    """
    found: list[Any] = [
        *on_views(state.app),
        *(rule for _, rule in state.loaders.on_signals),
        *_in_package(state.app),
        *state.rules_in_use.values(),
    ]
    rules: dict[Any, Rule] = {}
    for rule in found:
        if not rule.pays:
            continue
        rules.setdefault(rule.listed_as, rule)
    return list(rules.values())


def status(state: State, user: Any) -> list[Reward]:
    """Each reward as it stands for ``user``, or for the current user; one SELECT for a hundred.

    With budgets it is one more, and again one where they have too little left.
    """
    return standing(state, state.user_id(user), rules_of(state))


def standing(state: State, user_id: str, rules: Sequence[Rule]) -> list[Reward]:
    """Each of ``rules`` as it stands for one user now."""
    now, zone = state.now(), state.zone(user_id)
    listed = [(rule, *_listed(state, rule, user_id)) for rule in rules]
    rewards = _looked_up(state, user_id, [_Standing(*each, now, zone) for each in listed])
    short = _shortages(state, user_id, now, rewards)
    # A budget that opens while the window of the reward is paid ahead does not pay yet.
    later = {
        number: _Standing(*listed[number], each.opens_at, zone)
        for number, each in short.items()
        if each.opens_at
    }
    by_then = dict(zip(later, _looked_up(state, user_id, [*later.values()]), strict=True))
    for number, each in short.items():
        then = by_then.get(number)
        opens_at = then.opens_at if then and then.state in _CLOSED else each.opens_at
        rewards[number] = replace(
            rewards[number], state="capped", opens_at=opens_at, left=each.left
        )
    return rewards


def _looked_up(state: State, user_id: str, each: Sequence[_Standing]) -> list[Reward]:
    found = _paid(state, user_id, [one for one in each if one.look])
    return [one.reward(found.get(one, [])) for one in each]


def _shortages(
    state: State, user_id: str, now: datetime, rewards: Sequence[Reward]
) -> dict[int, Shortage]:
    """Which of ``rewards``, by number, budgets would not pay; of several amounts not the least."""
    if not state.settings.budgets:
        return {}
    caps = {
        number: state.caps(now, reward.currency, reward.reason)
        for number, reward in enumerate(rewards)
        if reward.state not in _CLOSED
    }
    asked = list(dict.fromkeys(cap for those in caps.values() for cap in those))
    used = WalletReader(state.table).used(state.session, user_id, asked)
    found = {}
    for number, those in caps.items():
        least = rewards[number].amount or min(rewards[number].amounts, default=1)
        short = [it for cap in those if (it := cap.shortage(least, used[cap]))]
        if short:
            found[number] = Shortage.of_all(short)
    return found


def _listed(state: State, rule: Rule, user_id: str) -> tuple[Reward, bool]:
    """A rule as it is listed, and whether the log has a say in how it stands."""
    subject = rule.constant_subject
    listed = rule.listed(subject)
    if not state.eligible(user_id, rule.reason):
        return replace(listed, state="excluded"), False
    if rule.window is not None and subject is None:
        return replace(listed, state="varies"), False
    return listed, rule.window is not None


class _Standing:
    """One rule, and what has to be known to tell how it stands."""

    look: Look | None = None

    def __init__(
        self, rule: Rule, listed: Reward, counts: bool, now: datetime, zone: tzinfo
    ) -> None:
        self.listed, self.at = listed, now
        if not counts or rule.window is None:
            return
        period = rule.window.period(now, zone)
        if period is None:
            self.listed = replace(listed, state="not_open")
            self.at = rule.window.opens_at(now, zone) or now
            period = rule.window.period(self.at, zone)
        if period is not None:
            claim = Claim(rule.window, zone, period, rule.limit)
            self.look = Look(rule.currency, rule.reason, listed.subject or "", claim)

    def reward(self, paid: Sequence[Paid]) -> Reward:
        """How it stands where ``paid`` is what was paid already."""
        if self.look is None:
            return self.listed
        claim = self.look.claim
        if self.listed.state == "not_open":
            return replace(self.listed, opens_at=claim.opens_at(paid, self.at))
        times = min(claim.used(paid), claim.limit)
        if times < claim.limit:
            return replace(self.listed, times=times)
        opens_at = claim.opens_at(paid, self.at)
        return replace(self.listed, state="paid", opens_at=opens_at, times=times)

    def further(self, paid: Sequence[Paid]) -> Look | None:
        """What else has to be looked for: where the clock was put back, names of later periods."""
        asked: list[Claim] = []

        def note(claim: Claim) -> list[Paid]:
            asked.append(claim)
            return []

        if self.look and self.look.claim.refuses(paid):
            self.look.claim.opens_at(paid, self.at, note)
        return self.look._replace(claim=asked[0]) if self.look and asked else None


def _paid(state: State, user_id: str, each: Sequence[_Standing]) -> dict[_Standing, list[Paid]]:
    """What was paid for each: one look for all, and one more while clocks were put back."""
    reader = WalletReader(state.table)
    found: dict[_Standing, list[Paid]] = {one: [] for one in each}
    looks = {one: one.look for one in each if one.look}
    while looks:
        rows = reader.looked(state.session, user_id, list(looks.values()))
        fresh = {
            one: set(more).difference(found[one]) for one, more in zip(looks, rows, strict=True)
        }
        for one, more in fresh.items():
            found[one] += more
        looks = {
            one: look for one, more in fresh.items() if more and (look := one.further(found[one]))
        }
    return found


def on_views(app: Flask) -> Iterator[ViewRule]:
    """The rules of an app's views, wherever they stand below a route."""
    for view in app.view_functions.values():
        for layer in layers(view):
            rule = getattr(layer, "__coins_rule__", None)
            if rule is not None:
                yield rule


def _in_package(app: Flask) -> Iterator[ViewRule]:
    package = app.import_name.partition(".")[0]
    beside: dict[str, bool] = {}
    for kept in _values.valuerefs():
        rule = kept()
        if rule is None:
            continue
        top = rule.module.partition(".")[0]
        if top not in beside:
            beside[top] = top == package or _is_beside(app, rule.module)
        if beside[top]:
            yield rule


def _is_beside(app: Flask, module: str) -> bool:
    """Whether the app is a module without a package, and ``module`` a file of the same folder."""
    mine, path = sys.modules.get(app.import_name), file_of(module)
    if path is None or "." in app.import_name or not getattr(mine, "__file__", None):
        return False
    is_package = hasattr(mine, "__path__")
    return not is_package and path.is_relative_to(app.root_path) and not is_installed(path)


def file_of(module: str) -> Path | None:
    """Where ``module`` was imported from."""
    name = getattr(sys.modules.get(module), "__file__", None)
    return Path(name).absolute() if name else None


def is_installed(path: Path) -> bool:
    """Whether the file is a library's, as ``pip`` installs them."""
    return not {"site-packages", "dist-packages"}.isdisjoint(path.parts)


def layers(view: Any) -> Iterator[Any]:
    """A view function and all that it wraps; for a class, its methods too."""
    while view is not None:
        yield view
        cls = getattr(view, "view_class", None)
        for name in ("dispatch_request", *(getattr(cls, "methods", None) or ())):
            method = getattr(cls, name.lower(), None)
            if method is not None:
                yield from layers(method)
        view = getattr(view, "__wrapped__", None)
