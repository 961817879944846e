"""``flask coins export``: every column of every entry, and all of it comes back by an import."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import Result
from flask import Flask
from flask_sqlalchemy import SQLAlchemy

from flask_coins import Coins, Outcome
from flask_coins._models import balances, log
from flask_coins._verify import faults

from .apps import Clock, create_app

COLUMNS = list(log.c.keys())
KEPT = [each.key for each in balances.c if each.key != "updated_at"]


class Books:
    """One app's tables, and the commands that carry them."""

    def __init__(self, app: Flask, db: SQLAlchemy) -> None:
        self.app, self.db = app, db

    def run(self, *args: str) -> Result:
        result = self.app.test_cli_runner().invoke(args=["coins", *args])
        assert result.exit_code == 0, result.output
        return result

    def rows(self, table: sa.Table, *names: str) -> list[tuple[Any, ...]]:
        query = sa.select(*(table.c[name] for name in names)).order_by(*table.primary_key)
        with self.app.app_context(), self.db.engine.connect() as connection:
            assert list(faults(connection)) == []
            return [tuple(row) for row in connection.execute(query)]

    def all(self) -> list[Any]:
        return [self.rows(log, *COLUMNS), self.rows(balances, *KEPT)]


@pytest.fixture
def books(app: Flask, db: SQLAlchemy, coins: Coins, clock: Clock) -> Books:
    """A log with everything in it that an entry can have."""
    with app.app_context():
        coins.award("ann", 50, "quest", subject="x,\"y\" 'z' ☃", idempotency_key="order-7")
        coins.award_once("bob", 10, "login", "day")
        clock.forward(hours=-1)  # as on a server whose clock is behind
        coins.spend("ann", 45, "hat", details={"colour": 'r\\d\n"☃"', "n": [1, None, True]})
        coins.award("ann", 3, "quest", currency="gems", details=False)
        clock.forward(days=1, microseconds=1)
        coins.award_once("bob", 10, "login", "day", subject="NULL")
        db.session.commit()
        link(db)
    return Books(app, db)


def link(db: SQLAlchemy) -> None:
    """A reversal and a transfer, written by hand."""
    with db.engine.begin() as connection:
        at = datetime(2026, 11, 23, 11, 1, tzinfo=timezone.utc)
        common = {"currency": "coins", "reason": "x", "created_at": at}
        ids = list(connection.scalars(sa.select(log.c.id).order_by(log.c.id)))
        for values in (
            {"user_id": "ann", "amount": 2, "balance_after": 7, "reverses_id": ids[2]},
            {"user_id": "ann", "amount": -3, "balance_after": 4, "counterparty": "bob"},
        ):
            last = connection.execute(sa.insert(log), common | values).inserted_primary_key[0]
        values = {"user_id": "bob", "amount": 3, "balance_after": 23, "counterparty": "ann"}
        connection.execute(sa.insert(log), common | values | {"transfer_id": last})
        for user, moved in (("ann", (-1, 2, 3)), ("bob", (3, 3, 0))):
            names = ("balance", "earned", "spent")
            change = {name: balances.c[name] + n for name, n in zip(names, moved, strict=True)}
            whose = sa.and_(balances.c.user_id == user, balances.c.currency == "coins")
            connection.execute(sa.update(balances).where(whose).values(change))


@pytest.fixture
def empty(tmp_path: Path, clock: Clock) -> Iterator[Books]:
    """Another app, without a single entry."""
    db, coins = SQLAlchemy(), Coins(clock=clock)
    app = create_app(f"sqlite:///{tmp_path / 'empty.sqlite3'}", db, coins)
    with app.app_context():
        db.create_all()
    yield Books(app, db)
    with app.app_context():
        db.engine.dispose()


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


# -- what goes out --------------------------------------------------------------------------------


