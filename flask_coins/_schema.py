"""Whether our tables are in the database as they were made, and what mends them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from ._statements import MYSQL_FAMILY

_TRIMMINGS = re.compile(r"::\w+|[\s\"'`()]")
"""What engines add to a condition when they tell it: casts, quotes and brackets."""


def differences(inspector: sa.Inspector, table: sa.Table) -> Iterator[str]:
    """What of ``table`` is not as we make it: keys, checks and indexes, each with its cure.

    Indexes that are not there are no matter of this: 'flask db migrate' sees them too.
    """
    yield from _key(inspector, table)
    yield from _checks(inspector, table)
    yield from _indexes(inspector, table)


def _key(inspector: sa.Inspector, table: sa.Table) -> Iterator[str]:
    # SQLite refuses to write without it. Who distributes the tables has a longer one.
    there = inspector.get_pk_constraint(table.name)["constrained_columns"]
    if not there and inspector.dialect.name != "sqlite":
        columns = ", ".join(column.name for column in table.primary_key)
        statement = f"ALTER TABLE {table.name} ADD PRIMARY KEY ({columns})"
        yield f"The table {table.name} has no primary key: run '{statement}'."


def _checks(inspector: sa.Inspector, table: sa.Table) -> Iterator[str]:
    found = inspector.get_check_constraints(table.name)
    texts = {_plain(each["sqltext"]) for each in found}
    names = {each["name"] for each in found}
    ours = [it for it in table.constraints if isinstance(it, sa.CheckConstraint)]
    for check in sorted(ours, key=lambda it: str(it.name)):
        if _plain(check.sqltext) not in texts:
            changed = check.name in names
            cure = _rebuild if inspector.dialect.name == "sqlite" else _alter
            yield (
                f"The check {check.name} of the table {table.name}"
                f" {'is not ours' if changed else 'is missing'}: {cure(table, check, changed)}"
            )


def _alter(table: sa.Table, check: sa.CheckConstraint, changed: bool) -> str:
    drop = f"DROP CONSTRAINT {check.name}, " if changed else ""
    add = f"ADD CONSTRAINT {check.name} CHECK ({check.sqltext})"
    return f"run 'ALTER TABLE {table.name} {drop}{add}'."


def _rebuild(table: sa.Table, check: sa.CheckConstraint, changed: bool) -> str:
    """SQLite changes no check of a table that is there: Alembic makes the table anew."""
    drop = f'batch.drop_constraint("{check.name}", type_="check"); ' if changed else ""
    return (
        f"""run a revision with 'with op.batch_alter_table("{table.name}") as batch: {drop}"""
        f"""batch.create_check_constraint("{check.name}", "{check.sqltext}")'."""
    )


def _indexes(inspector: sa.Inspector, table: sa.Table) -> Iterator[str]:
    there = {each["name"]: each for each in inspector.get_indexes(table.name)}
    dialect = inspector.dialect
    for index in sorted(table.indexes, key=lambda it: str(it.name)):
        found: Any = there.get(str(index.name))
        if found and not _is(found, index, dialect):
            drop = sa.schema.DropIndex(index).compile(dialect=dialect)
            make = sa.schema.CreateIndex(index).compile(dialect=dialect)
            yield (
                f"The index {index.name} of the table {table.name} is not ours:"
                f" run '{_line(drop)}' and '{_line(make)}'."
            )


def _is(found: Any, index: sa.Index, dialect: sa.Dialect) -> bool:
    """Whether both index the same rows by the same columns as a whole, and as uniquely."""
    options = found.get("dialect_options", {})
    if dialect.name in MYSQL_FAMILY:
        partly = bool(options.get(f"{dialect.name}_length"))
    else:
        rows = index.dialect_options[dialect.name].get("where")
        partly = _plain(options.get(f"{dialect.name}_where")) != _plain(rows)
    columns = [it.name for it in index.columns]
    ours = (columns, bool(index.unique))
    return (found["column_names"], bool(found["unique"])) == ours and not partly


def _line(statement: Any) -> str:
    return " ".join(str(statement).split())


def _plain(condition: Any) -> str:
    return _TRIMMINGS.sub("", str(condition)).lower()
