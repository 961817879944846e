"""What admins do to a user's coins: a form, what it would do, and then it is done, once.

Each is a movement by the ledger's own rules. The admin's id and note stand in its details, and the
key of the form makes a double click, or a reload, the same movement.
"""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple

from flask import Blueprint, abort, redirect, request
from flask.typing import ResponseReturnValue

from .. import _moves, _words
from .._commits import committed
from .._models import MAX_AMOUNT
from ..errors import (
    CoinsError,
    CoinsRetry,
    HoldClosed,
    IdempotencyConflict,
    InsufficientCoins,
    InvalidInput,
)
from ..results import Entry, Outcome, Receipt
from ._admin_desk import Desk, admins, asked_currency, asked_number, asked_user
from ._layout import url

_TOLD = (CoinsRetry, HoldClosed, IdempotencyConflict, InsufficientCoins, InvalidInput)
_LONGEST_NOTE = 500


class Effect(NamedTuple):
    """What a user can spend before and after a movement."""

    user_id: str
    currency: str
    amount: int
    """Signed."""
    before: int

    @property
    def after(self) -> int:
        """What can be spent then."""
        return self.before + self.amount


class Move(ABC):
    """One thing that can be done to a user's coins, as far as the request says what."""

    name: ClassVar[str]
    """That of its template and of its address."""
    fields: ClassVar[tuple[str, ...]]
    """What the form sends, besides its key."""
    user_id: str
    currency: str

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.find()

    @abstractmethod
    def find(self) -> None:
        """Read what it is about; 404 where that is not there."""

    @abstractmethod
    def effects(self) -> list[Effect]:
        """What it would do to each user concerned; InvalidInput where it cannot be."""

    @abstractmethod
    def make(self, key: str, details: dict[str, str]) -> str:
        """Do it without a commit, and give the address of the page that shows it."""

    def effect(self, user_id: str, amount: int) -> Effect:
        """That of ``amount`` coins more, or less, for a user."""
        state = self.desk.state
        available = self.desk.reader.available(state.session, user_id, self.currency, state.now())
        return Effect(user_id, self.currency, amount, available)

    def shown(self, **what: str) -> str:
        """The address of the user's page."""
        return url("admin_user", id=self.user_id, currency=self.currency, **what)

    def done(self, receipt: Receipt) -> str:
        """The same with what was done, now or at the first click; InvalidInput where nothing was."""
        if receipt.entry is None or receipt.outcome is Outcome.ALREADY:
            raise InvalidInput(_refusal(receipt))
        return self.shown(done=str(receipt.entry.id))


class Adjust(Move):
    """Coins are paid or taken."""

    name = "adjust"
    fields = ("id", "currency", "direction", "amount", "note")

    def find(self) -> None:
        self.user_id, self.currency = asked_user(), asked_currency()

    def effects(self) -> list[Effect]:
        amount = self._amount()
        return [self.effect(self.user_id, -amount if self._takes() else amount)]

    def make(self, key: str, details: dict[str, str]) -> str:
        state = self.desk.state
        move = state.spend if self._takes() else state.award
        movement = state.movement(
            self.user_id,
            self._amount(),
            state.settings.adjustment_reason,
            idempotency_key=key,
            currency=self.currency,
            details=details,
            sign=-1 if self._takes() else 1,
        )
        return self.done(move(movement))

    def _amount(self) -> int:
        amount = asked_number("amount", MAX_AMOUNT)
        if amount is None:
            raise InvalidInput(_words.text("Say how many coins."))
        return amount

    def _takes(self) -> bool:
        direction = request.form.get("direction")
        if direction not in ("award", "spend"):
            raise InvalidInput(_words.text("Say whether coins are to be paid or taken."))
        return direction == "spend"


class Reverse(Move):
    """An entry is taken back, or a part of it; a transfer on both sides."""

    name = "reverse"
    fields = ("entry", "amount", "note")
    entry: Entry
    left: int
    """How much of it has not been taken back yet."""

    def find(self) -> None:
        reader, session = self.desk.reader, self.desk.state.session
        self.entry = reader.entry(session, asked_number("entry") or 0) or abort(404)
        self.user_id, self.currency = self.entry.user_id, self.entry.currency
        taken = reader.taken_back(session, [self.entry.id]).get(self.entry.id, 0)
        self.left = 0 if self.entry.reverses_id else abs(self.entry.amount) - taken

    def effects(self) -> list[Effect]:
        amount = self._amount()
        if not 1 <= amount <= self.left:
            left = _words.units(self.left, self.currency)
            raise InvalidInput(_words.text("No more than %(left)s can be taken back.", left=left))
        sign = -1 if self.entry.amount > 0 else 1
        effects = [self.effect(self.user_id, sign * amount)]
        if self.entry.counterparty is not None:
            effects.append(self.effect(self.entry.counterparty, -sign * amount))
        return effects

    def make(self, key: str, details: dict[str, str]) -> str:
        state = self.desk.state
        receipt = _moves.reverse(
            state,
            self.entry,
            state.settings.adjustment_reason,
            amount=self._amount(),
            idempotency_key=key,
            details=details,
        )
        return self.done(receipt)

    def _amount(self) -> int:
        return asked_number("amount", MAX_AMOUNT) or self.left


