"""What decorates views: the part that does not know yet which way the coins go."""

from __future__ import annotations

import sys
import warnings
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, wraps
from inspect import CO_OPTIMIZED, Parameter, iscoroutinefunction, signature
from typing import Any, ClassVar, TypeVar
from uuid import UUID

from flask import Request, has_request_context, request
from flask.views import View

from . import _checks
from ._hints import both_ways
from ._rewards import remember_value, remember_view
from ._sources import called, check_callable, constant, names_in
from ._state import State
from ._visit import Due, Work
from ._watching import Called
from .errors import CoinsWarning, InvalidInput
from .results import Outcome, Receipt

V = TypeVar("V", bound=Callable[..., Any])
WRITING = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_COMPREHENSIONS = frozenset({"<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>"})


@dataclass(frozen=True)
class ViewRule:
    """What moves how many coins, for what. Call it on a view to decorate that view."""

    pays: ClassVar[bool] = False
    """Whether it belongs into the catalogue of rewards."""

    amount: int | Callable[[Any], int]
    reason: str
    subject: Any = field(default=None, kw_only=True)
    methods: frozenset[str] | None = field(default=None, kw_only=True)
    when: Callable[[Any], Any] | None = field(default=None, kw_only=True)
    user: Any = field(default=None, kw_only=True)
    currency: str = field(default="coins", kw_only=True)
    module: str = field(default="", kw_only=True, compare=False, repr=False)

    def __post_init__(self) -> None:
        if not callable(self.amount):
            _checks.amount(self.amount)
        _checks.reason(self.reason)
        _checks.currency(self.currency)
        self._check_sources()
        if self.methods is not None and not set() < self.methods <= WRITING | {"GET"}:
            raise InvalidInput(
                f"methods are of GET, {', '.join(sorted(WRITING))}, not {sorted(self.methods)}."
            )
        remember_value(self)

    def _check_sources(self) -> None:
        """Check what may be a callable or a text with names in it."""
        if self.when is not None and not callable(self.when):
            raise InvalidInput(f"when must be a callable of one argument, not {self.when!r}.")
        if self.subject is not None and not callable(self.subject):
            _checks.subject(constant(self.subject))
        if self.user is not None and not callable(self.user):
            if not isinstance(self.user, str | UUID):
                raise InvalidInput(
                    "The user of a rule is a text or a callable that reads them from a view, not"
                    f" {_checks.shown(self.user)}. {both_ways(self._name)}"
                )
            _checks.user_id(constant(self.user))
        for name in ("amount", "when", "user", "subject"):
            names_in(getattr(self, name))
            check_callable(name, getattr(self, name))

    @property
    @abstractmethod
    def _name(self) -> str:
        """What it is called in code."""

    # -- as a decorator -----------------------------------------------------------------------

    def __call__(self, view: V) -> V:
        """Decorate ``view``: a function, a coroutine function, or a class based view.

        The view's return value passes through as it is. Place it directly above ``def``, below
        every other decorator.
        """
        if isinstance(view, type):
            self._decorate_class(view)
            return view
        self._check_names(view)
        if iscoroutinefunction(view):

            @wraps(view)
            async def paying(*args: Any, **kwargs: Any) -> Any:
                with self.run_of(view, args, kwargs) as due:
                    due.value = await view(*args, **kwargs)
                return due.value

        else:

            @wraps(view)
            def paying(*args: Any, **kwargs: Any) -> Any:
                with self.run_of(view, args, kwargs) as due:
                    due.value = view(*args, **kwargs)
                return due.value

        remember_view(paying, self)
        return paying  # type: ignore[return-value]

    def _decorate_class(self, view: Any) -> None:
        if not issubclass(view, View):
            raise InvalidInput(
                f"Decorate the methods of {view.__name__}: it is no flask.views.View."
            )
        view.decorators = [self, *view.decorators]

    def _check_names(self, view: Callable[..., Any]) -> None:
        """Find a misspelt ``"{name}"`` at import, where the view's signature can show it."""
        parameters = signature(view).parameters
        if any(each.kind is Parameter.VAR_KEYWORD for each in parameters.values()):
            return
        for template in (self.subject, self.user):
            if isinstance(template, str) and template in parameters:
                text = (
                    f"{template!r} is the same for all in the rule for {self.reason!r}: to read the"
                    f" view's argument, write '{{{template}}}'."
                )
                warnings.warn(text, CoinsWarning, stacklevel=3)
            for name in names_in(template):
                if name not in parameters:
                    raise InvalidInput(
                        f"{template!r} names {name!r}, but the arguments of"
                        f" {getattr(view, '__qualname__', view)} are {', '.join(parameters) or 'none'}."
                    )

    @cached_property
    def called(self) -> Called:
        """What a watcher is told before it is paid."""
        return Called(self._name, self.reason, self.currency, getattr(self, "window", None))

    def run_of(self, view: Callable[..., Any], args: Any, kwargs: Mapping[str, Any]) -> Due:
        """One run of the decorated ``view``."""
        return Due(self, view, args, kwargs)

    @abstractmethod
    def refused_again(self, state: State, due: Due) -> bool:
        """Whether there is nothing to do for ``due``, and everybody has been told so."""

    @abstractmethod
    def order(self, state: State, due: Due) -> Work:
        """What is to be done for this ``due``, which counts."""

    @property
    @abstractmethod
    def listed_as(self) -> tuple[Any, ...]:
        """Rules that are alike in this are one reward in the catalogue."""

    def counts(self, value: Any) -> bool:
        """Whether method and ``when`` agree that ``value``, no error, earned something."""
        if not self.method_counts():
            return False
        return self.when is None or bool(called("when", self.when, value))

    def method_counts(self) -> bool:
        if not has_request_context():
            return True
        current: Request = request._get_current_object()  # type: ignore[attr-defined]
        if self.methods is not None:
            return current.method in self.methods
        if current.method != "GET":
            return current.method in WRITING
        route = current.url_rule
        return route is None or not WRITING & (route.methods or set())

    def receipt(self, outcome: Outcome) -> Receipt:
        """An answer made before there was a movement."""
        return Receipt(outcome, self.reason, currency=self.currency)


def methods_of(methods: Iterable[str] | None) -> frozenset[str] | None:
    """The methods that a rule names, in upper case; InvalidInput for what is no list of texts."""
    if methods is None:
        return None
    names = list(methods) if isinstance(methods, Iterable) else [None]
    if isinstance(methods, str) or not all(isinstance(name, str) for name in names):
        raise InvalidInput(f"methods is a list such as ['POST'], not {_checks.shown(methods)}.")
    return frozenset(name.upper() for name in names if name)


def caller_of() -> str:
    """The module in which a rule is written: it tells whose app the rule belongs to.

    Nothing for one that a function makes: of those there may be ever more.
    """
    frame = sys._getframe(3)
    while frame.f_code.co_name in _COMPREHENSIONS and frame.f_back:
        frame = frame.f_back
    in_function = frame.f_code.co_flags & CO_OPTIMIZED
    return "" if in_function else str(frame.f_globals.get("__name__", ""))
