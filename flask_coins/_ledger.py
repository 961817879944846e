"""Every write to the tables, on a bare SQLAlchemy session: nothing here knows of Flask.

A movement goes one way on every engine: **look** without a lock, **lock** the balance row by
changing it, **claim** the entry. When the balance moved between look and lock, look again under the
lock; the unique indexes of the log stand underneath. PostgreSQL takes lock and claim in one statement
where nothing has moved. Nothing here commits.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple, cast

import sqlalchemy as sa
from sqlalchemy.orm import Session

from . import _statements as sql
from ._claims import Claim, Paid
from ._faults import whole
from ._models import log
from .errors import CoinsError, IdempotencyConflict, InsufficientCoins
from .results import Entry, Outcome, Receipt

_UNSEEN = "flask_coins.unseen"


class Movement(NamedTuple):
    """What is to be written: values that were checked, the amount signed."""

    user_id: str
    amount: int
    reason: str
    now: datetime
    subject: str = ""
    currency: str = "coins"
    idempotency_key: str | None = None
    details: Any = None

    def receipt(self, outcome: Outcome, **more: Any) -> Receipt:
        """The answer to this movement."""
        return Receipt(
            outcome, self.reason, subject=self.subject or None, currency=self.currency, **more
        )

    def params(self) -> dict[str, Any]:
        """What the statements bind."""
        return {
            "of_user_id": self.user_id,
            "of_currency": self.currency,
            "of_reason": self.reason,
            "of_subject": self.subject,
            "n": abs(self.amount),
            "now": self.now,
        }


class Account(NamedTuple):
    """A balance row. ``earned`` and ``spent`` only grow: both the same means nothing moved."""

    balance: int = 0
    earned: int = 0
    spent: int = 0

    def plus(self, amount: int) -> Account:
        """This account after a movement of ``amount``."""
        return Account(
            self.balance + amount, self.earned + max(amount, 0), self.spent - min(amount, 0)
        )


class Ledger:
    """Writes through the session it is given, into the database that ``table`` is bound to."""

    def __init__(self, table: sa.Table = log) -> None:
        self.table = table

    def award(self, session: Session, movement: Movement) -> Receipt:
        """Write a payment; with an idempotency key only if that key is new."""
        return self._move(session, movement, Outcome.AWARDED)

    def spend(self, session: Session, movement: Movement) -> Receipt:
        """Take coins if they are there: :class:`InsufficientCoins` comes before any write."""
        return self._move(session, movement, Outcome.SPENT)

    def award_once(self, session: Session, movement: Movement, claim: Claim) -> Receipt:
        """Write a payment unless the window of ``claim`` has had its number of them."""
        with whole(session):
            write = _Write(session, self.table, movement)
            paid = write.look(claim)
            if claim.refuses(paid):
                return _already(movement, claim, paid, write.before)
            account = write.earn(claim.free_name(paid))
            if write.moved:
                paid = write.look_again(claim, paid)
            if claim.refuses(paid):
                return _already(movement, claim, paid, write.take_back(account))
            mine = Paid(0, movement.now, claim.free_name(paid))
            next_at = claim.opens_at([*paid, mine], movement.now)
            return write.entered(account, Outcome.AWARDED, mine.once_key, next_at)

    def _move(self, session: Session, movement: Movement, outcome: Outcome) -> Receipt:
        with whole(session):
            write = _Write(session, self.table, movement)
            first, held = write.first_of_key(), write.before
            if first is None:
                account = write.earn() if movement.amount > 0 else write.spend()
                held = account or write.held_now()
                first = write.first_of_key_since()
                if account is not None:
                    if first is None:
                        return write.entered(account, outcome)
                    return _replayed(movement, first, write.take_back(account))
        # Not above: nothing was written, so the host's transaction stays usable.
        if first is None:
            raise InsufficientCoins(held.balance, -movement.amount, movement.currency)
        return _replayed(movement, first, held)


class _Write:
    """One movement on one connection, and what its balance row was when it was looked at."""

    def __init__(self, session: Session, table: sa.Table, movement: Movement) -> None:
        self.connection = session.connection(bind_arguments={"clause": table})
        if self.connection._is_autocommit_isolation():  # noqa: SLF001  # the public way costs SQL
            raise CoinsError(
                "Coins need transactions, and this connection commits each statement: do not set the"
                " isolation level AUTOCOMMIT on the engine or connection that holds them."
            )
        self.dialect = self.connection.dialect
        self.mysql = self.dialect.name in sql.MYSQL_FAMILY
        self.movement = movement
        self.params = movement.params()
        self.before, self.looked = Account(), False
        self.owner = (movement.user_id, movement.currency)
        self.unseen = _unseen_in(session) if self.mysql else {}
        self.seen = 0
        """The newest entry that the look can have shown; only kept for MariaDB."""
        self.entry_id: int | None = None
        """The entry's, once it is written."""
        self.moved = self.owner in self.unseen
        """Whether others may have moved coins that the look did not show."""

    def look(self, claim: Claim) -> list[Paid]:
        """Without a lock, the balance row and the rows that count against ``claim``."""
        self.params |= sql.claimed(claim)
        held, paid = self._look(claim)
        self._saw(held)
        return paid

    def look_again(self, claim: Claim, paid: list[Paid]) -> list[Paid]:
        """The same rows as they are now; the lock is held."""
        if not self.mysql:
            return self._look(claim)[1]
        newer = self.connection.execute(sql.PAID_SINCE, self._since_seen())
        return list({row.id: row for row in (*paid, *(Paid(*each) for each in newer))}.values())

    def _look(self, claim: Claim) -> tuple[Any, list[Paid]]:
        look = sql.look(len(claim.known_names), self.mysql)
        return sql.split(self.connection.execute(look, self.params))

    def _saw(self, held: Sequence[Any] | None) -> None:
        *figures, newest = held or (0, 0, 0, 0)
        self.before, self.seen, self.looked = Account(*figures), newest or 0, True

    def _since_seen(self) -> dict[str, Any]:
        return self.params | {"seen": self.unseen.get(self.owner, self.seen)}

    def earn(self, once_key: str | None = None) -> Account:
        """Lock the balance row by adding to it.

        After a look, PostgreSQL writes the entry in the same statement if nothing has moved.
        """
        name, returns = self.dialect.name, self.dialect.insert_returning
        if self.looked and once_key is not None and name == "postgresql":
            return self._earn_and_enter(once_key)
        return cast("Account", self._locked(sql.earn(name), returns))

    def _earn_and_enter(self, once_key: str) -> Account:
        entry = {
            "once_key": once_key,
            "details": self.movement.details,
            "earned_before": self.before.earned,
            "spent_before": self.before.spent,
        }
        found = self.connection.execute(sql.EARN_AND_ENTER, self.params | entry).one()
        *figures, self.entry_id = found
        self.moved = self.entry_id is None
        return Account(*figures)

    def spend(self) -> Account | None:
        """Lock the balance row by taking from it; None, and nothing changed, if it is too small."""
        if self._has_none:
            return None
        return self._locked(sql.SPEND, self.dialect.update_returning)

    def take_back(self, account: Account) -> Account:
        """Undo the change of the balance row in the same transaction."""
        self.connection.execute(
            sql.UNEARN if self.movement.amount > 0 else sql.UNSPEND, self.params
        )
        return account.plus(-self.movement.amount)

    def first_of_key(self) -> Entry | None:
        """The entry that has this movement's key. The balance is read first: see ``look``.

        On MariaDB the balance is read without a key too: if it has not moved by the time that it is
        locked, later looks of this transaction can trust it, and need not lock what they read.
        """
        key = self.movement.idempotency_key
        if self.mysql or key is not None:
            account = sql.account(self.mysql)
            self._saw(self.connection.execute(account, self.params).one_or_none())
        if key is None:
            return None
        self.params["of_idempotency_key"] = key
        return self._entry(sql.BY_KEY)

    def first_of_key_since(self) -> Entry | None:
        """The same as it is now, if anything moved meanwhile."""
        if self.movement.idempotency_key is None or not self.moved:
            return None
        if not self.mysql:
            return self._entry(sql.BY_KEY)
        self.params = self._since_seen()
        return self._entry(sql.KEY_SINCE)

    def held_now(self) -> Account:
        """What the row holds as it is committed now, where it was too small to take from."""
        if self._has_none:
            return self.before
        now = sql.ACCOUNT_NOW if self.mysql else sql.ACCOUNT
        row = self.connection.execute(now, self.params).one_or_none()
        account = Account(*row) if row else Account()
        self.moved = self.moved or not self.looked or account != self.before
        return account

    @property
    def _has_none(self) -> bool:
        """Whether MariaDB showed no balance row at all.

        Looking for it under a lock would lock the gap where it would stand, and strangers' rows with
        it: two who are refused and then paid would be a deadlock.
        """
        return self.mysql and self.looked and self.before == Account() and not self.moved

    def entered(
        self,
        account: Account,
        outcome: Outcome,
        once_key: str | None = None,
        next_at: datetime | None = None,
    ) -> Receipt:
        """Write the entry, under the lock; the last step of every movement."""
        entry = self._insert(account.balance, once_key)
        return self.movement.receipt(
            outcome, amount=entry.amount, balance=account.balance, entry=entry, next_at=next_at
        )

    def _insert(self, balance_after: int, once_key: str | None) -> Entry:
        movement = self.movement
        row = {
            "user_id": movement.user_id,
            "currency": movement.currency,
            "amount": movement.amount,
            "balance_after": balance_after,
            "reason": movement.reason,
            "subject": movement.subject,
            "once_key": once_key,
            "idempotency_key": movement.idempotency_key,
            "created_at": movement.now,
            "details": movement.details,
        }
        if self.entry_id is None:
            key: Any = self.connection.execute(sql.INSERT, row).inserted_primary_key
            self.entry_id = key[0]
        del row["once_key"], row["idempotency_key"]
        return Entry(id=self.entry_id, **row | {"subject": movement.subject or None})

    def _locked(self, statement: Any, returns: bool) -> Account | None:
        """What the row holds after ``statement``, and whether it was still as it was looked at."""
        account = self._changed(statement, returns)
        seen = self.looked and self.before.plus(self.movement.amount) == account
        if account is not None and not seen:
            self.moved = True
            self.unseen.setdefault(self.owner, self.seen)
        return account

    def _changed(self, statement: Any, returns: bool) -> Account | None:
        if returns:
            row = self.connection.execute(sql.returning(statement), self.params).one_or_none()
            return Account(*row) if row else None
        if not self.connection.execute(statement, self.params).rowcount:
            return None
        return Account(*self.connection.execute(sql.ACCOUNT, self.params).one())

    def _entry(self, statement: sa.Select[Any]) -> Entry | None:
        row = self.connection.execute(statement, self.params).one_or_none()
        return sql.entry_of(row) if row else None


