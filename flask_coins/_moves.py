"""The calls beyond paying and spending: reversals, transfers and holds, for one app."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from . import _bulk, _checks
from ._bulk import Payment
from ._ledger import Undo
from ._models import CoinEntry
from ._state import State
from ._writes import Movement
from .errors import InvalidInput, NoUserError
from .results import Entry, Hold, Outcome, Receipt
from .windows import Between, Window, parse

_NEEDED = {"user", "amount"}
_KNOWN = _NEEDED | {
    *("reason", "window", "limit", "subject", "idempotency_key", "currency", "details"),
}
_LONGEST_HOLD = timedelta(days=3650)


def reverse(
    state: State, entry: Any, reason: Any, *, amount: Any, idempotency_key: Any, details: Any
) -> Receipt:
    """Take an entry back, or a part of it; a transfer on both sides."""
    amount = None if amount is None else _checks.amount(amount)
    key, details = _checks.idempotency_key(idempotency_key), _checks.details(details)
    reason, entry_id, now = _checks.reason(reason), _id_of(entry), state.now()

    def undo(entry: Entry, key: str | None, counterparty: str | None) -> Undo:
        movement = Movement(
            entry.user_id,
            -entry.amount,
            reason,
            now,
            entry.subject or "",
            entry.currency,
            key,
            details,
            reverses_id=entry.id,
            counterparty=counterparty,
        )
        return Undo(entry, movement, amount)

    def attempt() -> tuple[Receipt, str]:
        legs = _legs(state, entry_id)
        keys = [key, None]
        undos = [undo(leg, each, leg.counterparty) for leg, each in zip(legs, keys, strict=False)]
        receipts = state.ledger.reverse(state.session, undos)
        asked = next((n for n, leg in enumerate(legs) if leg.id == entry_id), 0)
        for leg, receipt in zip(legs, receipts, strict=True):
            if leg.id != entry_id:
                tell_other(state, receipt, leg.user_id)
        mine, user_id = receipts[asked], legs[asked].user_id
        return state.moved(state.session, mine, user_id), user_id

    return state.answered(*state.repeated(attempt, "reverse", reason))


def _legs(state: State, entry_id: int) -> list[Entry]:
    """The entry; of a transfer both entries, the recipient's first: that one gives back."""
    entry = state.reader.entry(state.session, entry_id)
    if entry is None:
        raise InvalidInput(f"There is no entry {entry_id}.")
    if entry.reverses_id is not None:
        raise InvalidInput(
            f"Entry {entry_id} is itself a reversal, of {entry.reverses_id}: make a new entry instead."
        )
    if entry.counterparty is None:
        return [entry]
    sent: Entry | None = entry
    received: Entry | None = entry
    if entry.transfer_id is None:
        received = state.reader.received(state.session, entry)
    else:
        sent = state.reader.entry(state.session, entry.transfer_id)
    if sent is None or received is None:
        raise InvalidInput(
            f"The other side of transfer {entry_id} is lost: run 'flask coins verify'."
        )
    return [received, sent]


def _id_of(entry: Any) -> int:
    """The id of what stands for an entry: itself, a Receipt, a mapped object or the id."""
    if isinstance(entry, Receipt):
        entry = entry.entry
    if isinstance(entry, Entry | CoinEntry):
        entry = entry.id
    if type(entry) is not int or not 0 < entry < 2**63:
        raise InvalidInput(
            f"An entry is an Entry, a Receipt that has one, or an id, not {_checks.shown(entry)}."
        )
    return entry


def transfer(
    state: State,
    sender: Any,
    recipient: Any,
    amount: Any,
    reason: Any,
    *,
    subject: Any,
    idempotency_key: Any,
    currency: Any,
    details: Any,
) -> tuple[Receipt, Receipt]:
    """Move coins from one user to another."""
    more = {"subject": subject, "currency": currency, "details": details}
    given = state.movement(sender, amount, reason, idempotency_key=idempotency_key, sign=-1, **more)
    taken = state.movement(recipient, amount, reason, **more)
    if given.user_id == taken.user_id:
        raise InvalidInput(f"A transfer has two users, not {given.user_id!r} twice.")
    given = given._replace(counterparty=taken.user_id)
    taken = taken._replace(counterparty=given.user_id, now=given.now)

    def attempt() -> tuple[Receipt, Receipt]:
        sent, received = state.ledger.transfer(state.session, given, taken)
        tell_other(state, received, taken.user_id)
        return state.moved(state.session, sent, given.user_id), received

    sent, received = state.repeated(attempt, "transfer", given.reason, given.currency)
    return state.answered(sent, given.user_id), received


def tell_other(state: State, receipt: Receipt, user_id: str) -> None:
    """Have a movement told by its signal alone: the response goes to somebody else."""
    state.moved(state.session, receipt, user_id, state.signal)


