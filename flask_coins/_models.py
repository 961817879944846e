"""The tables, on a declarative base of our own.

A host's base, type map and naming convention cannot reshape them: :func:`copy_tables` gives the
host's metadata plain copies, for ``create_all`` and for Alembic's autogenerate.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any
from weakref import WeakSet

import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.sql.naming import conv

from .errors import CoinsError

MAX_AMOUNT = 999_999_999_999_999
"""The largest amount and balance: fifteen digits, the integers of RFC 9651."""

OWN_COLUMNS = {
    "coin_balance": {"user_id", "balance", "earned", "spent"},
    "coin_log": {"user_id", "amount", "balance_after", "once_key"},
    "coin_hold": {"user_id", "amount", "status", "expires_at"},
    "coin_budget": {"reason", "period", "minted"},
    "coin_hidden": {"user_id", "created_at"},
}
"""By these our tables are told from others of the same name."""

CORE = frozenset({"coin_balance", "coin_log"})
"""The tables without which there are no coins at all."""

_copies: WeakSet[sa.Table] = WeakSet()
_BIG_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_DATETIME = sa.DateTime(timezone=True).with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")


def _text(length: int) -> sa.String:
    binary = mysql.VARCHAR(length, collation="utf8mb4_bin")
    return sa.String(length).with_variant(binary, "mysql", "mariadb")


def _unique(name: str, *columns: str) -> sa.Index:
    """A unique index of the rows in which the last of ``columns`` is set."""
    is_set = sa.text(f"{columns[-1]} IS NOT NULL")
    return sa.Index(conv(name), *columns, unique=True, postgresql_where=is_set, sqlite_where=is_set)


class UtcDateTime(sa.types.TypeDecorator[datetime]):
    """Aware UTC datetimes, also where the database keeps none: UTC goes in, aware UTC comes out."""

    impl = _DATETIME
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:
        if value is None or dialect.name == "postgresql":
            return value
        return value.astimezone(timezone.utc).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            return value.replace(tzinfo=timezone.utc)
        return value.astimezone(timezone.utc)


class Base(DeclarativeBase):
    """Where our models stand, apart from any base of the host's."""


class CoinBalance(Base):
    """What a user has now: one narrow row per user and currency, the lock of every movement."""

    __tablename__ = "coin_balance"

    user_id: Mapped[str] = mapped_column(_text(64))
    currency: Mapped[str] = mapped_column(_text(16))
    balance: Mapped[int] = mapped_column(sa.BigInteger)
    earned: Mapped[int] = mapped_column(sa.BigInteger)
    spent: Mapped[int] = mapped_column(sa.BigInteger)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)
    held: Mapped[int] = mapped_column(sa.BigInteger, server_default=sa.text("0"))
    """The sum of the open holds: what the balance has beyond it can be taken."""

    __table_args__ = (
        sa.PrimaryKeyConstraint("user_id", "currency", name=conv("pk_coin_balance")),
        sa.CheckConstraint(
            f"balance >= 0 AND balance <= {MAX_AMOUNT}", name=conv("ck_coin_balance_range")
        ),
        sa.CheckConstraint("held >= 0 AND held <= balance", name=conv("ck_coin_balance_held")),
    )


class CoinEntry(Base):
    """One movement. Rows are only ever added."""

    __tablename__ = "coin_log"

    id: Mapped[int] = mapped_column(_BIG_KEY, autoincrement=True)
    user_id: Mapped[str] = mapped_column(_text(64))
    currency: Mapped[str] = mapped_column(_text(16))
    amount: Mapped[int] = mapped_column(sa.BigInteger)
    balance_after: Mapped[int] = mapped_column(sa.BigInteger)
    reason: Mapped[str] = mapped_column(_text(64))
    subject: Mapped[str] = mapped_column(_text(128), server_default=sa.text("''"))
    once_key: Mapped[str | None] = mapped_column(_text(64))
    idempotency_key: Mapped[str | None] = mapped_column(_text(128))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    reverses_id: Mapped[int | None] = mapped_column(sa.BigInteger)
    details: Mapped[Any | None] = mapped_column(sa.JSON(none_as_null=True))
    counterparty: Mapped[str | None] = mapped_column(_text(64))
    """The other user of a transfer."""
    transfer_id: Mapped[int | None] = mapped_column(sa.BigInteger)
    """In the recipient's entry of a transfer, the id of the sender's."""

    __table_args__ = (
        sa.PrimaryKeyConstraint("id", name=conv("pk_coin_log")),
        sa.CheckConstraint("amount <> 0", name=conv("ck_coin_log_amount")),
        _unique("uq_coin_log_once", "user_id", "currency", "reason", "subject", "once_key"),
        _unique("uq_coin_log_key", "user_id", "idempotency_key"),
        sa.Index(conv("ix_coin_log_user"), "user_id", "currency", "id"),
        sa.Index(
            conv("ix_coin_log_look"), "user_id", "currency", "reason", "subject", "created_at"
        ),
        sa.Index(conv("ix_coin_log_reverses"), "reverses_id"),
        _unique("uq_coin_log_transfer", "user_id", "transfer_id"),
    )


