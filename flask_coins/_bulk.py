"""Many payments at once, by the rules of one: look, lock, claim, a thousand at a time.

Users are locked in the order of their ids. Where somebody's coins moved between look and lock, or a
budget of the app has to be asked, their payments are made one by one, under the lock that is held
by then.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy.orm import Session

from . import _bulk_statements as sql
from ._budgets import APP, Cap
from ._bulk_statements import Owner
from ._claims import Claim, Paid
from ._faults import TOO_MUCH, whole
from ._ledger import Ledger, replay
from ._models import MAX_AMOUNT
from ._statements import MYSQL_FAMILY
from ._writes import Account, Movement, connection_of, unseen_in
from .errors import CoinsError, InvalidAmount
from .results import Entry

_AT_ONCE = 1000
"""How many payments: as much as one statement's parameters bear on every engine."""


class Payment(NamedTuple):
    """A movement that pays, and the window that it claims, if any."""

    movement: Movement
    claim: Claim | None = None

    @property
    def owner(self) -> Owner:
        """Whose balance it changes."""
        return _owner(self.movement)


@dataclass
class _Books:
    """What a look has shown of the payments' users."""

    accounts: dict[Owner, Account]
    keys: dict[tuple[str, str], Entry]
    paid: dict[tuple[Owner, str, str], dict[int, Paid]]
    given: dict[tuple[Owner, Cap], int]
    """What each owner was paid within a budget of their own."""
    new: int = 0

    def admits(self, payment: Payment) -> str | bool | None:
        """The ``once_key`` to write ``payment`` with; False where it is refused."""
        movement, claim = payment
        if movement.idempotency_key and self._knows_key(movement):
            return False
        rows, name = self.paid[payment.owner, movement.reason, movement.subject], None
        if claim:
            paid = list(rows.values())
            if claim.refuses(paid):
                return False
            name = claim.free_name(paid)
        for cap in movement.caps:
            if self.given[payment.owner, cap] + movement.amount > cap.budget.most:
                return False
        self._note(payment, rows, name)
        return name

    def _knows_key(self, movement: Movement) -> bool:
        first = self.keys.get((movement.user_id, movement.idempotency_key or ""))
        answer = replay(movement, first, Account()) if first else None
        if isinstance(answer, CoinsError):
            raise answer
        return answer is not None

    def _note(self, payment: Payment, rows: dict[int, Paid], name: str | None) -> None:
        """Let what is to be written count for what comes after it."""
        movement = payment.movement
        self.new -= 1  # below every id that there is
        rows[self.new] = Paid(self.new, movement.now, name)
        for cap in movement.caps:
            self.given[payment.owner, cap] += movement.amount
        if movement.idempotency_key:
            self.keys[movement.user_id, movement.idempotency_key] = _as_entry(movement)


def award_many(session: Session, ledger: Ledger, payments: Iterable[Payment]) -> int:
    """Write what the rules admit; how many that was. InvalidInput and its like undo it all."""
    with whole(session):
        bulk = _Bulk(session, ledger)
        return bulk.pay(sorted(payments, key=lambda payment: payment.owner))


