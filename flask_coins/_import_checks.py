"""What rows that are well-formed can still be refused for, found by one statement each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from ._hold_statements import OVERDUE
from ._import_staging import Staging
from ._models import MAX_AMOUNT, balances, log
from ._verify import Since, faults
from ._writes import free

_CONTENT = ("currency", "amount", "reason", "subject", "created_at")
_CLAIM = ("user_id", "currency", "reason", "subject", "once_key")
_OF_ENTRIES = ("window", "entry", "reversal", "transfer")
_SAME_ENTRY = ("user_id", "currency", "amount", "balance_after", "reason", "subject", "created_at")

OF_BALANCE = ("line", "idempotency_key", "user_id", "currency", "amount", "balance_after")
"""The columns of the rows that :func:`outside` looks at."""


class Fault(NamedTuple):
    """What is wrong with one row."""

    line: int
    key: str | None
    what: str


def known(rows: sa.FromClause, *, own: bool) -> Iterator[sa.ColumnElement[bool]]:
    """The conditions by which a row of ``rows`` is an entry of the log already."""
    yield sa.and_(*_same(rows, "user_id", "idempotency_key"))
    if own:
        yield sa.and_(
            log.c.id == rows.c.place, log.c.idempotency_key.is_(None), *_same(rows, *_SAME_ENTRY)
        )


def conflicts(connection: sa.Connection, s: sa.FromClause) -> Iterator[Fault]:
    """Rows whose key is in the log with other content.

    Details are compared as JSON: the same may have been written in another way.
    """
    differs = sa.or_(*(log.c[name] != s.c[name] for name in _CONTENT))
    notes = [sa.cast(each.c.details, sa.Text) for each in (log, s)]
    query = (
        sa.select(s.c.line, s.c.idempotency_key, log.c.id, differs, log.c.details, s.c.details)
        .where(*_same(s, "user_id", "idempotency_key"))
        .where(sa.or_(differs, notes[0].is_distinct_from(notes[1])))
        .order_by(s.c.line)
    )
    for line, key, entry, other, *details in connection.execute(query):
        if other or details[0] != details[1]:
            yield Fault(line, key, f"it was imported with other content, as entry {entry}.")


def moved(connection: sa.Connection, s: sa.FromClause, prefix: str) -> Iterator[Fault]:
    """Rows that were imported for another user."""
    query = (
        sa.select(s.c.line, s.c.idempotency_key, log.c.user_id, log.c.id)
        .where(*_same(s, "idempotency_key"), log.c.user_id != s.c.user_id)
        .where(log.c.idempotency_key.startswith(prefix, autoescape=True))
        .order_by(s.c.line)
    )
    for line, key, user, entry in connection.execute(query):
        yield Fault(line, key, f"it was imported for user {user}, as entry {entry}.")


def doubled(
    connection: sa.Connection, s: sa.FromClause, prefix: str | None, *, own: bool
) -> Iterator[Fault]:
    """Rows whose id, key or window is in the source twice."""
    key, user = s.c.idempotency_key, s.c.user_id
    groups: list[tuple[str, Sequence[sa.ColumnElement[Any]]]] = [("id", [key])]
    if own:
        whose: Any = user
        if prefix:
            whose = sa.case((key.startswith(prefix, autoescape=True), ""), else_=user)
        groups = [("id", [s.c.place]), ("idempotency_key", [whose, key])]
        groups.append(("once_key", [s.c[name] for name in _CLAIM]))
    for name, columns in groups:
        first, last = sa.func.min(s.c.line), sa.func.max(s.c.line)
        query = (
            sa.select(first, last, sa.func.max(key))
            .where(columns[-1].is_not(None))
            .group_by(*columns)
            .having(sa.func.count() > 1)
            .order_by(last)
        )
        for one, another, which in connection.execute(query):
            yield Fault(another, which, f"its {name} is that of {one} too.")


def claimed(connection: sa.Connection, s: sa.FromClause) -> Iterator[Fault]:
    """New rows whose window has been paid for by an entry of the log."""
    query = (
        sa.select(s.c.line, s.c.idempotency_key, s.c.once_key, log.c.id)
        .where(*_same(s, *_CLAIM), s.c.known.is_(sa.false()))
        .order_by(s.c.line)
    )
    for line, key, window, entry in connection.execute(query):
        yield Fault(line, key, f"its window {window} is claimed by entry {entry}.")


def outside(
    connection: sa.Connection, running: sa.Select[Any], *, restores: bool
) -> Iterator[Fault]:
    """The first of a user's rows, in order, after which the balance would be out of bounds.

    What is restored must besides have the balance that it says.
    """
    rows = running.order_by(None).subquery()
    balance, amount = rows.c.running, rows.c.amount
    bad = [
        sa.and_(balance < 0, balance - amount >= 0),
        sa.and_(balance > MAX_AMOUNT, balance - amount <= MAX_AMOUNT),
    ]
    if restores:
        bad.append(balance != rows.c.balance_after)
    query = sa.select(rows).where(sa.or_(*bad)).order_by(rows.c.line)
    for line, key, user, currency, _, stated, after in connection.execute(query):
        what = f"the balance of user {user} would be {after} {currency}"
        if restores and stated != after:
            what += f", and balance_after is {stated}: rows before it are missing or were changed"
        yield Fault(line, key, f"{what}.")


def any_outside(connection: sa.Connection, newest: int) -> bool:
    """Whether an entry behind the id ``newest`` has a balance that is out of bounds."""
    after = log.c.balance_after
    bad = sa.select(log.c.id).where(log.c.id > newest, sa.or_(after < 0, after > MAX_AMOUNT))
    return connection.execute(bad.limit(1)).first() is not None


def held(connection: sa.Connection, staging: Staging, now: datetime) -> Iterator[Fault]:
    """The last row of a user who would not have the coins that are set aside.

    What overdue holds still keep is freed first where that helps; the balances are locked.
    """
    s, kept = staging.s.c, balances.c
    after = kept.balance + sa.func.sum(s.amount)
    query = (
        sa.select(sa.func.max(s.line), kept.user_id, kept.currency, after, kept.held)
        .select_from(sa.join(staging.s, balances, staging.of_account()))
        .where(s.known.is_(sa.false()), kept.held > 0)
        .group_by(kept.user_id, kept.currency, kept.balance, kept.held)
        .having(after < kept.held)
    )
    for line, user, currency, balance, amount in connection.execute(query).all():
        owner = {"of_user_id": user, "of_currency": currency, "now": now}
        left = amount - free(connection, owner, connection.scalars(OVERDUE, owner).all())
        if balance < left:
            what = f"user {user} would have {balance} {currency}, and {left} are on hold."
            yield Fault(line, None, what)


def dangling(connection: sa.Connection, s: sa.FromClause) -> Iterator[Fault]:
    """Rows that were restored, and belong to one that was not."""
    for name in ("reverses_id", "transfer_id"):
        query = (
            sa.select(s.c.line, s.c.idempotency_key, s.c[name])
            .outerjoin_from(s, log, log.c.id == s.c[name])
            .where(s.c[name].is_not(None), log.c.id.is_(None))
            .order_by(s.c.line)
        )
        for line, key, lost in connection.execute(query):
            yield Fault(line, key, f"its {name} is {lost}, which is not in the source.")


def contradictions(
    connection: sa.Connection, s: sa.FromClause, now: datetime, *, behind: int | None
) -> Iterator[Fault]:
    """Rows that became entries of which ``flask coins verify`` says that they cannot be.

    They have ids ``behind`` that one; with None they are all that there are, under their own ids.
    """
    is_its_entry = s.c.place == log.c.id
    if behind is not None:
        is_its_entry = sa.and_(*_same(s, "user_id", "idempotency_key"))
    rows = sa.select(s.c.line, s.c.idempotency_key).where(is_its_entry)
    for fault in faults(connection, since=None if behind is None else Since(behind + 1), now=now):
        row = connection.execute(rows.where(log.c.id == fault.id)).first()
        if row is not None and fault.kind in _OF_ENTRIES:
            yield Fault(*row, f"it {fault.what.removeprefix(f'entry {fault.id} ')}.")


def _same(rows: sa.FromClause, *names: str) -> list[sa.ColumnElement[bool]]:
    return [log.c[name] == rows.c[name] for name in names]
