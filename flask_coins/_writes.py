"""One movement on one connection: its look, its lock, and the statements that make it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple, cast

import sqlalchemy as sa
from sqlalchemy.orm import Session

from . import _hold_statements as holding
from . import _statements as sql
from ._budgets import Cap
from ._claims import Claim, Paid
from ._limits import Limits
from .errors import CoinsError, CoinsRetry
from .results import Entry, Outcome, Receipt

_UNSEEN = "flask_coins.unseen"


class Movement(NamedTuple):
    """What is to be written: values that were checked, the amount signed."""

    user_id: str
    amount: int
    reason: str
    now: datetime
    subject: str
    currency: str
    idempotency_key: str | None = None
    details: Any = None
    reverses_id: int | None = None
    counterparty: str | None = None
    caps: tuple[Cap, ...] = ()
    """What it must fit into."""

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


class Write:
    """One movement on one connection, and what its balance row was when it was looked at."""

    def __init__(self, session: Session, table: sa.Table, movement: Movement) -> None:
        self.connection = connection_of(session, table)
        self.dialect = self.connection.dialect
        self.mysql = self.dialect.name in sql.MYSQL_FAMILY
        self.movement = movement
        self.params = movement.params()
        self.before, self.looked = Account(), False
        self.found, self.held = Account(), 0
        """What the row was found to hold, and how much of it holds keep, where it was too small."""
        self.owner = (movement.user_id, movement.currency)
        self.unseen = unseen_in(session) if self.mysql else {}
        self.seen = 0
        """The newest entry that the look can have shown; only kept for MariaDB."""
        self.entry_id: int | None = None
        """The entry's, once it is written."""
        self.moved = self.owner in self.unseen
        """Whether others may have moved coins that the look did not show."""
        self._limits = Limits(self) if movement.caps else None

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
        newer = self.connection.execute(sql.PAID_SINCE, self.since_seen())
        return list({row.id: row for row in (*paid, *(Paid(*each) for each in newer))}.values())

    def named(self, claim: Claim) -> list[Paid]:
        """The rows that bear one of the names that ``claim`` knows."""
        rows = sql.named(len(claim.known_names))
        found = self.connection.execute(rows, self.params | sql.claimed(claim))
        return [Paid(*each) for each in found]

    def _look(self, claim: Claim) -> tuple[Any, list[Paid]]:
        look = sql.look(len(claim.known_names), self.mysql)
        return sql.split(self.connection.execute(look, self.params))

    def _saw(self, held: Sequence[Any] | None) -> None:
        *figures, newest = held or (0, 0, 0, 0)
        self.before, self.seen, self.looked = Account(*figures), newest or 0, True

    def since_seen(self) -> dict[str, Any]:
        """What picks, on MariaDB, the entries that the look did not show."""
        return self.params | {"seen": self.unseen.get(self.owner, self.seen)}

    def earn(self, once_key: str | None = None) -> Account:
        """Lock the balance row by adding to it.

        After a look, PostgreSQL writes the entry in the same statement if nothing has moved.
        """
        name, returns = self.dialect.name, self.dialect.insert_returning
        shares = self._limits is not None and self._limits.shared
        if self.looked and once_key is not None and name == "postgresql" and not shares:
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
        """Lock the balance row by taking from it; None, and no coins moved, if it is too small.

        What overdue holds still keep is freed first where that helps. Then ``found`` is what is there.
        """
        account = None if self.has_none else self._locked(sql.SPEND, self._update_returns)
        if account is None and self.may_free_overdue():
            account = self._locked(sql.SPEND, self._update_returns)
        return account

    def may_free_overdue(self) -> bool:
        """Read what the row holds, where it was too small; whether it is large enough by now.

        Overdue holds are freed where that helps, under the lock: somebody else may be doing it too.
        """
        amount = abs(self.movement.amount)
        self.found = self._held_now()
        if self.found.balance >= amount:
            self.found = self.lock()
        if not self.held:
            return self.found.balance >= amount
        overdue = self.connection.execute(holding.OVERDUE, self.params).all()
        if self.found.balance < amount:
            self.held -= sum(row.amount for row in overdue)
            return False
        self.held -= free(self.connection, self.params, [row.id for row in overdue])
        return self.found.balance - self.held >= amount

    def lock(self) -> Account:
        """Lock the balance row as it is, and see whether it has moved since the look."""
        if self.dialect.name == "sqlite":
            self.connection.execute(sql.TOUCH, self.params)
        row = self.connection.execute(sql.ACCOUNT_NOW, self.params).one_or_none()
        *figures, self.held = row or (0, 0, 0, 0)
        account = Account(*figures)
        if not self.looked or account != self.before:
            self.moved = True
            self.unseen.setdefault(self.owner, self.seen)
        return account

    def beyond_limits(self) -> Receipt | None:
        """The refusal by a budget, as far as the look shows it."""
        return self._limits.refusal() if self._limits else None

    def settle_limits(self, account: Account) -> Receipt | None:
        """Count the payment against its budgets, under the lock; where it does not fit, undo it."""
        if self._limits is None or self.entry_id is not None:  # entered: as the look has shown it
            return None
        refusal = self._limits.refusal(again=True) if self.moved else None
        if refusal is None:
            refusal = self._limits.mint()
        if refusal is None:
            return None
        return replace(refusal, balance=self.take_back(account).balance)

    def resize(self, movement: Movement) -> None:
        """Make the movement one of another amount, before anything was written."""
        self.movement = movement
        self.params["n"] = abs(movement.amount)

    def reversed_of(self, entry_id: int) -> int:
        """How much of an entry has been reversed by now; the lock is held."""
        params = self.params | {"of_reverses_id": entry_id}
        rows = [*self.connection.execute(sql.REVERSALS, params)]
        if self.mysql and self.moved:
            newer = self.since_seen() | params
            rows += self.connection.execute(sql.REVERSALS_SINCE, newer)
        return sum({row.id: abs(row.amount) for row in rows}.values())

    def take_back(self, account: Account) -> Account:
        """Undo the change of the balance row in the same transaction."""
        self.connection.execute(
            sql.UNEARN if self.movement.amount > 0 else sql.UNSPEND, self.params
        )
        return account.plus(-self.movement.amount)

    def first_of_key(self) -> Entry | None:
        """The entry that has this movement's key. The balance is read first: see ``look``.

        On MariaDB the balance is read without a key too: if it has not moved by the time that it is
        locked, later looks of this transaction can trust it, and need not lock what they read. So it is
        where there are budgets: what was paid within them need not be summed up a second time then.
        """
        key = self.movement.idempotency_key
        if self.mysql or key is not None or self._limits is not None:
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
        self.params = self.since_seen()
        return self._entry(sql.KEY_SINCE)

    def _held_now(self) -> Account:
        """What the row holds as it is committed now, where it was too small to take from."""
        if self.has_none:
            return self.before
        now = sql.ACCOUNT_NOW if self.mysql else sql.ACCOUNT_AND_HELD
        row = self.connection.execute(now, self.params).one_or_none()
        *figures, self.held = row or (0, 0, 0, 0)
        account = Account(*figures)
        self.moved = self.moved or not self.looked or account != self.before
        return account

    @property
    def has_none(self) -> bool:
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
        transfer_id: int | None = None,
    ) -> Receipt:
        """Write the entry, under the lock; the last step of every movement."""
        entry = self._insert(account.balance, once_key, transfer_id)
        return self.movement.receipt(
            outcome, amount=entry.amount, balance=account.balance, entry=entry, next_at=next_at
        )

    def _insert(self, balance_after: int, once_key: str | None, transfer_id: int | None) -> Entry:
        movement = self.movement
        links = {
            "reverses_id": movement.reverses_id,
            "counterparty": movement.counterparty,
            "transfer_id": transfer_id,
        }
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
            **{name: link for name, link in links.items() if link is not None},
        }
        if self.entry_id is None:
            key: Any = self.connection.execute(sql.INSERT, row).inserted_primary_key
            self.entry_id = key[0]
        del row["once_key"], row["idempotency_key"]
        return Entry(id=self.entry_id, **row | {"subject": movement.subject or None})

    def _locked(self, statement: Any, returns: bool) -> Account | None:
        """What the row holds after ``statement``, and whether it was still as it was looked at."""
        account = self._changed(statement, returns)
        expected = self.before.plus(self.movement.amount)
        if account and (account.earned < expected.earned or account.spent < expected.spent):
            raise CoinsRetry(
                "This user was erased, or mended by verify, meanwhile: repeat the transaction."
            )
        seen = self.looked and expected == account
        if account is not None and not seen:
            self.moved = True
            self.unseen.setdefault(self.owner, self.seen)
        return account

    @property
    def _update_returns(self) -> bool:
        return self.dialect.update_returning

    def _changed(self, statement: Any, returns: bool) -> Account | None:
        if returns:
            row = self.connection.execute(sql.returning(statement), self.params).one_or_none()
            return Account(*row) if row else None
        if not self.connection.execute(statement, self.params).rowcount:
            return None
        return Account(*self.connection.execute(sql.ACCOUNT, self.params).one())

    def entry_by_id(self, entry_id: int) -> Entry | None:
        """An entry, as it is committed now on MariaDB too."""
        statement = sql.BY_ID.with_for_update(read=True) if self.mysql else sql.BY_ID
        row = self.connection.execute(statement, {"of_id": entry_id}).one_or_none()
        return sql.entry_of(row) if row else None

    def is_theirs(self, entry: Entry) -> bool:
        """Whether an entry still has the users that it was read with; the lock is held."""
        now = self.entry_by_id(entry.id)
        users = (entry.user_id, entry.counterparty)
        return now is not None and (now.user_id, now.counterparty) == users

    def received(self, sent_id: int) -> Entry | None:
        """This user's entry of the transfer, or its reversal, that begins with entry ``sent_id``."""
        statement = sql.RECEIVED.with_for_update(read=True) if self.mysql else sql.RECEIVED
        params = self.params | {"of_transfer_id": sent_id}
        row = self.connection.execute(statement, params).one_or_none()
        return sql.entry_of(row) if row else None

    def _entry(self, statement: sa.Select[Any]) -> Entry | None:
        row = self.connection.execute(statement, self.params).one_or_none()
        return sql.entry_of(row) if row else None


def free(connection: sa.Connection, params: dict[str, Any], holds: Sequence[int]) -> int:
    """Expire those of ``holds`` that are still open; how many coins that frees.

    The balance row of ``params`` must be locked.
    """
    rows = connection.execute(holding.OPEN_NOW, {"ids": list(holds)}).all() if holds else []
    freed: int = sum(row.amount for row in rows)
    if rows:
        connection.execute(holding.EXPIRE, {"ids": [row.id for row in rows]})
        connection.execute(holding.SET_FREE, params | {"n": freed})
    return freed


def connection_of(session: Session, table: sa.Table) -> sa.Connection:
    """The connection that writes; CoinsError where each statement would be committed by itself."""
    connection = session.connection(bind_arguments={"clause": table})
    if connection._is_autocommit_isolation():  # noqa: SLF001  # the public way costs SQL
        raise CoinsError(
            "Coins need transactions, and this connection commits each statement: do not set the"
            " isolation level AUTOCOMMIT on the engine or connection that holds them."
        )
    return connection


def unseen_in(session: Session) -> dict[tuple[str, str], int]:
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
