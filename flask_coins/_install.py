"""Bringing the shipped revisions into a host, by ``flask db upgrade`` or ``flask coins install``.

Before anything is written, the database is looked at: a revision that it has run and the folder
has lost, or a table of the same name that is not ours, stops the upgrade with what to do about it.
"""

from __future__ import annotations

import inspect
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import click
import flask_migrate
import sqlalchemy as sa
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.util import CommandError
from flask import Flask, appcontext_pushed, current_app, request_started

from ._copies import COPY_ID, Copy, Folder, environment, holds_copy, lost_copy
from ._logs import fields
from ._models import CORE, OWN_COLUMNS, balances, budgets, hidden, holds, log
from .errors import CoinsError

_BIND = "coins_bind"
_RENAME = "rename it by a revision of your own, and run that with 'flask db upgrade REV'."
CURES = {
    **dict.fromkeys(OWN_COLUMNS, _RENAME),
    "coin_log": f"move its rows over with 'flask coins adopt', or, if they are no coins, {_RENAME}",
}
TABLES = (balances, log, holds, budgets, hidden)
_VERSIONS = ["version_num"]


@dataclass(frozen=True)
class Standing:
    """How a host stands with the shipped revisions, as ``flask coins doctor`` tells it."""

    missing: tuple[str, ...]
    """Shipped revisions that have no copy in the folder."""
    uncommitted: tuple[Path, ...]
    """Copies that git does not hold as they are."""
    pending: tuple[str, ...]
    """Revisions in the folder that make coin tables and that the database has not run."""
    unknown: tuple[str, ...]
    """Revisions that the database has run and the folder does not hold."""


class _Found(NamedTuple):
    """What the database that holds the coins has."""

    heads: tuple[str, ...]
    """The revisions that it has run."""
    foreign: list[str]
    """Tables that only have the name of ours."""
    absent: list[str]
    """Those of our tables that are not there."""
    lacking: list[str]
    """The columns that those lack which are there, as ``table.column``."""
    version_table: str | None
    """Where ``env.py`` seems to keep the revisions that made our tables, when nobody tells us."""


def connect(app: Flask, bind_key: str | None = None) -> None:
    """Have ``flask db upgrade`` copy what is missing, whatever the order of the extensions."""
    app.extensions[_BIND] = bind_key
    if not _hook(app):
        appcontext_pushed.connect(_hook_later, app)
        request_started.connect(_stop_waiting, app)


def copy_revisions(
    directory: str | Path | None = None, *, head: str | None = None, check: bool = False
) -> list[Path]:
    """Copy what is missing into the host's folder and return the new files, in order.

    Needs an app context. ``directory`` is Flask-Migrate's by default. The copies go after the one
    head, or after ``head`` (a revision, or "base"). With ``check`` nothing is written: the files
    that are missing are returned. The database is not looked at.

    Raises CoinsError when there is no such folder or revision, several heads, a lost revision that
    others build on, or no right to write.
    """
    config, bind_key = _config(directory), _bind_key()
    restored = [] if check else _restore(config, bind_key)
    copies = Folder(config).missing(bind_key, head)
    return restored + [copy.path if check else copy.write() for copy in copies]


def heads(directory: str | Path | None = None) -> list[str]:
    """The heads of the host's folder. Needs an app context; CoinsError when there is no folder."""
    return Folder(_config(directory)).heads


def standing() -> Standing:
    """Compare shipped revisions, folder, git and database. Needs an app context; writes nothing.

    Raises CoinsError when there is no folder, or when it does not load.
    """
    folder = Folder(_config(None))
    reached = _look().heads
    run = folder.ancestors(head for head in reached if head in folder.revisions)
    return Standing(
        missing=tuple(revision.id for revision in folder.absent),
        uncommitted=_uncommitted(sorted(Path(it.path) for it in folder.copies.values())),
        pending=tuple(sorted(folder.makers - run)),
        unknown=tuple(head for head in reached if head not in folder.revisions),
    )


def engine() -> sa.Engine:
    """The engine of the bind that holds the coins of the current app.

    Raises CoinsError when the app has no such bind.
    """
    engines: dict[str | None, sa.Engine] = current_app.extensions["sqlalchemy"].engines
    bind_key = _bind_key()
    if bind_key not in engines:
        meant = f"key {bind_key!r} of SQLALCHEMY_BINDS" if bind_key else "SQLALCHEMY_DATABASE_URI"
        raise CoinsError(f"The coins are to be kept under the {meant}, which is not set.")
    return engines[bind_key]


def is_foreign(inspector: sa.Inspector, name: str) -> bool:
    """Whether the database's table ``name`` has only the name of the package's."""
    if not inspector.has_table(name):
        return False
    return not OWN_COLUMNS[name] <= {column["name"] for column in inspector.get_columns(name)}


