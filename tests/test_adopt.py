"""Moving a hand-made ``coin_log`` over, on every engine."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.pool import NullPool

from flask_coins import Coins, CoinsError, Outcome, _adopt
from flask_coins._adopt import adopt, steps
from flask_coins._models import OWN_COLUMNS, balances, holds, log
from flask_coins._old_log import BalanceColumn, find_balance_column
from flask_coins._verify import faults

from .apps import NOON, create_app
from .hosts import Host
from .statements import before

DAY = timedelta(days=1)
START = datetime(2026, 1, 1, 9)
COLUMN = BalanceColumn("users", "id", "coins")


class Old:
    """The tables of a host that kept coins by itself."""

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine

    def make(self, *columns: sa.Column[Any], key: Any = sa.Integer, **types: Any) -> Old:
        """Make the users and the log; ``types`` are other types of its columns."""
        metadata = sa.MetaData(naming_convention={"pk": "pk_%(table_name)s"})
        self.users = sa.Table(
            "users",
            metadata,
            sa.Column("id", key, primary_key=True, autoincrement=False),
            sa.Column("coins", sa.Integer),
        )
        self.log = sa.Table(
            "coin_log",
            metadata,
            *columns,
            sa.Column("user_id", key),
            sa.Column("amount", types.get("amount", sa.BigInteger)),
            sa.Column("reason", types.get("reason", sa.String(200))),
            sa.Column("created_at", types.get("created_at", sa.DateTime)),
            sa.Index("ix_coin_log_user", "user_id"),
        )
        metadata.create_all(self.engine)
        return self

    def add(self, *rows: tuple[Any, ...], coins: dict[Any, int | None] | None = None) -> Old:
        """Rows of (user, amount, reason, day, other columns…) and what the column says."""
        names = [column.name for column in self.log.columns if column.name not in _LAST]
        with self.engine.begin() as connection:
            for user, amount, reason, day, *others in rows:
                when = START + day * DAY if isinstance(day, int) else day
                values = dict(zip(_LAST, (user, amount, reason, when), strict=True))
                connection.execute(
                    self.log.insert(), {**values, **dict(zip(names, others, strict=False))}
                )
            for user, has in (coins or {}).items():
                connection.execute(self.users.insert(), {"id": user, "coins": has})
        return self

    def entries(self, *names: str) -> list[tuple[Any, ...]]:
        """Columns of the new log, in order."""
        columns = [log.c[name] for name in names or ("user_id", "amount", "balance_after")]
        with self.engine.connect() as connection:
            return [
                tuple(row) for row in connection.execute(sa.select(*columns).order_by(log.c.id))
            ]

    def balances(self) -> dict[str, tuple[int, int, int]]:
        """Balance, earned and spent of each user, after a proof that they are the log's."""
        there = "coin_hold" in self.tables()
        with self.engine.connect() as connection:
            holds.create(connection, checkfirst=True)  # which the next upgrade would make
            assert list(faults(connection)) == []
            if not there:
                holds.drop(connection)
            return {row.user_id: tuple(row[2:5]) for row in connection.execute(sa.select(balances))}

    def execute(self, *statements: str) -> Old:
        """Run other SQL."""
        with self.engine.begin() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)
        return self

    def tables(self) -> set[str]:
        return set(sa.inspect(self.engine).get_table_names())


_LAST = ("user_id", "amount", "reason", "created_at")


def identity() -> sa.Column[Any]:
    return sa.Column("id", sa.Integer, primary_key=True)


@pytest.fixture
def old(database_url: str) -> Old:
    return Old(sa.create_engine(database_url, poolclass=NullPool))


@pytest.fixture
def usual(old: Old) -> Old:
    """Three users, of whom the column says less, more and the same as the log."""
    return old.make(identity()).add(
        *((1, 100, "goal", 0), (2, 3, "goal", 1), (3, 15, "goal", 2), (3, -5, "shop", 3)),
        coins={1: 40, 2: 5, 3: 10, 4: 7, 5: 0, 6: None},
    )


def host_of(old: Old) -> tuple[Flask, Coins]:
    """An app on the adopted database."""
    coins = Coins(clock=lambda: NOON)
    unpooled = {"poolclass": NullPool}
    url = str(old.engine.url)
    return create_app(url, SQLAlchemy(), coins, SQLALCHEMY_ENGINE_OPTIONS=unpooled), coins


# -- what is moved ---------------------------------------------------------------------------


