"""The shipped revisions themselves: never edited once landed, linear, and DDL only."""

from __future__ import annotations

import argparse
import ast
import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy.pool import NullPool

from flask_coins._install import copy_revisions
from flask_coins._models import copy_tables

from .hosts import Host

LANDED = {
    "coins_0001_create_the_coin_tables.py": "621b081ce03863122a0e1f5c59a3b0f6da936c3549a57fbf291d29263d73c222",
    "coins_0002_holds_budgets_and_transfers.py": "c6460b9d5bf8c834c66a6d848345d7bf36ef299924007033fb4cd76a103c08e2",
    "coins_0003_hide_users_from_leaderboards.py": "338e27de544020acb0d23d264c7aeb8521fa5498d93444eb10c021e34825bb31",
}
"""A revision that has landed is in hosts' histories: to change it, add another."""

ENVIRONMENT = Path(str(files("flask_coins.migrations")))
SHIPPED = sorted((ENVIRONMENT / "versions").glob("*.py"))
DDL = {
    *("create_table", "drop_table", "create_index", "drop_index", "add_column", "drop_column"),
    *("batch_alter_table", "alter_column", "f", "get_bind", "get_context"),
    *("create_check_constraint", "drop_constraint", "execute"),
}
HAND_MADE = "op.create_table('coin_log', sa.Column('user_id', sa.Integer))"


def test_no_landed_revision_was_edited() -> None:
    digests = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in SHIPPED}
    assert digests == LANDED


def test_ids_are_numbered_in_one_line_and_files_are_called_after_them() -> None:
    script = ScriptDirectory(str(ENVIRONMENT))
    line = [each.revision for each in script.walk_revisions()][::-1]
    assert line == [f"coins_{number:04}" for number in range(1, len(SHIPPED) + 1)]
    assert line == [path.name[:10] for path in SHIPPED]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name[:10])
def test_a_copy_needs_alembic_and_sqlalchemy_only(path: Path) -> None:
    imports = re.findall(r"^\s*(?:from|import) (\w+)", path.read_text(), re.MULTILINE)
    assert set(imports) <= {"alembic", "sqlalchemy"}


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name[:10])
def test_all_names_are_final_and_ours(path: Path) -> None:
    tree = ast.parse(path.read_text())
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        called = ast.unparse(call.func)
        names = [word.value for word in call.keywords if word.arg == "name"]
        names += call.args[:1] if called == "op.create_index" else []
        assert all(re.match(r"op\.f\('(pk|ck|uq|ix)_coin_", ast.unparse(name)) for name in names)
        assert not called.endswith("Constraint") or names


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name[:10])
def test_a_revision_is_ddl_only_and_guarded_for_several_databases(path: Path) -> None:
    text = path.read_text()
    assert set(re.findall(r"\bop\.(\w+)\(", text)) <= DDL
    assert all(re.match(r"\s*\"ALTER TABLE ", written) for written in text.split("op.execute(")[1:])
    assert (
        text.count("(engine_name: str = bind_key) -> None:\n    if engine_name != bind_key:") == 2
    )
    assert re.search(r"^# Origin: Flask-Coins \S+, revision coins_\d{4}\.$", text, re.MULTILINE)


def alembic(url: str) -> Config:
    options = argparse.Namespace(x=[f"url={url}"])
    return Config(ENVIRONMENT / "alembic.ini", cmd_opts=options)


def test_the_packages_own_environment_agrees_with_the_models(database_url: str) -> None:
    command.upgrade(alembic(database_url), "head")
    command.check(alembic(database_url))
    command.downgrade(alembic(database_url), "base")


def test_the_packages_own_environment_asks_for_a_database() -> None:
    with pytest.raises(Exception, match="Name a database"):
        command.upgrade(Config(ENVIRONMENT / "alembic.ini"), "head")


def plain(index: Any) -> dict[str, Any]:
    options = index.get("dialect_options", {})
    return {**index, "dialect_options": {key: str(value) for key, value in options.items()}}


def reflected(url: str) -> dict[str, Any]:
    inspector = sa.inspect(sa.create_engine(url, poolclass=NullPool))
    return {
        table: (
            [{**column, "type": str(column["type"])} for column in inspector.get_columns(table)],
            inspector.get_pk_constraint(table),
            sorted(map(plain, inspector.get_indexes(table)), key=lambda index: str(index["name"])),
            sorted(inspector.get_check_constraints(table), key=str),
        )
        for table in ("coin_balance", "coin_log", "coin_hold", "coin_budget")
        if inspector.has_table(table)
    }


