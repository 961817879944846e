"""Holds: coins that are set aside before it is known whether they will be spent.

A hold changes no balance. It is a row of its own, and raises what the balance row has ``held``: all
that takes coins looks at both, in one statement. One that is overdue is freed by the next movement
that needs its coins, or by a sweep. Everything here locks the balance row first. Nothing commits.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from . import _hold_statements as sql
from ._faults import whole
from ._ledger import conflict, is_same, short
from ._models import log
from ._writes import Movement, Write, free
from .errors import CoinsError, HoldClosed, HoldExpired, InvalidAmount, InvalidInput
from .results import Entry, Hold, Outcome, Receipt


class Holds:
    """Holds in the database that ``table`` is bound to, through the session that is given."""

    def __init__(self, table: sa.Table = log) -> None:
        self.table = table

    def hold(
        self, session: Session, movement: Movement, expires_at: datetime | None
    ) -> tuple[Hold, bool]:
        """Set the movement's coins aside, and whether that is new; else its key was used before.

        InsufficientCoins comes before any write.
        """
        with whole(session):
            write = Write(session, self.table, movement._replace(idempotency_key=None))
            write.first_of_key()
            first = _of_key(write, movement)
            if first is None:
                is_held = _set_aside(write)
                first = _of_key_since(write, movement, is_held)
                if is_held and first is None:
                    hold = _insert(write, movement, expires_at)
                    if hold is not None:
                        return hold, True
                    first = _of_key(write, movement, now=True)
                if is_held:
                    write.connection.execute(sql.SET_FREE, write.params)
        if first is None:
            raise short(write)
        if not is_same(movement, first):
            raise conflict(movement, first)
        return first, False

    def capture(
        self, session: Session, hold_id: int, amount: int | None, now: datetime
    ) -> tuple[Receipt, Hold]:
        """Spend ``amount`` of the hold, or all of it, and free the rest."""
        with whole(session):
            hold, write = self._locked(session, hold_id, now)
            taken = hold.amount if amount is None else amount
            error = _obstacle(hold, taken, now)
            if error is None and hold.status == "open":
                write.resize(write.movement._replace(amount=-taken))
                write.connection.execute(sql.SET_FREE, write.params | {"n": hold.amount})
                account = write.spend()
                if account is None:
                    raise CoinsError(
                        f"The balance of hold {hold.id} is short: run 'flask coins verify'."
                    )
                receipt = write.entered(account, Outcome.SPENT)
                return receipt, self._close(write, hold, "captured", receipt.entry)
            first = self._entry(write, hold)
        if error is None and first is not None and first.amount != -taken:
            error = HoldClosed(f"Hold {hold.id} was captured already, for {-first.amount}.")
        if error is not None:
            raise error
        replayed = {"amount": -taken, "balance": write.found.balance, "entry": first}
        return write.movement.receipt(Outcome.REPLAYED, **replayed), hold

    def release(
        self, session: Session, hold_id: int, now: datetime, note: Any = None
    ) -> tuple[Hold, bool]:
        """Set the coins free again, and whether that was needed; ``note`` goes into its details."""
        with whole(session):
            hold, write = self._locked(session, hold_id, now)
            if hold.status == "open":
                if note is not None:
                    hold = _noted(write, hold, note)
                return self._freed(write, hold, now), True
        if hold.status == "captured":
            raise HoldClosed(f"Hold {hold.id} was captured: reverse entry {hold.entry_id} instead.")
        return hold, False

    def expire(self, session: Session, now: datetime, limit: int = 100) -> int:
        """Sweep up to ``limit`` users' overdue holds; the number of users that had any."""
        with whole(session):
            connection = session.connection(bind_arguments={"clause": self.table})
            found = connection.execute(sql.OVERDUE_OWNERS, {"now": now, "limit": limit})
            # Not by the database's own order of texts: transfers lock by that of Python.
            owners = sorted((user_id, currency) for user_id, currency in found)
            for user_id, currency in owners:
                movement = Movement(user_id, 1, "", now, "", currency)
                write = Write(session, self.table, movement)
                write.first_of_key()
                write.lock()
                overdue = connection.scalars(sql.OVERDUE, write.params).all()
                free(connection, write.params, overdue)
        return len(owners)

    def _locked(self, session: Session, hold_id: int, now: datetime) -> tuple[Hold, Write]:
        """The hold as it is now, and a write of its whole amount, the balance row locked."""
        connection = session.connection(bind_arguments={"clause": self.table})
        found = connection.execute(sql.BY_ID, {"of_id": hold_id}).one_or_none()
        if found is None:
            raise InvalidInput(f"There is no hold {hold_id}.")
        hold = sql.hold_of(found)
        write = Write(session, self.table, _movement(hold, now))
        write.first_of_key()
        write.found = write.lock()
        return sql.hold_of(connection.execute(sql.BY_ID_NOW, {"of_id": hold_id}).one()), write

    def _close(self, write: Write, hold: Hold, status: str, entry: Entry | None) -> Hold:
        captured_by = entry.id if entry else None
        change = {"of_id": hold.id, "to_status": status, "captured_by": captured_by}
        write.connection.execute(sql.CLOSE, write.params | change)
        return sql.hold_of(write.connection.execute(sql.BY_ID, change).one())

    def _freed(self, write: Write, hold: Hold, now: datetime) -> Hold:
        if is_overdue(hold, now):
            free(write.connection, write.params, [hold.id])
            return sql.hold_of(write.connection.execute(sql.BY_ID, {"of_id": hold.id}).one())
        write.connection.execute(sql.SET_FREE, write.params)
        return self._close(write, hold, "released", None)

    def _entry(self, write: Write, hold: Hold) -> Entry | None:
        return write.entry_by_id(hold.entry_id) if hold.entry_id is not None else None


