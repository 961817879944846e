"""What one app knows beside its host: its ledger and its cache, and the calls that pay through them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from flask import Flask, Response, after_this_request, current_app, g, has_request_context
from flask_sqlalchemy.session import Session as RoutedSession
from sqlalchemy.orm import Session

from . import _checks, _logs, _session, signals
from ._budgets import Cap
from ._cache import Refusals
from ._claims import Claim
from ._faults import ATTEMPTS, repeated
from ._header import add_to_header
from ._holds import Holds
from ._host import Host
from ._ledger import Ledger
from ._queries import Reader
from ._watching import Called, Watched, Watcher
from ._writes import Movement
from .errors import CoinsError, InvalidInput, NoUserError
from .results import Entry, Hold, Outcome, Receipt
from .windows import Window

T = TypeVar("T")
M = TypeVar("M", Receipt, Hold)

FAILED = "_coins_failed"
"""On ``g`` where a request that moved coins has failed."""


def current_state() -> State:
    """The state of the current app; a clear error where ``init_app`` was never called."""
    return state_of(current_app._get_current_object())  # type: ignore[attr-defined]


def state_of(app: Flask) -> State:
    """The state of ``app``."""
    extensions = getattr(app, "extensions", None)
    if extensions is None:
        raise InvalidInput(f"app is a Flask app, not {_checks.shown(app)}.")
    state = extensions.get("coins")
    if not isinstance(state, State):
        raise CoinsError(
            f"Flask-Coins is not set up on the app {app.name!r}. Did you forget to call"
            " coins.init_app(app, db), or create several apps or Coins?"
        )
    return state


@dataclass(eq=False)
class State(Host):
    """Everything that belongs to one app; kept in ``app.extensions["coins"]``."""

    refusals: Refusals = field(default_factory=Refusals)
    rules_in_use: dict[int, Any] = field(default_factory=dict)
    watchers: list[Watcher] = field(default_factory=list)
    """Who looks on while calls run; there may be nobody."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.ledger = Ledger(self.table)
        self.holds = Holds(self.table)
        self.reader = Reader(self.table)
        self._caches = bool(self.settings.cache_seconds)
        # A host that routes its sessions itself may send two requests to two databases.
        sessions = getattr(self.db.session.session_factory, "class_", None)
        self._routed_by_host = getattr(sessions, "get_bind", None) is not RoutedSession.get_bind

    # -- direct calls -----------------------------------------------------------------------

    def movement(
        self,
        user: Any,
        amount: Any,
        reason: Any,
        *,
        subject: Any = None,
        idempotency_key: Any = None,
        currency: Any = "coins",
        details: Any = None,
        sign: int = 1,
    ) -> Movement:
        """The checked form of a call's arguments; raises before any SQL."""
        return Movement(
            amount=sign * _checks.amount(amount),
            reason=_checks.reason(reason),
            currency=_checks.currency(currency),
            idempotency_key=_checks.idempotency_key(idempotency_key),
            details=_checks.details(details),
            now=self.now(),
            # The last two: an object that is new is flushed to get its key.
            subject=_checks.subject(subject),
            user_id=_checks.user_id(user),
        )

    def award(self, movement: Movement) -> Receipt:
        """Pay without a window and have a refusal told."""
        about = ("award", movement.reason, movement.currency)
        return self.answered(self.repeated(lambda: self.pay(movement), *about), movement.user_id)

    def award_once(self, movement: Movement, window: Window, limit: int) -> Receipt:
        """Pay once in a window and have a refusal told."""

        def attempt() -> Receipt:
            return self.pay_once(movement, self.claim(movement, window, limit))

        about = ("award_once", movement.reason, movement.currency)
        return self.answered(self.repeated(attempt, *about, window), movement.user_id)

    def spend(self, movement: Movement) -> Receipt:
        """Take coins."""
        about = ("spend", movement.reason, movement.currency)
        receipt = self.repeated(lambda: self.ledger.spend(self.session, movement), *about)
        return self.answered(self.moved(self.session, receipt, movement.user_id), movement.user_id)

    def repeated(self, attempt: Callable[[], T], *about: Any) -> T:
        """Try again only where the transaction is all ours: nothing of the host's goes with it.

        What it is ``about`` is for watchers: the parts of a ``Called``.
        """
        session = self.open_session()
        times = 1 if session is not None and session.in_transaction() else ATTEMPTS
        if not self.watchers:
            return repeated(attempt, times)
        return self.tried(attempt, times, [Called(*about)])

    def tried(self, attempt: Callable[[], T], times: int, called: Sequence[Called]) -> T:
        """What ``attempt()`` returns, tried up to ``times`` times under the eyes of the watchers."""
        if not self.watchers:
            return repeated(attempt, times)
        return Watched(self.app, called, self.watchers).repeated(attempt, times)

    # -- paying -----------------------------------------------------------------------------

    def pay(self, movement: Movement) -> Receipt:
        """Award without a window, in the host's transaction."""
        if not self.eligible(movement.user_id, movement.reason):
            return movement.receipt(Outcome.EXCLUDED)
        session = self.session
        receipt = self.ledger.award(session, self.within_budgets(movement))
        return self.moved(session, receipt, movement.user_id)

    def knows_refusals(self) -> bool:
        """Whether a rule and a user alone tell a refusal: no session, no zone or database to ask."""
        return self._remembers() and not (
            self.loaders.timezone
            or self.loaders.eligible
            or self._routed_by_host
            or self.db.session.registry.has()
        )

    def _remembers(self) -> bool:
        return self._caches and not self.app.config["TESTING"]

    def claim(
        self, movement: Movement, window: Window, limit: int, shortly: Hashable = None
    ) -> Claim | Receipt:
        """What a payment would claim, or a refusal that is known without SQL.

        Such a refusal is then kept under the key ``shortly`` too.
        """
        if not self.eligible(movement.user_id, movement.reason):
            return movement.receipt(Outcome.EXCLUDED)
        now, zone = movement.now, self.zone(movement.user_id)
        period = window.period(now, zone)
        if period is None:
            opens_at = self.opening(movement, window, zone, limit)
            return movement.receipt(Outcome.NOT_OPEN, next_at=opens_at)
        if not self._remembers():
            return Claim(window, zone, period, limit)
        key = (
            self._database(),
            movement.user_id,
            movement.currency,
            movement.reason,
            movement.subject,
            # Not the label alone: in another zone a day of the same name may have begun later.
            period if period.label else window,
            limit,
        )
        refusal = self.refusals.get(key, now)
        if refusal is None:
            return Claim(window, zone, period, limit, key)
        if shortly is not None and key[0] is None:
            self.refusals.put_too(shortly, key)
        return refusal

    def opening(
        self, movement: Movement, window: Window, zone: dt.tzinfo, limit: int
    ) -> dt.datetime | None:
        """When a window that is not open pays ``movement``: it may have been paid in another zone."""
        opens_at = window.opens_at(movement.now, zone)
        period = window.period(opens_at, zone) if opens_at else None
        if opens_at is None or period is None:
            return None
        claim = Claim(window, zone, period, limit)
        paid = self.reader.paid(self.session, movement.params(), claim)
        return claim.opens_at(paid, opens_at)

    def pay_once(self, movement: Movement, claim: Claim | Receipt) -> Receipt:
        """Award once in a window, in the host's transaction."""
        if isinstance(claim, Receipt):
            return claim
        session = self.session
        receipt = self.ledger.award_once(session, self.within_budgets(movement), claim)
        if claim.key and receipt.outcome is Outcome.ALREADY:
            self._remember(receipt, claim, claim.key, movement.now)
        return self.moved(session, receipt, movement.user_id)

    def within_budgets(self, movement: Movement) -> Movement:
        """The movement with the budgets that it counts against."""
        if not self.settings.budgets:
            return movement
        return movement._replace(caps=self.caps(movement.now, movement.currency, movement.reason))

    def caps(self, now: dt.datetime, currency: str, reason: str) -> tuple[Cap, ...]:
        """The budgets that a payment of this kind counts against at the moment ``now``."""
        # In the app's zone, also for a user: who moves from zone to zone would begin ever new days.
        caps = (
            budget.cap(now, self.default_zone)
            for budget in self.settings.budgets
            if budget.covers(currency, reason)
        )
        return tuple(cap for cap in caps if cap)

    def eligible(self, user_id: str, reason: str) -> bool:
        """What the host's ``eligible_check`` says; without one, everybody is."""
        check = self.loaders.eligible
        return check is None or bool(check(user_id, reason))

    def _database(self) -> Hashable:
        """The engine and schema map that this context's statements would go to."""
        session = self.session if self._routed_by_host else self.open_session()
        if session is None:
            return None
        bind = session.get_bind(clause=self.table) if self._routed_by_host else None
        if not session.in_transaction():
            return bind
        schemas = self.connection().get_execution_options().get("schema_translate_map")
        return (bind, *schemas.items()) if schemas else bind

    def _remember(
        self, receipt: Receipt, claim: Claim, key: tuple[Any, ...], now: dt.datetime
    ) -> None:
        """Keep a refusal, unless our own uncommitted entry may be what refused.

        Nor where the look went, or the next one may go, elsewhere than the key says: a host may
        choose the schema as late as when its transaction begins.
        """
        session = self.session
        if _session.has_entries(session) or _session.begins_with_host(session):
            return
        if self._database() != key[0]:
            return
        until = now + dt.timedelta(seconds=self.settings.cache_seconds)
        ends = [until, claim.period.end] + ([receipt.next_at] if receipt.next_at else [])
        self.refusals.put(key, replace(receipt, balance=None), now, min(ends))

    # -- reading ----------------------------------------------------------------------------

    def balance(self, user: Any, currency: Any = "coins") -> int:
        """What ``user``, or the current user, has."""
        return self.reader.balance(self.session, self.user_id(user), _checks.currency(currency))

    def history(self, user: Any, limit: Any, before: Any, currency: Any = "coins") -> list[Entry]:
        """Entries of ``user``, or of the current user, newest first."""
        limit = _checks.limit(limit)
        if before is not None and (type(before) is not int or not 0 <= before < 2**63):
            raise InvalidInput(f"before is the id of an entry, not {_checks.shown(before)}.")
        currency = _checks.currency(currency)
        return self.reader.history(self.session, self.user_id(user), currency, limit, before)

    # -- telling ----------------------------------------------------------------------------

    def moved(
        self, session: Session, it: M, user_id: str | None, told: _session.Told | None = None
    ) -> M:
        """Have a movement told once it is committed, to ``told`` or to everybody."""
        if it:
            _session.wait(session, it, user_id, told or self.tell)
            if has_request_context():
                after_this_request(_note_failure)
        return it

    def answered(self, receipt: Receipt, user_id: str) -> Receipt:
        """Have a refusal told: after the commit if there is a transaction, else at once."""
        if not receipt:
            session = self.open_session()
            if session is None or not _session.wait(session, receipt, user_id, self.tell):
                self.tell(receipt, user_id)
        return receipt

    def tell(self, receipt: Receipt, user_id: str | None) -> None:
        """Show a receipt that is true by now: in ``g``, in the response and by a signal."""
        context = vars(g._get_current_object())
        context.setdefault("coins_receipts", []).append(receipt)
        if receipt and has_request_context():
            after_this_request(lambda response: self._shown(response, receipt))
        self.signal(receipt, user_id)

    def _shown(self, response: Response, receipt: Receipt) -> Response:
        return response if self.is_anothers(receipt) else add_to_header(response, receipt)

    def is_anothers(self, receipt: Receipt) -> bool:
        """Whether somebody is logged in, and the entry of ``receipt`` is not theirs to see."""
        try:
            user = self.current_user()
            known = not _checks.is_anonymous(user)
            return (
                known and receipt.entry is not None and receipt.entry.user_id != self.user_id(user)
            )
        except NoUserError:
            return False
        except Exception as error:  # the coins are paid: no failure may cost the view its answer
            self.app.logger.exception(
                "Who is logged in could not be told after a payment",
                exc_info=_logs.nameless(error),
                extra=_logs.fields("user_unknown", reason=receipt.reason),
            )
            return True

    def signal(self, receipt: Receipt, user_id: str | None) -> None:
        """Send the signal of a receipt that is true by now, and show it to nobody."""
        signals.send(self.app, receipt, user_id)


def _note_failure(response: Response) -> Response:
    if response.status_code >= 400:
        vars(g._get_current_object())[FAILED] = True
    return response