class _Bulk:
    """One call. What counts against a budget of the app is paid last, when all users are locked:

    else a payment to a user who comes later would wait for the budget, and this call for that user.
    """

    def __init__(self, session: Session, ledger: Ledger) -> None:
        self.session = session
        self.ledger = ledger
        self.connection = connection_of(session, ledger.table)
        self.mysql = self.connection.dialect.name in MYSQL_FAMILY
        self.unseen = unseen_in(session) if self.mysql else {}
        self.shared: set[Owner] = set()
        """Who is paid last."""

    def pay(self, payments: list[Payment]) -> int:
        """Pay all; how many were."""
        payments = self._without_hopeless(payments)
        self.shared = {payment.owner for payment in payments if _shared_caps(payment)}
        parts = range(0, len(payments), _AT_ONCE)
        paid = sum(self._pay_part(payments[start : start + _AT_ONCE]) for start in parts)
        return paid + self._pay_singly(payments, self.shared)

    def _without_hopeless(self, payments: list[Payment]) -> list[Payment]:
        """Those that are not beyond what a budget of the app had left before: it only shrinks."""
        caps = {cap for payment in payments for cap in _shared_caps(payment)}
        if not caps:
            return payments
        left = {cap: cap.budget.most - sql.minted(self.connection, cap) for cap in caps}
        return [
            payment
            for payment in payments
            if all(payment.movement.amount <= left[cap] for cap in _shared_caps(payment))
        ]

    def _pay_part(self, payments: list[Payment]) -> int:
        """Pay at once whose coins have not moved since the look, and the others one by one."""
        owners = sorted({payment.owner for payment in payments})
        newest = sql.newest(self.connection, owners) if self.mysql else {}
        books = self._look(owners, payments)
        due = [
            (payment.movement, name)
            for payment in payments
            if payment.owner not in self.shared and (name := books.admits(payment)) is not False
        ]
        sums = dict.fromkeys(self.shared & set(owners), 0)
        for movement, _ in due:
            sums[_owner(movement)] = sums.get(_owner(movement), 0) + movement.amount
        if not sums:
            return 0
        moved = self._earn(sums, books, payments[0].movement.now)
        if self.mysql:
            for owner in moved:
                self.unseen.setdefault(owner, newest.get(owner, 0))
        written = [each for each in due if _owner(each[0]) not in moved]
        sql.enter(self.connection, list(_rows(written, books.accounts)))
        return len(written) + self._pay_singly(payments, moved - self.shared)

    def _earn(self, sums: dict[Owner, int], books: _Books, now: datetime) -> set[Owner]:
        """Lock the balances, in order, by adding to them; taken back where they have moved."""
        if max(sums.values()) > MAX_AMOUNT:
            raise InvalidAmount(TOO_MUCH)
        after = sql.earn(self.connection, dict(sorted(sums.items())), now)
        moved = {
            owner
            for owner, n in sums.items()
            if owner in self.unseen or books.accounts[owner].plus(n) != after[owner]
        }
        sql.take_back(self.connection, {owner: sums[owner] for owner in moved})
        return moved

    def _pay_singly(self, payments: list[Payment], owners: set[Owner]) -> int:
        return sum(self._pay_one(payment) for payment in payments if payment.owner in owners)

    def _pay_one(self, payment: Payment) -> bool:
        movement, claim = payment
        if claim is None:
            return bool(self.ledger.award(self.session, movement))
        return bool(self.ledger.award_once(self.session, movement, claim))

    def _look(self, owners: Sequence[Owner], payments: list[Payment]) -> _Books:
        """The balances first: a payment between the two reads shows as a balance that moved."""
        accounts = {owner: Account() for owner in owners}
        found = sql.accounts(self.connection, owners)
        accounts |= {owner: Account(*figures) for owner, figures in found.items()}
        keyed = [it.movement for it in payments if it.movement.idempotency_key]
        keys = sql.entries_of_keys(self.connection, keyed) if keyed else {}
        paid: dict[tuple[Owner, str, str], dict[int, Paid]] = defaultdict(dict)
        for group in _alike(payments):
            for user_id, subject, row in sql.paid(self.connection, group):
                movement = group[0].movement
                owner = (user_id, movement.currency)
                paid[owner, movement.reason, subject][row.id] = row
        given: dict[tuple[Owner, Cap], int] = defaultdict(int)
        for cap, users in _capped(payments).items():
            for user_id, coins in sql.given(self.connection, cap, sorted(users)):
                given[(user_id, cap.budget.currency), cap] = coins
        return _Books(accounts, keys, paid, given)


def _capped(payments: list[Payment]) -> dict[Cap, set[str]]:
    """The budgets of users' own, each with those that it is asked for."""
    found: dict[Cap, set[str]] = defaultdict(set)
    for movement, _ in payments:
        for cap in movement.caps:
            if cap.budget.per != APP:
                found[cap].add(movement.user_id)
    return found


def _owner(movement: Movement) -> Owner:
    return movement.user_id, movement.currency


def _shared_caps(payment: Payment) -> list[Cap]:
    caps = payment.movement.caps
    return [cap for cap in caps if cap.budget.per == APP] if caps else []


def _alike(payments: list[Payment]) -> Iterable[list[Payment]]:
    """Those that claim the same window for the same reason: one statement looks for them all."""
    groups: dict[Any, list[Payment]] = defaultdict(list)
    for payment in payments:
        movement, claim = payment
        if claim:
            groups[movement.currency, movement.reason, claim.window, claim.limit].append(payment)
    return groups.values()


def _rows(
    due: list[tuple[Movement, Any]], accounts: dict[Owner, Account]
) -> Iterator[dict[str, Any]]:
    balances = {owner: account.balance for owner, account in accounts.items()}
    for movement, once_key in due:
        owner = _owner(movement)
        balances[owner] += movement.amount
        yield {
            "user_id": movement.user_id,
            "currency": movement.currency,
            "amount": movement.amount,
            "balance_after": balances[owner],
            "reason": movement.reason,
            "subject": movement.subject,
            "once_key": once_key,
            "idempotency_key": movement.idempotency_key,
            "created_at": movement.now,
            "details": movement.details,
        }


def _as_entry(movement: Movement) -> Entry:
    """What a later payment of the same key is compared with."""
    return Entry(
        0,
        movement.user_id,
        movement.currency,
        movement.amount,
        0,
        movement.reason,
        movement.subject or None,
        movement.now,
    )
