"""Clear errors for those who call ``award`` or ``award_once`` by the wrong name."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from inspect import isfunction
from typing import Any, ParamSpec, TypeVar

from flask.views import View

from ._checks import shown
from .errors import InvalidAmount

P = ParamSpec("P")
R = TypeVar("R")


def both_ways(name: str) -> str:
    """What ``name`` does here, and how the call of the same name is reached."""
    return (
        f"To decorate a view, write @{name}(amount, reason, ...)."
        f" To pay now, call coins.{name}(user, amount, reason, ...)."
    )


def refuse_direct_call(name: str, amount: Any, reason: Any, *more: Any) -> None:
    """Refuse positional arguments such as a payment has: the user first."""
    if more or not isinstance(reason, str):
        given = ", ".join(map(shown, (amount, reason, *more)))
        raise InvalidAmount(f"{name}(amount, reason, ...) got {given}. {both_ways(name)}")


def hinting(make: Callable[P, R]) -> Callable[P, R]:
    """``make``, with a clear error where its bare name stands above a view."""
    name = make.__name__

    @wraps(make)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        if len(args) == 1 and not kwargs and _is_view(args[0]):
            raise InvalidAmount(
                f"{name} got {shown(args[0])} and no reason. {both_ways(name)}"
                " Where a function gives the amount, name a reason too."
            )
        return make(*args, **kwargs)

    return checked


def _is_view(given: Any) -> bool:
    """Whether ``given`` looks like what stands below a decorator; a lambda never does."""
    if isinstance(given, type):
        return issubclass(given, View)
    return isfunction(given) and given.__name__ != "<lambda>"
