"""Reading a hand-made ``coin_log`` and a column of coins, with every value checked."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import date, datetime, time, timezone, tzinfo
from decimal import Decimal
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

import sqlalchemy as sa

from . import _checks
from ._install import is_foreign
from ._models import MAX_AMOUNT
from ._statements import MYSQL_FAMILY
from .errors import CoinsError, InvalidInput

OLD, KEPT = "coin_log", "coin_log_before_coins"
SHOWN_FAULTS = 5
"""How many faults an error names."""
_COLUMNS = ("user_id", "amount", "reason", "created_at")
_OURS_TOO = ("subject", "currency")
"""Columns that an old log may have, and that mean the same in ours."""
_USERS = re.compile("(user|account|member|player|student|profile)s?", re.IGNORECASE)
"""Names of tables whose key is a user's id, also where no foreign key says so."""
_TRIGGERS = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = :log",
    "postgresql": "SELECT tgname FROM pg_trigger WHERE tgrelid = to_regclass(:log) AND NOT tgisinternal",
    "mysql": "SELECT trigger_name FROM information_schema.triggers WHERE event_object_table = :log"
    " AND event_object_schema = DATABASE()",
}
_TRIGGERS["mariadb"] = _TRIGGERS["mysql"]

T = TypeVar("T")


class BalanceColumn(NamedTuple):
    """Where a host keeps its users' coins."""

    table: str
    id: str
    coins: str

    def __str__(self) -> str:
        return f"{self.table}.{self.coins}"


class Row(NamedTuple):
    """A row of the old log, as the new one keeps it."""

    user_id: str
    amount: int
    reason: str
    created_at: datetime
    details: dict[str, Any] | None = None
    subject: str = ""


def find_balance_column(engine: sa.Engine) -> BalanceColumn | None:
    """The column ``coins`` of the users' table; None if no table has such a column.

    Where ``coin_log.user_id`` has a foreign key, only the table that it refers to is the users'.
    Otherwise it is the one table with the column, if it is named as users are. CoinsError if the
    column is in other tables: coins of a quest or a shop must not become somebody's balance.
    """
    inspector = sa.inspect(engine)
    referred = _referred(inspector)
    found = [
        BalanceColumn(table, key, "coins")
        for table in inspector.get_table_names()
        if table != OLD and "coins" in _types(inspector, table)
        for key in [referred.get(table) or _key(inspector, table)]
    ]
    meant = [each for each in found if each.table in referred]
    if not referred and len(found) == 1 and _is_of_users(inspector, found[0]):
        meant = found
    if found and len(meant) != 1:
        names = ", ".join(map(str, found))
        raise CoinsError(
            f"{OLD}.user_id does not tell whether these are the users' coins: {names}. Say where"
            " they are with --balance TABLE.COLUMN, or --balance none."
        )
    return meant[0] if meant else None


def refuse_shape(connection: sa.Connection, column: BalanceColumn | None) -> None:
    """CoinsError for what the tables' shape alone rules out."""
    inspector = sa.inspect(connection)
    _require(inspector, OLD, _COLUMNS)
    if column:
        _require(inspector, column.table, column[1:])
    for (_, table), keys in inspector.get_multi_foreign_keys().items():
        if table != OLD and any(key["referred_table"] == OLD for key in keys):
            raise refusal(f"drop the foreign key of {table} to it first.")
    if trigger := _trigger(connection):
        raise refusal(f"its trigger {trigger} would be lost, drop it first.")
    if inspector.has_table(KEPT):
        raise refusal(f"drop the table {KEPT}, or give it another name.")
    if is_foreign(inspector, "coin_balance"):
        raise refusal("a table coin_balance of another make needs another name.")
    filled = sa.text("SELECT COUNT(*) FROM coin_balance")
    if inspector.has_table("coin_balance") and connection.scalar(filled):
        raise refusal("coin_balance holds balances already.")


class _Sorted:
    """Rows in the order of time, in a temporary file: they may be too many for the memory.

    The old database cannot sort them where times are text, nor the same way twice where rows have
    no ids.
    """

    def __init__(self) -> None:
        self._file = sqlite3.connect("")
        self._file.execute(
            "CREATE TABLE row (place INTEGER PRIMARY KEY,"
            " user_id TEXT, amount INTEGER, reason TEXT, moment TEXT, details TEXT, subject TEXT)"
        )

    def add(self, rows: Iterable[Row]) -> None:
        """Put ``rows`` behind those that are there; of one moment they stay in this order."""
        kept = (
            (
                *row[:3],
                row.created_at.isoformat(timespec="microseconds"),
                json.dumps(row.details),
                row.subject,
            )
            for row in rows
        )
        self._file.executemany("INSERT INTO row VALUES (NULL, ?, ?, ?, ?, ?, ?)", kept)

    def read(self, size: int) -> Iterator[list[Row]]:
        """All rows, at most ``size`` at a time."""
        columns = "user_id, amount, reason, subject, moment, details"
        cursor = self._file.execute(f"SELECT {columns} FROM row ORDER BY moment, place")  # noqa: S608
        while found := cursor.fetchmany(size):
            yield [
                Row(user, amount, reason, datetime.fromisoformat(at), json.loads(details), subject)
                for user, amount, reason, subject, at, details in found
            ]

    def close(self) -> None:
        """Remove the file."""
        self._file.close()


