"""What ``flask coins doctor`` looks at: everything that would make coins go wrong silently."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, NamedTuple

import sqlalchemy as sa
from alembic.util import CommandError
from flask import Flask
from sqlalchemy.exc import DBAPIError

from . import _install, _schema, _settings, _wiring
from ._install import TABLES
from ._state import State
from ._statements import MYSQL_FAMILY
from .errors import CoinsError, CoinsWarning

_BLOCK = sa.text(
    "SELECT seqcache FROM pg_sequence JOIN pg_depend ON objid = seqrelid"
    " WHERE refobjid = to_regclass('coin_log') AND refobjsubid > 0"
)
_IN_BLOCKS = (
    "coin_log draws ids in blocks of {}, so a user's entries are not in the order of their ids:"
    " run 'ALTER SEQUENCE coin_log_id_seq CACHE 1', and reconnect."
)
_STORAGE = sa.text(
    "SELECT table_name, engine FROM information_schema.tables"
    " WHERE table_schema = DATABASE() AND engine <> 'InnoDB' AND table_name IN :names"
).bindparams(sa.bindparam("names", expanding=True))
_NO_TRANSACTIONS = (
    "The table {0} is of the engine {1}, which has no transactions:"
    " run 'ALTER TABLE {0} ENGINE = InnoDB'."
)


class Check(NamedTuple):
    """One thing that was looked at; without faults its claim is true."""

    name: str
    claim: str
    faults: list[str]


def examine(app: Flask) -> Iterator[Check]:
    """Look at everything, in an app context; nothing is changed.

    Where the extension is not initialised on ``app`` there is nothing else to look at.
    """
    state = app.extensions.get("coins")
    if not isinstance(state, State):
        yield Check("extension", "Flask-Coins is initialised.", _not_initialised(app))
        return
    yield Check("extension", "Flask-Coins is initialised.", [])
    for name, claim, look in _LOOKS:
        yield Check(name, claim, _found(look, state))


def _found(look: Callable[[State], list[str]], state: State) -> list[str]:
    try:
        return look(state)
    except (CoinsError, CommandError) as error:
        return [str(error)]
    except DBAPIError as error:
        return [f"The database cannot be asked: {error.orig}"]


def _not_initialised(app: Flask) -> list[str]:
    absent = (
        f"{app.name!r} has no Flask-Coins: call coins.init_app(app, db) after db.init_app(app)."
    )
    if not _holds_coins(app.extensions.get("sqlalchemy")):
        return [absent]
    return [absent, "The next 'flask db migrate' would drop the coin tables of the database."]


def _holds_coins(db: Any) -> bool:
    for engine in db.engines.values() if db else ():
        try:
            inspector = sa.inspect(engine)
            if any(_is_ours(inspector, table.name) for table in TABLES):
                return True
        except DBAPIError:
            continue
    return False


def _is_ours(inspector: sa.Inspector, name: str) -> bool:
    return inspector.has_table(name) and not _install.is_foreign(inspector, name)


def _settings_faults(state: State) -> list[str]:
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always", CoinsWarning)
        _settings.read(state.app.config)
    return [str(each.message) for each in found if issubclass(each.category, CoinsWarning)]


def _table_faults(state: State) -> list[str]:
    inspector = sa.inspect(state.session.get_bind(clause=state.table))
    absent = [table.name for table in TABLES if not inspector.has_table(table.name)]
    faults = [fault for table in TABLES for fault in _faults_of(inspector, table)]
    if absent:
        faults.append(f"The database has no {' and no '.join(absent)}")
    return [fault if fault.endswith(".") else f"{fault}: {_cure(state)}" for fault in faults]


def _cure(state: State) -> str:
    """How what lacks is made in this app."""
    if "migrate" not in state.app.extensions:
        return (
            "set up Flask-Migrate and run 'flask db upgrade'"
            " (db.create_all() makes tables that are missing, but changes none)."
        )
    with suppress(CoinsError, CommandError):  # which the look at the revisions tells
        found = _install.standing()
        if not found.missing and not found.pending:
            return "'flask db migrate' writes a revision that helps, 'flask db upgrade' runs it."
    return "run 'flask db upgrade'."


def _faults_of(inspector: sa.Inspector, table: sa.Table) -> Iterator[str]:
    name = table.name
    if _install.is_foreign(inspector, name):
        yield f"The table {name} is not Flask-Coins' own: {_install.CURES[name]}"
    elif inspector.has_table(name):
        if lacking := _lacking(inspector, table):
            yield f"The table {name} lacks {', '.join(lacking)}"
        if not _install.lacking_columns(inspector, table):
            yield from _schema.differences(inspector, table)


def _lacking(inspector: sa.Inspector, table: sa.Table) -> list[str]:
    indexes = {each["name"] for each in inspector.get_indexes(table.name)}
    return [
        *(f"the column {column}" for column in _install.lacking_columns(inspector, table)),
        *sorted(
            f"the {'unique ' * bool(index.unique)}index {index.name}"
            for index in table.indexes
            if index.name not in indexes
        ),
    ]


def _storage_faults(state: State) -> list[str]:
    """What the promises rest on, as far as the engine tells; SQLite has no choice to make."""
    connection = state.session.connection(bind_arguments={"clause": state.table})
    if connection.dialect.name == "postgresql":
        size = connection.scalar(_BLOCK)
        return [] if size in (None, 1) else [_IN_BLOCKS.format(size)]
    if connection.dialect.name not in MYSQL_FAMILY:
        return []
    rows = connection.execute(_STORAGE, {"names": [table.name for table in TABLES]})
    return [_NO_TRANSACTIONS.format(*row) for row in rows]


def _revision_faults(state: State) -> list[str]:
    """Nothing where there is no Flask-Migrate: such a host makes its tables in its own way."""
    if "migrate" not in state.app.extensions:
        return []
    found = _install.standing()
    sentences = {
        "{} is not in the migrations folder: run 'flask db upgrade' or 'flask coins install'.": (
            found.missing
        ),
        "{} is not committed, or was changed: commit it.": found.uncommitted,
        "{} has not been run: run 'flask db upgrade'.": found.pending,
        "{} has been run, and its file is lost: restore it from version control.": found.unknown,
    }
    return [sentence.format(it) for sentence, found in sentences.items() for it in found]


_LOOKS: tuple[tuple[str, str, Callable[[State], list[str]]], ...] = (
    ("settings", "Every COINS_ setting is known.", _settings_faults),
    ("rules", "Every rule stands below its route.", _wiring.idle_rules),
    ("routes", "The routes under COINS_URL_PREFIX are ours alone.", _wiring.overlapping_routes),
    ("user", "The current user can be told.", _wiring.unknown_user),
    ("tables", "Every table is there, with its columns, indexes and checks.", _table_faults),
    ("storage", "The database keeps transactions, and the order of ids.", _storage_faults),
    (
        "revisions",
        "No revision is missing, still to be run or, as far as git can tell, uncommitted.",
        _revision_faults,
    ),
)
