"""The movements of coins, on a bare SQLAlchemy session: nothing here knows of Flask.

A movement goes one way on every engine: **look** without a lock, **lock** the balance row by
changing it, **claim** the entry. When the balance moved between look and lock, look again under the
lock; the unique indexes of the log stand underneath. PostgreSQL takes lock and claim in one statement
where nothing has moved. Nothing here commits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple, cast

import sqlalchemy as sa
from sqlalchemy.orm import Session

from . import _statements as sql
from ._claims import Claim, Paid
from ._faults import whole
from ._models import log
from ._writes import Account, Movement, Write
from .errors import (
    CoinsError,
    CoinsRetry,
    IdempotencyConflict,
    InsufficientCoins,
    InvalidAmount,
)
from .results import Entry, Hold, Outcome, Receipt


class Undo(NamedTuple):
    """How an entry is to be reversed."""

    entry: Entry
    movement: Movement
    """The other way round, of the entry's whole amount."""
    amount: int | None = None
    """Of how much; None: of what is left."""

    def resized(self, amount: int) -> Movement:
        """The movement of ``amount`` coins, in its own direction."""
        return self.movement._replace(amount=amount if self.movement.amount > 0 else -amount)

    def due(self, reversed_before: int) -> int:
        """How much is to be moved; 0 where nothing is left of the entry."""
        left = abs(self.entry.amount) - reversed_before
        return left if self.amount is None or left == 0 else self.amount

    def excess(self, reversed_before: int) -> InvalidAmount | None:
        """The error, where more is asked for than is left."""
        left = abs(self.entry.amount) - reversed_before
        if self.amount is None or not 0 < left < self.amount:
            return None
        return InvalidAmount(
            f"Of entry {self.entry.id} ({self.entry.amount} {self.entry.currency}) {left} are left"
            f" to be reversed, not {self.amount}."
        )


class Ledger:
    """Writes through the session it is given, into the database that ``table`` is bound to."""

    def __init__(self, table: sa.Table = log) -> None:
        self.table = table

    def award(self, session: Session, movement: Movement) -> Receipt:
        """Write a payment; with an idempotency key only if that key is new."""
        with whole(session):
            write = Write(session, self.table, movement)
            first, account = write.first_of_key(), write.before
            if first is None:
                if (refusal := write.beyond_limits()) is not None:
                    return refusal
                account = write.earn()
                first = write.first_of_key_since()
                if first is None:
                    if (refusal := write.settle_limits(account)) is not None:
                        return refusal
                    return write.entered(account, Outcome.AWARDED)
                account = write.take_back(account)
        return _replayed(movement, first, account)

    def spend(self, session: Session, movement: Movement) -> Receipt:
        """Take coins if they are there: :class:`InsufficientCoins` comes before any write."""
        with whole(session):
            write = Write(session, self.table, movement)
            first, account = write.first_of_key(), write.before
            if first is None:
                taken = write.spend()
                first = write.first_of_key_since()
                if taken is not None and first is None:
                    return write.entered(taken, Outcome.SPENT)
                account = write.take_back(taken) if taken else write.found
        # Not above: no coins were moved, so the host's transaction stays usable.
        if first is None:
            raise short(write)
        return _replayed(movement, first, account)

    def award_once(self, session: Session, movement: Movement, claim: Claim) -> Receipt:
        """Write a payment unless the window of ``claim`` has had its number of them."""
        with whole(session):
            write = Write(session, self.table, movement)
            paid = write.look(claim)
            if claim.refuses(paid):
                return _already(write, claim, paid, write.before)
            if (refusal := write.beyond_limits()) is not None:
                return _capped(refusal, write, claim, paid)
            account = write.earn(claim.free_name(paid))
            if write.moved:
                paid = write.look_again(claim, paid)
            if claim.refuses(paid):
                return _already(write, claim, paid, write.take_back(account))
            if (refusal := write.settle_limits(account)) is not None:
                return _capped(refusal, write, claim, paid)
            mine = Paid(0, movement.now, claim.free_name(paid))
            next_at = claim.opens_at([*paid, mine], movement.now, write.named)
            return write.entered(account, Outcome.AWARDED, mine.once_key, next_at)

    def transfer(
        self, session: Session, given: Movement, taken: Movement
    ) -> tuple[Receipt, Receipt]:
        """Move coins from one user to another: both entries or none, the lower id locked first."""
        with whole(session):
            answers = _transferred(*(Write(session, self.table, it) for it in (given, taken)))
        if isinstance(answers, CoinsError):
            raise answers
        return answers[0], answers[1]

    def reverse(self, session: Session, undos: Sequence[Undo]) -> list[Receipt]:
        """Write the opposite of an entry or of a part of it; of a transfer, of both its entries.

        The first of ``undos`` is the one that gives back, where there are two.
        """
        with whole(session):
            writes = [Write(session, self.table, undo.movement) for undo in undos]
            answers = _reversed(writes, undos)
        if isinstance(answers, CoinsError):
            raise answers
        return answers