def test_every_row_keeps_its_time_in_the_order_of_time_and_id(old: Old) -> None:
    old.make(identity()).add((1, 5, "third", 2), (1, 7, "first", 0), (1, -1, "second", 0))
    assert adopt(old.engine).rows == 3
    times = [(START + day * DAY).replace(tzinfo=timezone.utc) for day in (0, 0, 2)]
    assert old.entries("reason", "created_at") == [
        *zip(("first", "second", "third"), times, strict=True)
    ]
    assert old.entries() == [("1", 7, 7), ("1", -1, 6), ("1", 5, 11)]


def test_balances_earned_and_spent_are_filled(usual: Old) -> None:
    adopt(usual.engine)
    assert usual.balances() == {"1": (100, 100, 0), "2": (3, 3, 0), "3": (10, 15, 5)}


def test_a_column_that_says_more_or_less_gets_one_opening_entry(usual: Old) -> None:
    adopt(usual.engine, balance_column=COLUMN, now=NOON)
    openings = [row for row in usual.entries("user_id", "amount", "reason") if row[2] != "goal"]
    assert openings == [
        ("2", 2, "opening_balance"),
        ("3", -5, "shop"),
        ("1", -60, "opening_balance"),
        ("4", 7, "opening_balance"),
    ]
    assert {user: row[0] for user, row in usual.balances().items()} == {
        "1": 40, "2": 5, "3": 10, "4": 7
    }  # fmt: skip


def test_no_opening_entry_takes_the_chain_below_zero(old: Old) -> None:
    old.make(identity()).add((1, -30, "shop", 0), (1, 5, "goal", 1), coins={1: 5})
    adopt(old.engine, balance_column=COLUMN)
    assert old.entries() == [("1", 30, 30), ("1", -30, 0), ("1", 5, 5)]


@pytest.mark.parametrize(
    ("rows", "coins", "kept"),
    [
        ((-10, 20), None, [10, -10, 20, -10]),
        ((-10, 20), 10, [10, -10, 20, -10]),
        ((-10, 20), 13, [10, -10, 20, -7]),
        ((-10, 20), 20, [10, -10, 20]),
        ((-10, 20), 25, [15, -10, 20]),
        ((-10, 20), 4, [10, -10, 20, -16]),
        ((5, -10, 2, -7, 20), None, [10, 5, -10, 2, -7, 20, -10]),
        ((-10,), 0, [10, -10]),
    ],
)
@pytest.mark.parametrize("chunk", [1, 500])
def test_rows_that_go_below_zero_are_lifted_by_what_it_takes(
    old: Old,
    monkeypatch: pytest.MonkeyPatch,
    rows: tuple[int, ...],
    coins: int | None,
    kept: list[int],
    chunk: int,
) -> None:
    monkeypatch.setattr(_adopt, "_CHUNK", chunk)
    old.make(identity()).add(*((1, amount, "x", day) for day, amount in enumerate(rows)))
    old.add((2, 7, "x", 0), coins={1: coins})
    result = adopt(old.engine, balance_column=COLUMN, now=NOON)
    entries = [row[1:] for row in old.entries("user_id", "amount", "reason") if row[0] == "1"]
    assert [amount for amount, _ in entries] == kept
    assert [amount for amount, reason in entries if reason == "x"] == list(rows)
    balance = sum(rows) if coins is None else coins
    spent = -sum(amount for amount in kept if amount < 0)
    assert old.balances()["1"] == (balance, balance + spent, spent)
    assert result.openings == len(kept) - len(rows)
    assert result.opened == sum(kept) - sum(rows)


def test_a_lift_comes_with_the_first_row_and_is_taken_away_now(old: Old) -> None:
    old.make(identity()).add((1, -10, "shop", 0), (1, 20, "goal", 1))
    adopt(old.engine, now=NOON)
    times = [row[0].replace(tzinfo=None) for row in old.entries("created_at")]
    assert times == [START, START, START + DAY, NOON.replace(tzinfo=None)]


def test_other_columns_go_into_the_details(old: Old) -> None:
    old.make(identity(), sa.Column("note", sa.Text), sa.Column("day", sa.Date))
    old.add((1, 5, "goal", 0, 17, "für dich", START.date()), (1, 5, "goal", 0, 18, None, None))
    adopt(old.engine)
    assert old.entries("details") == [
        ({"adopted": {"id": 17, "note": "für dich", "day": "2026-01-01"}},),
        ({"adopted": {"id": 18, "note": None, "day": None}},),
    ]


