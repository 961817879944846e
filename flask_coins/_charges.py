"""Views that cost coins: set aside before the view, spent with its work, free again if it fails."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import Any, NamedTuple, NoReturn

from flask import g
from werkzeug.exceptions import Unauthorized

from . import _checks, _moves
from ._faults import ATTEMPTS, roll_back
from ._hints import hinting, refuse_direct_call
from ._logs import fields, nameless
from ._session import begun_by_hand, has_work
from ._sources import called, constant, names_in, reads_value
from ._state import State
from ._views import ViewRule, caller_of, methods_of
from ._visit import Due, commit
from ._watching import Called
from .errors import CoinsError, HoldClosed, InvalidInput
from .results import Hold, Outcome, Receipt

_PATIENCE = timedelta(minutes=15)
_LATE = "_coins_to_release"
_LONGEST = timedelta(days=1)


@dataclass(frozen=True)
class Charge(ViewRule):
    """What a view costs. Made by :func:`charge`, which documents its fields."""

    expires_in: timedelta = field(default=_PATIENCE, kw_only=True)

    def __post_init__(self) -> None:
        if (
            not isinstance(self.expires_in, timedelta)
            or not timedelta(0) < self.expires_in <= _LONGEST
        ):
            raise InvalidInput(
                "expires_in is a timedelta above zero, of at most a day, not"
                f" {_checks.shown(self.expires_in)}."
            )
        super().__post_init__()

    @property
    def _name(self) -> str:
        return "charge"

    @cached_property
    def first_called(self) -> Called:
        """What a watcher is told before the coins are set aside."""
        return Called(self._name, self.reason, self.currency)

    @cached_property
    def called(self) -> Called:
        """What a watcher is told before they are spent."""
        return Called("capture", self.reason, self.currency)

    def run_of(self, view: Callable[..., Any], args: Any, kwargs: Mapping[str, Any]) -> Due:
        """One run of the decorated ``view``."""
        return _Charged(self, view, args, kwargs)

    def refused_again(self, state: State, due: Due) -> bool:
        """Never: what was set aside before the view is always there to be spent."""
        return False

    def order(self, state: State, due: Due) -> _Capture:
        """Spend what was set aside before the view."""
        held: Hold = due.held  # type: ignore[attr-defined]
        return _Capture(held.id, held.user_id)

    @property
    def listed_as(self) -> tuple[Any, ...]:
        """It is no reward: only alike to itself."""
        return (self,)

    def price(self, due: Due) -> dict[str, Any]:
        """Whose coins a run costs, how many, and for what."""
        return {
            "user": due.state.current_user() if self.user is None else self._read("user", due),
            "amount": self._read("amount", due),
            "reason": self.reason,
            "subject": None if self.subject is None else self._read("subject", due),
            "currency": self.currency,
        }

    def _read(self, name: str, due: Due) -> Any:
        given = getattr(self, name)
        if reads_value(given):
            return called(name, given, due.arguments())
        return due.fill(given) if isinstance(given, str) and names_in(given) else constant(given)


class _Capture(NamedTuple):
    hold_id: int
    user_id: str

    def pay(self, state: State) -> Receipt:
        """Write the spend in the session's transaction; nothing is committed."""
        receipt, hold = state.holds.capture(state.session, self.hold_id, None, state.now())
        return state.moved(state.session, receipt, hold.user_id)


class _Charged(Due):
    """One run of a view that costs coins."""

    rule: Charge
    held: Hold | None = None
    committed = False
    """Whether the hold is committed; else it goes the way of the host's transaction."""

    def __enter__(self) -> Due:
        """Set the coins aside, and commit that unless the host has begun to change something."""
        super().__enter__()
        try:
            if self.rule.method_counts():
                self._hold()
        except BaseException:
            self.fail()
            raise
        return self

    def _hold(self) -> None:
        price = self.rule.price(self)
        if _checks.is_anonymous(price["user"]):
            raise Unauthorized(f"This costs {self.rule.currency}: log in first.")
        session = self.state.open_session()
        at_stake = begun_by_hand(session) or has_work(session)
        movement = self.state.movement(**price)

        def attempt() -> Hold:
            # Begun here, so that the hold leaves trying again to us.
            self.state.connection()
            held = _moves.hold(self.state, movement, self.rule.expires_in)
            if not at_stake:
                commit(self.state)
            return held

        self.held = self.state.tried(attempt, 1 if at_stake else ATTEMPTS, [self.rule.first_called])
        self.committed = not at_stake

    def refuse(self, state: State, outcome: Outcome) -> None:
        """Nothing is charged: there is nobody to tell."""
        self.let_go()

    def let_go(self) -> None:
        """Release the hold: at once, or at the end of the context where the view left changes."""
        held, self.held = self.held, None
        if held is None:
            return
        if self.committed and not has_work(self.state.open_session()):
            _release(self.state, held)
        elif self.committed:
            self.context.setdefault(_LATE, []).append(held)
        else:
            _release_within(self.state, held)


def release_late(state: State) -> Callable[[BaseException | None], None]:
    """A teardown function that releases what could not be at once: nobody's changes are left now."""

    def release(error: BaseException | None) -> None:
        waiting = g.pop(_LATE, [])
        if waiting:
            state.db.session.rollback()
        for held in waiting:
            _release(state, held)

    return release


def _release(state: State, held: Hold) -> None:
    """Release and commit; a failure is logged, as the hold expires by itself."""
    try:
        _moves.release(state, held)
        commit(state)
    except HoldClosed:
        roll_back(state.session)
    except Exception as error:
        roll_back(state.session)
        state.app.logger.exception(
            "Hold %s was not released; it expires at %s",
            held.id,
            held.expires_at,
            exc_info=nameless(error),
            extra=fields("hold_not_released", reason=held.reason, currency=held.currency),
        )


def _release_within(state: State, held: Hold) -> None:
    """Release in the host's own transaction, unless that was rolled back, and the hold with it."""
    session = state.open_session()
    if session is not None and session.is_active and session.in_transaction():
        try:
            _moves.release(state, held)
        except CoinsError:
            state.app.logger.info(
                "Hold %s went with the transaction of the view",
                held.id,
                extra=fields("hold_undone", reason=held.reason, currency=held.currency),
            )


@hinting
def charge(
    amount: int | Callable[[Any], int],
    reason: str,
    *more: NoReturn,
    subject: Any = None,
    methods: Iterable[str] | None = None,
    when: Callable[[Any], Any] | None = None,
    user: Any = None,
    currency: str = "coins",
    expires_in: timedelta = _PATIENCE,
) -> Charge:
    """A rule that makes a view cost ``amount`` coins.

    They are held before the view runs: where they are not there it does not run, and
    :class:`~flask_coins.InsufficientCoins` answers 402 Payment Required, as a problem of RFC 9457
    to a client that takes JSON; nobody logged in is 401. When the view has succeeded (a status
    below 400, and ``when`` agrees) they are spent in the transaction of its work, which is then
    committed; else they are free again. A worker that dies leaves them held for ``expires_in``.

    ``amount``, ``subject`` and ``user`` may be callables of one argument, a dict of the view's own
    arguments; texts are formatted with these. ``when`` is given the view's return value. ``methods``
    are those of :func:`award_once`: other requests cost nothing.
    """
    refuse_direct_call("charge", amount, reason, *more)
    return Charge(
        amount,
        reason,
        subject=subject,
        methods=methods_of(methods),
        when=when,
        user=user,
        currency=currency,
        expires_in=expires_in,
        module=caller_of(),
    )