def _transferred(give: Write, take: Write) -> list[Receipt] | CoinsError:
    """The receipts, or what is to be raised: no coins have moved then."""
    first, account = give.first_of_key(), give.before
    take.first_of_key()
    earned: Account | None = None
    if first is None:
        spent, earned = _both(give, take)
        first = give.first_of_key_since()
        if spent and earned and first is None:
            sent = give.entered(spent, Outcome.SPENT)
            link = cast("Entry", sent.entry).id
            return [sent, take.entered(earned, Outcome.AWARDED, transfer_id=link)]
        earned = take.take_back(earned) if earned else None
        account = give.take_back(spent) if spent else give.found
    if first is None:
        return short(give)
    theirs = earned.balance if earned else take.connection.scalar(sql.ACCOUNT, take.params)
    return _replayed_all([give, take], first, [account.balance, theirs or 0])


def _replayed_all(
    writes: Sequence[Write], first: Entry, balances: Sequence[int]
) -> list[Receipt] | CoinsError:
    """The answers to a key that was used before, by the entry ``first`` and what is linked to it."""
    answer = replay(writes[0].movement, first, Account(balances[0]))
    if isinstance(answer, CoinsError):
        return answer
    receipts = [answer]
    for write, balance in zip(writes[1:], balances[1:], strict=True):
        entry = write.received(first.id)
        receipts.append(
            write.movement.receipt(
                Outcome.REPLAYED, amount=-first.amount, balance=balance, entry=entry
            )
        )
    return receipts


def _both(give: Write, take: Write) -> tuple[Account | None, Account | None]:
    """Move the coins of a transfer, the lower id first: in random order two would deadlock."""
    if give.owner < take.owner:
        spent = give.spend()
        return spent, take.earn() if spent else None
    earned = take.earn()
    return give.spend(), earned


def _reversed(writes: Sequence[Write], undos: Sequence[Undo]) -> list[Receipt] | CoinsError:
    """The receipts, or what is to be raised: no coins have moved then."""
    giver, undo = writes[0], undos[0]
    first, *_ = [write.first_of_key() for write in writes]
    accounts = {write.owner: write.lock() for write in sorted(writes, key=lambda it: it.owner)}
    if not all(write.is_theirs(each.entry) for write, each in zip(writes, undos, strict=True)):
        raise CoinsRetry("A user of this entry was erased meanwhile: repeat the transaction.")
    first = first or giver.first_of_key_since()
    if first is not None:
        giver.resize(undo.resized(undo.amount or abs(first.amount)))
        return _replayed_all(writes, first, [accounts[write.owner].balance for write in writes])
    before = giver.reversed_of(undo.entry.id)
    if excess := undo.excess(before):
        return excess
    if not undo.due(before):
        return [
            write.movement.receipt(Outcome.ALREADY, balance=accounts[write.owner].balance)
            for write in writes
        ]
    for write, each in zip(writes, undos, strict=True):
        write.resize(each.resized(undo.due(before)))
    return _given_back(writes)


def _given_back(writes: Sequence[Write]) -> list[Receipt] | CoinsError:
    receipts: list[Receipt] = []
    link: int | None = None
    for write in writes:
        gives = write.movement.amount > 0
        outcome = Outcome.AWARDED if gives else Outcome.SPENT
        account = write.earn() if gives else write.spend()
        if account is None:
            return short(write)
        receipts.append(write.entered(account, outcome, transfer_id=link))
        link = cast("Entry", receipts[0].entry).id
    return receipts


def short(write: Write) -> InsufficientCoins:
    """The error where a write found less than it takes."""
    movement = write.movement
    return InsufficientCoins(
        write.found.balance - write.held, abs(movement.amount), movement.currency
    )


def _already(write: Write, claim: Claim, paid: Sequence[Paid], account: Account) -> Receipt:
    next_at = claim.opens_at(paid, write.movement.now, write.named)
    return write.movement.receipt(Outcome.ALREADY, balance=account.balance, next_at=next_at)


def _capped(refusal: Receipt, write: Write, claim: Claim, paid: Sequence[Paid]) -> Receipt:
    """A refusal by budgets: when they have room again, the window must still pay."""
    if refusal.next_at is None:
        return refusal
    return replace(refusal, next_at=claim.reopens(paid, refusal.next_at, write.named))


def _replayed(movement: Movement, first: Entry, account: Account) -> Receipt:
    answer = replay(movement, first, account)
    if isinstance(answer, CoinsError):
        raise answer
    return answer


def replay(movement: Movement, first: Entry, account: Account) -> Receipt | IdempotencyConflict:
    """The answer to a key that was used before, by the entry ``first``."""
    linked = (first.reverses_id, first.counterparty)
    if linked != (movement.reverses_id, movement.counterparty) or not is_same(movement, first):
        return conflict(movement, first)
    return movement.receipt(
        Outcome.REPLAYED, amount=first.amount, balance=account.balance, entry=first
    )


def is_same(movement: Movement, first: Entry | Hold) -> bool:
    """Whether ``first`` is what ``movement`` asks for, but for what it is linked to."""
    asked = (movement.amount, movement.currency, movement.reason, movement.subject)
    return (first.amount, first.currency, first.reason, first.subject or "") == asked


def conflict(movement: Movement, first: Entry | Hold) -> IdempotencyConflict:
    """The error where ``first`` has the key of ``movement``, and is another."""
    return IdempotencyConflict(
        f"Key {movement.idempotency_key!r} of user {movement.user_id} belongs to"
        f" {type(first).__name__.lower()} {first.id} ({first.amount} {first.currency} for"
        f" {first.reason!r}): use a new key."
    )