def test_a_log_without_ids(old: Old) -> None:
    old.make().add((1, 5, "goal", 1), (1, 7, "goal", 0))
    adopt(old.engine)
    assert old.entries("amount", "details") == [(7, None), (5, None)]


@pytest.mark.parametrize(
    ("key", "value", "kept"),
    [
        (sa.Integer, 7, "7"),
        (sa.String(40), "student:1", "student:1"),
        (sa.Uuid, UUID(int=7), "00000000-0000-0000-0000-000000000007"),
    ],
)
def test_user_ids_become_the_text_that_the_app_uses(
    old: Old, key: Any, value: Any, kept: str
) -> None:
    old.make(identity(), key=key).add((value, 5, "goal", 0), coins={value: 6})
    adopt(old.engine, balance_column=COLUMN)
    assert {row[0] for row in old.entries("user_id")} == {kept}


def test_times_without_a_zone_are_in_the_zone_that_is_named(old: Old) -> None:
    old.make(identity()).add((1, 5, "goal", 0))
    adopt(old.engine, zone=ZoneInfo("Europe/Berlin"))
    assert old.entries("created_at") == [(datetime(2026, 1, 1, 8, tzinfo=timezone.utc),)]


def test_times_with_a_zone_and_whole_decimals_are_read(old: Old) -> None:
    types = {"created_at": sa.DateTime(timezone=True), "amount": sa.Numeric(10, 2)}
    old.make(identity(), **types).add((1, Decimal("5.00"), "goal", NOON))
    adopt(old.engine)
    assert old.entries("amount", "created_at") == [(5, NOON)]


@pytest.mark.parametrize("columns", [(), (identity,)])
def test_times_in_text_are_ordered_as_times(old: Old, columns: tuple[Any, ...]) -> None:
    old.make(*(make() for make in columns), created_at=sa.String(40)).add(
        (1, 20, "nine", "2026-01-01T09:00:00"),
        (1, -15, "ten", "2026-01-01 10:00:00"),
        (1, 7, "four", "2026-01-01T23:00:00-05:00"),
        (1, 8, "half past four", "2026-01-02 04:30"),
        (1, 9, "one", "2026-01-02T01:00:00Z"),
        (1, 3, "midnight", "2026-01-01"),
    )
    adopt(old.engine)
    assert [reason for (reason,) in old.entries("reason")] == [
        "midnight", "nine", "ten", "one", "four", "half past four"
    ]  # fmt: skip
    assert old.balances()["1"] == (32, 47, 15)


def test_of_one_moment_written_in_two_ways_the_lower_id_comes_first(old: Old) -> None:
    old.make(identity(), created_at=sa.String(40)).add(
        (1, 20, "first", "2026-01-01T10:00:00"), (1, -15, "second", "2026-01-01 10:00:00")
    )
    adopt(old.engine)
    assert old.entries() == [("1", 20, 20), ("1", -15, 5)]


def test_an_empty_log_is_replaced(old: Old) -> None:
    assert adopt(old.make(identity()).engine).rows == 0
    assert old.balances() == {}


def test_more_rows_and_users_than_are_held_in_memory(
    old: Old, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_adopt, "_CHUNK", 3)
    rows = [(user, amount, "goal", amount) for amount in (1, 2, 3) for user in range(1, 8)]
    old.make(identity()).add(*rows, coins={user: user for user in range(1, 15)})
    result = adopt(old.engine, balance_column=COLUMN)
    assert (result.rows, result.openings, result.total) == (21, 13, sum(range(1, 15)))
    assert {int(user): row[0] for user, row in old.balances().items()} == {
        user: user for user in range(1, 15)
    }


# -- the column ------------------------------------------------------------------------------


def test_a_column_of_coins_is_found(usual: Old) -> None:
    assert find_balance_column(usual.engine) == COLUMN


def test_two_columns_of_coins_need_a_word(usual: Old) -> None:
    with usual.engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE teams (id INTEGER PRIMARY KEY, coins INTEGER)"))
    with pytest.raises(CoinsError, match=r"teams\.coins, users\.coins|users\.coins, teams\.coins"):
        find_balance_column(usual.engine)


QUESTS = "CREATE TABLE quests (id INTEGER PRIMARY KEY, coins INTEGER)"
LOG = "user_id INTEGER, amount INTEGER, reason VARCHAR(20), created_at VARCHAR(40)"


