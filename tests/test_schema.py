"""``flask coins doctor`` on keys, checks and indexes: each is named with what mends it, on every engine."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations
from flask import Flask
from flask_sqlalchemy import SQLAlchemy

from flask_coins import Coins
from flask_coins._install import TABLES

CHECKS = sorted(
    (table.name, str(check.name), str(check.sqltext))
    for table in TABLES
    for check in table.constraints
    if isinstance(check, sa.CheckConstraint)
)
INDEXES = sorted((each for table in TABLES for each in table.indexes), key=lambda it: str(it.name))
Faults = Callable[[], list[str]]


@pytest.fixture
def faults(app: Flask, coins: Coins) -> Faults:
    """``faults()``: what doctor says of the tables."""
    coins.current_user_loader(lambda: 7)

    def look() -> list[str]:
        result = app.test_cli_runner().invoke(args=["coins", "doctor", "--json"])
        checks = json.loads(result.stdout)["checks"]
        return next(each["faults"] for each in checks if each["name"] == "tables")

    return look


class Table:
    """One of our tables, to be spoilt and mended by hand."""

    def __init__(self, engine: sa.Engine, name: str) -> None:
        self.engine, self.name = engine, name

    @property
    def on_sqlite(self) -> bool:
        return self.engine.dialect.name == "sqlite"

    def run(self, *statements: str) -> None:
        with self.engine.begin() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)

    def write(self, old: str, new: str) -> None:
        """Make the table of SQLite anew, as empty as it is, with another text."""
        with self.engine.begin() as connection:
            query = f"SELECT sql FROM sqlite_master WHERE tbl_name = '{self.name}' AND sql <> ''"
            made, *indexes = connection.exec_driver_sql(query).scalars()
        assert made.count(old) == 1
        self.run(f"DROP TABLE {self.name}", made.replace(old, new), *indexes)

    def loses_check(self, name: str, text: str, instead: str = "") -> None:
        """Drop a check; ``instead`` is the text of another one of its name."""
        added = f"CONSTRAINT {name} CHECK ({instead})"
        if self.on_sqlite:
            old = f", \n\tCONSTRAINT {name} CHECK ({text})"
            return self.write(old, f", \n\t{added}" if instead else "")
        self.run(f"ALTER TABLE {self.name} DROP CONSTRAINT {name}")
        return self.run(f"ALTER TABLE {self.name} ADD {added}") if instead else None

    def mend(self, fault: str) -> None:
        """Do what doctor has told."""
        if revision := re.search("run a revision with '(.*)'", fault):
            with self.engine.begin() as connection:
                op = Operations(MigrationContext.configure(connection))
                exec(revision[1], {"op": op})
            return
        told = re.findall(r"'((?:ALTER|DROP|CREATE) .*?)'(?= and |\.$)", fault)
        assert told
        self.run(*told)


@pytest.fixture
def table(app: Flask, db: SQLAlchemy) -> Callable[[str], Table]:
    """``table(name)``."""

    def found(name: str) -> Table:
        with app.app_context():
            return Table(db.engine, name)

    return found


Find = Callable[[str], Table]


def test_tables_that_we_made_are_as_they_must_be(faults: Faults) -> None:
    assert faults() == []


@pytest.mark.parametrize(("of", "name", "text"), CHECKS, ids=[name for _, name, _ in CHECKS])
@pytest.mark.parametrize("instead", ["", "1 = 1"])
def test_a_check_that_is_lost_or_another_is_named_with_its_cure(
    table: Find, faults: Faults, of: str, name: str, text: str, instead: str
) -> None:
    table(of).loses_check(name, text, instead)
    (fault,) = faults()
    what = "is not ours" if instead else "is missing"
    assert fault.startswith(f"The check {name} of the table {of} {what}: run ")
    table(of).mend(fault)
    assert faults() == []


def test_the_pages_show_what_is_told(table: Find, faults: Faults) -> None:
    balance = table("coin_balance")
    balance.loses_check("ck_coin_balance_held", "held >= 0 AND held <= balance")
    (told,) = re.findall("'(.*)'", *faults())
    page = Path(__file__).parents[1] / "docs" / "migrations.md"
    assert balance.on_sqlite or f'op.execute("{told}")' in page.read_text("utf-8")


def test_the_same_check_under_another_name_does(table: Find, faults: Faults) -> None:
    log = table("coin_log")
    if log.on_sqlite:
        log.write("CONSTRAINT ck_coin_log_amount CHECK (amount <> 0)", "CHECK ((AMOUNT <> 0))")
    else:
        log.loses_check("ck_coin_log_amount", "amount <> 0")
        log.run("ALTER TABLE coin_log ADD CONSTRAINT theirs CHECK ((amount <> 0))")
    assert faults() == []


@pytest.mark.parametrize("index", INDEXES, ids=lambda index: index.name)
def test_an_index_on_other_columns_is_named_with_its_cure(
    table: Find, faults: Faults, index: sa.Index
) -> None:
    of = table(index.table.name)
    columns = [column.name for column in index.columns]
    changed = ", ".join(columns[1:] or ["currency"])
    spoil(
        of, index, f"CREATE {'UNIQUE ' * bool(index.unique)}INDEX {index.name} ON {{}} ({changed})"
    )
    fault = the_fault(faults, index)
    of.mend(fault)
    assert faults() == []


@pytest.mark.parametrize("index", [it for it in INDEXES if it.unique], ids=lambda index: index.name)
def test_an_index_that_is_unique_no_more_is_named_with_its_cure(
    table: Find, faults: Faults, index: sa.Index
) -> None:
    of = table(index.table.name)
    columns = ", ".join(column.name for column in index.columns)
    spoil(of, index, f"CREATE INDEX {index.name} ON {{}} ({columns})")
    of.mend(the_fault(faults, index))
    assert faults() == []


def test_an_index_of_some_rows_is_named_with_its_cure(table: Find, faults: Faults) -> None:
    log = table("coin_log")
    index = next(it for it in INDEXES if it.name == "uq_coin_log_once")
    columns = "user_id, currency, reason, subject, once_key"
    some = " WHERE once_key = 'forever'"
    if log.engine.dialect.name == "mariadb":
        columns, some = columns.replace("once_key", "once_key(9)"), ""
    spoil(log, index, f"CREATE UNIQUE INDEX {index.name} ON {{}} ({columns}){some}")
    log.mend(the_fault(faults, index))
    assert faults() == []


def test_a_lost_primary_key_is_named_with_its_cure(table: Find, faults: Faults) -> None:
    balance = table("coin_balance")
    if balance.on_sqlite:
        pytest.skip("there nothing is written without it")
    on_mariadb = balance.engine.dialect.name == "mariadb"
    key = "PRIMARY KEY" if on_mariadb else "CONSTRAINT pk_coin_balance"
    balance.run(f"ALTER TABLE coin_balance DROP {key}")
    (fault,) = faults()
    assert fault.startswith("The table coin_balance has no primary key: run ")
    balance.mend(fault)
    assert faults() == []


def test_what_a_host_adds_is_no_fault(table: Find, faults: Faults) -> None:
    log = table("coin_log")
    log.run("CREATE INDEX ix_coin_log_time ON coin_log (currency, created_at)")
    if not log.on_sqlite:
        log.run("ALTER TABLE coin_log ADD CONSTRAINT theirs CHECK (amount < 1000)")
    assert faults() == []


def spoil(table: Table, index: Any, statement: str) -> None:
    on = f" ON {table.name}" if table.engine.dialect.name == "mariadb" else ""
    table.run(f"DROP INDEX {index.name}{on}", statement.format(table.name))


def the_fault(faults: Faults, index: Any) -> str:
    (fault,) = faults()
    assert fault.startswith(f"The index {index.name} of the table {index.table.name} is not ours: ")
    return fault
