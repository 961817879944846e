"""Moving a hand-made ``coin_log`` over: every row with its time, and balances that agree with it.

The new tables are filled beside the old one and take its place at the end: in one transaction on
PostgreSQL and SQLite, by one atomic RENAME on MariaDB and MySQL. Whatever happens before that, the
old table stays as it is, and running again starts anew. No more than a few hundred rows are in
memory; a temporary file on disk holds the old log while it is sorted.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timezone, tzinfo
from itertools import count
from typing import Any, TypeVar

import sqlalchemy as sa

from . import _ddl, _old_log
from ._install import is_foreign
from ._models import MAX_AMOUNT, UtcDateTime, balances, log
from ._old_log import KEPT, OLD, BalanceColumn, OldLog, Row
from ._reconciliation import Account, Accounts, Difference, Dip, Reconciliation
from ._statements import MYSQL_FAMILY
from .errors import CoinsError

_CHUNK = 500
_SHOWN = 20
_PATIENCE = 60
"""Seconds to wait for others to let go of the table; MariaDB would wait for a day."""
_NEW, _NEW_BALANCES, _WORK = "coin_log_adopting", "coin_balance_adopting", "coin_adopting"
_KEPT_TABLE = sa.table(KEPT, sa.column("amount", sa.BigInteger))
T = TypeVar("T")
_CHANGED = (
    f"{OLD} changed while it was being adopted, and stays as it is: stop the app, then run again."
)


def adopt(
    engine: sa.Engine,
    *,
    balance_column: BalanceColumn | None = None,
    zone: tzinfo = timezone.utc,
    now: datetime | None = None,
    keep: bool = False,
    told: Callable[[int], object] = lambda steps: None,
) -> Reconciliation:
    """Make Flask-Coins' tables of the ``coin_log`` in ``engine``'s database. Stop the app first.

    ``balance_column`` is where the host keeps its users' coins: who has more or less than their
    rows say gets one ``opening_balance`` entry, before their first row if it adds, at ``now`` if
    it takes away or if they have no rows. Where the rows in the order of time would still go below
    zero, the entry before the first row is as large as the deepest point needs, and one at ``now``
    takes away what is then too much: no ``balance_after`` is below zero, and the balance is what
    the column says, or else the sum of the rows.

    Old times without a zone are taken to be in ``zone``. Columns that our log does not have go
    into ``details``, under ``"adopted"``. With ``keep`` the old table stays, as
    ``coin_log_before_coins``. ``told`` gets the numbers of the :func:`steps` that were made.
    Commits on a connection of its own.

    Raises CoinsError, with nothing changed, when something cannot be adopted as it is. Running
    again is safe: there is nothing to adopt then.
    """
    with engine.connect() as connection:
        if nothing := _nothing(sa.inspect(connection)):
            return Reconciliation(nothing)
        _old_log.refuse_shape(connection, balance_column)
        if connection.dialect.name in MYSQL_FAMILY:
            # Its settings must not go back to the pool, where a place is needed for the reader.
            connection.detach()
        old = OldLog(connection, balance_column, zone)
        try:
            return _Adoption(connection, old, now or datetime.now(timezone.utc), told).run(keep)
        except sa.exc.DBAPIError as error:
            raise CoinsError(f"The database refused, nothing was changed: {error.orig}") from error
        except sqlite3.Error as error:
            raise CoinsError(
                f"The temporary file failed, nothing was changed: {error}. Is there room for it?"
            ) from error
        finally:
            old.close()


def steps(engine: sa.Engine) -> int:
    """How many steps :func:`adopt` takes: each row of the old log is read, summed up and copied."""
    with engine.connect() as connection:
        if _nothing(sa.inspect(connection)):
            return 0
        return 3 * int(
            connection.scalar(sa.select(sa.func.count()).select_from(sa.table(OLD))) or 0
        )


def _nothing(inspector: sa.Inspector) -> str:
    if not inspector.has_table(OLD):
        return f"there is no table {OLD}; 'flask db upgrade' makes it."
    if is_foreign(inspector, OLD):
        return ""
    rest = f" {KEPT} can be dropped." if inspector.has_table(KEPT) else ""
    return f"{OLD} is Flask-Coins' own.{rest}"


class _Adoption:
    """One run, on one connection."""

    def __init__(
        self, connection: sa.Connection, old: OldLog, now: datetime, told: Callable[[int], object]
    ) -> None:
        metadata = sa.MetaData()
        self.connection = connection
        self.old = old
        self.now = now
        self.told = told
        self.mysql = connection.dialect.name in MYSQL_FAMILY
        self.pooled = connection.connection
        self.driver = self.pooled.dbapi_connection
        self.log = log.to_metadata(metadata, name=_NEW)
        self.balances = balances.to_metadata(metadata, name=_NEW_BALANCES)
        self.users = Accounts(_WORK, metadata)
        self.work = self.users.table
        self.ids = count(1)

    def run(self, keep: bool) -> Reconciliation:
        try:
            self._make_room()
            self.old.read(_CHUNK, self.told)
            self._sum_up()
            self._read_column()
            self._refuse_strangers()
            self._refuse_balances()
            self._copy_rows()
            self._open_the_rest()
            self._write_balances()
            result = self._reconcile(keep)
            self._swap(result)
            self.connection.commit()
        except BaseException:
            self.connection.rollback()
            self.old.close()
            if self.mysql:
                self._let_go()
                self._drop_ours()
            raise
        return result

    def _let_go(self) -> None:
        """Close the connection where an interrupt has made SQLAlchemy forget it.

        One that is detached from the pool it would leave open, and with it the locks on our tables.
        """
        if self.pooled.dbapi_connection is None and self.driver is not None:
            self.driver.close()

    # -- preparing --------------------------------------------------------------------------

    def _make_room(self) -> None:
        """Lock what can be locked, and make the new tables."""
        self._execute(*_ddl.locks(self.connection, _PATIENCE))
        self._drop_ours()
        if not self.mysql:
            self._execute(*_ddl.freed_names(self.connection), "DROP TABLE IF EXISTS coin_balance")
        self.log.metadata.create_all(self.connection, checkfirst=False)

    def _drop_ours(self) -> None:
        self._execute(*(f"DROP TABLE IF EXISTS {name}" for name in (_NEW, _NEW_BALANCES, _WORK)))

    def _sum_up(self) -> None:
        """Note each user's sums, and how far they go below zero."""
        for rows in self.old.rows(_CHUNK):
            accounts = self._accounts(row.user_id for row in rows)
            for row in rows:
                account = accounts[row.user_id]
                account.earned += max(row.amount, 0)
                account.spent += max(-row.amount, 0)
                account.lowest = min(account.lowest, account.earned - account.spent)
            self._store(accounts)
            self.told(len(rows))

    def _read_column(self) -> None:
        """Note what the old column says of each user."""
        for stated in self.old.stated_balances(_CHUNK):
            accounts = self._accounts(stated)
            for user_id, coins in stated.items():
                accounts[user_id].stated = coins
            self._store(accounts)

    def _refuse_strangers(self) -> None:
        """Nobody of the log stands in the users' table: its ids are of another kind."""
        work, column = self.work.c, self.old.column
        logged, stated = sa.or_(work.earned > 0, work.spent > 0), work.stated.is_not(None)
        in_log, in_table, in_both = (
            self.connection.scalar(sa.select(work.user_id).where(which).limit(1))
            for which in (logged, stated, sa.and_(logged, stated))
        )
        if column and in_log and in_table and not in_both:
            raise _old_log.refusal(
                f"none of its users is in {column.table}. There {column.id} is {in_table!r} and the"
                f" like, and its own user_id {in_log!r}: name the column that is meant with"
                " --user-key, or say --balance none."
            )

    def _refuse_balances(self) -> None:
        final, user_id = self.users.final, self.work.c.user_id
        outside = sa.or_(final < 0, final > MAX_AMOUNT)
        number = self.connection.scalar(sa.select(sa.func.count(user_id)).where(outside)) or 0
        if number:
            query = sa.select(user_id, final).where(outside).order_by(user_id)
            found = self.connection.execute(query.limit(_old_log.SHOWN_FAULTS)).all()
            raise self.old.refusal_of_balances(number, found)

    # -- filling ----------------------------------------------------------------------------

    def _copy_rows(self) -> None:
        """Copy the log in order, behind each user's opening balance that adds."""
        for rows in self.old.rows(_CHUNK):
            accounts = self._accounts(row.user_id for row in rows)
            self._write(list(self._entries(rows, accounts)))
            self._store(accounts)
            self.told(len(rows))

    def _entries(
        self, rows: Iterable[Row], accounts: Mapping[str, Account]
    ) -> Iterator[dict[str, Any]]:
        for row in rows:
            account = accounts[row.user_id]
            if not account.begun and account.lift:
                yield self._entry(account, _opening(account, account.lift, row.created_at))
            yield self._entry(account, row)

    def _open_the_rest(self) -> None:
        """An opening balance that takes away goes last, and users without rows get theirs."""
        users, work = self.users, self.work
        left = sa.or_(users.settling != 0, sa.and_(users.lift != 0, work.c.begun.is_(sa.false())))
        query = sa.select(work).where(left).order_by(work.c.user_id).limit(_CHUNK)
        last = ""
        while found := self.connection.execute(query.where(work.c.user_id > last)).all():
            accounts = [Account(*row) for row in found]
            amounts = [each.settling or each.lift for each in accounts]
            self._write(
                [
                    self._entry(account, _opening(account, amount, self.now))
                    for account, amount in zip(accounts, amounts, strict=True)
                ]
            )
            last = accounts[-1].user_id

    def _entry(self, account: Account, row: Row) -> dict[str, Any]:
        account.begun = True
        account.running += row.amount
        return {
            "id": next(self.ids),
            "user_id": row.user_id,
            "currency": "coins",
            "amount": row.amount,
            "balance_after": account.running,
            "reason": row.reason,
            "subject": row.subject,
            "created_at": row.created_at,
            "details": row.details,
        }

    def _write(self, entries: Sequence[dict[str, Any]]) -> None:
        if entries:
            self.connection.execute(sa.insert(self.log), entries)

    def _write_balances(self) -> None:
        work, users = self.work.c, self.users
        values = {
            "user_id": work.user_id,
            "currency": sa.literal("coins"),
            "balance": users.final,
            "earned": work.earned + users.lift,
            "spent": work.spent - users.settling,
            "updated_at": sa.literal(self.now, UtcDateTime()),
        }
        moved = sa.or_(work.earned > 0, work.spent > 0, users.openings > 0)
        rows = sa.select(*values.values()).where(moved)
        self.connection.execute(sa.insert(self.balances).from_select(list(values), rows))

    # -- users in work ----------------------------------------------------------------------

    def _accounts(self, user_ids: Iterable[str]) -> dict[str, Account]:
        """The accounts of some users, new ones included."""
        accounts = {user_id: Account(user_id) for user_id in user_ids}
        query = sa.select(self.work).where(self.work.c.user_id.in_(accounts))
        found = (Account(*row) for row in self.connection.execute(query))
        return {**accounts, **{account.user_id: account for account in found}}

    def _store(self, accounts: Mapping[str, Account]) -> None:
        rows = [asdict(account) for account in accounts.values()]
        if rows:
            self.connection.execute(
                sa.delete(self.work).where(self.work.c.user_id.in_(list(accounts)))
            )
            self.connection.execute(sa.insert(self.work), rows)

    # -- finishing --------------------------------------------------------------------------

    def _reconcile(self, keep: bool) -> Reconciliation:
        """Compare old and new, all rows of them; CoinsError, and the old log stays, if they differ."""
        rows, logged = self.old.count_and_sum()
        differing, opened = self._figures(
            self.work, self.users.difference, self.users.difference != 0
        )
        openings = self._figures(self.work, self.users.openings)[1]
        users, total = self._figures(self.balances, self.balances.c.balance)
        written = self._figures(self.log, self.log.c.amount)
        if written != (rows + openings, logged + opened) or total != written[1] or self._broken():
            raise CoinsError(_CHANGED)
        return Reconciliation(
            rows=rows,
            logged=logged,
            openings=openings,
            opened=opened,
            users=users,
            total=total,
            differing=differing,
            dipping=self._figures(self.work, self.users.lift, self.users.dips)[0],
            **self._shown_users(),
            column=str(self.old.column or ""),
            kept=KEPT if keep else "",
        )

    def _shown_users(self) -> dict[str, Any]:
        """The first users of whom there is more to say than the sums do."""
        work, users = self.work.c, self.users
        differences = sa.select(work.user_id, users.logged, work.stated).where(
            users.difference != 0
        )
        dips = sa.select(work.user_id, work.lowest).where(users.dips)
        pairs = sa.select(sa.func.min(work.user_id), sa.func.max(work.user_id))
        alike = pairs.group_by(sa.func.lower(work.user_id)).having(sa.func.count() > 1)
        return {
            "differences": self._first(differences.order_by(work.user_id), Difference),
            "dips": self._first(dips.order_by(work.user_id), Dip),
            "alike": self._first(alike.order_by(sa.func.min(work.user_id)), lambda *pair: pair),
        }

    def _first(self, query: sa.Select[Any], make: Callable[..., T]) -> tuple[T, ...]:
        return tuple(make(*row) for row in self.connection.execute(query.limit(_SHOWN)))

    def _figures(
        self, table: sa.FromClause, value: sa.ColumnElement[int], *where: sa.ColumnElement[bool]
    ) -> tuple[int, int]:
        total = sa.func.coalesce(sa.func.sum(value), 0)
        query = sa.select(sa.func.count(), total).select_from(table).where(*where)
        number, coins = self.connection.execute(query).one()
        return int(number), int(coins)

    def _broken(self) -> bool:
        """Whether any balance differs from the sum of its user's new entries."""
        entries, kept = self.log.c, self.balances.c
        total = sa.func.sum(entries.amount).label("total")
        sums = sa.select(entries.user_id, total).group_by(entries.user_id).subquery()
        pairs = sa.join(self.balances, sums, kept.user_id == sums.c.user_id, isouter=True)
        unequal = kept.balance != sa.func.coalesce(sums.c.total, -1)
        query = sa.select(kept.user_id).select_from(pairs).where(unequal)
        return self.connection.execute(query.limit(1)).first() is not None

    def _swap(self, result: Reconciliation) -> None:
        """Put the new tables in place; the old one, out of reach by then, must be as it was read."""
        self.old.close()
        self._execute(f"DROP TABLE {_WORK}")
        if self.mysql:
            self._execute("DROP TABLE IF EXISTS coin_balance")
        self._rename((OLD, KEPT), (_NEW, OLD), (_NEW_BALANCES, "coin_balance"))
        if self._figures(_KEPT_TABLE, _KEPT_TABLE.c.amount) != (result.rows, result.logged):
            if self.mysql:
                self._rename((OLD, _NEW), ("coin_balance", _NEW_BALANCES), (KEPT, OLD))
            raise CoinsError(_CHANGED)
        if not result.kept:
            self._execute(f"DROP TABLE {KEPT}")
        self._execute(*_ddl.sequences(self.connection, _NEW, next(self.ids)))

    def _rename(self, *pairs: tuple[str, str]) -> None:
        if self.mysql:
            self._execute("RENAME TABLE " + ", ".join(f"{old} TO {new}" for old, new in pairs))
            return
        *others, last = [f"ALTER TABLE {old} RENAME TO {new}" for old, new in pairs]
        with _ddl.references_kept(self.connection):
            self._execute(*others)
        self._execute(last)  # SQLite looks then whether views and triggers fit the new tables

    def _execute(self, *statements: str) -> None:
        for statement in statements:
            self.connection.exec_driver_sql(statement)


def _opening(account: Account, amount: int, when: datetime) -> Row:
    return Row(account.user_id, amount, "opening_balance", when)
