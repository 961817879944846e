"""Add holds, budgets and transfers.

Revision ID: coins_0002_56709d3b
Revises: coins_0001_3f1c7a9d

"""
# Origin: Flask-Coins 0.2.0, revision coins_0002.

import sqlalchemy as sa
from alembic import op
from alembic.util import CommandError
from sqlalchemy.dialects import mysql

revision = "coins_0002_56709d3b"
down_revision = "coins_0001_3f1c7a9d"
branch_labels = None
depends_on = None

# The Flask-SQLAlchemy bind that holds the coins; "" is the default database.
bind_key = ""

BIG_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
DATETIME = sa.DateTime(timezone=True).with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
HELD = "held >= 0 AND held <= balance"


def text(length: int) -> sa.String:
    binary = mysql.VARCHAR(length, collation="utf8mb4_bin")
    return sa.String(length).with_variant(binary, "mysql", "mariadb")


def upgrade(engine_name: str = bind_key) -> None:
    if engine_name != bind_key:
        return
    if "held" not in columns_of("coin_balance"):
        add_held()
    if "transfer_id" not in columns_of("coin_log"):
        add_transfers()
    if not is_there("coin_hold", "user_id", "amount", "status", "expires_at"):
        create_coin_hold()
    if not is_there("coin_budget", "reason", "period", "minted"):
        create_coin_budget()


def downgrade(engine_name: str = bind_key) -> None:
    if engine_name != bind_key:
        return
    # Where branches with a copy each were merged, another copy may have gone down already.
    offline = op.get_context().as_sql
    for table in ("coin_budget", "coin_hold"):
        if offline or columns_of(table):
            op.drop_table(table)
    if offline or "transfer_id" in columns_of("coin_log"):
        op.drop_index(op.f("uq_coin_log_transfer"), table_name="coin_log")
        op.drop_column("coin_log", "transfer_id")
        op.drop_column("coin_log", "counterparty")
    if offline or "held" in columns_of("coin_balance"):
        if op.get_context().dialect.name != "sqlite":
            op.drop_constraint(op.f("ck_coin_balance_held"), "coin_balance", type_="check")
        op.drop_column("coin_balance", "held")


def columns_of(table: str) -> set[str]:
    """The names of an existing table's columns; none are known offline."""
    if op.get_context().as_sql:
        return set()
    inspector = sa.inspect(op.get_bind())
    if not inspector.has_table(table):
        return set()
    return {column["name"] for column in inspector.get_columns(table)}


def is_there(table: str, *own_columns: str) -> bool:
    """Whether the table is there; one of another make stops the upgrade."""
    found = columns_of(table)
    if found and not found >= set(own_columns):
        raise CommandError(
            f"The table {table} is not Flask-Coins' own: "
            "rename it by a revision of your own that comes before this one."
        )
    return bool(found)


def add_held() -> None:
    if op.get_context().dialect.name == "sqlite":
        # In place: a batch would rebuild the table, and lose the triggers that a host put on it.
        op.execute(
            "ALTER TABLE coin_balance ADD COLUMN held BIGINT DEFAULT 0 NOT NULL"
            f" CONSTRAINT ck_coin_balance_held CHECK ({HELD})"
        )
        return
    held = sa.Column("held", sa.BigInteger(), server_default=sa.text("0"), nullable=False)
    op.add_column("coin_balance", held)
    op.create_check_constraint(op.f("ck_coin_balance_held"), "coin_balance", HELD)


def add_transfers() -> None:
    op.add_column("coin_log", sa.Column("counterparty", text(64), nullable=True))
    op.add_column("coin_log", sa.Column("transfer_id", sa.BigInteger(), nullable=True))
    linked = sa.text("transfer_id IS NOT NULL")
    op.create_index(
        op.f("uq_coin_log_transfer"),
        "coin_log",
        ["user_id", "transfer_id"],
        unique=True,
        postgresql_where=linked,
        sqlite_where=linked,
    )


def create_coin_hold() -> None:
    op.create_table(
        "coin_hold",
        sa.Column("id", BIG_KEY, autoincrement=True, nullable=False),
        sa.Column("user_id", text(64), nullable=False),
        sa.Column("currency", text(16), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("reason", text(64), nullable=False),
        sa.Column("subject", text(128), server_default=sa.text("''"), nullable=False),
        sa.Column("status", text(16), nullable=False),
        sa.Column("idempotency_key", text(128), nullable=True),
        sa.Column("created_at", DATETIME, nullable=False),
        sa.Column("expires_at", DATETIME, nullable=True),
        sa.Column("closed_at", DATETIME, nullable=True),
        sa.Column("entry_id", sa.BigInteger(), nullable=True),
        sa.Column("details", sa.JSON(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_coin_hold")),
        sa.CheckConstraint("amount > 0", name=op.f("ck_coin_hold_amount")),
    )
    keyed = sa.text("idempotency_key IS NOT NULL")
    op.create_index(
        op.f("uq_coin_hold_key"),
        "coin_hold",
        ["user_id", "idempotency_key"],
        unique=True,
        postgresql_where=keyed,
        sqlite_where=keyed,
    )
    op.create_index(op.f("ix_coin_hold_user"), "coin_hold", ["user_id", "currency", "status"])
    op.create_index(op.f("ix_coin_hold_expiry"), "coin_hold", ["status", "expires_at"])


def create_coin_budget() -> None:
    op.create_table(
        "coin_budget",
        sa.Column("currency", text(16), nullable=False),
        sa.Column("reason", text(64), nullable=False),
        sa.Column("period", text(64), nullable=False),
        sa.Column("minted", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", DATETIME, nullable=False),
        sa.PrimaryKeyConstraint("currency", "reason", "period", name=op.f("pk_coin_budget")),
        sa.CheckConstraint("minted >= 0", name=op.f("ck_coin_budget_minted")),
    )
