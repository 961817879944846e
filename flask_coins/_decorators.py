"""Rules: what a view pays. A rule is a value, and it is itself the decorator."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property, wraps
from inspect import CO_OPTIMIZED, Parameter, iscoroutinefunction, signature
from typing import Any, NoReturn, TypeVar
from uuid import UUID

from flask import Request, has_request_context, request
from flask.views import View

from . import _checks
from ._hints import both_ways, hinting, refuse_direct_call
from ._rewards import remember_value, remember_view
from ._sources import called, check_callable, constant, names_in, reads_value
from ._state import State, current_state
from ._visit import UNASKED, Due, Order, request_context, status_of
from ._writes import Movement
from .errors import InvalidAmount, InvalidInput, InvalidSubject
from .results import Outcome, Receipt, Reward
from .signals import award_refused, send
from .windows import Window, parse

V = TypeVar("V", bound=Callable[..., Any])
WRITING = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_COMPREHENSIONS = frozenset({"<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>"})


@dataclass(frozen=True)
class Rule:
    """What is paid, for what and how often. Call it on a view to decorate that view.

    Made by :func:`award_once` and :func:`award`, which document its fields.
    """

    amount: int | Callable[[Any], int]
    reason: str
    window: Window | None = None
    subject: Any = None
    limit: int = 1
    methods: frozenset[str] | None = None
    when: Callable[[Any], Any] | None = None
    user: Any = None
    currency: str = "coins"
    module: str = field(default="", compare=False, repr=False)
    _token: object = field(default_factory=object, init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        if not callable(self.amount):
            _checks.amount(self.amount)
        _checks.reason(self.reason)
        _checks.currency(self.currency)
        _checks.limit(self.limit)
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
    def _name(self) -> str:
        return "award" if self.window is None else "award_once"

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
                due = Due(self, view, args, kwargs)
                due.begin()
                try:
                    value = await view(*args, **kwargs)
                except BaseException:
                    due.fail()
                    raise
                due.end(value)
                return value

        else:

            @wraps(view)
            def paying(*args: Any, **kwargs: Any) -> Any:
                due = Due(self, view, args, kwargs)
                due.begin()
                try:
                    value = view(*args, **kwargs)
                except BaseException:
                    due.fail()
                    raise
                due.end(value)
                return value

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
            for name in names_in(template):
                if name not in parameters:
                    raise InvalidInput(
                        f"{template!r} names {name!r}, but the arguments of"
                        f" {getattr(view, '__qualname__', view)} are {', '.join(parameters) or 'none'}."
                    )

    # -- as a direct call ---------------------------------------------------------------------

    def pay(self, user: Any, *, subject: Any = None, amount: int | None = None) -> Receipt:
        """Pay ``user`` by this rule now, in the host's transaction; nothing is committed.

        ``subject`` and ``amount`` are needed where the rule reads them from a view. Raises
        :class:`~flask_coins.NoUserError` without a user, and what ``coins.award_once`` raises.
        """
        if amount is None and callable(self.amount):
            raise InvalidAmount(f"{self.reason!r} reads its amount from a view: pass amount=.")
        if subject is None and self.subject is not None:
            if not self._is_constant:
                raise InvalidSubject(
                    f"{self.reason!r} reads its subject from a view: pass subject=."
                )
            subject = constant(self.subject)
        state = current_state()
        if self.module:
            state.rules_in_use.setdefault(hash(self.listed_as), self)
        movement = state.movement(
            user,
            self.amount if amount is None else amount,
            self.reason,
            subject=subject,
            currency=self.currency,
        )
        if self.window is None:
            return state.award(movement)
        return state.award_once(movement, self.window, self.limit)

    # -- what paying after a view asks for ----------------------------------------------------

    def counts(self, value: Any) -> bool:
        """Whether method and ``when`` agree that ``value``, no error, earned something."""
        if not self._method_counts():
            return False
        return self.when is None or bool(called("when", self.when, value))

    def _method_counts(self) -> bool:
        if not has_request_context():
            return True
        current: Request = request._get_current_object()  # type: ignore[attr-defined]
        if self.methods is not None:
            return current.method in self.methods
        if current.method != "GET":
            return current.method in WRITING
        route = current.url_rule
        return route is None or not WRITING & (route.methods or set())

    def refused_again(self, state: State, due: Due) -> bool:
        """Tell a refusal that this process knows: the short way, which most requests go.

        It decides as :meth:`order` does, for a rule that asks the view for nothing, once the view of
        ``due`` is a success. Where it does not know, the user that it asked for is left in ``due``.
        """
        try:
            method = request_context.get().request.method
        except (LookupError, RuntimeError):  # outside of a request
            return False
        if method not in self._short_methods:
            return False
        loader = state.loaders.current_user
        user = loader() if loader else state.current_user()
        if type(user) not in (int, str) or not state.knows_refusals():
            due.user = user
            return False
        refusal = state.refusals.get((self._token, user), state.clock())
        if refusal is None:
            due.user, due.shortly = user, (self._token, user)
            return False
        due.context.setdefault("coins_receipts", []).append(refusal)
        if award_refused.receivers:
            send(state.app, refusal, str(user))
        return True

    @cached_property
    def _short_methods(self) -> frozenset[str]:
        """The methods of the short way: none where this rule asks the view for anything."""
        asks = self.when or self.user is not None or callable(self.amount)
        if asks or self.window is None or self.constant_subject is None:
            return frozenset()
        return self.methods or WRITING

    def order(self, state: State, due: Due) -> Order:
        """Who is paid what for this ``due``: the user first, then amount and subject."""
        user = self._user_of(state, due)
        if _checks.is_anonymous(user):
            return Order(self.receipt(Outcome.ANONYMOUS))
        user_id = _checks.user_id(user)
        amount = self._read("amount", due)
        if type(amount) is int and amount == 0:
            return Order(self.receipt(Outcome.NOTHING_DUE), user_id)
        subject = "" if self.subject is None else self._subject_of(due)
        movement = Movement(
            user_id, _checks.amount(amount), self.reason, state.now(), subject, self.currency
        )
        if self.window is None:
            return Order(movement, user_id)
        claim = state.claim(movement, self.window, self.limit, due.shortly)
        if isinstance(claim, Receipt):
            return Order(claim, user_id)
        return Order(movement, user_id, claim)

    def _user_of(self, state: State, due: Due) -> Any:
        if self.user is not None:
            return self._read("user", due)
        if due.view is None and "user" in due.kwargs:
            return due.kwargs["user"]
        return state.current_user() if due.user is UNASKED else due.user

    def _subject_of(self, due: Due) -> str:
        subject = self._read("subject", due)
        if subject is None:
            raise InvalidSubject(f"The subject of {self.reason!r} came out as None.")
        return _checks.subject(subject)

    def _read(self, name: str, due: Due) -> Any:
        """The argument ``name`` of this rule, as it is or read from the view of ``due``."""
        given = getattr(self, name)
        if reads_value(given):
            return called(name, given, due.value)
        return due.fill(given) if isinstance(given, str) else given

    # -- how it is listed ---------------------------------------------------------------------

    def receipt(self, outcome: Outcome) -> Receipt:
        """An answer made before there was a movement."""
        return Receipt(outcome, self.reason, currency=self.currency)

    @property
    def listed_as(self) -> tuple[Any, ...]:
        """Rules that are alike in this are one reward in the catalogue."""
        return self.reason, self.currency, self.window, self.limit, self.amount, self.subject

    def listed(self, subject: str | None) -> Reward:
        """This rule as an open reward of the catalogue."""
        return Reward(
            self.reason,
            self.amount if isinstance(self.amount, int) else None,
            self.currency,
            None if self.window is None else str(self.window),
            self.limit,
            subject or None,
            "open",
        )

    @property
    def _is_constant(self) -> bool:
        return not callable(self.subject) and not names_in(self.subject)

    @property
    def constant_subject(self) -> str | None:
        """The stored subject if no view is needed to know it."""
        if self.subject is None:
            return ""
        return _checks.subject(constant(self.subject)) if self._is_constant else None


def _methods(methods: Iterable[str] | None) -> frozenset[str] | None:
    if methods is None:
        return None
    names = list(methods) if isinstance(methods, Iterable) else [None]
    if isinstance(methods, str) or not all(isinstance(name, str) for name in names):
        raise InvalidInput(f"methods is a list such as ['POST'], not {_checks.shown(methods)}.")
    return frozenset(name.upper() for name in names if name)


@hinting
def award_once(
    amount: int | Callable[[Any], int],
    reason: str,
    window: Any = "day",
    *more: NoReturn,
    subject: Any = None,
    limit: int = 1,
    methods: Iterable[str] | None = None,
    when: Callable[[Any], Any] | None = None,
    user: Any = None,
    currency: str = "coins",
) -> Rule:
    """A rule that pays at most ``limit`` times in each ``window``.

    ``amount`` is in coins. ``amount``, ``subject``, ``user`` and ``when`` may be callables of one
    argument, the view's own return value; texts for ``subject`` and ``user`` are formatted with the
    view's arguments, as in ``"{goal_id}"``, and come out as None where such an argument is None.
    ``window`` is ``"hour"``, ``"day"``, ``"week"`` (ISO 8601), ``"month"``, ``"year"``,
    ``"forever"``, a ``timedelta`` or one of :mod:`flask_coins.windows`.

    The decorated view pays when the method writes (POST, PUT, PATCH, DELETE; GET where its route
    has none of these; or ``methods``), the status is below 400 and ``when`` agrees. It then commits
    ``db.session`` once. Wrong arguments raise :class:`~flask_coins.InvalidInput` where the rule is
    written.
    """
    refuse_direct_call("award_once", amount, reason, *more)
    return Rule(
        amount,
        reason,
        parse(window),
        subject,
        limit,
        _methods(methods),
        when,
        user,
        currency,
        _caller(),
    )


@hinting
def award(
    amount: int | Callable[[Any], int],
    reason: str = "xp_bonus",
    *more: NoReturn,
    subject: Any = None,
    methods: Iterable[str] | None = None,
    when: Callable[[Any], Any] | None = None,
    user: Any = None,
    currency: str = "coins",
) -> Rule:
    """A rule that pays each time; its arguments are those of :func:`award_once`."""
    refuse_direct_call("award", amount, reason, *more)
    return Rule(
        amount, reason, None, subject, 1, _methods(methods), when, user, currency, _caller()
    )


def _caller() -> str:
    """The module in which a rule is written: it tells whose app the rule belongs to.

    Nothing for one that a function makes: of those there may be ever more.
    """
    frame = sys._getframe(3)
    while frame.f_code.co_name in _COMPREHENSIONS and frame.f_back:
        frame = frame.f_back
    in_function = frame.f_code.co_flags & CO_OPTIMIZED
    return "" if in_function else str(frame.f_globals.get("__name__", ""))


def redirected(value: Any) -> bool:
    """Whether a view's return value is a redirect: ``when=redirected`` serves form views."""
    return status_of(value) in (301, 302, 303, 307, 308)