class OldLog:
    """The old tables: every value as the driver gives it is checked."""

    def __init__(
        self, connection: sa.Connection, column: BalanceColumn | None, zone: tzinfo
    ) -> None:
        inspector = sa.inspect(connection)
        self.column = column
        self.zone = zone
        self.types = _types(inspector, OLD)
        self.id_types = {OLD: self.types["user_id"]}
        if column:
            self.id_types[column.table] = _types(inspector, column.table)[column.id]
        # MariaDB's drivers cannot stream on a connection that also writes; SQLite locks out others.
        separate = connection.dialect.name in MYSQL_FAMILY
        self._reader = connection.engine.connect() if separate else connection
        self._separate = separate
        self._sorted = _Sorted()

    def close(self) -> None:
        """Let go of the tables: a rename waits for all who read them."""
        self._sorted.close()
        if self._separate:
            self._reader.close()

    def read(self, size: int, told: Callable[[int], object]) -> None:
        """Read the log, ``size`` rows at a time; ``told`` gets how many they were.

        CoinsError names the first rows that the new log cannot hold.
        """
        query = _select(OLD, *self.types)
        if "id" in self.types:
            query = query.order_by(query.selected_columns["id"])
        for rows in self._checked(query, size, self._row, _label):
            self._sorted.add(rows)
            told(len(rows))

    def rows(self, size: int) -> Iterator[list[Row]]:
        """What was read, in order of ``created_at`` and ``id``, at most ``size`` at a time."""
        return self._sorted.read(size)

    def stated_balances(self, size: int) -> Iterator[dict[str, int]]:
        """What the old column says of each user, at most ``size`` at a time; NULL says nothing.

        CoinsError names the first users of whom it says what cannot be a balance.
        """
        if self.column is None:
            return
        table, id_, coins = self.column
        query = _select(table, id_, coins).where(sa.column(coins).is_not(None))

        def pair(values: sa.RowMapping) -> tuple[str, int]:
            return self._user_id(values[id_], table), _stated(values[coins])

        for pairs in self._checked(query, size, pair, lambda values: f"{table} {values[id_]}"):
            yield dict(pairs)

    def count_and_sum(self) -> tuple[int, int]:
        """How many rows the old log has, and the sum of their amounts."""
        query = f"SELECT COUNT(*), COALESCE(SUM(amount), 0) FROM {OLD}"  # noqa: S608
        rows, total = self._reader.exec_driver_sql(query).one()
        return int(rows), int(total)

    def refusal_of_balances(self, number: int, first: Iterable[Sequence[Any]]) -> CoinsError:
        """The error for ``number`` users whose balances cannot be; ``first`` of them are named."""
        users = [f"\n  user {user_id}: {balance}" for user_id, balance in first]
        more = [f"\n  and {number - len(users):,} more"] if number > len(users) else []
        lacking = f"rows in {OLD} for what they lack"
        cure = f"These users need {lacking}, or say where their coins are by --balance:"
        if self.column:
            cure = (
                f"Set {self.column} of these users to what they have, or to 0; who is not in"
                f" {self.column.table} needs {lacking}:"
            )
        return refusal(f"balances go from 0 to {MAX_AMOUNT:,}. {cure}{''.join(users + more)}")

    def _checked(
        self,
        query: sa.Select[Any],
        size: int,
        read: Callable[[sa.RowMapping], T],
        label: Callable[[sa.RowMapping], str],
    ) -> Iterator[list[T]]:
        """What ``read`` makes of the query's rows; CoinsError names the first that it refuses."""
        faults: list[str] = []
        for chunk in self._stream(query, size):
            done = []
            for values in chunk:
                try:
                    done.append(read(values))
                except InvalidInput as error:
                    faults.append(f"\n  {label(values)}: {error}")
            if len(faults) >= SHOWN_FAULTS:
                break
            yield done
        if faults:
            raise refusal("correct these rows first." + "".join(faults[:SHOWN_FAULTS]))

    def _stream(self, query: sa.Select[Any], size: int) -> Iterator[Sequence[sa.RowMapping]]:
        with self._reader.execute(query, execution_options={"yield_per": size}) as result:
            yield from result.mappings().partitions()

    def _row(self, values: sa.RowMapping) -> Row:
        amount = _whole(values["amount"])
        if amount == 0 or abs(amount) > MAX_AMOUNT:
            raise InvalidInput(
                f"an amount cannot be {_checks.shown(amount)}: delete or split the row."
            )
        if values.get("currency") not in (None, "coins"):
            raise InvalidInput(
                f"its currency is {_checks.shown(values['currency'])}, and only 'coins' are adopted:"
                " move it to another table."
            )
        known = (*_COLUMNS, *_OURS_TOO)
        extra = {name: _json(values[name]) for name in self.types if name not in known}
        return Row(
            user_id=self._user_id(values["user_id"], OLD),
            amount=amount,
            reason=_checks.reason(values["reason"]),
            created_at=_moment(values["created_at"], self.zone),
            details={"adopted": extra} if extra else None,
            subject=_subject(values.get("subject")),
        )

    def _user_id(self, value: Any, table: str) -> str:
        """The text that the app will use."""
        if not isinstance(value, int | str | UUID):
            raise InvalidInput(
                f"a user id is an integer, text or UUID, not {_checks.shown(value)}."
            )
        packed = _checks.is_packed(self.id_types[table])
        return _checks.user_id(_checks.unpacked(value) if packed else value)