def test_every_column_of_every_entry_goes_out_by_its_id(books: Books) -> None:
    rows = read(books.run("export").stdout)
    assert list(rows[0]) == COLUMNS
    assert [int(row["id"]) for row in rows] == [row[0] for row in books.rows(log, "id")]
    first = rows[0]
    assert first["created_at"] == "2026-11-22T12:00:00Z"
    assert (first["amount"], first["balance_after"]) == ("50", "50")
    assert (first["idempotency_key"], first["once_key"]) == ("order-7", "")
    assert rows[1]["once_key"] == "day:2026-11-22"
    assert rows[4]["created_at"] == "2026-11-23T11:00:00.000001Z"
    assert json.loads(rows[2]["details"])["n"] == [1, None, True]


def test_json_lines_have_ids_as_texts_and_details_as_they_are(books: Books) -> None:
    lines = books.run("export", "--format", "jsonl").stdout.splitlines()
    rows = [json.loads(line) for line in lines]
    assert list(rows[0]) == COLUMNS
    assert rows[5]["reverses_id"] == rows[2]["id"] == str(books.rows(log, "id")[2][0])
    assert (rows[0]["amount"], rows[0]["details"], rows[0]["once_key"]) == (50, None, None)
    assert rows[2]["details"] == {"colour": 'r\\d\n"☃"', "n": [1, None, True]}
    assert rows[3]["details"] is False


@pytest.mark.parametrize(
    ("args", "number"),
    [
        (["--user", "bob"], 3),
        (["--currency", "gems"], 1),
        (["--since", "2026-11-22T12:00:00Z"], 6),
        (["--since", "2026-11-22 13:00", "--timezone", "Europe/Berlin"], 6),
        (["--until", "2026-11-22T12:00:00Z"], 2),
        (["--since", "2026-11-23", "--until", "2026-11-24", "--user", "bob"], 2),
        (["--user", "nobody"], 0),
    ],
)
def test_some_entries_can_be_chosen(books: Books, args: list[str], number: int) -> None:
    assert len(read(books.run("export", *args).stdout)) == number