class Release(Move):
    """The coins of a hold are set free."""

    name = "release"
    fields = ("hold", "note")

    def find(self) -> None:
        reader, session = self.desk.reader, self.desk.state.session
        self.hold = reader.hold(session, asked_number("hold") or 0) or abort(404)
        self.user_id, self.currency = self.hold.user_id, self.hold.currency

    def effects(self) -> list[Effect]:
        if self.hold.status != "open":
            raise InvalidInput(_words.text("This hold is closed already."))
        return [self.effect(self.user_id, self.hold.amount)]

    def make(self, key: str, details: dict[str, str]) -> str:
        _moves.release(self.desk.state, self.hold, details)
        return self.shown(released=str(self.hold.id))


def add_routes(blueprint: Blueprint) -> None:
    """Put the forms on ``blueprint``."""
    for kind in (Adjust, Reverse, Release):
        path, name = f"/admin/{kind.name}", f"admin_{kind.name}"
        blueprint.add_url_rule(path, name, admins(_steps(kind)), methods=["GET", "POST"])


def _steps(kind: type[Move]) -> Any:
    """The form; then, with what was filled in, what it would do; then it is done, and shown.

    An error is shown above the form, and nothing was changed.
    """

    def answer(desk: Desk) -> ResponseReturnValue:
        move = kind(desk)
        if request.method != "POST":
            return _page(move, move.name, secrets.token_urlsafe(12))
        key = request.form.get("key", "")
        try:
            if not key:
                raise IdempotencyConflict
            details = _details(desk)
            if "confirmed" not in request.form:
                return _page(move, "confirm", key, effects=_affordable(move.effects()))
            address = committed(lambda state: move.make(f"admin:{key}", details))
        except _TOLD as error:
            return _page(move, move.name, key, error=_told(error)), 400
        return redirect(address, 303)

    answer.__doc__ = kind.__doc__
    return answer


def _page(move: Move, template: str, key: str, **values: Any) -> str:
    sent = {name: request.values.get(name, "") for name in move.fields}
    effects = values.get("effects", ())
    if effects and "amount" in sent:  # what is shown is what is confirmed
        sent["amount"] = str(abs(effects[0].amount))
    users = {move.user_id, *(effect.user_id for effect in effects)}
    names = move.desk.names(users)
    return move.desk.page(template, move=move, key=key, sent=sent, names=names, **values)


def _details(desk: Desk) -> dict[str, str]:
    """What the log says of an admin's movement: who, by which name, and why."""
    note = request.form.get("note", "").strip()
    if not 1 <= len(note) <= _LONGEST_NOTE or not note.isprintable():
        most = _words.amount(_LONGEST_NOTE)
        raise InvalidInput(_words.text("Say why, in up to %(most)s characters.", most=most))
    names = desk.names([desk.admin_id])
    return {"by": desk.admin_id, **({"name": names[desk.admin_id]} if names else {}), "note": note}


def _affordable(effects: list[Effect]) -> list[Effect]:
    for effect in effects:
        if effect.after < 0:
            raise InsufficientCoins(effect.before, -effect.amount, effect.currency)
    return effects


def _told(error: CoinsError) -> str:
    """What went wrong, and that nothing was changed."""
    if isinstance(error, InsufficientCoins):
        there = _words.units(error.balance, error.currency)
        return _words.text("Nothing was changed: only %(there)s can be taken.", there=there)
    if isinstance(error, CoinsRetry):
        return _words.text("Nothing was changed: the database was busy. Send it once more.")
    if isinstance(error, IdempotencyConflict):
        return _words.text("This form was sent before, with something else in it: open it anew.")
    return _words.text("Nothing was changed: %(why)s", why=error)


def _refusal(receipt: Receipt) -> str:
    if receipt.outcome is Outcome.EXCLUDED:
        return _words.text("The app's eligible_check lets nothing be paid to this user.")
    if receipt.outcome is Outcome.CAPPED:
        left = _words.units(receipt.left or 0, receipt.currency)
        return _words.text("A budget of COINS_BUDGETS has only %(left)s left.", left=left)
    return _words.text("nothing of this entry is left to be taken back.")
