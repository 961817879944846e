"""Rules: what a view pays. A rule is a value, and it is itself the decorator."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from itertools import islice
from typing import Any, ClassVar, NoReturn

from . import _checks
from ._hints import hinting, refuse_direct_call
from ._sources import called, constant, names_in, reads_value
from ._state import State, current_state
from ._views import WRITING, ViewRule, caller_of, methods_of
from ._visit import UNASKED, Due, Order, request_context, status_of
from ._writes import Movement
from .errors import InvalidAmount, InvalidInput, InvalidSubject
from .results import Outcome, Receipt, Reward
from .signals import award_refused, send
from .windows import Window, parse


@dataclass(frozen=True)
class Rule(ViewRule):
    """What is paid, for what and how often.

    Made by :func:`award_once` and :func:`award`, which document its fields.
    """

    pays: ClassVar[bool] = True

    window: Window | None = None
    limit: int = field(default=1, kw_only=True)
    amounts: tuple[int, ...] = field(default=(), kw_only=True)
    """What people are told where ``amount`` is a callable, in order."""
    _token: object = field(default_factory=object, init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        _checks.limit(self.limit)
        if self.amounts and not callable(self.amount):
            raise InvalidInput(f"amounts go with a callable amount, not with {self.amount!r}.")
        super().__post_init__()

    @property
    def _name(self) -> str:
        return "award" if self.window is None else "award_once"

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
            amounts=self.amounts,
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


@hinting
def award_once(
    amount: int | Callable[[Any], int],
    reason: str,
    window: str | timedelta | Window = "day",
    *more: NoReturn,
    subject: Any = None,
    limit: int = 1,
    methods: Iterable[str] | None = None,
    when: Callable[[Any], Any] | None = None,
    user: Any = None,
    currency: str = "coins",
    amounts: Iterable[int] = (),
) -> Rule:
    """A rule that pays at most ``limit`` times in each ``window``.

    ``amount`` is in coins. ``amount``, ``subject``, ``user`` and ``when`` may be callables of one
    argument, the view's own return value; texts for ``subject`` and ``user`` are formatted with the
    view's arguments, as in ``"{goal_id}"``, and come out as None where such an argument is None.
    ``window`` is ``"hour"``, ``"day"``, ``"week"`` (ISO 8601), ``"month"``, ``"year"``,
    ``"forever"``, a ``timedelta`` or one of :mod:`flask_coins.windows`. ``amounts``, up to a hundred,
    are what people are told that a callable ``amount`` may come to; nothing is checked by them.

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
        limit=limit,
        subject=subject,
        methods=methods_of(methods),
        when=when,
        user=user,
        currency=currency,
        amounts=_amounts_of(amounts),
        module=caller_of(),
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
    amounts: Iterable[int] = (),
) -> Rule:
    """A rule that pays each time; its arguments are those of :func:`award_once`."""
    refuse_direct_call("award", amount, reason, *more)
    return Rule(
        amount,
        reason,
        subject=subject,
        methods=methods_of(methods),
        when=when,
        user=user,
        currency=currency,
        amounts=_amounts_of(amounts),
        module=caller_of(),
    )


def _amounts_of(given: Iterable[int]) -> tuple[int, ...]:
    """What a rule may pay, in order; InvalidInput for what is no short list of amounts."""
    if isinstance(given, Iterable):
        some = list(islice(given, 101))
        if len(some) <= 100:
            return tuple(sorted({_checks.amount(each) for each in some}))
    raise InvalidInput(
        f"amounts is a list of up to 100, such as [15, 25], not {_checks.shown(given)}."
    )


def redirected(value: Any) -> bool:
    """Whether a view's return value is a redirect: ``when=redirected`` serves form views."""
    return status_of(value) in (301, 302, 303, 307, 308)