class CoinHold(Base):
    """Coins that are set aside until they are captured, released or free again by themselves."""

    __tablename__ = "coin_hold"

    id: Mapped[int] = mapped_column(_BIG_KEY, autoincrement=True)
    user_id: Mapped[str] = mapped_column(_text(64))
    currency: Mapped[str] = mapped_column(_text(16))
    amount: Mapped[int] = mapped_column(sa.BigInteger)
    reason: Mapped[str] = mapped_column(_text(64))
    subject: Mapped[str] = mapped_column(_text(128), server_default=sa.text("''"))
    status: Mapped[str] = mapped_column(_text(16))
    """``open``, ``captured``, ``released`` or ``expired``; one that is past its time may be open."""
    idempotency_key: Mapped[str | None] = mapped_column(_text(128))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    closed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    entry_id: Mapped[int | None] = mapped_column(sa.BigInteger)
    """The entry of the log that captured it."""
    details: Mapped[Any | None] = mapped_column(sa.JSON(none_as_null=True))

    __table_args__ = (
        sa.PrimaryKeyConstraint("id", name=conv("pk_coin_hold")),
        sa.CheckConstraint("amount > 0", name=conv("ck_coin_hold_amount")),
        _unique("uq_coin_hold_key", "user_id", "idempotency_key"),
        sa.Index(conv("ix_coin_hold_user"), "user_id", "currency", "status"),
        sa.Index(conv("ix_coin_hold_expiry"), "status", "expires_at"),
    )


class CoinBudget(Base):
    """What a budget of the whole app has paid in one of its windows."""

    __tablename__ = "coin_budget"

    currency: Mapped[str] = mapped_column(_text(16))
    reason: Mapped[str] = mapped_column(_text(64))
    """The empty text stands for all reasons together."""
    period: Mapped[str] = mapped_column(_text(64))
    """The label of the window, such as ``day:2026-11-22``."""
    minted: Mapped[int] = mapped_column(sa.BigInteger)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)

    __table_args__ = (
        sa.PrimaryKeyConstraint("currency", "reason", "period", name=conv("pk_coin_budget")),
        sa.CheckConstraint("minted >= 0", name=conv("ck_coin_budget_minted")),
    )


class CoinHidden(Base):
    """A user who is left out of every leaderboard."""

    __tablename__ = "coin_hidden"

    user_id: Mapped[str] = mapped_column(_text(64))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)

    __table_args__ = (sa.PrimaryKeyConstraint("user_id", name=conv("pk_coin_hidden")),)


log: sa.Table = CoinEntry.__table__  # type: ignore[assignment]
balances: sa.Table = CoinBalance.__table__  # type: ignore[assignment]
holds: sa.Table = CoinHold.__table__  # type: ignore[assignment]
budgets: sa.Table = CoinBudget.__table__  # type: ignore[assignment]
hidden: sa.Table = CoinHidden.__table__  # type: ignore[assignment]


def copy_tables(metadata: sa.MetaData) -> sa.Table:
    """Put plain copies of our tables into a host's ``metadata``; the log's is returned.

    Their types are SQLAlchemy's own, so that a revision made by autogenerate imports nothing of
    ours and still loads after Flask-Coins has been uninstalled. They stand in the default schema,
    and take the place of what ``db.reflect()`` has read of our own tables.
    """
    for table in (balances, holds, budgets, hidden):
        _copied(table, metadata)
    return _copied(log, metadata)


def _copied(table: sa.Table, metadata: sa.MetaData) -> sa.Table:
    there = metadata.tables.get(table.name)
    if there is None:
        return _copy(table, metadata)
    if there in _copies:
        return there
    if not OWN_COLUMNS[table.name] <= set(there.columns.keys()):
        raise CoinsError(
            f"A table named {table.name!r} of another make stands in db.metadata. Remove that"
            " model from your code; 'flask coins adopt' then moves its rows over."
        )
    metadata.remove(there)
    return _copy(table, metadata)


def _copy(table: sa.Table, metadata: sa.MetaData) -> sa.Table:
    # to_metadata() takes no BLANK_SCHEMA, and would put the copy into the schema of the metadata.
    schema, metadata.schema = metadata.schema, None
    try:
        copy = table.to_metadata(metadata)
    finally:
        metadata.schema = schema
    _copies.add(copy)
    for column in copy.columns:
        if isinstance(column.type, UtcDateTime):
            column.type = _DATETIME
    return copy