def referring(key: str) -> str:
    """A log whose users have a foreign key."""
    return f"CREATE TABLE coin_log ({LOG}, FOREIGN KEY (user_id) REFERENCES users ({key}))"


def test_coins_of_another_table_than_the_users_are_not_taken(old: Old) -> None:
    old.execute("CREATE TABLE users (id INTEGER PRIMARY KEY, balance INTEGER)", QUESTS)
    old.execute(referring("id"))
    with pytest.raises(CoinsError, match=r"quests\.coins\. .*--balance TABLE.COLUMN, or .* none"):
        find_balance_column(old.engine)


def test_a_foreign_key_says_whose_coins_are_meant(old: Old) -> None:
    old.execute("CREATE TABLE users (id INTEGER PRIMARY KEY, coins INTEGER)", QUESTS)
    old.execute(referring("id"))
    assert find_balance_column(old.engine) == COLUMN


def test_a_foreign_key_says_by_which_column_users_are_known(old: Old) -> None:
    old.execute("CREATE TABLE users (id INTEGER PRIMARY KEY, no INTEGER UNIQUE, coins INTEGER)")
    old.execute(referring("no"))
    assert find_balance_column(old.engine) == ("users", "no", "coins")


@pytest.mark.parametrize("table", ["accounts", "student", "Players"])
def test_without_a_foreign_key_the_name_says_that_users_are_meant(old: Old, table: str) -> None:
    columns = (sa.Column("id", sa.Integer, primary_key=True), sa.Column("coins", sa.Integer))
    sa.Table(table, sa.MetaData(), *columns).create(old.engine)
    assert find_balance_column(old.engine) == (table, "id", "coins")


@pytest.mark.parametrize(
    "statement",
    [
        QUESTS,
        "CREATE TABLE user_quests (id INTEGER PRIMARY KEY, coins INTEGER)",
        "CREATE TABLE profiles (id INTEGER PRIMARY KEY, user_id INTEGER, coins INTEGER)",
        "CREATE TABLE members (id INTEGER, team INTEGER, coins INTEGER, PRIMARY KEY (id, team))",
    ],
)
def test_a_table_whose_key_may_be_another_needs_a_word(old: Old, statement: str) -> None:
    old.execute(statement, f"CREATE TABLE coin_log ({LOG})")
    with pytest.raises(CoinsError, match="--balance none"):
        find_balance_column(old.engine)


def test_a_profile_under_the_users_id_is_taken(old: Old) -> None:
    old.execute("CREATE TABLE profile (user_id INTEGER PRIMARY KEY, coins INTEGER)")
    assert find_balance_column(old.engine) == ("profile", "user_id", "coins")


def test_no_column_of_coins_is_none(database_url: str) -> None:
    assert find_balance_column(sa.create_engine(database_url, poolclass=NullPool)) is None


# -- the report ------------------------------------------------------------------------------


def test_the_reconciliation_adds_up(usual: Old) -> None:
    result = adopt(usual.engine, balance_column=COLUMN, keep=True)
    assert result
    assert (result.rows, result.logged) == (4, 113)
    assert (result.openings, result.opened) == (3, -51)
    assert (result.users, result.total) == (4, 62)
    assert result.differences == (("1", 100, 40), ("2", 3, 5), ("4", 0, 7))
    said = "\n".join(result.lines())
    assert "user 1: the log said 100, the column 40" in said
    assert "The old table is kept as coin_log_before_coins." in said
    assert "coin_log_before_coins" in usual.tables()


def test_the_reconciliation_names_whose_rows_went_below_zero(old: Old) -> None:
    old.make(identity()).add(*((user, amount, "x", 0) for user in range(25) for amount in (-9, 9)))
    result = adopt(old.engine)
    assert (result.openings, result.opened, result.dipping, result.differing) == (50, 0, 25, 0)
    said = "\n".join(result.lines())
    assert "user 0: the rows went down to -9; an opening_balance of 9 before the first" in said
    assert said.endswith("and 5 more")


def test_differences_beyond_the_first_are_counted(old: Old) -> None:
    old.make(identity()).add((0, -5, "x", 0), coins=dict.fromkeys(range(25), 3))
    result = adopt(old.engine, balance_column=COLUMN)
    assert (result.differing, len(result.differences), result.dipping) == (25, 20, 0)
    assert result.lines()[-1] == "and 5 more"


