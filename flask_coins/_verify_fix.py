"""Mending a balance row that disagrees with its log, without changing a single entry.

The row is what the user has seen, and the log says how it came about. Where the log is whole and says
otherwise, one ``correction`` entry makes it agree with the row, so nobody's balance jumps; such an entry
can be reversed as any other. Sums and ``held`` can be had anew from the log and the holds. What is wrong
within the log stays as it is.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

from . import _hold_statements as holding
from . import _statements as sql
from ._faults import repeated, whole
from ._models import MAX_AMOUNT, balances, holds
from ._verify import account_faults
from ._verify_scopes import Owner
from ._verify_statements import chain

REASON = "correction"
_OPEN = sa.select(sa.func.coalesce(sa.func.sum(holds.c.amount), 0)).where(
    *sql.same(holds, "user_id", "currency"), holds.c.status == "open"
)


class _Account(NamedTuple):
    """A balance row as it is and as it should be, under its lock."""

    owner: Owner
    row: Any
    """What :meth:`Scope.accounts` says of it."""
    held: int
    """What the open holds come to."""
    is_whole: bool
    """Whether the chain of its log is."""

    @property
    def logged(self) -> int:
        """The balance that the log comes to."""
        return int(self.row["log_balance"])

    @property
    def balance(self) -> int:
        """What the user has seen; of a lost row nobody can tell, so it is what the log says."""
        return int(self.row["balance"]) if self.row["rows"] else self.logged


def mend(session: Session, table: sa.Table, owner: Owner, now: datetime) -> list[str]:
    """Make the balance row of ``owner`` right as far as that can be; what was done, in words.

    It is a transaction of its own, committed, and begun again where the database gives it up. What
    is wrong is found under the lock of the row, so a second call, or one at the same time, finds
    nothing to do.
    """

    def attempt() -> list[str]:
        with whole(session):
            session.rollback()
            done = _under_lock(_connection(session, table), owner, now)
            session.commit()
        return done

    return repeated(attempt)


def _connection(session: Session, table: sa.Table) -> sa.Connection:
    """A new transaction that sees what was committed while it waited for a lock."""
    options: dict[str, Any] = {}
    if session.get_bind(clause=table).dialect.name in ("postgresql", *sql.MYSQL_FAMILY):
        options["isolation_level"] = "READ COMMITTED"
    return session.connection(bind_arguments={"clause": table}, execution_options=options)


def _under_lock(connection: sa.Connection, owner: Owner, now: datetime) -> list[str]:
    params = {"of_user_id": owner.user_id, "of_currency": owner.currency, "now": now}
    if connection.dialect.name == "sqlite":
        connection.execute(sql.TOUCH, params)
    connection.execute(sql.ACCOUNT_NOW, params)
    row = connection.execute(owner.accounts()).mappings().one_or_none()
    if row is None:
        return []
    overdue = connection.scalars(holding.OVERDUE, params).all()
    if overdue:
        connection.execute(holding.EXPIRE, {"ids": list(overdue)})
    held = int(connection.scalar(_OPEN, params) or 0)
    has_parts = row["log_balance"] != int(row["log_balance"])  # of coins, as SQLite keeps them
    is_whole = not has_parts and connection.execute(chain(owner)).first() is None
    return _mended(connection, _Account(owner, row, held, is_whole), params)


def _mended(connection: sa.Connection, account: _Account, params: dict[str, Any]) -> list[str]:
    row = account.row
    done: list[str] = []
    change: dict[str, int] = {}
    if account.is_whole and 0 <= account.balance <= MAX_AMOUNT:
        change, done = _figures(account)
        if correction := account.balance - account.logged:
            done.append(_correct(connection, account, correction, params["now"]))
    if account.held <= account.balance and account.held != (row["held"] or 0):
        change["held"] = account.held
        done.append(f"holds {account.held} now, as the open holds say")
    if row["rows"] and change:
        connection.execute(sql.CHANGE.values(**change, updated_at=sql.NOW), params)
    elif "balance" in change:
        owner = {"user_id": account.owner.user_id, "currency": account.owner.currency}
        insert = sa.insert(balances).execution_options(**sql.OURS)
        connection.execute(insert, {**owner, **change, "updated_at": params["now"]})
    return done


def _figures(account: _Account) -> tuple[dict[str, int], list[str]]:
    """What the row has to hold, and how to say that it does."""
    correction = account.balance - account.logged
    right = {
        "balance": account.balance,
        "earned": int(account.row["log_earned"]) + max(correction, 0),
        "spent": int(account.row["log_spent"]) - min(correction, 0),
    }
    if all((account.row[name] or 0) == value for name, value in right.items()):
        return {}, []
    if not account.row["rows"]:
        return right, ["has its row again, as the log says"]
    return right, [f"earned {right['earned']} and spent {right['spent']} now, as the log says"]


def _correct(connection: sa.Connection, account: _Account, correction: int, now: datetime) -> str:
    (fault, *_) = account_faults(account.row)
    entry = {
        "user_id": account.owner.user_id,
        "currency": account.owner.currency,
        "amount": correction,
        "balance_after": account.balance,
        "reason": REASON,
        "subject": "",
        "created_at": now,
        "details": {"fault": fault.what},
    }
    key: Any = connection.execute(sql.INSERT, entry).inserted_primary_key
    return f"entry {key[0]} corrects the log by {correction:+d}, to the balance of the row"