def lacking_columns(inspector: sa.Inspector, table: sa.Table) -> list[str]:
    """The columns of ``table`` that the database's does not have: all of one that is not there."""
    there = inspector.has_table(table.name)
    found = {it["name"] for it in inspector.get_columns(table.name)} if there else set()
    return [column.name for column in table.columns if column.name not in found]


def _hook(app: Flask) -> bool:
    """Add our callback to the app's ``Migrate``, which may serve other apps and know it already."""
    if "migrate" not in app.extensions:
        return False
    migrate = app.extensions["migrate"].migrate
    if _on_configure not in migrate.configure_callbacks:
        migrate.configure(_on_configure)
    return True


def _hook_later(app: Flask, **_: Any) -> None:
    if _hook(app):
        appcontext_pushed.disconnect(_hook_later, app)


def _stop_waiting(app: Flask, **_: Any) -> None:
    """An app that serves requests is set up: if it has no ``Migrate`` by now, it will get none."""
    appcontext_pushed.disconnect(_hook_later, app)
    request_started.disconnect(_stop_waiting, app)


def _on_configure(config: Config) -> Config:
    """Flask-Migrate's callback, before each of its commands. A CommandError becomes one line."""
    there = Path(config.get_main_option("script_location") or "", "env.py").exists()
    if there and _BIND in current_app.extensions and _upgrades_to_head():
        try:
            if _is_for_coins(config):
                _before_upgrade(config)
        except CoinsError as error:
            raise CommandError(str(error)) from error
    return config


def _is_for_coins(config: Config) -> bool:
    """Whether copies go into this folder: beside the app's own, another serves another database.

    Where the app's own is not there, or is the package's (in a checkout), there is but this one.
    """
    place = Path(config.get_main_option("script_location") or "").resolve()
    own = Path(current_app.extensions["migrate"].migrate.directory).resolve()
    alone = not (own / "env.py").exists() or own == environment()
    return place == own or alone or holds_copy(config)


def _upgrades_to_head() -> bool:
    """Whether the command is an online upgrade to head.

    The callback is told the configuration only, so the arguments are read where they are: in the
    frame of ``flask_migrate.upgrade``, which the command line and hosts' code both go through.
    """
    code = inspect.unwrap(flask_migrate.upgrade).__code__
    frame = inspect.currentframe()
    while frame is not None and frame.f_code is not code:
        frame = frame.f_back
    if frame is None:
        return False
    return frame.f_locals["revision"] in ("head", "heads") and not frame.f_locals["sql"]


def _before_upgrade(config: Config) -> None:
    bind_key = _bind_key()
    allowed = bool(current_app.config.get("COINS_INSTALL_MIGRATIONS", True))
    found = _look()
    if allowed:
        _refuse(found.foreign)
        _tell(_restore(config, bind_key))
    folder = Folder(config)
    if folder.absent and (obstacle := _obstacle(folder, found, allowed, bind_key)):
        names = " and ".join(revision.id for revision in folder.absent)
        were = "was" if len(folder.absent) == 1 else "were"
        click.echo(f"Flask-Coins: {names} {were} not copied: {obstacle}", err=True)
        return
    _refuse(found.foreign)
    copies = folder.missing(bind_key)
    if _all_known(folder, found.heads, copies):
        _tell([copy.write() for copy in copies])
        if not copies and (lost := _lost(found, folder)):
            click.echo(f"Flask-Coins: the database has no {lost}", err=True)


def _lost(found: _Found, folder: Folder) -> str:
    """What the database lacks though no revision is left that would make it, and the cure."""
    run = folder.ancestors(found.heads)
    lost = found.absent if folder.makers <= run else []
    lost = lost + (found.lacking if run >= set(folder.revisions) else [])
    if not lost:
        return ""
    why = "and no revision that is still to be run makes it"
    if folder.copies:
        why = f"though it has run {' and '.join(sorted(folder.makers))}"
    return f"{' and no '.join(lost)}, {why}: 'flask db migrate' writes a revision that helps."


def _obstacle(folder: Folder, found: _Found, allowed: bool, bind_key: str | None) -> str | None:
    if not allowed:
        return "run 'flask coins install' (COINS_INSTALL_MIGRATIONS is off)."
    if len(folder.heads) > 1:
        return "there are several heads. Join them, or run 'flask coins install --head REV'."
    if bind_key and "engine_name" not in Path(folder.script.dir, "env.py").read_text("utf-8"):
        return f"the bind {bind_key!r} needs an env.py as 'flask db init --multidb' writes it."
    if found.version_table:
        return (
            f"env.py seems to keep the revisions in {found.version_table}. Name it in "
            f"Migrate(app, db, version_table={found.version_table!r}) instead; if it is another "
            "app's, run 'flask coins install'."
        )
    return None