def test_ids_that_differ_only_in_case_are_named(old: Old) -> None:
    old.make(identity(), key=sa.String(20))
    old.add(("Ann", 5, "goal", 0), ("bob", 5, "goal", 0), coins={"ann": 5, "bob": 5})
    result = adopt(old.engine, balance_column=COLUMN)
    assert result.alike == (("Ann", "ann"),)
    assert "users Ann and ann differ only in case, and have two accounts" in result.lines()[-1]


def test_a_second_run_has_nothing_to_adopt(usual: Old) -> None:
    adopt(usual.engine)
    before = usual.entries()
    again = adopt(usual.engine, balance_column=COLUMN)
    assert not again
    assert again.lines() == ["Nothing to adopt: coin_log is Flask-Coins' own."]
    assert usual.entries() == before


def test_its_steps_are_told_to_the_last(usual: Old, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_adopt, "_CHUNK", 2)
    expected, told = steps(usual.engine), []
    adopt(usual.engine, told=told.append)
    assert (sum(told), max(told)) == (expected, 2)
    assert steps(usual.engine) == 0


def test_without_a_log_there_is_nothing_to_adopt(old: Old) -> None:
    assert steps(old.engine) == 0
    assert "'flask db upgrade' makes it" in adopt(old.engine).lines()[0]


def test_only_the_new_tables_are_left(usual: Old) -> None:
    adopt(usual.engine)
    assert usual.tables() == {"users", "coin_log", "coin_balance"}


# -- afterwards ------------------------------------------------------------------------------


def test_coins_go_on_where_the_old_log_ended(usual: Old) -> None:
    adopt(usual.engine)
    app, coins = host_of(usual)
    with app.app_context():
        assert coins.award(3, 5).balance == 15
        app.extensions["sqlalchemy"].session.commit()
    assert usual.balances()["3"] == (15, 20, 5)
    assert usual.entries("id")[-1] == (5,)


def test_every_movement_works_after_the_upgrade(usual: Old, tmp_path: Path) -> None:
    adopt(usual.engine)
    host = Host(tmp_path, str(usual.engine.url), models=users).init().upgraded()
    coins = Coins()
    with (app := host.create_app()).app_context():
        coins.award(3, 5)
        coins.transfer(3, 4, 1, "gift")
        coins.capture(coins.hold(3, 2, "shop"))
        app.extensions["sqlalchemy"].session.commit()
    assert (usual.balances()["3"][0], usual.balances()["4"][0]) == (12, 1)


def test_columns_of_the_old_log_that_are_named_like_ours_are_kept_apart(old: Old) -> None:
    extra = (sa.Column("transfer_id", sa.Integer), sa.Column("counterparty", sa.String(20)))
    old.make(identity(), *extra).add((1, 10, "gift", 0, 1, 77, "ann"))
    adopt(old.engine)
    ((linked, other, details),) = old.entries("transfer_id", "counterparty", "details")
    assert (linked, other) == (None, None)
    assert details == {"adopted": {"id": 1, "transfer_id": 77, "counterparty": "ann"}}


def test_an_adopted_row_of_today_blocks_todays_award(old: Old) -> None:
    old.make(identity()).add((1, 10, "daily_login", NOON.replace(tzinfo=None)))
    adopt(old.engine)
    app, coins = host_of(old)
    with app.app_context():
        assert coins.award_once(1, 10, "daily_login", "day").outcome is Outcome.ALREADY


def test_flask_db_upgrade_then_copies_and_creates_nothing(usual: Old, tmp_path: Path) -> None:
    host = Host(tmp_path, str(usual.engine.url), models=users).init()
    host.revision("20240101_a", None)
    assert "'flask coins adopt'" in host.db("upgrade").text
    adopt(usual.engine)
    before = usual.entries()
    assert host.upgraded().db("check").code == 0
    assert len(host.heads()) == 1
    assert usual.entries() == before
    assert usual.tables() >= set(OWN_COLUMNS)


def users(db: SQLAlchemy) -> None:
    key = sa.Column("id", sa.Integer, primary_key=True, autoincrement=False)
    db.Table("users", key, sa.Column("coins", sa.Integer))


