"""Shop, hints and hit points

Revision ID: 8a41c6e07d35
Revises: coins_0003_74358e0d
Create Date: 2026-11-26 18:33:10.482107

"""

from alembic import op
import sqlalchemy as sa


# revision identifiers, used by Alembic.
revision = "8a41c6e07d35"
down_revision = "coins_0003_74358e0d"
branch_labels = None
depends_on = None


def upgrade():
    op.create_table(
        "item",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("text", sa.String(length=200), nullable=False),
        sa.Column("icon", sa.String(length=16), nullable=False),
        sa.Column("price", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("stock", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_item")),
        sa.UniqueConstraint("name", name=op.f("uq_item_name")),
    )
    op.create_table(
        "hint",
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("question_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["question_id"], ["question.id"], name=op.f("fk_hint_question_id_question")
        ),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name=op.f("fk_hint_user_id_user")),
        sa.PrimaryKeyConstraint("user_id", "question_id", name=op.f("pk_hint")),
    )
    op.create_table(
        "purchase",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("item_id", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=9), nullable=False),
        sa.Column("hold_id", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["item_id"], ["item.id"], name=op.f("fk_purchase_item_id_item")),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name=op.f("fk_purchase_user_id_user")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_purchase")),
        sa.UniqueConstraint("hold_id", name=op.f("uq_purchase_hold_id")),
    )
    op.create_index(op.f("ix_purchase_item_id"), "purchase", ["item_id"])
    op.create_index(op.f("ix_purchase_user_id"), "purchase", ["user_id"])
    with op.batch_alter_table("boss") as batch_op:
        batch_op.add_column(
            sa.Column("hit_points", sa.Integer(), server_default="3", nullable=False)
        )
    # A streak is read from the coin log by now.
    with op.batch_alter_table("user") as batch_op:
        batch_op.drop_column("streak")
        batch_op.drop_column("last_active")


def downgrade():
    with op.batch_alter_table("user") as batch_op:
        batch_op.add_column(sa.Column("last_active", sa.Date(), nullable=True))
        batch_op.add_column(sa.Column("streak", sa.Integer(), server_default="0", nullable=False))
    with op.batch_alter_table("boss") as batch_op:
        batch_op.drop_column("hit_points")
    op.drop_table("purchase")
    op.drop_table("hint")
    op.drop_table("item")