def hold(state: State, movement: Movement, expires_in: Any) -> Hold:
    """Set coins aside."""
    expires_at = _expiry(expires_in, movement.now)

    def attempt() -> Hold:
        found, is_new = state.holds.hold(state.session, movement, expires_at)
        return _set_aside(state, found, is_new)

    return state.repeated(attempt, "hold", movement.reason, movement.currency)


def _expiry(expires_in: Any, now: datetime) -> datetime | None:
    if expires_in is None:
        return None
    if not isinstance(expires_in, timedelta) or not timedelta(0) < expires_in <= _LONGEST_HOLD:
        raise InvalidInput(
            f"expires_in is a timedelta above zero, of at most {_LONGEST_HOLD.days:,} days, or None,"
            f" not {_checks.shown(expires_in)}."
        )
    return now + expires_in


def capture(state: State, hold: Any, amount: Any) -> Receipt:
    """Spend what was set aside, or a part of it; the rest is free again."""
    amount = None if amount is None else _checks.amount(amount)
    hold_id, now = _hold_id(hold), state.now()

    def attempt() -> tuple[Receipt, str]:
        receipt, found = state.holds.capture(state.session, hold_id, amount, now)
        return state.moved(state.session, receipt, found.user_id), found.user_id

    return state.answered(*state.repeated(attempt, "capture"))


def release(state: State, hold: Any, note: Any = None) -> Hold:
    """Set the coins of a hold free again; ``note`` is kept in its details."""
    hold_id, now = _hold_id(hold), state.now()

    def attempt() -> Hold:
        found, is_new = state.holds.release(state.session, hold_id, now, note)
        return _set_aside(state, found, is_new)

    return state.repeated(attempt, "release")


def _hold_id(hold: Any) -> int:
    if isinstance(hold, Hold):
        hold = hold.id
    if type(hold) is not int or not 0 < hold < 2**63:
        raise InvalidInput(f"A hold is a Hold or its id, not {_checks.shown(hold)}.")
    return hold


def award_many(state: State, rows: Any) -> int:
    """Pay many users at once."""
    if isinstance(rows, str | bytes | Mapping) or not isinstance(rows, Iterable):
        raise InvalidInput(
            f"rows is a list or another iterable of dicts, not {_checks.shown(rows)}."
        )
    orders = [_order(state, number, row) for number, row in enumerate(rows)]

    def attempt() -> int:
        payments = [payment for order in orders if (payment := _payment(state, *order))]
        return _bulk.award_many(state.session, state.ledger, payments)

    number = state.repeated(attempt, "award_many")
    if number:
        told = Receipt(Outcome.AWARDED, f"award_many of {number} rows")
        state.moved(state.session, told, None, _not_told)
    return number


def _order(state: State, number: int, row: Any) -> tuple[Movement, Window | None, int]:
    """The checked form of a row."""
    try:
        if not isinstance(row, Mapping) or not _NEEDED <= row.keys() <= _KNOWN:
            raise InvalidInput(
                f"a row is a dict with {', '.join(sorted(_NEEDED))} and maybe"
                f" {', '.join(sorted(_KNOWN - _NEEDED))}, not {_checks.shown(row)}."
            )
        given = dict(row)
        window, limit = given.pop("window", None), _checks.limit(given.pop("limit", 1))
        if window is None and "limit" in row:
            raise InvalidInput("limit needs a window.")
        if window is not None and "reason" not in row:
            raise InvalidInput("window needs a reason.")
        if window is not None and given.get("idempotency_key") is not None:
            raise InvalidInput("window and idempotency_key exclude each other: each pays once.")
        arguments = {"reason": "xp_bonus", **given}
        movement = state.movement(**arguments)
        return movement, None if window is None else parse(window), limit
    except (InvalidInput, NoUserError) as error:
        raise type(error)(f"Row {number}: {error}") from error


def _payment(state: State, movement: Movement, window: Window | None, limit: int) -> Payment | None:
    """What is to be paid for a row; None where it is refused before any SQL."""
    if window is None:
        if not state.eligible(movement.user_id, movement.reason):
            return None
        return Payment(state.within_budgets(movement))
    # Known without the statement that would say when it opens.
    if isinstance(window, Between) and not window.period(
        movement.now, state.zone(movement.user_id)
    ):
        return None
    claim = state.claim(movement, window, limit)
    if isinstance(claim, Receipt):
        return None
    return Payment(state.within_budgets(movement), claim)


def _set_aside(state: State, hold: Hold, is_new: bool) -> Hold:
    return state.moved(state.session, hold, hold.user_id, _not_told) if is_new else hold


def _not_told(moved: Receipt | Hold, user_id: str | None) -> None:
    """No coins moved: nobody is told, but it is to be committed all the same."""
