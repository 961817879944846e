"""Proof that the tables keep the ledger's promises: what contradicts them is named, row by row.

It goes through the ledger in chunks, each on one snapshot, so an app may go on paying meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime, timedelta
from functools import partial
from typing import Any, NamedTuple, TypeVar

import sqlalchemy as sa
from sqlalchemy.orm import Session

from . import _verify_statements as sql
from ._models import balances, holds, log
from ._statements import MYSQL_FAMILY
from ._verify_labels import span
from ._verify_scopes import FIGURES, Newer, Scope, Some, Users

_AT_ONCE = 1000
"""How many balances a chunk has."""
_ENTRIES_AT_ONCE = 20_000
_VALUES_AT_ONCE = 500
_AHEAD = timedelta(days=1)
"""How far the clocks of the app's machines may be apart."""

T = TypeVar("T")
Snapshot = Callable[[], AbstractContextManager[sa.Connection]]
Seen = Callable[[int], object]


class Fault(NamedTuple):
    """One place where the tables contradict what they promise."""

    user_id: str
    currency: str
    what: str
    kind: str
    """``balance``, ``held``, ``chain``, ``window``, ``entry``, ``reversal``, ``transfer``, ``hold``."""
    id: int | None = None
    """The entry's or the hold's; None of a balance row."""


class Since(NamedTuple):
    """Where a verification of what is new begins: at this entry."""

    entry: int


def count(connection: sa.Connection) -> int:
    """How many balances there are."""
    return connection.scalar(sa.select(sa.func.count()).select_from(balances)) or 0


def newest(connection: sa.Connection) -> int:
    """The highest id of an entry; 0 where there is none."""
    return connection.scalar(sa.select(sa.func.max(log.c.id))) or 0


def entries_since(connection: sa.Connection, moment: datetime) -> Since:
    """From the oldest entry that was made at ``moment`` or later; it reads the whole log once."""
    found = connection.scalar(sa.select(sa.func.min(log.c.id)).where(log.c.created_at >= moment))
    return Since(newest(connection) + 1 if found is None else found)


def faults(
    connection: sa.Connection,
    seen: Seen = lambda number: None,
    *,
    since: Since | None = None,
    now: datetime | None = None,
) -> Iterator[Fault]:
    """Every fault, as the transaction of ``connection`` sees it; the rest is as in :func:`examine`."""
    for found in _chunks(lambda: nullcontext(connection), seen, since, now):
        yield from found


def examine(
    session: Session,
    table: sa.Table,
    seen: Seen = lambda number: None,
    *,
    since: Since | None = None,
    now: datetime | None = None,
) -> Iterator[list[Fault]]:
    """The faults of each chunk, which is read in a transaction of its own.

    The session has none open whenever a list is given out, so the caller may write meanwhile. A
    chunk has a thousand balances, and ``seen`` is told how many. With ``since``, in entries, only
    those from there on are read, and the balances and holds of their users. With ``now``, entries
    that were made later than that by a day are faults.
    """
    session.rollback()
    return _chunks(lambda: _snapshot(session, table), seen, since, now)


@contextmanager
def _snapshot(session: Session, table: sa.Table) -> Iterator[sa.Connection]:
    """A transaction whose every read sees the same moment, and which keeps nobody from writing."""
    bind = session.get_bind(clause=table)
    options: dict[str, Any] = {}
    if bind.dialect.name in ("postgresql", *MYSQL_FAMILY):
        options["isolation_level"] = "REPEATABLE READ"
    if bind.dialect.name == "postgresql":
        options["postgresql_readonly"] = True
    connection = session.connection(bind_arguments={"clause": table}, execution_options=options)
    try:
        driver: Any = connection.connection.driver_connection
        if bind.dialect.name == "sqlite" and not driver.in_transaction:
            connection.exec_driver_sql("BEGIN")
        yield connection
    finally:
        session.rollback()


def _chunks(
    snapshot: Snapshot, seen: Seen, since: Since | None, now: datetime | None
) -> Iterator[list[Fault]]:
    scopes = _ranges if since is None else _newer_than(since)
    late = now + _AHEAD if now else None
    place: Any = None
    while True:
        with snapshot() as connection:
            scope, place, number = scopes(connection, place)
            found = list(_unreadable(connection, scope) or _found(connection, scope, late))
        seen(number)
        yield found
        if place is None:
            return


def _ranges(connection: sa.Connection, after: str | None) -> tuple[Scope, str | None, int]:
    """The next users of all there can be, also of those who are in the log alone."""
    ids = sa.select(balances.c.user_id).where(Users(after).owns(balances))
    ordered = ids.order_by(balances.c.user_id).limit(1).offset(_AT_ONCE - 1)
    last = connection.scalar(ordered)
    return Users(after, last), last, _AT_ONCE


def _newer_than(since: Since) -> Callable[[sa.Connection, Any], tuple[Scope, Any, int]]:
    """The next entries; those that are written meanwhile are left to another time."""

    def scopes(connection: sa.Connection, place: Any) -> tuple[Scope, Any, int]:
        first, end = place or (since.entry, newest(connection))
        ids = sa.select(log.c.id).where(log.c.id >= first, log.c.id <= end).order_by(log.c.id)
        # By their number: between two ids there may be more than could ever be gone through.
        last = connection.scalar(ids.limit(1).offset(_ENTRIES_AT_ONCE - 1)) or end
        following = (last + 1, end) if last < end else None
        return Newer(first, last), following, max(last - first + 1, 0)

    return scopes