# -- what cannot be adopted ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ((None, 5, "goal", 0), "a user id is an integer, text or UUID, not None"),
        ((1, None, "goal", 0), "None is not a whole number"),
        ((1, 0, "goal", 0), "an amount cannot be 0: delete or split the row"),
        ((1, 10**15, "goal", 0), "an amount cannot be 1000000000000000"),
        ((1, 5, None, 0), "A reason must be a str, not None"),
        ((1, 5, "", 0), "1 to 64 characters, not 0"),
        ((1, 5, "x" * 65, 0), "1 to 64 characters, not 65"),
        ((1, 5, "goal ", 0), "must not end in a space"),
        ((1, 5, "go\nal", 0), "control characters"),
        ((1, 5, "goal", None), "None is not a time"),
    ],
)
def test_rows_that_cannot_be_kept_are_named(old: Old, row: tuple[Any, ...], why: str) -> None:
    old.make(identity()).add((1, 5, "goal", 0), row)
    with pytest.raises(CoinsError, match=f"(?s)nothing was changed.*id 2: .*{why}"):
        adopt(old.engine)
    assert old.tables() == {"users", "coin_log"}


def test_a_refusal_ends_in_one_full_stop(old: Old) -> None:
    old.make(identity()).add((1, 5, "goal", None))
    with pytest.raises(CoinsError) as refusal:
        adopt(old.engine)
    assert str(refusal.value).endswith("first.\n  id 1: None is not a time that can be read.")


@pytest.mark.parametrize("value", ["NULL", "x'00ff'"])
def test_what_is_no_id_is_refused_also_where_uuids_are_kept(old: Old, value: str) -> None:
    if value != "NULL" and old.engine.dialect.name != "sqlite":
        pytest.skip("only SQLite keeps bytes among texts")
    old.execute(
        "CREATE TABLE coin_log (id INTEGER, user_id CHAR(32), amount INTEGER,"
        " reason VARCHAR(20), created_at VARCHAR(40))",
        f"INSERT INTO coin_log VALUES (7, {value}, 5, 'goal', '2026-01-01')",
    )
    with pytest.raises(CoinsError, match="id 7: a user id is an integer, text or UUID, not"):
        adopt(old.engine)


@pytest.mark.parametrize(
    ("type_", "value", "why"),
    [
        ("VARCHAR(20)", "'15'", "'15' is not a whole number"),
        ("NUMERIC(10, 2)", "12.5", "12.5.* is not a whole number"),
        ("NUMERIC(40, 1)", "1e30", "a balance cannot be "),
    ],
)
def test_what_the_column_cannot_mean_is_named(old: Old, type_: str, value: str, why: str) -> None:
    old.execute(
        f"CREATE TABLE users (id INTEGER PRIMARY KEY, coins {type_})",
        f"INSERT INTO users VALUES (2, {value})",
        f"CREATE TABLE coin_log ({LOG})",
        "INSERT INTO coin_log VALUES (1, 5, 'goal', '2026-01-01')",
    )
    result = host_of(old)[0].test_cli_runner().invoke(args=["coins", "adopt"])
    assert result.exit_code == 1, result.output
    assert re.search(f"(?s)nothing was changed.*users 2: .*{why}", result.output), result.output
    assert old.tables() == {"users", "coin_log"}


def test_a_user_whose_id_cannot_be_kept_is_named(old: Old) -> None:
    old.make(identity(), key=sa.String(80)).add(("ok", 5, "goal", 0), coins={"x" * 65: 7})
    with pytest.raises(CoinsError, match=r"(?s)nothing was changed.*users x+: A user id must have"):
        adopt(old.engine, balance_column=COLUMN)


def test_halves_of_a_coin_are_refused(old: Old) -> None:
    old.make(identity(), amount=sa.Numeric(10, 2)).add((1, Decimal("5.50"), "goal", 0))
    with pytest.raises(CoinsError, match="is not a whole number"):
        adopt(old.engine)


def test_text_that_is_no_time_is_refused(old: Old) -> None:
    old.make(identity(), created_at=sa.String(30)).add((1, 5, "goal", "yesterday"))
    with pytest.raises(CoinsError, match="'yesterday' is not a time"):
        adopt(old.engine)


def test_only_the_first_faults_are_listed(old: Old) -> None:
    old.make(identity()).add(*[(1, 0, "goal", 0)] * 9)
    with pytest.raises(CoinsError) as refusal:
        adopt(old.engine)
    assert str(refusal.value).count("cannot be 0") == 5


@pytest.mark.parametrize("coins", [None, {1: -5}])
def test_balances_below_zero_are_named(old: Old, coins: dict[Any, int | None] | None) -> None:
    old.make(identity()).add((1, 5, "goal", 0), (1, -10, "shop", 1), coins=coins)
    with pytest.raises(
        CoinsError,
        match=r"(?s)balances go from 0 to .*Set users.coins .*not in users needs rows.*user 1: -5$",
    ):
        adopt(old.engine, balance_column=COLUMN)
    assert old.tables() == {"users", "coin_log"}