def _look() -> _Found:
    arguments = current_app.extensions["migrate"].configure_args
    table = {key: arguments[key] for key in arguments if key.startswith("version_table")}
    with engine().connect() as connection:
        heads = MigrationContext.configure(connection, opts=table).get_current_heads()
        inspector = sa.inspect(connection)
        lacking = {table.name: lacking_columns(inspector, table) for table in TABLES}
        absent = [name for name in OWN_COLUMNS if not inspector.has_table(name)]
        named = table.get("version_table", "alembic_version")
        return _Found(
            heads,
            [it for it in OWN_COLUMNS if is_foreign(inspector, it)],
            absent,
            [f"{it}.{column}" for it in lacking if it not in absent for column in lacking[it]],
            None if heads or CORE.intersection(absent) else _other_version_table(inspector, named),
        )


def _other_version_table(inspector: sa.Inspector, named: str) -> str | None:
    tables = inspector.get_multi_columns().items()
    alike = [name for (_, name), columns in tables if [it["name"] for it in columns] == _VERSIONS]
    return next((name for name in alike if name != named), None)


def _refuse(foreign: Iterable[str]) -> None:
    for name in foreign:
        raise CoinsError(
            f"The database holds a table {name} that is not Flask-Coins' own, nothing was changed: "
            f"{CURES[name]}"
        )


def _all_known(folder: Folder, heads: Iterable[str], copies: Iterable[Copy]) -> bool:
    """Whether the folder, with ``copies``, holds all that the database has run.

    A revision of the host's own is left to Alembic to report; for one of ours there is a cure.
    """
    known = {*folder.revisions, *(copy.id for copy in copies)}
    unknown = [head for head in heads if head not in known]
    for copy_id in unknown:
        if COPY_ID.fullmatch(copy_id):
            remedy = _other_cure(folder, copy_id, alone=len(unknown) == len(list(heads)) == 1)
            raise CoinsError(
                f"The database has run {copy_id}, which is not in {folder.script.dir}, nothing was "
                f"changed: restore its file from version control{remedy}."
            )
    return not unknown


def _other_cure(folder: Folder, copy_id: str, *, alone: bool) -> str:
    """The lost copy made again; or, where another has its place, the database put before it."""
    line = folder.line_to(copy_id)
    if not line:
        return ""
    parent = line[0] or "base"
    option = "" if folder.script.dir == "migrations" else f" -d {folder.script.dir}"
    if any(copy.id == copy_id for copy in folder.missing(_bind_key(), parent)):
        merge = "" if [parent] == folder.heads else " and then 'flask db merge heads'"
        return f", or run 'flask coins install{option} --head {parent}'{merge}"
    others = [folder.copies[it[:10]].revision for it in line[1:] if it[:10] in folder.copies]
    if alone and others:
        return (
            f", or, as {others[-1]} makes the same tables and keeps those that are there, "
            f"{_before_stamp()}run 'flask db stamp{option} --purge {parent}' and then "
            f"'flask db upgrade{option}'"
        )
    return ""


def _before_stamp() -> str:
    knows_purge = "purge" in inspect.signature(flask_migrate.stamp).parameters
    return "" if knows_purge else "update Flask-Migrate to 4.0.6 or newer, "


def _restore(config: Config, bind_key: str | None) -> list[Path]:
    written: list[Path] = []
    while (copy := lost_copy(config, bind_key)) and copy.path not in written:
        written.append(copy.write())
    return written


def _tell(paths: Iterable[Path]) -> None:
    for path in paths:
        near = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
        message = f"Flask-Coins wrote {near}: commit it."
        click.echo(message)
        if not any(stream and stream.isatty() for stream in (sys.stdout, sys.stderr)):
            current_app.logger.warning(message, extra=fields("migration_copied"))


def _bind_key() -> str | None:
    bind_key: str | None = current_app.extensions[_BIND]
    return bind_key


def _config(directory: str | Path | None) -> Config:
    if "migrate" not in current_app.extensions:
        raise CoinsError("Flask-Migrate is not set up on this app: add Migrate(app, db).")
    migrate = current_app.extensions["migrate"].migrate
    place = Path(directory or migrate.directory)
    if not (place / "env.py").exists():
        raise CoinsError(f"There is no migrations folder {place}: run 'flask db init' first.")
    config: Config = migrate.get_config(place)
    return config


def _uncommitted(paths: Iterable[Path]) -> tuple[Path, ...]:
    """Those that are untracked, ignored or changed; none where there is no git to ask."""
    git = shutil.which("git")
    return tuple(path for path in paths if git and _git_status(git, path))


def _git_status(git: str, path: Path) -> str:
    command = [git, "-C", str(path.parent), "status", "--porcelain", "--ignored", "--", path.name]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout  # noqa: S603
