"""Runs the shipped revisions on the database given as ``-x url=…``, against the package's models."""

import sqlalchemy as sa
from alembic import context
from alembic.util import CommandError

from flask_coins._models import copy_tables

options = {"target_metadata": sa.MetaData(), "render_as_batch": True, "compare_type": True}
copy_tables(options["target_metadata"])
url = context.get_x_argument(as_dictionary=True).get("url")

if url is None:
    raise CommandError("Name a database: alembic -x url=sqlite:///coins.db …")

if context.is_offline_mode():
    context.configure(url=url, literal_binds=True, **options)
    with context.begin_transaction():
        context.run_migrations()
else:
    with sa.create_engine(url, poolclass=sa.NullPool).connect() as connection:
        context.configure(connection=connection, **options)
        with context.begin_transaction():
            context.run_migrations()
