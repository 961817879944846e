"""Reading a hand-made ``coin_log`` and a column of coins, with every value checked."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import date, datetime, time, timezone, tzinfo
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa

from . import _checks
from ._install import is_foreign
from ._models import MAX_AMOUNT
from .errors import CoinsError, InvalidInput

OLD, KEPT = "coin_log", "coin_log_before_coins"
SHOWN_FAULTS = 5
"""How many faults an error names."""
_COLUMNS = ("user_id", "amount", "reason", "created_at")


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
    details: dict[str, Any] | None


def find_balance_column(engine: sa.Engine) -> BalanceColumn | None:
    """The column ``coins`` of a table whose primary key is one column; None if there is none.

    Of several, the one that ``coin_log.user_id`` refers to; CoinsError if it refers to none.
    """
    inspector = sa.inspect(engine)
    found = [
        BalanceColumn(table, keys[0], "coins")
        for table in inspector.get_table_names()
        if "coins" in _types(inspector, table)
        and len(keys := inspector.get_pk_constraint(table)["constrained_columns"]) == 1
    ]
    meant = [each for each in found if each.table in _referred(inspector)] or found
    if len(meant) > 1:
        names = ", ".join(map(str, meant))
        raise CoinsError(f"Several tables have a column of coins ({names}): say which is meant.")
    return meant[0] if meant else None


def refuse_shape(connection: sa.Connection, column: BalanceColumn | None) -> None:
    """CoinsError for what the tables' shape alone rules out."""
    inspector = sa.inspect(connection)
    _require(inspector, OLD, _COLUMNS)
    if column:
        _require(inspector, column.table, column[1:])
    for (_, table), keys in inspector.get_multi_foreign_keys().items():
        if table != OLD and any(key["referred_table"] == OLD for key in keys):
            raise _refusal(f"drop the foreign key of {table} to it first")
    if inspector.has_table(KEPT):
        raise _refusal(f"drop the table {KEPT}, or give it another name")
    if is_foreign(inspector, "coin_balance"):
        raise _refusal("a table coin_balance of another make needs another name")
    filled = sa.text("SELECT COUNT(*) FROM coin_balance")
    if inspector.has_table("coin_balance") and connection.scalar(filled):
        raise _refusal("coin_balance holds balances already")


class OldLog:
    """The old tables, read with the driver's own values in the order of time."""

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
        separate = connection.dialect.name in ("mysql", "mariadb")
        self._reader = connection.engine.connect() if separate else connection
        self._separate = separate

    def close(self) -> None:
        """Let go of the tables: a rename waits for all who read them."""
        if self._separate:
            self._reader.close()

    def rows(self, size: int) -> Iterator[list[Row]]:
        """All rows, in order of ``created_at`` and ``id``, at most ``size`` at a time.

        CoinsError names the first rows that the new log cannot hold.
        """
        faults: list[str] = []
        for chunk in self._stream(self._query(), size):
            rows = []
            for values in chunk:
                try:
                    rows.append(self._row(values))
                except InvalidInput as error:
                    faults.append(f"\n  {_label(values)}: {error}")
            if len(faults) >= SHOWN_FAULTS:
                break
            yield rows
        if faults:
            raise _refusal("correct these rows first" + "".join(faults[:SHOWN_FAULTS]))

    def stated_balances(self, size: int) -> Iterator[dict[str, int]]:
        """What the old column says of each user, at most ``size`` at a time; NULL says nothing."""
        if self.column is None:
            return
        table, id_, coins = self.column
        for chunk in self._stream(_select(table, id_, coins), size):
            yield {
                self._user_id(values[id_], table): whole(values[coins])
                for values in chunk
                if values[coins] is not None
            }

    def count_and_sum(self, table: str = OLD) -> tuple[int, int]:
        """How many rows the table has, and the sum of their amounts."""
        query = f"SELECT COUNT(*), COALESCE(SUM(amount), 0) FROM {table}"  # noqa: S608
        rows, total = self._reader.exec_driver_sql(query).one()
        return int(rows), int(total)

    def _query(self) -> sa.Select[Any]:
        query = _select(OLD, *self.types)
        order = [name for name in ("created_at", "id") if name in self.types]
        return query.order_by(*(query.selected_columns[name] for name in order))

    def _stream(self, query: sa.Select[Any], size: int) -> Iterator[Sequence[sa.RowMapping]]:
        with self._reader.execute(query, execution_options={"yield_per": size}) as result:
            yield from result.mappings().partitions()

    def _row(self, values: sa.RowMapping) -> Row:
        amount = whole(values["amount"])
        if amount == 0 or abs(amount) > MAX_AMOUNT:
            raise InvalidInput(f"an amount cannot be {amount}: delete or split the row.")
        extra = {name: _json(values[name]) for name in self.types if name not in _COLUMNS}
        return Row(
            user_id=self._user_id(values["user_id"], OLD),
            amount=amount,
            reason=_checks.reason(values["reason"]),
            created_at=_moment(values["created_at"], self.zone),
            details={"adopted": extra} if extra else None,
        )

    def _user_id(self, value: Any, table: str) -> str:
        """The text that the app will use: SQLAlchemy keeps a UUID as CHAR(32) where it must."""
        kind = self.id_types[table]
        if isinstance(kind, sa.CHAR) and kind.length == 32 and re.fullmatch("[0-9a-f]{32}", value):
            return str(UUID(value))
        if not isinstance(value, int | str | UUID):
            raise InvalidInput(f"a user id is an integer, text or UUID, not {value!r}.")
        return _checks.user_id(value)


def _select(table: str, *names: str) -> sa.Select[Any]:
    """Columns without types: what the driver gives is what is checked."""
    columns: list[sa.ColumnClause[Any]] = [sa.column(name) for name in names]
    return sa.select(*sa.table(table, *columns).c)


def whole(value: Any) -> int:
    """``value`` as an int, if it is a whole number."""
    if isinstance(value, int | float | Decimal) and value == value // 1:
        return int(value)
    raise InvalidInput(f"{value!r} is not a whole number.")


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
        raise InvalidInput(f"{value!r} is not a time that can be read.") from error
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


def _types(inspector: sa.Inspector, table: str) -> dict[str, Any]:
    return {column["name"]: column["type"] for column in inspector.get_columns(table)}


def _referred(inspector: sa.Inspector) -> list[str]:
    keys = inspector.get_foreign_keys(OLD) if inspector.has_table(OLD) else []
    return [key["referred_table"] for key in keys if key["constrained_columns"] == ["user_id"]]


def _require(inspector: sa.Inspector, table: str, columns: Sequence[str]) -> None:
    if not inspector.has_table(table):
        raise CoinsError(f"There is no table {table}.")
    lacking = [name for name in columns if name not in _types(inspector, table)]
    if lacking:
        raise CoinsError(f"The table {table} has no column {', '.join(lacking)}.")


def _refusal(reason: str) -> CoinsError:
    return CoinsError(f"{OLD} cannot be adopted as it is, nothing was changed: {reason}.")
