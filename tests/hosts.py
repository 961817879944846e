"""Throw-away apps with migrations, as hosts have them: each in a folder of its own."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import flask_migrate
import sqlalchemy as sa
from alembic.script import ScriptDirectory
from flask import Flask
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.pool import NullPool

from flask_coins import Coins

SOURCE = """
import os
import sys

from flask import Flask
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy

app = Flask(__name__)
app.config["SQLALCHEMY_DATABASE_URI"] = os.environ["HOST_URL"]
db = SQLAlchemy(app)
Migrate(app, db)

if "UNINSTALLED" in os.environ:
    sys.modules["flask_coins"] = None
else:
    from flask_coins import Coins

    Coins(app, db)
"""
"""``host.py`` of a host that is run by ``python -m flask --app host``."""

GUARDED_ENV = """
from alembic import context
from flask import current_app

extension = current_app.extensions["migrate"]


def leave_out_empty_revisions(context, revision, directives):
    if getattr(context.config.cmd_opts, "autogenerate", False) and (
        directives[0].upgrade_ops.is_empty()
    ):
        directives[:] = []


with extension.db.engine.connect() as connection:
    context.configure(
        connection=connection,
        target_metadata=extension.db.metadata,
        process_revision_directives=leave_out_empty_revisions,
        **extension.configure_args,
    )
    with context.begin_transaction():
        context.run_migrations()
"""
"""An ``env.py`` that breaks when another ``process_revision_directives`` is in the arguments."""


class Ran(NamedTuple):
    """How a command ended, and all that it said."""

    code: int
    text: str


class Host:
    """An app in ``folder`` on the database at ``url``; every command runs on a fresh one."""

    def __init__(self, folder: Path, url: str, **options: Any) -> None:
        self.folder = folder
        self.migrations = folder / "migrations"
        self.versions = self.migrations / "versions"
        self.url = url
        self.options = options

    def create_app(self) -> Flask:
        """A new app, as a new process would have it."""
        options = self.options
        app = Flask("host", root_path=str(self.folder))
        app.config["SQLALCHEMY_DATABASE_URI"] = self.url
        app.config["SQLALCHEMY_ENGINE_OPTIONS"] = {"poolclass": NullPool}
        app.config.update(options.get("config", {}))
        db = SQLAlchemy(app, **options.get("db", {}))
        options.get("models", lambda db: None)(db)
        migrate = options.get("migrate", {})
        extensions: list[Callable[[], object]] = [
            lambda: migrate is not None and Migrate(app, db, str(self.migrations), **migrate),
            lambda: options.get("coins", True) and Coins(app, db, bind_key=options.get("bind_key")),
        ]
        for extension in extensions[:: -1 if options.get("coins_first") else 1]:
            extension()
        return app

    def init(self, *args: str) -> Host:
        """``flask db init``, without the configuration of logging, which is the test run's."""
        assert self.db("init", *args).code == 0
        env = self.migrations / "env.py"
        env.write_text(env.read_text().replace("\nfileConfig(config", "\n(lambda _: None)(config"))
        return self

    def db(self, *args: str, app: Flask | None = None) -> Ran:
        """``flask db …``"""
        app = app or self.create_app()
        with _listening() as records:
            result = app.test_cli_runner().invoke(args=["db", *args])
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Ran(result.exit_code, result.output + "\n".join(records))

    def upgraded(self) -> Host:
        """``flask db upgrade``, which must succeed."""
        ran = self.db("upgrade")
        assert ran.code == 0, ran.text
        return self

    def upgrade_in_code(self) -> None:
        """``flask_migrate.upgrade()``, as apps call it when they start."""
        with _listening(), self.create_app().app_context():
            flask_migrate.upgrade()

    def run(self, *args: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """``python -m flask --app host …`` in a process, on :data:`SOURCE`."""
        (self.folder / "host.py").write_text(SOURCE)
        command = [sys.executable, "-m", "flask", "--app", "host", *args]
        environment = {**os.environ, "HOST_URL": self.url, **environment}
        return subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False
        )

    def revision(self, id_: str, down: str | None, upgrade: str = "pass", name: str = "") -> Path:
        """Write a revision of the host's own."""
        self.versions.mkdir(exist_ok=True)
        file = self.versions / f"{name or id_}.py"
        file.write_text(
            "import sqlalchemy as sa\nfrom alembic import op\n"
            f"revision = {id_!r}\ndown_revision = {down!r}\n\n\n"
            f"def upgrade(engine_name=''):\n    {upgrade}\n\n\n"
            "def downgrade(engine_name=''):\n    pass\n"
        )
        return file

    def files(self) -> dict[str, bytes]:
        """The revisions in the folder, by name, byte for byte."""
        return {path.name: path.read_bytes() for path in sorted(self.versions.glob("*.py"))}

    def copies(self) -> list[Path]:
        """The copies of the shipped revisions, in order."""
        return sorted(self.versions.glob("coins_*.py"))

    def copy_ids(self) -> list[str]:
        """The ids of the copies, in order."""
        return [path.name[:19] for path in self.copies()]

    def lose(self, *numbers: int) -> Host:
        """Delete copies, all of them by default."""
        for path in [self.copy(number) for number in numbers] or self.copies():
            path.unlink()
        return self

    def copy(self, number: int = 1) -> Path:
        """The one copy of ``coins_0001``, or of a later one."""
        (copy,) = self.versions.glob(f"coins_{number:04}_*.py")
        return copy

    def heads(self) -> list[str]:
        """The heads of the folder."""
        return ScriptDirectory(str(self.migrations)).get_heads()

    def execute(self, *statements: str) -> list[Any]:
        """Run SQL in a transaction; the rows of the last statement."""
        with self.engine().begin() as connection:
            results = [connection.exec_driver_sql(statement) for statement in statements]
            return [tuple(row) for row in results[-1]] if results[-1].returns_rows else []

    def engine(self) -> sa.Engine:
        """An engine of the test's own."""
        return sa.create_engine(self.url, poolclass=NullPool)

    def tables(self) -> set[str]:
        """The tables in the database."""
        return set(sa.inspect(self.engine()).get_table_names())

    def at(self) -> set[str]:
        """What the database says it has run."""
        return {row[0] for row in self.execute("SELECT version_num FROM alembic_version")}


@contextmanager
def _listening() -> Any:
    """Collect what Flask-Migrate and the app's logger say, at any level."""
    records: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: records.append(  # type: ignore[method-assign]
        f"{record.levelname} {record.name}: {record.getMessage()}"
    )
    loggers = [logging.getLogger(name) for name in ("flask_migrate", "host")]
    for logger in loggers:
        logger.addHandler(handler)
    try:
        with warnings.catch_warnings():
            # Flask-Migrate's own env.py calls it first, for older versions' sake.
            warnings.filterwarnings("ignore", "'get_engine' is deprecated", DeprecationWarning)
            yield records
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