def _select(table: str, *names: str) -> sa.Select[Any]:
    """Columns without types: what the driver gives is what is checked."""
    columns: list[sa.ColumnClause[Any]] = [sa.column(name) for name in names]
    return sa.select(*sa.table(table, *columns).c)


def _whole(value: Any) -> int:
    """``value`` as an int, if it is a whole number."""
    with suppress(ArithmeticError, ValueError):  # of infinity, and of what is not a number
        if isinstance(value, int | float | Decimal) and value == int(value):
            return int(value)
    raise InvalidInput(f"{_checks.shown(value)} is not a whole number.")


def _subject(value: Any) -> str:
    return "" if value == "" else _checks.subject(value)


def _stated(value: Any) -> int:
    coins = _whole(value)
    if abs(coins) > MAX_AMOUNT:
        raise InvalidInput(f"a balance cannot be {_checks.shown(value)}.")
    return coins


def _moment(value: Any, zone: tzinfo) -> datetime:
    """``value`` in UTC: a datetime, a date (its midnight) or ISO text; naive ones are in ``zone``."""
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime.combine(value, time())
    try:
        if isinstance(value, str):
            value = datetime.fromisoformat(value.replace("Z", "+00:00"))
        moment = value if value.tzinfo else value.replace(tzinfo=zone)
        utc: datetime = moment.astimezone(timezone.utc)
    except (AttributeError, TypeError, ValueError, OverflowError) as error:
        raise InvalidInput(f"{_checks.shown(value)} is not a time that can be read.") from error
    return utc


def _json(value: Any) -> Any:
    """``value`` for the entry's details."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, date):
        return value.isoformat()
    try:
        return _checks.details(value)
    except InvalidInput:
        return str(value)


def _label(values: sa.RowMapping) -> str:
    if "id" in values:
        return f"id {values['id']}"
    return f"user {values['user_id']} at {values['created_at']}"


def _trigger(connection: sa.Connection) -> str | None:
    """The name of a trigger on the old log."""
    query = sa.text(_TRIGGERS[connection.dialect.name])
    name: str | None = connection.scalar(query, {"log": OLD})
    return name


def _types(inspector: sa.Inspector, table: str) -> dict[str, Any]:
    return {column["name"]: column["type"] for column in inspector.get_columns(table)}


def _referred(inspector: sa.Inspector) -> dict[str, str]:
    """The tables that ``coin_log.user_id`` refers to, each with the column that is meant there."""
    keys = inspector.get_foreign_keys(OLD) if inspector.has_table(OLD) else []
    return {
        # One of another schema is nowhere among the tables that are looked at.
        ".".join(filter(None, (key["referred_schema"], key["referred_table"]))): column
        for key in keys
        if key["constrained_columns"] == ["user_id"]
        for column in key["referred_columns"]
    }


def _key(inspector: sa.Inspector, table: str) -> str:
    """The column that is the table's primary key; the empty text if it is not one column."""
    keys = inspector.get_pk_constraint(table)["constrained_columns"]
    return keys[0] if len(keys) == 1 else ""


def _is_of_users(inspector: sa.Inspector, column: BalanceColumn) -> bool:
    """Whether the table's key is a user's id, by what the table is named.

    Where a ``user_id`` stands beside another key, as in many a table of profiles, it is not.
    """
    named = _USERS.fullmatch(column.table) is not None
    own = column.id == "user_id" or "user_id" not in _types(inspector, column.table)
    return named and own and bool(column.id)


def _require(inspector: sa.Inspector, table: str, columns: Sequence[str]) -> None:
    if not inspector.has_table(table):
        raise CoinsError(f"There is no table {table}.")
    lacking = [name for name in columns if name not in _types(inspector, table)]
    if lacking:
        raise CoinsError(f"The table {table} has no column {', '.join(lacking)}.")


def refusal(reason: str) -> CoinsError:
    """The error that says why, and that the old log is as it was."""
    return CoinsError(f"{OLD} cannot be adopted as it is, nothing was changed: {reason}")