def test_the_revisions_make_what_create_all_makes(database_url: str) -> None:
    command.upgrade(alembic(database_url), "head")
    by_revision = reflected(database_url)
    command.downgrade(alembic(database_url), "base")
    metadata = sa.MetaData()
    copy_tables(metadata)
    metadata.create_all(sa.create_engine(database_url, poolclass=NullPool))
    assert by_revision == reflected(database_url)


@pytest.fixture
def rebuilt(tmp_path: Path, database_url: str) -> Host:
    """A new database, and a history that made a ``coin_log`` before Flask-Coins did."""
    host = Host(tmp_path, database_url).init()
    host.revision("20240101_a", None, HAND_MADE)
    with host.create_app().app_context():
        copy_revisions()
    return host


def test_an_empty_hand_made_log_in_an_older_revision_makes_room(rebuilt: Host) -> None:
    assert rebuilt.upgraded().db("check").code == 0


def test_branches_with_a_copy_each_go_down_together(tmp_path: Path, database_url: str) -> None:
    host = Host(tmp_path, database_url).init()
    host.revision("aaaaaaaaaaaa", None)
    host.revision("bbbbbbbbbbbb", "aaaaaaaaaaaa")
    with host.create_app().app_context():
        first = copy_revisions(head="aaaaaaaaaaaa")
        kept = [copy.rename(copy.with_suffix(".kept")) for copy in first]
        copy_revisions()
        for away, copy in zip(kept, first, strict=True):
            away.rename(copy)
    assert host.db("merge", "heads").code == 0
    assert "coin_log" in host.upgraded().tables()
    assert host.db("downgrade", "base").code == 0
    assert host.tables() == {"alembic_version"}
    assert host.db("check").code == 1
    assert host.upgraded().db("check").code == 0


@pytest.mark.parametrize("columns", ["'user_id'", "'user_id', 'earned'"])
def test_a_balance_of_another_make_never_passes_for_ours(
    tmp_path: Path, database_url: str, columns: str
) -> None:
    host = Host(tmp_path, database_url).init()
    made = f"op.create_table('coin_balance', *(sa.Column(n, sa.Integer) for n in [{columns}]))"
    host.revision("20240101_a", None, made)
    with host.create_app().app_context():
        copy_revisions()
    ran = host.db("upgrade")
    assert ran.code == 1
    assert "rename it by a revision of your own that comes before this one" in ran.text


def test_a_hand_made_log_with_rows_never_goes(rebuilt: Host) -> None:
    revision = rebuilt.versions / "20240101_a.py"
    insert = HAND_MADE + "; op.execute('INSERT INTO coin_log VALUES (7)')"
    revision.write_text(revision.read_text().replace(HAND_MADE, insert))
    assert "move them over with 'flask coins adopt'" in rebuilt.db("upgrade").text


class Killed(BaseException):
    """The process died."""


@contextmanager
def killed_after(number: int) -> Iterator[None]:
    """Let whoever changes the schema die before the statement after the first ``number``."""
    left = [number]

    def step(connection: Any, cursor: Any, statement: str, *more: Any) -> None:
        if re.match(r"\s*(ALTER|CREATE|DROP)", statement) and "alembic_version" not in statement:
            if not left[0]:
                raise Killed
            left[0] -= 1

    sa.event.listen(sa.Engine, "before_cursor_execute", step)
    try:
        yield
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", step)


@pytest.mark.parametrize("up", [True, False], ids=["upgrade", "downgrade"])
def test_a_run_that_died_between_two_statements_is_finished_by_the_next(
    database_url: str, up: bool
) -> None:
    config = alembic(database_url)
    start, goal = ("coins_0001", "head") if up else ("head", "coins_0001")
    run = command.upgrade if up else command.downgrade
    command.upgrade(config, goal)
    whole = reflected(database_url)
    for number in count():
        (command.downgrade if up else command.upgrade)(config, start)
        try:
            with killed_after(number):
                run(config, goal)
        except Killed:
            run(config, goal)
            assert reflected(database_url) == whole
        else:
            break
    assert number >= 5