def test_a_file_is_written_as_a_whole_and_for_its_owner(books: Books, tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    summary = json.loads(books.run("export", "-o", str(path), "--json").stdout)
    assert summary == {"entries": 8, "file": str(path), "format": "jsonl"}
    assert len(path.read_text().splitlines()) == 8
    assert path.stat().st_mode & 0o777 == 0o600
    assert books.run("export", "--output", str(path)).stdout == f"Entries written to {path}: 8.\n"


def test_an_export_that_fails_leaves_the_old_file(
    books: Books, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "out" / "log.csv"
    path.parent.mkdir()
    path.write_text("old")
    monkeypatch.setattr("flask_coins._export.moment", lambda when: 1 / 0)
    result = books.app.test_cli_runner().invoke(args=["coins", "export", "-o", str(path)])
    assert isinstance(result.exception, ZeroDivisionError)
    assert (path.read_text(), [each.name for each in path.parent.iterdir()]) == ("old", ["log.csv"])


@pytest.mark.parametrize(
    ("args", "status"),
    [
        (["--json"], 2),
        (["--format", "jsonl", "--for-spreadsheets"], 2),
        (["--since", "yesterday"], 2),
        (["--user", ""], 2),
        (["-o", "no/such/folder/log.csv"], 1),
    ],
)
def test_what_cannot_be_done_is_said(books: Books, args: list[str], status: int) -> None:
    result = books.app.test_cli_runner().invoke(args=["coins", "export", *args])
    assert result.exit_code == status
    assert "id,user_id" not in result.output


def test_formulas_are_disarmed_on_request_alone(books: Books, coins: Coins, db: SQLAlchemy) -> None:
    bad = ["=1+1", "+1", "-1", "@x", " =1", "＝1"]
    plain_texts = [*bad, *(f"a;{text}" for text in bad), 'a; "=1', "a-b;c", "a,=1", "fine"]
    safe_texts = [f"'{text}" for text in bad] + [f"a;'{text}" for text in bad]
    safe_texts += ["a;' \"=1", "a-b;c", "a,=1", "fine"]
    with books.app.app_context():
        for subject in plain_texts:
            coins.award("eve", 1, "quest", subject=subject)
        db.session.commit()
    plain = read(books.run("export", "--user", "eve").stdout)
    assert [row["subject"] for row in plain] == plain_texts
    safe = read(books.run("export", "--user", "eve", "--for-spreadsheets").stdout)
    assert [row["subject"] for row in safe] == safe_texts
    assert {row["amount"] for row in safe} == {"1"}


def test_an_entry_that_comes_meanwhile_is_not_in_it(
    books: Books, coins: Coins, db: SQLAlchemy, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if engine == "sqlite":
        pytest.skip("SQLite without WAL lets nobody write meanwhile")
    monkeypatch.setattr("flask_coins._export._CHUNK", 2)
    from flask_coins._export import Export, Selection

    def pay(number: int) -> None:
        with books.app.app_context():
            coins.award("zoe", 1, "late")
            db.session.commit()

    out = io.StringIO()
    with books.app.app_context():
        export = Export(db.engine, Selection())
    assert export.write(out, "csv", seen=pay) == 8
    assert "zoe" not in out.getvalue()
    assert len(books.rows(log, "id")) == 12


# -- and comes back -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_an_export_comes_back_whole(books: Books, empty: Books, tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"log.{kind}"
    books.run("export", "-o", str(path), "--format", kind)
    empty.run("import", str(path))
    assert empty.all() == books.all()


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_into_every_engine_too(
    books: Books, db: SQLAlchemy, coins: Coins, tmp_path: Path, kind: str
) -> None:
    path, before = tmp_path / f"log.{kind}", books.all()
    books.run("export", "-o", str(path), "--format", kind)
    clear(db, books.app)
    books.run("import", str(path))
    assert books.all() == before
    with books.app.app_context():
        again = coins.award("ann", 50, "quest", subject="x,\"y\" 'z' ☃", idempotency_key="order-7")
        assert again.outcome is Outcome.REPLAYED
        later = coins.award("ann", 1, "quest")
        db.session.commit()
    assert later.entry
    assert later.entry.id > before[0][-1][0]


def clear(db: SQLAlchemy, app: Flask) -> None:
    """Make the tables anew, with ids that begin at 1."""
    with app.app_context():
        db.drop_all()
        db.create_all()


def test_another_database_comes_whole_by_its_url(
    books: Books, empty: Books, database_url: str
) -> None:
    empty.run("import", database_url)
    assert empty.all() == books.all()


def test_a_log_with_entries_is_not_restored_into(books: Books, tmp_path: Path) -> None:
    path, before = tmp_path / "log.csv", books.all()
    books.run("export", "-o", str(path))
    result = books.app.test_cli_runner().invoke(args=["coins", "import", str(path)])
    assert (result.exit_code, "--source NAME" in result.output) == (1, True)
    assert books.all() == before


def test_an_export_into_its_own_log_writes_nothing(books: Books, tmp_path: Path) -> None:
    path, before = tmp_path / "log.csv", books.all()
    books.run("export", "-o", str(path))
    summary = json.loads(books.run("import", str(path), "--source", "backup", "--json").stdout)
    assert (summary["written"], summary["there"]) == (0, 8)
    assert books.all() == before


def test_an_export_joins_a_log_with_entries_under_new_ids(
    books: Books, empty: Books, tmp_path: Path
) -> None:
    path = tmp_path / "log.jsonl"
    empty.run("award", "ann", "5")
    books.run("export", "-o", str(path))
    empty.run("import", str(path), "--source", "books")
    names = ("user_id", "amount", "reason", "once_key", "details", "counterparty")
    mine, theirs = (each.rows(log, *names) for each in (empty, books))
    assert sorted(mine[1:], key=repr) == sorted(theirs, key=repr)
    ids = {key: entry for entry, key in empty.rows(log, "id", "idempotency_key")}
    old = [row[0] for row in books.rows(log, "id")]
    links = {
        row[2]: row[:2]
        for row in empty.rows(log, "reverses_id", "transfer_id", "idempotency_key")
        if row[0] or row[1]
    }
    assert links == {
        f"import:books:{old[5]}": (ids[f"import:books:{old[2]}"], None),
        f"import:books:{old[7]}": (None, ids[f"import:books:{old[6]}"]),
    }
    assert "order-7" in ids
    again = json.loads(empty.run("import", str(path), "--source", "books", "--json").stdout)
    assert (again["written"], again["there"]) == (0, 8)


def test_a_transfer_that_joins_another_log_is_sent_before_it_is_received(
    books: Books, empty: Books, coins: Coins, tmp_path: Path
) -> None:
    path = tmp_path / "log.csv"
    with books.app.app_context():
        sent, _ = coins.transfer("bob", "ann", 9, "gift")
        coins.reverse(sent, amount=2)
        books.db.session.commit()
    books.run("export", "-o", str(path))
    empty.run("import", str(path), "--source", "books")
    names = ("user_id", "amount", "reason", "counterparty")
    assert empty.rows(log, *names) == books.rows(log, *names)


def test_long_details_come_back(books: Books, empty: Books, coins: Coins, tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    with books.app.app_context():
        coins.award("ann", 1, details={"essay": "x" * 200_000})
        books.db.session.commit()
    books.run("export", "-o", str(path))
    empty.run("import", str(path))
    assert empty.rows(log, "details") == books.rows(log, "details")


def test_what_came_later_can_be_added_and_finds_its_entries(
    books: Books, empty: Books, tmp_path: Path
) -> None:
    path = tmp_path / "log.jsonl"
    books.run("export", "-o", str(path))
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[:5]))
    empty.run("import", str(path), "--source", "books")
    path.write_text("\n".join(lines[5:]))
    empty.run("import", str(path), "--source", "books")
    names = ("user_id", "balance_after", "reason")
    assert sorted(empty.rows(log, *names)) == sorted(books.rows(log, *names))
    assert [row for row in empty.rows(log, "reverses_id") if row[0]] != []


@pytest.mark.parametrize(
    ("lost", "words"),
    [
        (0, "line 2: the balance of user ann would be -45 coins, and balance_after is 5"),
        (4, "line 7: the balance of user bob would be 13 coins, and balance_after is 23"),
        (6, "line 7: its transfer_id is 7, which is not in the source"),
    ],
)
def test_an_export_with_a_row_missing_is_not_restored(
    books: Books, empty: Books, tmp_path: Path, lost: int, words: str
) -> None:
    path = tmp_path / "log.jsonl"
    books.run("export", "-o", str(path))
    lines = path.read_text().splitlines()
    del lines[lost]
    path.write_text("\n".join(lines))
    result = empty.app.test_cli_runner().invoke(args=["coins", "import", str(path)])
    assert (result.exit_code, words in result.output) == (1, True)
    assert empty.all() == [[], []]


@pytest.mark.parametrize("args", [[], ["--source", "books"]])
def test_an_entry_that_belongs_to_one_that_is_nowhere_is_named(
    books: Books, empty: Books, tmp_path: Path, args: list[str]
) -> None:
    path = tmp_path / "log.jsonl"
    books.run("export", "-o", str(path))
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[5]["reverses_id"] = "999"
    path.write_text("\n".join(map(json.dumps, lines)))
    result = empty.app.test_cli_runner().invoke(args=["coins", "import", str(path), *args])
    assert (result.exit_code, "reverses_id" in result.output) == (1, True)
    assert "999" in result.output
    assert empty.all() == [[], []]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"id": "0"}, "its id is an integer from 1"),
        ({"id": None}, "its id is an integer from 1"),
        ({"balance_after": "5.0"}, "its balance_after is an integer from 0"),
        ({"once_key": "o" * 65}, "its once_key must have 1 to 64 characters"),
        ({"transfer_id": "x"}, "its transfer_id is an integer from 1"),
        ({"idempotency_key": ""}, "An idempotency key must have 1 to 128"),
        ({"colour": "red"}, "the column 'colour' is unknown"),
    ],
)
def test_an_export_that_was_changed_by_hand_is_checked(
    books: Books, empty: Books, tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    path = tmp_path / "log.jsonl"
    books.run("export", "-o", str(path))
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[3] |= changes
    path.write_text("\n".join(map(json.dumps, lines)))
    result = empty.app.test_cli_runner().invoke(args=["coins", "import", str(path)])
    assert (result.exit_code, f"line 4: {words}" in result.output) == (1, True), result.output
    assert empty.all() == [[], []]


@pytest.mark.parametrize("args", [[], ["--source", "books"]])
@pytest.mark.parametrize(
    ("line", "changes", "words"),
    [
        (2, {"once_key": "Day:2026-11-22"}, "it claims 'Day:2026-11-22', no window is called so"),
        (2, {"once_key": "day:2031-01-01"}, "no zone had that then"),
        (2, {"once_key": "day:2026-11-22#2"}, "and a slot before it is free"),
        (3, {"once_key": "forever"}, "it claims the window 'forever', and is no payment"),
        (5, {"reverses_id": "2"}, "and has the same sign: +10"),
        (6, {"reverses_id": "1"}, "and has the same sign: +2"),
        (7, {"counterparty": "eve"}, "it was sent to 'eve', who never received it"),
        (8, {"counterparty": "eve"}, "who never sent it"),
        (8, {"counterparty": None}, "and no counterparty"),
        (8, {"reason": "bribe"}, "who sent it for another reason"),
    ],
)
def test_an_entry_that_no_call_would_have_written_is_named(
    books: Books,
    empty: Books,
    tmp_path: Path,
    args: list[str],
    line: int,
    changes: dict[str, Any],
    words: str,
) -> None:
    path = tmp_path / "log.jsonl"
    books.run("export", "-o", str(path))
    lines = [json.loads(each) for each in path.read_text().splitlines()]
    lines[line - 1] |= changes
    path.write_text("\n".join(map(json.dumps, lines)))
    result = empty.app.test_cli_runner().invoke(args=["coins", "import", str(path), *args])
    assert result.exit_code == 1, result.output
    (told,) = [each for each in result.output.splitlines() if words in each]
    assert told.startswith(f"  line {line}")
    assert empty.all() == [[], []]


def test_what_is_wrong_in_the_log_already_keeps_no_export_out(
    books: Books, empty: Books, tmp_path: Path
) -> None:
    path = tmp_path / "log.csv"
    empty.run("award", "ann", "5")
    with empty.app.app_context(), empty.db.engine.begin() as connection:
        connection.execute(sa.update(log).values(once_key="Day:2026-11-22"))
    books.run("export", "-o", str(path))
    empty.run("import", str(path), "--source", "books")


def test_an_id_or_window_that_an_export_has_twice_is_named(
    books: Books, empty: Books, tmp_path: Path
) -> None:
    path = tmp_path / "log.jsonl"
    books.run("export", "-o", str(path))
    lines = path.read_text().splitlines()
    doubled = json.loads(lines[1]) | {"id": "100", "balance_after": 33}
    for extra, words in ((lines[7], "its id is"), (json.dumps(doubled), "its once_key is")):
        path.write_text("\n".join([*lines, extra]))
        result = empty.app.test_cli_runner().invoke(args=["coins", "import", str(path)])
        assert (result.exit_code, words in result.output) == (1, True), result.output
        assert "line 9" in result.output
    assert empty.all() == [[], []]


def test_a_window_that_is_claimed_here_is_named(books: Books, empty: Books, tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    books.run("export", "-o", str(path), "--user", "bob", "--until", "2026-11-23")
    empty.run("import", str(path), "--source", "first")
    result = empty.app.test_cli_runner().invoke(
        args=["coins", "import", str(path), "--source", "second"]
    )
    assert result.exit_code == 1
    assert "line 1 (id 2): its window day:2026-11-22 is claimed by entry 1" in result.output
    assert len(empty.rows(log, "id")) == 1