def test_of_many_balances_below_zero_the_first_are_named(old: Old) -> None:
    old.make(identity()).add(*[(user, -1, "shop", 0) for user in range(1, 10)])
    with pytest.raises(
        CoinsError, match=r"(?s)need rows in coin_log .*--balance:\n  user 1: -1.*\n  and 4 more$"
    ):
        adopt(old.engine)


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        ("ALTER TABLE coin_log DROP COLUMN reason", "coin_log has no column reason"),
        ("CREATE TABLE coin_log_before_coins (x INTEGER)", "drop the table coin_log_before_coins"),
        ("CREATE TABLE coin_balance (x INTEGER)", "coin_balance of another make"),
        (
            "CREATE TABLE receipts (entry INTEGER, FOREIGN KEY (entry) REFERENCES coin_log (id))",
            "drop the foreign key of receipts",
        ),
    ],
)
def test_surroundings_that_rule_it_out(usual: Old, statement: str, why: str) -> None:
    with usual.engine.begin() as connection:
        connection.execute(sa.text(statement))
    with pytest.raises(CoinsError, match=why):
        adopt(usual.engine)
    with usual.engine.begin() as connection:
        connection.execute(sa.text("DROP TABLE IF EXISTS receipts"))
        assert connection.scalar(sa.text("SELECT COUNT(*) FROM coin_log")) == 4


def test_balances_that_are_there_already_are_not_touched(usual: Old) -> None:
    balances.create(usual.engine)
    with usual.engine.begin() as connection:
        connection.execute(
            balances.insert().values(
                user_id="1", currency="coins", balance=1, earned=1, spent=0, updated_at=NOON
            )
        )
    with pytest.raises(CoinsError, match="coin_balance holds balances already"):
        adopt(usual.engine)


def test_an_empty_coin_balance_is_no_obstacle(usual: Old) -> None:
    balances.create(usual.engine)
    assert adopt(usual.engine).users == 3


def test_a_column_that_is_not_there_is_named(usual: Old) -> None:
    with pytest.raises(CoinsError, match="The table users has no column gold"):
        adopt(usual.engine, balance_column=BalanceColumn("users", "id", "gold"))


# -- views and triggers ----------------------------------------------------------------------

VIEW = "CREATE VIEW totals AS SELECT user_id, SUM(amount) AS coins FROM coin_log GROUP BY user_id"


@pytest.fixture
def one_file(usual: Old) -> Old:
    """The usual tables, on SQLite, which keeps views and triggers as text."""
    if usual.engine.dialect.name != "sqlite":
        pytest.skip("a server knows tables by more than their names")
    return Old(sa.create_engine(usual.engine.url))


def test_views_and_triggers_go_on_with_the_new_log(one_file: Old) -> None:
    one_file.execute(
        VIEW,
        "CREATE TABLE orders (u INTEGER, seen INTEGER)",
        "CREATE TRIGGER t AFTER INSERT ON orders BEGIN UPDATE orders SET seen ="
        " (SELECT SUM(amount) FROM coin_log WHERE user_id = CAST(new.u AS TEXT)); END",
    )
    adopt(one_file.engine)
    one_file.execute("INSERT INTO orders VALUES (3, NULL)", "ALTER TABLE users RENAME TO people")
    with one_file.engine.connect() as connection:
        assert connection.execute(sa.text("SELECT seen FROM orders")).scalar() == 10
        totals = connection.execute(sa.text("SELECT * FROM totals ORDER BY user_id")).all()
        assert [tuple(row) for row in totals] == [("1", 100), ("2", 3), ("3", 10)]
        assert connection.exec_driver_sql("PRAGMA legacy_alter_table").scalar() == 0


def test_a_view_that_needs_an_old_column_is_no_surprise_later(one_file: Old) -> None:
    one_file.execute("ALTER TABLE coin_log ADD COLUMN note TEXT")
    one_file.execute("CREATE VIEW notes AS SELECT note FROM coin_log")
    with pytest.raises(CoinsError, match="nothing was changed: error in view notes"):
        adopt(one_file.engine)
    one_file.execute("UPDATE coin_log SET note = 'still there'", "DROP VIEW notes")
    assert adopt(one_file.engine).rows == 4


