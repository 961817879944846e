"""Create the coin tables.

Revision ID: coins_0001_3f1c7a9d
Revises: 3f1c7a9d2b48

"""
# Origin: Flask-Coins 0.1.0, revision coins_0001.

import sqlalchemy as sa
from alembic import op
from alembic.util import CommandError
from sqlalchemy.dialects import mysql

revision = "coins_0001_3f1c7a9d"
down_revision = "3f1c7a9d2b48"
branch_labels = None
depends_on = None

# The Flask-SQLAlchemy bind that holds the coins; "" is the default database.
bind_key = ""

BIG_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
DATETIME = sa.DateTime(timezone=True).with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")


def text(length: int) -> sa.String:
    binary = mysql.VARCHAR(length, collation="utf8mb4_bin")
    return sa.String(length).with_variant(binary, "mysql", "mariadb")


def upgrade(engine_name: str = bind_key) -> None:
    if engine_name != bind_key:
        return
    if not is_there("coin_balance", "user_id", "balance", "earned", "spent"):
        create_coin_balance()
    if not is_there("coin_log", "user_id", "amount", "balance_after", "once_key"):
        create_coin_log()


def downgrade(engine_name: str = bind_key) -> None:
    if engine_name != bind_key:
        return
    # Where branches with a copy each were merged, another copy may have dropped them.
    for table in ("coin_log", "coin_balance"):
        if op.get_context().as_sql or columns_of(table):
            op.drop_table(table)


def columns_of(table: str) -> set[str]:
    """The names of an existing table's columns; none are known offline."""
    if op.get_context().as_sql:
        return set()
    inspector = sa.inspect(op.get_bind())
    if not inspector.has_table(table):
        return set()
    return {column["name"] for column in inspector.get_columns(table)}


def is_there(table: str, *own_columns: str) -> bool:
    """Whether the table is there. One of another make goes if it is an empty coin_log."""
    found = columns_of(table)
    if found >= set(own_columns):
        return True
    if found and table == "coin_balance":
        raise CommandError(
            "The table coin_balance is not Flask-Coins' own: "
            "rename it by a revision of your own that comes before this one."
        )
    if found:
        drop_another_coin_log()
    return False


def drop_another_coin_log() -> None:
    """Make room: only an empty table goes, as an older revision of the app may have made it."""
    if op.get_bind().scalar(sa.text("SELECT COUNT(*) FROM coin_log")):
        raise CommandError(
            "The table coin_log is not Flask-Coins' own, and it holds rows: "
            "move them over with 'flask coins adopt'."
        )
    op.drop_table("coin_log")


def create_coin_balance() -> None:
    op.create_table(
        "coin_balance",
        sa.Column("user_id", text(64), nullable=False),
        sa.Column("currency", text(16), nullable=False),
        sa.Column("balance", sa.BigInteger(), nullable=False),
        sa.Column("earned", sa.BigInteger(), nullable=False),
        sa.Column("spent", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", DATETIME, nullable=False),
        sa.PrimaryKeyConstraint("user_id", "currency", name=op.f("pk_coin_balance")),
        sa.CheckConstraint(
            "balance >= 0 AND balance <= 999999999999999", name=op.f("ck_coin_balance_range")
        ),
    )


def create_coin_log() -> None:
    op.create_table(
        "coin_log",
        sa.Column("id", BIG_KEY, autoincrement=True, nullable=False),
        sa.Column("user_id", text(64), nullable=False),
        sa.Column("currency", text(16), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("balance_after", sa.BigInteger(), nullable=False),
        sa.Column("reason", text(64), nullable=False),
        sa.Column("subject", text(128), server_default=sa.text("''"), nullable=False),
        sa.Column("once_key", text(64), nullable=True),
        sa.Column("idempotency_key", text(128), nullable=True),
        sa.Column("created_at", DATETIME, nullable=False),
        sa.Column("reverses_id", sa.BigInteger(), nullable=True),
        sa.Column("details", sa.JSON(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_coin_log")),
        sa.CheckConstraint("amount <> 0", name=op.f("ck_coin_log_amount")),
    )
    create_unique_indexes()
    op.create_index(op.f("ix_coin_log_user"), "coin_log", ["user_id", "currency", "id"])
    op.create_index(
        op.f("ix_coin_log_look"),
        "coin_log",
        ["user_id", "currency", "reason", "subject", "created_at"],
    )
    op.create_index(op.f("ix_coin_log_reverses"), "coin_log", ["reverses_id"])


def create_unique_indexes() -> None:
    claimed = sa.text("once_key IS NOT NULL")
    op.create_index(
        op.f("uq_coin_log_once"),
        "coin_log",
        ["user_id", "currency", "reason", "subject", "once_key"],
        unique=True,
        postgresql_where=claimed,
        sqlite_where=claimed,
    )
    keyed = sa.text("idempotency_key IS NOT NULL")
    op.create_index(
        op.f("uq_coin_log_key"),
        "coin_log",
        ["user_id", "idempotency_key"],
        unique=True,
        postgresql_where=keyed,
        sqlite_where=keyed,
    )