def _of_key(write: Write, movement: Movement, now: bool = False) -> Hold | None:
    """The hold that has the movement's key; on MariaDB with ``now`` as it is committed now."""
    key = movement.idempotency_key
    if key is None:
        return None
    params = write.params | {"of_idempotency_key": key}
    statement = sql.BY_KEY_NOW if now and write.mysql else sql.BY_KEY
    row = write.connection.execute(statement, params).one_or_none()
    return sql.hold_of(row) if row else None


def _of_key_since(write: Write, movement: Movement, is_held: bool) -> Hold | None:
    """The same once the balance row was tried: that may have waited for whoever has used the key.

    On MariaDB a look for what is not there locks strangers out, so there it is taken only where
    another may be why coins are lacking. Where they are not, the INSERT finds out.
    """
    if not write.mysql:
        return _of_key(write, movement)
    another = not is_held and (write.held or write.moved)
    return _of_key(write, movement, now=True) if another else None


def _movement(hold: Hold, now: datetime) -> Movement:
    """What a hold becomes when it is captured whole."""
    return Movement(
        hold.user_id,
        -hold.amount,
        hold.reason,
        now,
        hold.subject or "",
        hold.currency,
        details=hold.details,
    )


def _obstacle(hold: Hold, amount: int, now: datetime) -> CoinsError | None:
    """What keeps ``amount`` from being captured."""
    if hold.status == "expired" or (hold.status == "open" and is_overdue(hold, now)):
        return HoldExpired(
            f"Hold {hold.id} expired at {hold.expires_at}: its coins are free again."
        )
    if hold.status == "released":
        return HoldClosed(f"Hold {hold.id} was released: make a new one.")
    if amount > hold.amount:
        return InvalidAmount(f"Hold {hold.id} has {hold.amount} {hold.currency}, not {amount}.")
    return None


def is_overdue(hold: Hold, now: datetime) -> bool:
    """Whether it counts no more, whatever its status says."""
    return hold.expires_at is not None and hold.expires_at <= now


def _noted(write: Write, hold: Hold, note: Any) -> Hold:
    """Put why it is released beside what its details say, whatever those are."""
    details = hold.details if isinstance(hold.details, dict) else {"details": hold.details}
    if hold.details is None:
        details = {}
    change = {"of_id": hold.id, "noted": details | {"release": note}}
    write.connection.execute(sql.NOTE, change)
    return replace(hold, details=change["noted"])


def _set_aside(write: Write) -> bool:
    """Lock the balance row by holding more of it; False, and nothing held, if it is too small."""
    connection = write.connection
    if write.has_none:
        return False
    done = connection.execute(sql.SET_ASIDE, write.params).rowcount or (
        write.may_free_overdue() and connection.execute(sql.SET_ASIDE, write.params).rowcount
    )
    if done and write.mysql:
        write.lock()  # what others moved is seen in the row from now on, but not in the log
    return bool(done)


def _insert(write: Write, movement: Movement, expires_at: datetime | None) -> Hold | None:
    """Write the hold; None where MariaDB finds that its key is taken, and goes on all the same."""
    row = {
        "user_id": movement.user_id,
        "currency": movement.currency,
        "amount": movement.amount,
        "reason": movement.reason,
        "subject": movement.subject,
        "status": "open",
        "idempotency_key": movement.idempotency_key,
        "created_at": movement.now,
        "expires_at": expires_at,
        "details": movement.details,
    }
    try:
        key: Any = write.connection.execute(sql.INSERT, row).inserted_primary_key
    except sa.exc.IntegrityError:
        if write.mysql and movement.idempotency_key is not None:
            return None
        raise
    del row["idempotency_key"]
    return Hold(id=key[0], **row | {"subject": movement.subject or None})
