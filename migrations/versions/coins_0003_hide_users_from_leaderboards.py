"""Let users be hidden from leaderboards.

Revision ID: coins_0003
Revises: coins_0002

"""
# Origin: Flask-Coins 0.3.0, revision coins_0003.

import sqlalchemy as sa
from alembic import op
from alembic.util import CommandError
from sqlalchemy.dialects import mysql

revision = "coins_0003"
down_revision = "coins_0002"
branch_labels = None
depends_on = None

# The Flask-SQLAlchemy bind that holds the coins; "" is the default database.
bind_key = ""

DATETIME = sa.DateTime(timezone=True).with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")


def text(length: int) -> sa.String:
    binary = mysql.VARCHAR(length, collation="utf8mb4_bin")
    return sa.String(length).with_variant(binary, "mysql", "mariadb")


def upgrade(engine_name: str = bind_key) -> None:
    if engine_name != bind_key:
        return
    if not is_there("coin_hidden", "user_id", "created_at"):
        create_coin_hidden()


def downgrade(engine_name: str = bind_key) -> None:
    if engine_name != bind_key:
        return
    # Where branches with a copy each were merged, another copy may have gone down already.
    if op.get_context().as_sql or columns_of("coin_hidden"):
        op.drop_table("coin_hidden")


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


def create_coin_hidden() -> None:
    op.create_table(
        "coin_hidden",
        sa.Column("user_id", text(64), nullable=False),
        sa.Column("created_at", DATETIME, nullable=False),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_coin_hidden")),
    )
