"""${message}

Revision ID: ${up_revision}
Revises:${" " + down_revision if down_revision else ""}

"""
# Origin: Flask-Coins VERSION, revision ${up_revision}.

import sqlalchemy as sa
from alembic import op
${imports if imports else ""}

revision = "${up_revision}"
down_revision = ${'"%s"' % down_revision if down_revision else None}
branch_labels = None
depends_on = None

# The Flask-SQLAlchemy bind that holds the coins; "" is the default database.
bind_key = ""


def upgrade(engine_name: str = bind_key) -> None:
    if engine_name != bind_key:
        return
    ${upgrades if upgrades else "pass"}


def downgrade(engine_name: str = bind_key) -> None:
    if engine_name != bind_key:
        return
    ${downgrades if downgrades else "pass"}