def _found(connection: sa.Connection, scope: Scope, late: datetime | None) -> Iterator[Fault]:
    yield from account(connection, scope)
    yield from _told(connection, sql.ill_holds(scope), "hold", "hold {id} ")
    yield from _misnamed(connection, scope)
    yield from _broken(connection, scope)
    suspects = connection.execute(sql.suspects(scope, late)).all()
    odd = partial(sql.odd, late=late)
    for kind, statement, ids in (
        ("entry", odd, [row.id for row in suspects if row.odd]),
        ("reversal", sql.reversals, [row.id for row in suspects if row.reverses_id is not None]),
        ("transfer", sql.legs, [row.id for row in suspects if row.counterparty is not None]),
    ):
        for some in _in_parts(ids):
            yield from _told(connection, statement(Some(scope, tuple(some))), kind)


def _unreadable(connection: sa.Connection, scope: Scope) -> list[Fault]:
    """Rows of SQLite that cannot be read; they must go before anything else can be told."""
    if connection.dialect.name != "sqlite":
        return []
    return [
        Fault(user_id, currency, f"{of} has in {key} what cannot be there: {value!r}", kind, number)
        for kind, table in (("balance", balances), ("entry", log), ("hold", holds))
        for user_id, currency, number, key, value in connection.execute(
            sql.unreadable(table, scope)
        )
        for of in ["coin_balance" if kind == "balance" else f"{kind} {number}"]
    ]


def _broken(connection: sa.Connection, scope: Scope) -> Iterator[Fault]:
    with _by_index(connection):
        links = {row.id: row for row in connection.execute(sql.chain(scope))}
    for some in _in_parts(sorted(links)):
        for entry, user_id, currency in connection.execute(sql.owners(Some(scope, tuple(some)))):
            _, before, amount, after = links[entry]
            what = "is below zero" if before + amount == after else f"is not {after}"
            yield Fault(
                user_id, currency, f"entry {entry}: {before} {amount:+} {what}", "chain", entry
            )


@contextmanager
def _by_index(connection: sa.Connection) -> Iterator[None]:
    """Have PostgreSQL read entries in the order of an index: sorted anew, they would go to disk."""
    if connection.dialect.name != "postgresql":
        yield
        return
    connection.exec_driver_sql("SET LOCAL enable_sort = off")
    yield
    connection.exec_driver_sql("SET LOCAL enable_sort = on")


def _in_parts(values: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(values), _VALUES_AT_ONCE):
        yield values[start : start + _VALUES_AT_ONCE]


def account(connection: sa.Connection, scope: Scope) -> Iterator[Fault]:
    """The faults of balance rows, against their log and holds."""
    for row in connection.execute(scope.accounts()).mappings():
        yield from account_faults(row)


def account_faults(row: Any) -> Iterator[Fault]:
    """What a row of ``accounts()`` says against a balance row."""
    user_id, currency = row["user_id"], row["currency"]
    has = {name: _number(row[name]) for name in FIGURES}
    log_has = {name: _number(row.get(f"log_{name}", has[name])) for name in FIGURES}
    log_has.setdefault("balance", 0)
    if "log_earned" not in row:  # of the newest entry alone: their difference must do
        log_has["earned"] = log_has["balance"] + has["spent"]
    if has | {"held": 0} != log_has | {"held": 0}:
        mine = _figures(has) if row["rows"] else "no row"
        what = f"coin_balance has {mine}, the log {_figures(log_has)}"
        yield Fault(user_id, currency, what, "balance")
    if has["held"] != log_has["held"]:
        what = f"coin_balance holds {has['held']}, the open holds {log_has['held']}"
        yield Fault(user_id, currency, what, "held")


def _number(value: Any) -> Any:
    """A sum as an int; SQLite keeps fractions too, and those are not cut off."""
    value = value or 0
    return int(value) if value == int(value) else value


def _figures(of: dict[str, Any]) -> str:
    return f"{of['balance']} (earned {of['earned']}, spent {of['spent']})"


def _told(
    connection: sa.Connection, statement: sa.Select[Any], kind: str, of: str = "entry {id} "
) -> Iterator[Fault]:
    for row in connection.execute(statement).mappings():
        values = {**row, "total": _number(row.get("total"))}
        what = (of + row["wrong"]).format(**values)
        yield Fault(row["user_id"], row["currency"], what, kind, row["id"])


def _misnamed(connection: sa.Connection, scope: Scope) -> Iterator[Fault]:
    """Entries with a name of a window that never was, or was not then; and slots with gaps."""
    census = connection.execute(sql.census(scope)).all()
    suspects = [name for name, *moments in census if not _possible(name, *moments)]
    for some in _in_parts(suspects):
        for user_id, currency, entry, name, at in connection.execute(sql.named(scope, some)):
            if not _possible(name, at):
                why = f"at {at}: no zone had that then" if span(name) else "no window is called so"
                what = f"entry {entry} claims {name!r}, {why}"
                yield Fault(user_id, currency, what, "window", entry)
    if any("#" in name for name, *_ in census):
        for row in connection.execute(sql.gaps(scope, connection.dialect.name)):
            if span(row.once_key):
                what = f"entry {row.id} claims {row.once_key!r}, and a slot before it is free"
                yield Fault(row.user_id, row.currency, what, "window", row.id)


def _possible(once_key: str, *moments: datetime) -> bool:
    possible = span(once_key)
    return possible is not None and all(possible[0] <= each < possible[1] for each in moments)
