"""Bringing entries of another system in: all of a source in one transaction, or nothing.

The rows are read, checked and gathered in a temporary table; then the accounts concerned are locked
in order, what is there already is told from what is new, and the rest is chained on to the balances
by a few statements, while the app goes on paying everybody else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DBAPIError

from . import _import_checks as checks
from ._faults import translated
from ._import_checks import Fault
from ._import_columns import KEY, Column, Columns, Keys
from ._import_links import link
from ._import_rows import Plan, Row, Rows
from ._import_sources import Numbered, Source
from ._import_staging import Staging, upsert
from ._models import UtcDateTime, balances, log
from ._statements import ZERO
from .errors import CoinsError, CoinsRetry, InvalidInput

SHOWN_FAULTS = 20
"""How many faults an error names."""
STEPS = 7
"""How often :func:`import_entries` calls ``stepped``."""
_CHUNK = 500
_FIGURES = ("balance", "earned", "spent")
_LINKS = ("reverses_id", "transfer_id")
_KEPT = (
    "user_id",
    "currency",
    "amount",
    "reason",
    "subject",
    "once_key",
    "idempotency_key",
    "created_at",
    "details",
    "counterparty",
)
"""What a new entry has from its row."""


@dataclass(frozen=True)
class Imported:
    """What an import has done."""

    rows: int
    """How many the source has."""
    written: int
    there: int
    """How many were there already."""
    users: int
    """How many users have new entries."""
    earned: int
    spent: int
    dry_run: bool = False
    """Whether it was all undone again, as asked for."""


def import_entries(
    engine: sa.Engine,
    source: Source,
    plan: Plan,
    *,
    dry_run: bool = False,
    read: Callable[[int], object] = lambda how_far: None,
    stepped: Callable[[int], object] = lambda number: None,
) -> Imported:
    """Write what is new in ``source`` into the log in ``engine``'s database, and commit.

    ``read`` is told how far the source is read, ``stepped`` of every step after that. CoinsError
    names the first rows that cannot be imported, by their numbers; CoinsRetry says that others had
    the accounts locked. Nothing is changed then.
    """
    rows = Rows(plan, source.columns, texts=source.texts, json_texts=source.json_texts)
    with engine.connect() as connection:
        if connection.dialect.name != "sqlite":
            # Each statement must see what others have committed by the time that we hold the locks.
            connection.execution_options(isolation_level="READ COMMITTED")
        elif connection._is_autocommit_isolation():  # noqa: SLF001  # the public way costs SQL
            raise CoinsError("Coins need transactions: do not set AUTOCOMMIT on their engine.")
        load = _Load(connection, source, rows)
        try:
            return load.run(dry_run, read, stepped)
        except DBAPIError as error:
            raise _refusal(error) from error
        finally:
            load.end()


def _refusal(error: DBAPIError) -> CoinsError:
    ours = translated(error)
    if isinstance(ours, CoinsRetry):
        return CoinsRetry("Others held these accounts. Nothing was imported: run it again.")
    if isinstance(ours, CoinsError):
        return ours
    return CoinsError(f"The database refused, nothing was imported: {error.orig}")


class _Load:
    """One import, on one connection."""

    def __init__(self, connection: sa.Connection, source: Source, rows: Rows) -> None:
        self.connection = connection
        self.source = source
        self.rows = rows
        self.plan = rows.plan
        self.staging = Staging(connection)
        self.columns = Columns(rows, source.columns, copied=self.staging.copies)
        self.keys = Keys()
        self.s = self.staging.s
        self.restores = self.plan.source is None
        """Whether an export of ours goes into empty tables as it is, ids and all."""

    def run(
        self, dry_run: bool, read: Callable[[int], object], stepped: Callable[[int], object]
    ) -> Imported:
        self.staging.make()
        number = self._gather(read)
        self.staging.finish(own=self.rows.own)
        self._begin_writing()
        steps = (self._lock, self._know, self._check, self._insert, self._link, self._balance)
        for step in (*steps, self._verify):
            step()
            stepped(1)
        result = self._result(number, dry_run)
        if not dry_run:
            self.connection.commit()
        return result

    def end(self) -> None:
        """Undo what was not committed, and leave no table behind in the pool's connection."""
        self.connection.rollback()
        if self.connection.dialect.name != "postgresql":
            self.staging.drop()
            self.connection.commit()

    # -- reading ----------------------------------------------------------------------------

    def _gather(self, read: Callable[[int], object]) -> int:
        """Put every row into the staging table; CoinsError names the first that are broken."""
        faults: list[Fault] = []
        number = 0
        with closing(self.source.rows()) as found, self.staging.filling(own=self.rows.own) as add:
            while chunk := list(islice(found, _CHUNK)):
                number += len(chunk)
                columns = self._columns(chunk, faults)
                if columns and not faults:
                    self.keys.see(columns[KEY])
                    add(columns)
                if len(faults) >= SHOWN_FAULTS:
                    break
                read(self.source.read)
        self._refuse(faults)
        return number

    def _columns(self, chunk: Sequence[Numbered], faults: list[Fault]) -> Sequence[Column]:
        columns = self.columns.of(*zip(*chunk, strict=True))
        if columns is None:
            columns = list(zip(*self._sound(chunk, faults), strict=True))
        return columns

    def _sound(self, chunk: Iterable[Numbered], faults: list[Fault]) -> Iterator[Row]:
        """The rows without a fault; those with one are added to ``faults``."""
        for line, values in chunk:
            try:
                if isinstance(values, InvalidInput):
                    raise values
                yield self.rows.row(line, values)
            except InvalidInput as error:
                faults.append(Fault(line, None, str(error)))

    def _refuse(self, found: Iterable[Fault]) -> None:
        lines = [self._line(fault) for _, fault in zip(range(SHOWN_FAULTS), found, strict=False)]
        if lines:
            more = "\nThere may be more." if len(lines) == SHOWN_FAULTS else ""
            raise CoinsError("Nothing was imported. Correct these first:" + "".join(lines) + more)

    def _line(self, fault: Fault) -> str:
        key = fault.key or ""
        own = key.removeprefix(self.plan.prefix)
        named = f" (id {own})" if own != key else ""
        return f"\n  {self.source.label} {fault.line}{named}: {fault.what}"

    # -- writing ----------------------------------------------------------------------------

    def _begin_writing(self) -> None:
        """SQLite takes the lock of the whole file now, and did not need it for the reading."""
        if self.connection.dialect.name != "sqlite":
            return
        self.connection.commit()
        self.connection.begin()
        driver: Any = self.connection.connection.driver_connection
        if not driver.in_transaction:
            self.connection.exec_driver_sql("BEGIN IMMEDIATE")

    def _lock(self) -> None:
        """Lock all accounts, and open those that are missing, in the order that everybody keeps to."""
        s = self.s.c
        keys = sa.select(s.user_id, s.currency).distinct().subquery()
        values: dict[str, sa.ColumnElement[Any]] = dict(keys.c)
        values |= dict.fromkeys(_FIGURES, ZERO)
        values["updated_at"] = sa.literal(self.plan.now, UtcDateTime())
        order = self.staging.ordered(*keys.c)
        rows = sa.select(*values.values()).where(sa.true()).order_by(*order)
        self.connection.execute(upsert(self.connection.dialect.name, list(values), rows))

    def _know(self) -> None:
        """Mark what is there already; CoinsError if it is there with other content."""
        if self.restores:
            if self.connection.execute(sa.select(log.c.id).limit(1)).first():
                raise CoinsError(
                    "The log has entries already. Only into an empty one is an export restored as it"
                    " was; name it with --source NAME to add what is new in it."
                )
            return
        self._refuse(checks.conflicts(self.connection, self.s))
        self._refuse(checks.moved(self.connection, self.s, self.plan.prefix))
        table = self.staging.table
        for same in checks.known(table, own=self.rows.own):
            there = sa.exists().where(same)
            self.connection.execute(sa.update(table).where(there).values(known=sa.true()))

    def _check(self) -> None:
        connection, s = self.connection, self.s
        prefix = None if self.restores else self.plan.prefix
        if self.rows.own or not self.keys.rising:
            self._refuse(checks.doubled(connection, s, prefix, own=self.rows.own))
        if self.rows.own:
            self._refuse(checks.claimed(connection, s))
        self._refuse(checks.held(connection, self.staging, self.plan.now))
        if self.restores:
            self._refuse_outside()

    def _refuse_outside(self) -> None:
        running = self._running(*(self.s.c[name] for name in checks.OF_BALANCE))
        self._refuse(checks.outside(self.connection, running, restores=self.restores))

    def _running(self, *columns: sa.ColumnElement[Any]) -> sa.Select[Any]:
        """``columns`` of the new rows in order, each with the balance after it.

        Entries of ours keep their order among all users: a transfer is sent before it is received.
        """
        s, own = self.s.c, self.rows.own
        account = self.staging.ordered(s.user_id, s.currency)
        moments = [s.place] if own else [s.created_at, s.place]
        total = sa.func.sum(s.amount).over(partition_by=account, order_by=moments, rows=(None, 0))
        return (
            sa.select(*columns, (balances.c.balance + total).label("running"))
            .select_from(sa.join(self.s, balances, self.staging.of_account()))
            .where(s.known.is_(sa.false()))
            .order_by(*([] if own else account), *moments)
        )

    def _insert(self) -> None:
        """Write the entries; which row took a balance out of bounds is only asked if one did."""
        s = self.s.c
        self.newest = self.connection.scalar(sa.select(sa.func.max(log.c.id))) or 0
        names, columns = list(_KEPT), [s[name] for name in _KEPT]
        if self.restores:
            names += ["id", *_LINKS]
            columns += [s.place, *(s[name] for name in _LINKS)]
        rows = self._running(*columns)
        self.connection.execute(sa.insert(log).from_select([*names, "balance_after"], rows))
        if checks.any_outside(self.connection, self.newest):
            self._refuse_outside()

    def _link(self) -> None:
        """Let reversals and transfers point at the entries they belong to."""
        if self.restores:
            self._refuse(checks.dangling(self.connection, self.s))
            self._go_on_counting()
        elif self.rows.own:
            self._refuse(link(self.connection, self.staging, self.plan.prefix))

    def _go_on_counting(self) -> None:
        """PostgreSQL's counter of ids goes on behind those that were restored."""
        if self.connection.dialect.name != "postgresql":
            return
        schema = (self.connection.get_execution_options().get("schema_translate_map") or {}).get(
            None
        )
        name = self.connection.dialect.identifier_preparer.quote
        table = f"{name(schema)}.coin_log" if schema else "coin_log"
        sequence = sa.func.pg_get_serial_sequence(table, "id").cast(postgresql.REGCLASS)
        newest = sa.func.greatest(sa.func.max(log.c.id), sa.func.nextval(sequence))
        self.connection.execute(sa.select(sa.func.setval(sequence, newest)))

    def _balance(self) -> None:
        """Bring the balances up to their entries."""
        name, s, kept = self.connection.dialect.name, self.s.c, balances.c
        earned = sa.case((s.amount > 0, s.amount), else_=0)
        moved = dict(zip(_FIGURES, (s.amount, earned, earned - s.amount), strict=True))
        sums = (
            sa.select(s.user_id, s.currency, *(sa.func.sum(it).label(n) for n, it in moved.items()))
            .where(s.known.is_(sa.false()))
            .group_by(s.user_id, s.currency)
            .subquery()
        )
        account = sa.and_(kept.user_id == sums.c.user_id, kept.currency == sums.c.currency)
        values = {
            "user_id": kept.user_id,
            "currency": kept.currency,
            **{key: kept[key] + sums.c[key] for key in _FIGURES},
            "updated_at": sa.literal(self.plan.now, UtcDateTime()),
        }
        rows = sa.select(*values.values()).select_from(sa.join(sums, balances, account))
        changed = (*_FIGURES, "updated_at")
        self.connection.execute(upsert(name, list(values), rows, changed))

    def _verify(self) -> None:
        """Refuse what an entry of ours says, and no call of ours would have written."""
        if self.rows.own:
            behind = None if self.restores else self.newest
            self._refuse(
                checks.contradictions(self.connection, self.s, self.plan.now, behind=behind)
            )

    def _result(self, number: int, dry_run: bool) -> Imported:
        s = self.s.c
        gained = sa.case((s.amount > 0, s.amount), else_=0)
        each = (
            sa.select(
                sa.func.count().label("entries"),
                sa.func.sum(gained).label("earned"),
                sa.func.sum(gained - s.amount).label("spent"),
            )
            .where(s.known.is_(sa.false()))
            .group_by(s.user_id)
            .subquery()
        )
        sums = [sa.func.coalesce(sa.func.sum(column), 0) for column in each.c]
        found = self.connection.execute(sa.select(sa.func.count(), *sums).select_from(each)).one()
        users, written, earned, spent = map(int, found)
        return Imported(
            rows=number,
            written=written,
            there=number - written,
            users=users,
            earned=earned,
            spent=spent,
            dry_run=dry_run,
        )