def test_a_trigger_of_the_log_is_not_lost_in_silence(usual: Old) -> None:
    body = "BEGIN UPDATE users SET coins = coins + 1; END"
    if usual.engine.dialect.name == "postgresql":
        usual.execute(
            "CREATE FUNCTION pay() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'"
        )
        body = "EXECUTE FUNCTION pay()"
    usual.execute(f"CREATE TRIGGER paying AFTER INSERT ON coin_log FOR EACH ROW {body}")
    with pytest.raises(CoinsError, match="nothing was changed: its trigger paying would be lost"):
        adopt(usual.engine)
    assert usual.tables() == {"users", "coin_log"}


# -- columns that mean the same, and users that do not ------------------------------------------


def test_a_subject_goes_on_being_what_a_reward_was_for(old: Old) -> None:
    old.make(identity(), sa.Column("subject", sa.String(20)))
    old.add((1, 30, "variant_clear", 0, 1, "v1"), (1, 5, "goal", 1, 2, ""))
    adopt(old.engine)
    assert old.entries("reason", "subject", "details") == [
        ("variant_clear", "v1", {"adopted": {"id": 1}}),
        ("goal", "", {"adopted": {"id": 2}}),
    ]
    app, coins = host_of(old)
    with app.app_context():
        again = coins.award_once(1, 30, "variant_clear", "forever", subject="v1")
        assert again.outcome is Outcome.ALREADY


def test_other_currencies_do_not_become_coins(old: Old) -> None:
    old.make(identity(), sa.Column("currency", sa.String(9)))
    old.add((1, 10, "goal", 0, 1, "coins"), (1, 500, "mine", 1, 2, "gems"))
    with pytest.raises(CoinsError, match="its currency is 'gems', and only 'coins' are adopted"):
        adopt(old.engine)
    old.execute("DELETE FROM coin_log WHERE currency = 'gems'")
    assert adopt(old.engine).total == 10


def test_ids_of_another_kind_do_not_double_everybodys_coins(old: Old) -> None:
    old.make(identity(), key=sa.String(9)).add((7, 10, "goal", 0), coins={"ann": 10})
    words = r"none of its users is in users. There id is 'ann' .* user_id '7': .* --user-key"
    with pytest.raises(CoinsError, match=words):
        adopt(old.engine, balance_column=COLUMN)
    assert old.tables() == {"users", "coin_log"}
    assert adopt(old.engine).total == 10


def test_a_column_that_says_less_is_no_dip(usual: Old) -> None:
    result = adopt(usual.engine, balance_column=COLUMN)
    assert (result.differing, result.dipping, result.dips) == (3, 0, ())


def test_a_file_that_cannot_grow_changes_nothing(
    usual: Old, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr("flask_coins._old_log._Sorted.add", full)
    with pytest.raises(CoinsError, match=r"The temporary file failed, nothing was changed: .*full"):
        adopt(usual.engine)
    assert usual.tables() == {"users", "coin_log"}


# -- breaking off ----------------------------------------------------------------------------


class PowerCut(BaseException):
    """Nothing after it reaches the database."""


@pytest.fixture
def ddl(usual: Old) -> Iterator[list[int]]:
    """``[n]``: the power goes after n statements that change the schema, until n is set again."""
    left = [1000]

    def count(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        left[0] -= statement.lstrip().startswith(("CREATE", "DROP", "ALTER", "RENAME"))
        if left[0] < 0:
            raise PowerCut

    sa.event.listen(usual.engine, "before_cursor_execute", count)
    yield left
    sa.event.remove(usual.engine, "before_cursor_execute", count)


def test_broken_off_anywhere_it_can_be_run_again(usual: Old, ddl: list[int]) -> None:
    before = usual.entries("user_id", "amount")
    cuts: list[PowerCut] = []  # kept, and with them all that their tracebacks hold
    while "coin_balance" not in usual.tables():
        assert usual.entries("user_id", "amount") == before
        ddl[0] = len(cuts)
        try:
            adopt(usual.engine, balance_column=COLUMN)
        except PowerCut as cut:
            cuts.append(cut)
        ddl[0] = 1000
    adopt(usual.engine, balance_column=COLUMN)
    assert len(cuts) > 10
    assert usual.balances()["1"] == (40, 100, 60)


def test_an_interrupt_leaves_nothing_behind(usual: Old) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with (
        before(usual.engine, "INSERT INTO coin_log_adopting", interrupt),
        pytest.raises(KeyboardInterrupt),
    ):
        adopt(usual.engine)
    assert usual.tables() == {"users", "coin_log"}
    assert adopt(usual.engine).rows == 4