def _unseen_in(session: Session) -> dict[tuple[str, str], int]:
    """Whose coins this transaction locked after others had moved some, and what it had seen before.

    At REPEATABLE READ MariaDB shows a transaction the balance row as it has changed it itself, with
    what others did before, but not their entries: from then on the row proves nothing.
    """
    root = session.get_transaction()
    kept = session.info.get(_UNSEEN)
    if kept is None or kept[0] is not root:
        kept = session.info[_UNSEEN] = (root, {})
    unseen: dict[tuple[str, str], int] = kept[1]
    return unseen


def _already(movement: Movement, claim: Claim, paid: Sequence[Paid], account: Account) -> Receipt:
    return movement.receipt(
        Outcome.ALREADY, balance=account.balance, next_at=claim.opens_at(paid, movement.now)
    )


def _replayed(movement: Movement, first: Entry, account: Account) -> Receipt:
    same = (first.amount, first.currency, first.reason, first.subject or "") == (
        movement.amount,
        movement.currency,
        movement.reason,
        movement.subject,
    )
    if not same:
        raise IdempotencyConflict(
            f"Key {movement.idempotency_key!r} of user {movement.user_id} belongs to entry"
            f" {first.id} ({first.amount} {first.currency} for {first.reason!r}): use a new key."
        )
    return movement.receipt(
        Outcome.REPLAYED, amount=first.amount, balance=account.balance, entry=first
    )
