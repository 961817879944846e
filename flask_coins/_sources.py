"""What a rule takes from a view: callables of its return value, texts with its arguments in them."""

from __future__ import annotations

import string
from collections.abc import Callable, Iterator, Mapping
from inspect import isawaitable, iscoroutine, iscoroutinefunction, signature
from typing import Any

from werkzeug.local import LocalProxy

from .errors import InvalidInput

_FORMATTER = string.Formatter()


def names_in(template: Any) -> list[str]:
    """The argument names in a text such as ``"{goal_id}"``, those in format specs included.

    Raises :class:`~flask_coins.InvalidInput` where it is no format string.
    """
    if not isinstance(template, str):
        return []
    try:
        fields = list(_fields(template))
    except ValueError as error:
        raise InvalidInput(f"{template!r} is no format string: {error}.") from error
    return [name.partition(".")[0].partition("[")[0] for name in fields]


def _fields(template: str, depth: int = 0) -> Iterator[str]:
    for _, name, spec, conversion in _FORMATTER.parse(template):
        if name is None:
            continue
        if conversion not in (None, "a", "r", "s"):
            raise ValueError(f"there is no conversion !{conversion}")
        if depth > 1:
            raise ValueError("a format spec within a format spec has no fields")
        yield name
        yield from _fields(spec or "", depth + 1)


def filled(template: str, arguments: Mapping[str, Any]) -> str | None:
    """``template`` with ``arguments`` in it; None where one that it names is None."""
    for name in _fields(template):
        if _FORMATTER.get_field(name, (), arguments)[0] is None:
            return None
    return template.format(**arguments)


def constant(given: Any) -> Any:
    """A text that names no arguments as it will be stored; anything else as it is."""
    return given.format() if isinstance(given, str) and not names_in(given) else given


def reads_value(given: Any) -> bool:
    """Whether ``given`` is to be called; a proxy such as ``current_user`` only looks like it."""
    return callable(given) and not isinstance(given, LocalProxy)


def check_callable(name: str, given: Any) -> None:
    """Refuse a callable that cannot be called with a view's return value."""
    if not reads_value(given):
        return
    if iscoroutinefunction(given):
        raise InvalidInput(f"{name} cannot be async: it is called, not awaited.")
    try:
        parameters = signature(given)
    except (TypeError, ValueError):  # as for some that are written in C
        return
    try:
        parameters.bind(None)
    except TypeError:
        raise InvalidInput(
            f"{name} must take one argument, the view's return value; {given!r} takes {parameters}."
        ) from None


def called(name: str, given: Callable[[Any], Any], value: Any) -> Any:
    """``given(value)``; raises :class:`~flask_coins.InvalidInput` for what would have to be awaited."""
    answer = given(value)
    if isawaitable(answer):
        if iscoroutine(answer):
            answer.close()
        raise InvalidInput(f"{name} cannot be async: {given!r} is called, not awaited.")
    return answer
