"""Many payments at once, by the rules of one: look, lock, claim, for a thousand users at a time.

Users are locked in the order of their ids. Where somebody's coins moved between look and lock, or a
budget has to be asked, their payments are made one by one, under the lock that is held by then.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from typing import Any, NamedTuple

from sqlalchemy.orm import Session

from . import _bulk_statements as sql
from ._claims import Claim, Paid
from ._faults import whole
from ._ledger import Ledger, replay
from ._statements import MYSQL_FAMILY, UNEARN
from ._writes import Account, Movement, unseen_in
from .errors import CoinsError
from .results import Entry

_AT_ONCE = 1000
Owner = tuple[str, str]


class Payment(NamedTuple):
    """A movement that pays, and the window that it claims, if any."""

    movement: Movement
    claim: Claim | None = None

    @property
    def owner(self) -> Owner:
        """Whose balance it changes."""
        return self.movement.user_id, self.movement.currency


@dataclass
class _Books:
    """What a look has shown of the payments' users."""

    accounts: dict[Owner, Account]
    keys: dict[tuple[str, str], Entry]
    paid: dict[tuple[Owner, str, str], dict[int, Paid]]
    new: int = field(default=0)

    def admits(self, payment: Payment) -> str | bool | None:
        """The ``once_key`` to write ``payment`` with; False where it is refused."""
        movement, claim = payment
        key = (movement.user_id, movement.idempotency_key or "")
        if movement.idempotency_key and (first := self.keys.get(key)):
            answer = replay(movement, first, Account())
            if isinstance(answer, CoinsError):
                raise answer
            return False
        rows = self.paid[payment.owner, movement.reason, movement.subject]
        if claim and claim.refuses(list(rows.values())):
            return False
        name = claim.free_name(list(rows.values())) if claim else None
        self.new -= 1  # below every id that there is
        rows[self.new] = Paid(self.new, movement.now, name)
        if movement.idempotency_key:
            self.keys[key] = _as_entry(movement)
        return name


def award_many(session: Session, ledger: Ledger, payments: Iterable[Payment]) -> int:
    """Write what the rules admit; how many that was. InvalidInput and its like undo it all."""
    ordered = sorted(payments, key=lambda payment: payment.owner)
    with whole(session):
        bulk = _Bulk(session, ledger)
        return sum(bulk.pay(chunk) for chunk in _chunks(ordered))


def _chunks(payments: list[Payment]) -> Iterator[list[Payment]]:
    """Parts of about the same size; an owner's payments stay together."""
    chunk: list[Payment] = []
    for _, group in groupby(payments, key=lambda payment: payment.owner):
        if len(chunk) >= _AT_ONCE:
            yield chunk
            chunk = []
        chunk += group
    if chunk:
        yield chunk


class _Bulk:
    def __init__(self, session: Session, ledger: Ledger) -> None:
        self.session = session
        self.ledger = ledger
        self.connection = session.connection(bind_arguments={"clause": ledger.table})
        self.mysql = self.connection.dialect.name in MYSQL_FAMILY

    def pay(self, payments: list[Payment]) -> int:
        """Pay what belongs to a few owners."""
        asked = {payment.owner for payment in payments if payment.movement.caps}
        owners = sorted({payment.owner for payment in payments})
        newest = sql.newest(self.connection, owners) if self.mysql else {}
        books = self._look(owners, payments)
        due = [
            (payment.movement, name)
            for payment in payments
            if payment.owner not in asked and (name := books.admits(payment)) is not False
        ]
        if not due and not asked:
            return 0
        sums = dict.fromkeys(asked, 0)
        for movement, _ in due:
            owner = (movement.user_id, movement.currency)
            sums[owner] = sums.get(owner, 0) + movement.amount
        now = payments[0].movement.now
        after = sql.earn(self.connection, dict(sorted(sums.items())), now)
        moved = {it for it in sums if books.accounts[it].plus(sums[it]) != after[it]}
        self._take_back({it: sums[it] for it in moved}, now)
        if self.mysql:
            unseen = unseen_in(self.session)
            for owner in moved:
                unseen.setdefault(owner, newest.get(owner, 0))
        written = [each for each in due if (each[0].user_id, each[0].currency) not in moved]
        sql.enter(self.connection, list(_rows(written, books.accounts)))
        one_by_one = [payment for payment in payments if payment.owner in moved | asked]
        return len(written) + sum(map(self._pay_one, one_by_one))

    def _pay_one(self, payment: Payment) -> bool:
        movement, claim = payment
        if claim is None:
            return bool(self.ledger.award(self.session, movement))
        return bool(self.ledger.award_once(self.session, movement, claim))

    def _take_back(self, sums: dict[Owner, int], now: datetime) -> None:
        changes = [
            {"of_user_id": user_id, "of_currency": currency, "n": n, "now": now}
            for (user_id, currency), n in sums.items()
            if n
        ]
        if changes:
            self.connection.execute(UNEARN, changes)

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
        return _Books(accounts, keys, paid)


def _alike(payments: list[Payment]) -> Iterator[list[Payment]]:
    """Those that claim the same window for the same reason: one statement looks for them all."""
    groups: dict[Any, list[Payment]] = defaultdict(list)
    for payment in payments:
        movement, claim = payment
        if claim:
            groups[movement.currency, movement.reason, claim.window, claim.limit].append(payment)
    yield from groups.values()


def _rows(
    due: list[tuple[Movement, Any]], accounts: dict[Owner, Account]
) -> Iterator[dict[str, Any]]:
    balances = {owner: account.balance for owner, account in accounts.items()}
    for movement, once_key in due:
        owner = (movement.user_id, movement.currency)
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
