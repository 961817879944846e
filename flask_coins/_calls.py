"""The calls that move coins; :class:`~flask_coins.Coins` has them all. No SQL stands here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from . import _checks, _forget, _moves
from ._forget import Forgotten
from ._state import current_state
from .errors import InvalidAmount
from .results import Hold, Outcome, Receipt
from .windows import Window, parse

_MISSING: Any = object()


class Moving:
    """What moves coins: it writes through ``db.session`` and never commits."""

    def award(
        self,
        user: Any,
        amount: int = _MISSING,
        reason: str = "xp_bonus",
        *,
        subject: Any = None,
        idempotency_key: str | None = None,
        currency: str = "coins",
        details: Any = None,
    ) -> Receipt:
        """Pay ``amount`` coins, in units of ``currency``; every call is one entry of the log.

        Where the ``eligible_check`` refuses, the Receipt is EXCLUDED and nothing is written; where it
        does not fit into a budget it is CAPPED.
        A call with an ``idempotency_key`` (1 to 128 characters, per user) that was used before
        answers REPLAYED with the first entry, or raises
        :class:`~flask_coins.IdempotencyConflict` where it differs. ``details`` is kept as JSON.
        Writes through ``db.session`` and does not commit.
        """
        _refuse_decoration("award", amount, reason)
        state = current_state()
        return state.award(
            state.movement(
                user,
                amount,
                reason,
                subject=subject,
                idempotency_key=idempotency_key,
                currency=currency,
                details=details,
            )
        )

    def award_once(
        self,
        user: Any,
        amount: int = _MISSING,
        reason: str = _MISSING,
        window: str | timedelta | Window = "day",
        *,
        subject: Any = None,
        limit: int = 1,
        currency: str = "coins",
        details: Any = None,
    ) -> Receipt:
        """Pay unless the log holds ``limit`` payments of this reason and subject in ``window``.

        Any payment counts, also one by :meth:`award`. A refusal is a Receipt too: ALREADY, NOT_OPEN
        or CAPPED with ``next_at``, or EXCLUDED. Writes through ``db.session`` and does not commit.
        """
        _refuse_decoration("award_once", amount, reason)
        state, window, limit = current_state(), parse(window), _checks.limit(limit)
        movement = state.movement(
            user, amount, reason, subject=subject, currency=currency, details=details
        )
        return state.award_once(movement, window, limit)

    def award_xp(
        self,
        user: Any,
        xp: int,
        reason: str = "xp_bonus",
        *,
        subject: Any = None,
        idempotency_key: str | None = None,
        currency: str = "coins",
        details: Any = None,
    ) -> Receipt:
        """Pay what ``xp`` is worth: one coin for each ``COINS_XP_PER_COIN``, rounded down.

        Less than a coin is NOTHING_DUE. The rest is as in :meth:`award`.
        """
        if type(xp) is not int or xp < 0:
            raise InvalidAmount(f"XP are an int from 0, not {_checks.shown(xp)}.")
        state = current_state()
        coins = xp // state.settings.xp_per_coin
        movement = state.movement(
            user,
            coins or 1,
            reason,
            subject=subject,
            idempotency_key=idempotency_key,
            currency=currency,
            details=details,
        )
        if coins:
            return state.award(movement)
        return state.answered(movement.receipt(Outcome.NOTHING_DUE), movement.user_id)

    def spend(
        self,
        user: Any,
        amount: int,
        reason: str,
        *,
        subject: Any = None,
        idempotency_key: str | None = None,
        currency: str = "coins",
        details: Any = None,
    ) -> Receipt:
        """Take ``amount`` coins, or raise :class:`~flask_coins.InsufficientCoins` before any write.

        ``idempotency_key`` is as in :meth:`award`. Writes through ``db.session`` and does not commit.
        """
        state = current_state()
        return state.spend(
            state.movement(
                user,
                amount,
                reason,
                subject=subject,
                idempotency_key=idempotency_key,
                currency=currency,
                details=details,
                sign=-1,
            )
        )

    def reverse(
        self,
        entry: Any,
        reason: str = "reversal",
        *,
        amount: int | None = None,
        idempotency_key: str | None = None,
        details: Any = None,
    ) -> Receipt:
        """Take an entry back by a new one that points at it: an award, a spend or a transfer.

        ``entry`` is an Entry, the Receipt that has it, or its id. Without ``amount``, in coins, all
        that is left of it is taken back; where nothing is left the answer is ALREADY. More than is
        left is :class:`~flask_coins.InvalidAmount`, and more than the user has now
        :class:`~flask_coins.InsufficientCoins`; nothing is written then. A part that may be asked
        for twice needs an ``idempotency_key``. Of a transfer both sides are taken back, whichever
        entry is given. A window that was paid stays paid.
        """
        return _moves.reverse(
            current_state(),
            entry,
            reason,
            amount=amount,
            idempotency_key=idempotency_key,
            details=details,
        )

    def transfer(
        self,
        sender: Any,
        recipient: Any,
        amount: int,
        reason: str = "transfer",
        *,
        subject: Any = None,
        idempotency_key: str | None = None,
        currency: str = "coins",
        details: Any = None,
    ) -> tuple[Receipt, Receipt]:
        """Move ``amount`` coins from one user to another: both entries, or none.

        The answer is the sender's Receipt and the recipient's. Raises
        :class:`~flask_coins.InsufficientCoins` where the sender has less. An ``idempotency_key`` is
        the sender's, as in :meth:`award`. What is received is no payment: it fills no window and
        counts against no budget. The response and ``g`` tell of the sender's part alone.
        """
        return _moves.transfer(
            current_state(),
            sender,
            recipient,
            amount,
            reason,
            subject=subject,
            idempotency_key=idempotency_key,
            currency=currency,
            details=details,
        )

    def hold(
        self,
        user: Any,
        amount: int,
        reason: str,
        *,
        expires_in: timedelta | None = None,
        subject: Any = None,
        idempotency_key: str | None = None,
        currency: str = "coins",
        details: Any = None,
    ) -> Hold:
        """Set ``amount`` coins aside, or raise :class:`~flask_coins.InsufficientCoins`.

        From then on nobody can take them but :meth:`capture`; the balance stays as it is. After
        ``expires_in`` they are free again by themselves. A call with an ``idempotency_key`` (1 to
        128 characters, per user, apart from those of entries) that was used before answers with the
        first hold as it is now, or raises :class:`~flask_coins.IdempotencyConflict`.
        """
        state = current_state()
        movement = state.movement(
            user,
            amount,
            reason,
            subject=subject,
            idempotency_key=idempotency_key,
            currency=currency,
            details=details,
        )
        return _moves.hold(state, movement, expires_in)

    def capture(self, hold: Hold | int, amount: int | None = None) -> Receipt:
        """Spend what ``hold``, or the hold of that id, has set aside; of a part the rest is freed.

        The entry has the reason, subject and details of the hold. A second call for as much answers
        REPLAYED. :class:`~flask_coins.HoldExpired` and :class:`~flask_coins.HoldClosed` say why a
        hold cannot be captured, :class:`~flask_coins.InvalidAmount` that it holds less.
        """
        return _moves.capture(current_state(), hold, amount)

    def release(self, hold: Hold | int) -> Hold:
        """Set the coins of ``hold`` free again; it comes back as it is by then.

        One that was released or has expired stays so; one that was captured is
        :class:`~flask_coins.HoldClosed`: reverse its entry instead.
        """
        return _moves.release(current_state(), hold)

    def award_many(self, rows: Iterable[Mapping[str, Any]]) -> int:
        """Pay many users at once; the number of rows that were paid.

        Each row is a dict with the arguments of :meth:`award`, or, where it has a ``window``, of
        :meth:`award_once`. The same rules hold, also between the rows: what a window, a key, a
        budget or the ``eligible_check`` refuses is passed over. A row that cannot be is
        :class:`~flask_coins.InvalidInput` with its number, from 0, before any SQL; a key of another
        movement is :class:`~flask_coins.IdempotencyConflict`, and the session is rolled back. Users
        are locked in the order of their ids. No signals are sent.
        """
        return _moves.award_many(current_state(), rows)

    def forget(self, user: Any) -> Forgotten:
        """Erase a person: the id gives way to a random one; subjects, keys and details are wiped.

        Amounts, moments and reasons stay, so that every total does. Open holds are released. The
        answer says how much was found under the id; it is false where there was nothing. Make sure
        first that the person can earn no more: what is paid afterwards is a new person's. No signal
        is sent.
        """
        state = current_state()
        user_id, now = _checks.user_id(user), state.now()
        return state.repeated(
            lambda: _forget.forget(state.session, state.table, user_id, now), "forget"
        )


def _refuse_decoration(name: str, amount: Any, reason: Any) -> None:
    """Say both ways where a call looks as if it were meant for a view."""
    ways = (
        f"coins.{name}(user, amount, reason, ...) pays now, and got {{}}. To decorate a view:"
        f" from flask_coins import {name}, then @{name}(amount, reason, ...)."
    )
    if isinstance(amount, str):
        raise InvalidAmount(ways.format(f"the amount {amount!r}"))
    if amount is _MISSING or reason is _MISSING:
        raise TypeError(ways.format(f"no {'amount' if amount is _MISSING else 'reason'}"))
