"""``GET …/api/prices``, ``POST …/api/spend`` and ``…/api/transfer``, where the host wants them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from flask import Response, jsonify

from .. import _checks, _moves, _output
from .._commits import committed
from .._state import State
from ..errors import IdempotencyConflict, InsufficientCoins, InvalidInput
from ..results import Entry, Outcome, Receipt
from ._api_input import body, changing, current, idempotency_key, invalid
from ._problems import Problem

T = TypeVar("T")
_REASON = "transfer"


def has_prices(state: State) -> bool:
    """Whether anything is for sale."""
    return bool(state.settings.api_prices)


def has_recipients(state: State) -> bool:
    """Whether the host says who can be sent coins."""
    return state.loaders.recipient is not None


def prices() -> dict[str, Any]:
    """What can be bought, and what each costs."""
    state, _ = current()
    listed = [
        {"reason": reason, "amount": price.amount, "currency": price.currency}
        for reason, price in state.settings.api_prices.items()
    ]
    return {"prices": listed}


def spend() -> Response:
    """Buy what has a price: ``reason``, maybe ``subject``. The client names no price."""
    state, user_id = changing()
    key, sent = idempotency_key(), body(["reason"], ["subject"])
    reason = _member(sent, "reason", _checks.reason)
    subject = None if sent.get("subject") is None else _member(sent, "subject", _subject)
    first = state.reader.by_key(state.session, user_id, key)
    amount, currency = _price(state, reason, first)
    movement = state.movement(
        user_id,
        amount,
        reason,
        subject=subject,
        idempotency_key=key,
        currency=currency,
        sign=-1,
    )
    return _answer(_moved(lambda state: state.spend(movement)))


def _price(state: State, reason: str, first: Entry | None) -> tuple[int, str]:
    """What the key has bought already costs what it did then: prices may have changed since."""
    if first is not None:
        return abs(first.amount), first.currency
    price = state.settings.api_prices.get(reason)
    if price is None:
        raise Problem(422, "not_for_sale", "Nothing is sold under this reason.")
    return price.amount, price.currency


def transfer() -> Response:
    """Send ``amount`` coins ``to`` somebody, maybe of another ``currency``."""
    state, sender = changing()
    key, sent = idempotency_key(), body(["to", "amount"], ["currency"])
    name = _member(sent, "to", _name)
    amount = _member(sent, "amount", _amount)
    currency = _member({"currency": "coins", **sent}, "currency", _checks.currency)
    if not state.eligible(sender, _REASON):
        raise Problem(403, "excluded", "You cannot send coins.")
    first = state.reader.by_key(state.session, sender, key)
    if first is None:
        _require(state, sender, amount, currency)
        recipient = _recipient(state, name, sender)
    else:
        recipient = _same_recipient(state, name, first)
    more = {"subject": None, "idempotency_key": key, "currency": currency, "details": None}

    def move(state: State) -> Receipt:
        return _moves.transfer(state, sender, recipient, amount, _REASON, **more)[0]

    return _answer(_moved(move))


def _require(state: State, sender: str, amount: int, currency: str) -> None:
    """Before the recipient is looked up: whoever has no coins learns nothing about others."""
    available = state.reader.available(state.session, sender, currency, state.now())
    if available < amount:
        raise InsufficientCoins(available, amount, currency)


def _recipient(state: State, name: str, sender: str) -> str:
    """The id that the host has for ``name``; one problem for all who can be sent nothing."""
    found = _named(state, name)
    if found is None or found == sender or not state.eligible(found, _REASON):
        raise Problem(422, "unknown_recipient", "Nobody of this name can be sent coins.")
    return found


def _same_recipient(state: State, name: str, first: Entry) -> str:
    """Who got the coins when the key was used; of any other name it tells nothing, and costs none."""
    found = _named(state, name)
    if found is None or found != first.counterparty:
        raise _conflict()
    return found


def _named(state: State, name: str) -> str | None:
    """Whom the host means by ``name``. A text of the client's that is no id stands for nobody."""
    user = state.loaders.recipient(name) if state.loaders.recipient else None
    try:
        return None if _checks.is_anonymous(user) else _checks.user_id(user)
    except InvalidInput:
        if user == name:
            return None
        raise


def _conflict() -> Problem:
    return Problem(422, "idempotency_conflict", "This key belongs to another movement of yours.")


def _moved(move: Callable[[State], Receipt]) -> Receipt:
    """Move coins and commit that; the problem, where the ledger refuses."""
    try:
        return committed(move)
    except IdempotencyConflict as error:
        raise _conflict() from error
    except InvalidInput as error:
        raise Problem(422, "too_many_coins", "Nobody can have that many coins.") from error


def _answer(receipt: Receipt) -> Response:
    """The entry as it was written; for a key that was used before, the one of then."""
    assert receipt.entry is not None  # noqa: S101
    response = jsonify(_output.entry_json(receipt.entry))
    response.status_code = 201
    if receipt.outcome is Outcome.REPLAYED:
        response.headers["Idempotent-Replayed"] = "true"
    return response


def _member(sent: Mapping[str, Any], name: str, check: Callable[[Any], T]) -> T:
    try:
        return check(sent[name])
    except InvalidInput as error:
        raise invalid(name, str(error)) from error


def _amount(given: Any) -> int:
    # JSON has one kind of number: 5.0 is a whole one.
    return _checks.amount(int(given) if type(given) is float and given.is_integer() else given)


def _subject(given: Any) -> str:
    return _checks.text(given, "A subject", 128)


def _name(given: Any) -> str:
    return _checks.text(given, "A recipient", 128)
