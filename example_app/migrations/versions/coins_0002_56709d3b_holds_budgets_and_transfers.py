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
    # Each step by itself: where DDL is not transactional, an upgrade may have stopped between two.
    if "held" not in columns_of("coin_balance"):
        add_held()
    elif op.get_context().dialect.name != "sqlite" and not has_check():
        op.create_check_constraint(op.f("ck_coin_balance_held"), "coin_balance", HELD)
    add_transfers()
    if not is_there("coin_hold", "user_id", "amount", "status", "expires_at"):
        create_coin_hold()
    create_hold_indexes()
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
    if offline or "uq_coin_log_transfer" in indexes_of("coin_log"):
        op.drop_index(op.f("uq_coin_log_transfer"), table_name="coin_log")
    for column in ("transfer_id", "counterparty"):
        if offline or column in columns_of("coin_log"):
            op.drop_column("coin_log", column)
    if offline or "held" in columns_of("coin_balance"):
        drop_held()


def columns_of(table: str) -> set[str]:
    """The names of an existing table's columns; none are known offline."""
    if op.get_context().as_sql:
        return set()
    inspector = sa.inspect(op.get_bind())
    if not inspector.has_table(table):
        return set()
    return {column["name"] for column in inspector.get_columns(table)}


def indexes_of(table: str) -> set[str]:
    """The names of an existing table's indexes; none are known offline."""
    if op.get_context().as_sql or not columns_of(table):
        return set()
    return {str(index["name"]) for index in sa.inspect(op.get_bind()).get_indexes(table)}


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
    """In one statement, so never without its check.

    On SQLite in place: a batch would rebuild the table, and lose the triggers that a host put on it.
    """
    also = "" if op.get_context().dialect.name == "sqlite" else ", ADD"
    op.execute(
        "ALTER TABLE coin_balance ADD COLUMN held BIGINT DEFAULT 0 NOT NULL"
        f"{also} CONSTRAINT ck_coin_balance_held CHECK ({HELD})"
    )


def has_check() -> bool:
    """Whether the check is there: autogenerate, where a host has used it, adds the column alone."""
    if op.get_context().as_sql:
        return True
    checks = sa.inspect(op.get_bind()).get_check_constraints("coin_balance")
    return "ck_coin_balance_held" in [check["name"] for check in checks]


def drop_held() -> None:
    if op.get_context().dialect.name != "sqlite":
        if has_check():
            op.execute(
                "ALTER TABLE coin_balance DROP CONSTRAINT ck_coin_balance_held, DROP COLUMN held"
            )
        else:
            op.drop_column("coin_balance", "held")
        return
    try:
        op.drop_column("coin_balance", "held")
    except sa.exc.OperationalError:
        # create_all() wrote the check behind the columns, where SQLite lets no column go.
        with op.batch_alter_table("coin_balance") as batch:
            batch.drop_constraint(op.f("ck_coin_balance_held"), type_="check")
            batch.drop_column("held")


def add_transfers() -> None:
    there = columns_of("coin_log")
    if "counterparty" not in there:
        op.add_column("coin_log", sa.Column("counterparty", text(64), nullable=True))
    if "transfer_id" not in there:
        op.add_column("coin_log", sa.Column("transfer_id", sa.BigInteger(), nullable=True))
    if "uq_coin_log_transfer" in indexes_of("coin_log"):
        return
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


def create_hold_indexes() -> None:
    there = indexes_of("coin_hold")
    keyed = sa.text("idempotency_key IS NOT NULL")
    if "uq_coin_hold_key" not in there:
        op.create_index(
            op.f("uq_coin_hold_key"),
            "coin_hold",
            ["user_id", "idempotency_key"],
            unique=True,
            postgresql_where=keyed,
            sqlite_where=keyed,
        )
    if "ix_coin_hold_user" not in there:
        op.create_index(op.f("ix_coin_hold_user"), "coin_hold", ["user_id", "currency", "status"])
    if "ix_coin_hold_expiry" not in there:
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
