"""``flask coins import``: all of a source once, or nothing, on every engine."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import pytest
import sqlalchemy as sa
from click.testing import Result
from flask import Flask, current_app
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.pool import NullPool

from flask_coins import Coins, Outcome
from flask_coins._cli_transport import import_command
from flask_coins._models import MAX_AMOUNT, balances, log
from flask_coins._verify import faults

from .apps import Clock, create_app
from .races import Racers, reconcile
from .statements import before

HEADER = "id,user_id,amount,reason,created_at"
GOALS = (
    "1,ann,10,goal,2026-11-20 09:00:00",
    "2,bob,5,goal,2026-11-20 10:00:00",
    "3,ann,-4,hat,2026-11-21 09:00:00",
)


class Importer:
    """Imports texts into one app, and shows what its tables hold then."""

    def __init__(self, app: Flask, db: SQLAlchemy, folder: Path) -> None:
        self.app, self.db, self.folder = app, db, folder

    def run(self, origin: str, *args: str, stdin: bytes | None = None) -> Result:
        words = ["coins", "import", origin, *args]
        return self.app.test_cli_runner().invoke(args=words, input=stdin)

    def file(self, text: str | bytes, name: str = "old.csv") -> str:
        path = self.folder / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return str(path)

    def csv(self, *rows: str, args: Sequence[str] = (), header: str = HEADER) -> Result:
        """Import rows of CSV from the source ``old``."""
        path = self.file("\n".join((header, *rows)) + "\n")
        return self.run(path, "--source", "old", *args)

    def jsonl(self, *rows: dict[str, Any] | str, args: Sequence[str] = ()) -> Result:
        """Import objects from the source ``old``; what is a text is a line as it is."""
        lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
        path = self.file("\n".join(lines) + "\n", "old.jsonl")
        return self.run(path, "--source", "old", *args)

    def entries(self, *names: str) -> list[tuple[Any, ...]]:
        """Columns of the log in order, after a proof that the balances agree with it."""
        columns = [log.c[name] for name in names or ("user_id", "amount", "balance_after")]
        with self.app.app_context(), self.db.engine.connect() as connection:
            assert reconcile(connection) == []
            return [
                tuple(row) for row in connection.execute(sa.select(*columns).order_by(log.c.id))
            ]

    def balances(self) -> dict[str, tuple[int, int, int]]:
        with self.app.app_context(), self.db.engine.connect() as connection:
            rows = connection.execute(sa.select(balances)).all()
        return {row.user_id: (row.balance, row.earned, row.spent) for row in rows}

    def refuses(self, result: Result, *words: str) -> None:
        """The command failed, said why and changed nothing since nothing was there."""
        assert result.exit_code == 1, result.output
        for word in words:
            assert word in result.output
        assert self.entries() == []
        assert self.balances() == {}


@pytest.fixture
def old(app: Flask, db: SQLAlchemy, tmp_path: Path) -> Importer:
    return Importer(app, db, tmp_path)


@pytest.fixture
def quiet(tmp_path: Path) -> Iterator[Importer]:
    """One on SQLite alone, for what is said before a server would hear of it."""
    db, coins = SQLAlchemy(), Coins(clock=Clock())
    url = f"sqlite:///{tmp_path / 'host.sqlite3'}"
    app = create_app(url, db, coins, COINS_URL_PREFIX=None)
    with app.app_context():
        db.create_all()
        yield Importer(app, db, tmp_path)
        db.engine.dispose()


def done(result: Result) -> dict[str, Any]:
    """The summary that a command with ``--json`` printed."""
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def goal(**values: Any) -> dict[str, Any]:
    row = {"id": 1, "user_id": "ann", "amount": 10, "reason": "goal", "created_at": "2026-11-20"}
    return row | values


# -- what comes in --------------------------------------------------------------------------------


def test_every_row_comes_in_with_its_time(old: Importer) -> None:
    summary = done(old.csv(*GOALS, args=["--json"]))
    assert summary == {
        "rows": 3,
        "written": 3,
        "there": 0,
        "users": 2,
        "earned": 15,
        "spent": 4,
        "dry_run": False,
    }
    assert sorted(old.entries("user_id", "amount", "balance_after", "reason", "created_at")) == [
        ("ann", -4, 6, "hat", datetime(2026, 11, 21, 9, tzinfo=timezone.utc)),
        ("ann", 10, 10, "goal", datetime(2026, 11, 20, 9, tzinfo=timezone.utc)),
        ("bob", 5, 5, "goal", datetime(2026, 11, 20, 10, tzinfo=timezone.utc)),
    ]
    assert old.balances() == {"ann": (6, 10, 4), "bob": (5, 5, 0)}


def test_people_are_told_in_lines(quiet: Importer) -> None:
    lines = quiet.csv(*GOALS).stdout.splitlines()
    assert lines[2].split() == ["entries", "written", "3"]
    assert len(lines) == 6


def test_a_user_s_ids_rise_in_the_order_of_time(old: Importer) -> None:
    done(
        old.csv(
            "1,ann,-3,third,2026-11-22",
            "2,ann,1,first,2026-11-20",
            "3,ann,2,second,2026-11-21",
            "4,ann,5,second too,2026-11-21",
            args=["--json"],
        )
    )
    assert old.entries("reason", "balance_after") == [
        ("first", 1),
        ("second", 3),
        ("second too", 8),
        ("third", 5),
    ]


def test_the_balance_that_is_there_goes_on(old: Importer, coins: Coins, db: SQLAlchemy) -> None:
    with old.app.app_context():
        coins.award("ann", 100, "quest")
        db.session.commit()
    done(old.csv("1,ann,-30,hat,2026-11-20", "2,ann,5,goal,2026-11-21", args=["--json"]))
    assert old.entries("amount", "balance_after") == [(100, 100), (-30, 70), (5, 75)]
    assert old.balances() == {"ann": (75, 105, 30)}


def test_json_lines_come_in_as_well(old: Importer) -> None:
    rows = [goal(), goal(id=2, user_id=7, subject=3, details={"by": ["ümit", 1]}), "", goal(id="x")]
    assert done(old.jsonl(*rows, args=["--json"]))["rows"] == 3
    assert sorted(old.entries("user_id", "subject", "details"), key=repr) == [
        ("7", "3", {"by": ["ümit", 1]}),
        ("ann", "", None),
        ("ann", "", None),
    ]


def test_stdin_is_a_file_too(quiet: Importer) -> None:
    text = "\n".join((HEADER, *GOALS)).encode()
    assert "--format" in quiet.run("-", "--source", "old", stdin=text).output
    args = ["-", "--source", "old", "--format", "csv", "--json"]
    assert done(quiet.run(*args, stdin=text))["written"] == 3


def test_columns_can_have_other_names(quiet: Importer) -> None:
    header = "key,uid,coins,why,at"
    names = ["id=key", "user=uid", "amount=coins", "reason=why", "created_at=at"]
    args = [word for name in names for word in ("--map", name)]
    done(quiet.csv(*GOALS, header=header, args=[*args, "--json"]))
    assert quiet.balances() == {"ann": (6, 10, 4), "bob": (5, 5, 0)}


def test_user_is_understood_without_a_map(quiet: Importer) -> None:
    done(quiet.csv(*GOALS, header=HEADER.replace("user_id", "user"), args=["--json"]))
    assert sorted(quiet.balances()) == ["ann", "bob"]


def test_times_without_a_zone_are_in_the_one_that_is_named(old: Importer) -> None:
    rows = ["1,ann,1,a,2026-07-01 00:30", "2,ann,1,b,2026-07-01T00:30:15.123456789+0200"]
    rows += ["3,ann,1,c,2026-07-01", "4,ann,1,d,2026-06-30T23:00:00.5Z"]
    done(old.csv(*rows, args=["--timezone", "Europe/Berlin", "--json"]))
    assert sorted(old.entries("reason", "created_at")) == [
        ("a", datetime(2026, 6, 30, 22, 30, tzinfo=timezone.utc)),
        ("b", datetime(2026, 6, 30, 22, 30, 15, 123456, tzinfo=timezone.utc)),
        ("c", datetime(2026, 6, 30, 22, tzinfo=timezone.utc)),
        ("d", datetime(2026, 6, 30, 23, 0, 0, 500000, tzinfo=timezone.utc)),
    ]


def test_currency_is_the_row_s_own_or_the_one_that_is_named(old: Importer) -> None:
    rows = ["1,ann,10,goal,2026-11-20,gems", "2,ann,7,goal,2026-11-20,"]
    done(old.csv(*rows, header=f"{HEADER},currency", args=["--currency", "stars", "--json"]))
    assert sorted(old.entries("currency", "amount", "balance_after")) == [
        ("gems", 10, 10),
        ("stars", 7, 7),
    ]


def test_details_in_csv_are_json(old: Importer) -> None:
    row = '1,ann,10,goal,2026-11-20,"{""path"": ""C:\\\\x"", ""n"": [1, null]}"'
    done(old.csv(row, header=f"{HEADER},details", args=["--json"]))
    assert old.entries("details") == [({"path": "C:\\x", "n": [1, None]},)]


def test_texts_come_in_letter_by_letter(old: Importer) -> None:
    texts = ["back\\slash", "\\N", "quote'\"", "tab? no", "%s :x", "naïve ☃ 𝄞", "'; DROP TABLE x"]
    done(old.jsonl(*(goal(id=n, subject=text) for n, text in enumerate(texts)), args=["--json"]))
    assert [row[0] for row in old.entries("subject")] == texts


def test_other_columns_are_refused_ignored_or_kept(old: Importer) -> None:
    row, header = "1,ann,10,goal,2026-11-20,cold", f"{HEADER},weather"
    old.refuses(old.csv(row, header=header), "line 2", "'weather' is unknown", "--extra ignore")
    done(old.csv(row, header=header, args=["--extra", "details", "--json"]))
    assert old.entries("details") == [({"imported": {"weather": "cold"}},)]
    args = ["--extra", "ignore", "--json"]
    done(old.csv("2,ann,1,goal,2026-11-20,hot", header=header, args=args))
    assert old.entries("details")[1:] == [(None,)]


def test_other_columns_take_no_place_that_details_have(quiet: Importer) -> None:
    row = goal(details={"imported": "by hand"}, weather="cold")
    quiet.refuses(quiet.jsonl(row, args=["--extra", "details"]), "line 1", "'imported' already")


def test_an_empty_file_with_names_has_nothing_to_import(quiet: Importer) -> None:
    assert done(quiet.csv(args=["--json"]))["written"] == 0


# -- once and never twice -------------------------------------------------------------------------


def test_the_same_import_again_writes_nothing(old: Importer) -> None:
    done(old.csv(*GOALS, args=["--json"]))
    state = old.entries(*log.c.keys())
    again = done(old.csv(*GOALS, args=["--json"]))
    assert (again["rows"], again["written"], again["there"]) == (3, 0, 3)
    assert old.entries(*log.c.keys()) == state


def test_only_rows_that_were_appended_are_new(old: Importer) -> None:
    done(old.csv(*GOALS, args=["--json"]))
    more = done(old.csv(*GOALS, "4,bob,-5,hat,2026-11-22", args=["--json"]))
    assert (more["written"], more["there"], more["users"]) == (1, 3, 1)
    assert old.balances()["bob"] == (0, 5, 5)


def test_another_source_has_ids_of_its_own(old: Importer) -> None:
    done(old.csv(*GOALS, args=["--json"]))
    assert done(old.csv(*GOALS, args=["--source", "other", "--json"]))["written"] == 3
    keys = {key for (key,) in old.entries("idempotency_key")}
    assert keys == {f"import:{name}:{n}" for name in ("old", "other") for n in (1, 2, 3)}


@pytest.mark.parametrize(
    "changed",
    [
        "1,ann,11,goal,2026-11-20 09:00:00",
        "1,ann,10,gaol,2026-11-20 09:00:00",
        "1,ann,10,goal,2026-11-20 09:00:01",
        "1,bob,10,goal,2026-11-20 09:00:00",
    ],
)
def test_a_known_id_with_other_content_is_a_conflict(old: Importer, changed: str) -> None:
    done(old.csv(*GOALS, args=["--json"]))
    state = old.entries(), old.balances()
    result = old.csv("9,eve,1,goal,2026-11-20", changed)
    assert result.exit_code == 1
    assert "line 3 (id 1): it was imported" in result.output
    assert (old.entries(), old.balances()) == state


@pytest.mark.parametrize("column", ["subject", "details", "currency"])
def test_so_is_one_with_another_subject_details_or_currency(old: Importer, column: str) -> None:
    done(old.jsonl(goal(**{column: "a"}), args=["--json"]))
    result = old.jsonl(goal(**{column: "b"}))
    assert result.exit_code == 1
    assert "line 1 (id 1)" in result.output
    assert len(old.entries()) == 1


def test_details_that_are_written_in_another_way_are_no_conflict(old: Importer) -> None:
    done(old.jsonl(goal(details={"a": 1, "b": "ü"}), args=["--json"]))
    again = done(old.jsonl(goal(details={"b": "ü", "a": 1}), args=["--json"]))
    assert again["there"] == 1


def test_an_id_that_the_source_has_twice_is_named(old: Importer) -> None:
    old.refuses(old.csv(*GOALS, "2,eve,1,goal,2026-11-20"), "line 5 (id 2)", "that of 3 too")


def test_also_far_behind_and_for_somebody_else(old: Importer) -> None:
    rows = [f"{n},ann,1,goal,2026-11-20" for n in range(1, 1101)]
    old.refuses(old.csv(*rows, "5,bob,1,goal,2026-11-20"), "line 1102 (id 5)", "that of 6 too")


def test_a_source_without_a_name_is_refused(quiet: Importer) -> None:
    result = quiet.run(quiet.file("\n".join((HEADER, *GOALS))))
    assert (result.exit_code, "--source NAME" in result.output) == (2, True)


def test_rows_without_ids_are_refused_until_lines_may_be_ids(old: Importer) -> None:
    rows, header = ["ann,10,goal,2026-11-20", "ann,10,goal,2026-11-20"], HEADER[3:]
    result = old.csv(*rows, header=header)
    assert (result.exit_code, "--ids-from-lines" in result.output) == (2, True)
    args = ["--ids-from-lines", "--json"]
    assert done(old.csv(*rows, header=header, args=args))["written"] == 2
    again = done(old.csv(*rows, "bob,1,goal,2026-11-20", header=header, args=args))
    assert (again["written"], again["there"]) == (1, 2)


def test_a_dry_run_tells_all_and_changes_nothing(old: Importer) -> None:
    assert done(old.csv(*GOALS, args=["--dry-run", "--json"]))["written"] == 3
    assert "this was a dry run" in old.csv(*GOALS, args=["--dry-run"]).stdout
    assert (old.entries(), old.balances()) == ([], {})


# -- windows --------------------------------------------------------------------------------------


@pytest.mark.parametrize("window", ["day", "week", "forever"])
def test_a_window_that_was_paid_for_elsewhere_is_paid(
    old: Importer, coins: Coins, db: SQLAlchemy, window: str
) -> None:
    done(old.csv("1,ann,10,goal,2026-11-22 08:00:00", args=["--json"]))
    with old.app.app_context():
        assert coins.award_once("ann", 10, "goal", window).outcome is Outcome.ALREADY
        assert coins.award_once("bob", 10, "goal", window).outcome is Outcome.AWARDED
        assert coins.award_once("ann", 10, "login", window).outcome is Outcome.AWARDED
        db.session.rollback()


def test_a_payment_of_yesterday_leaves_today_open(
    old: Importer, coins: Coins, db: SQLAlchemy
) -> None:
    done(old.csv("1,ann,10,goal,2026-11-21 23:59:59", args=["--json"]))
    with old.app.app_context():
        assert coins.award_once("ann", 10, "goal", "day").outcome is Outcome.AWARDED
        assert coins.award_once("ann", 10, "goal", "forever").outcome is Outcome.ALREADY
        db.session.rollback()


# -- what is broken -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "amount",
    [
        *("5.0", '""', "0", "-0", "NaN", "1e3", "+5", " 5", "5 ", "٥", "0x5", "True", "1_0", "−5"),
        *(str(MAX_AMOUNT + 1), str(-MAX_AMOUNT - 1), "9" * 5000),
    ],
)
def test_an_amount_that_is_no_whole_number_is_named(quiet: Importer, amount: str) -> None:
    quiet.refuses(quiet.csv(GOALS[0], f"2,bob,{amount},goal,2026-11-20"), "line 3: ")


@pytest.mark.parametrize("amount", [5.0, "5", True, None, 0, [5], {"n": 5}, 1e3, MAX_AMOUNT + 1])
def test_in_json_too(quiet: Importer, amount: object) -> None:
    quiet.refuses(quiet.jsonl(goal(), goal(id=2, amount=amount)), "line 2: ")


def test_nan_is_no_json(quiet: Importer) -> None:
    line = json.dumps(goal()).replace("10", "NaN")
    quiet.refuses(quiet.jsonl(goal(id=2), line), "line 2: it is no JSON: NaN")


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("2,,5,goal,2026-11-20", "it has no user_id"),
        (f"2,{'u' * 65},5,goal,2026-11-20", "A user id must have 1 to 64 characters"),
        ('2,"bob ",5,goal,2026-11-20', "must not end in a space"),
        ('2,"b\nb",5,goal,2026-11-20', "control characters"),
        ("2,bob,5,,2026-11-20", "it has no reason"),
        (f"2,bob,5,{'r' * 65},2026-11-20", "A reason must have 1 to 64 characters"),
        (",bob,5,goal,2026-11-20", "it has no id"),
        (f"{'9' * 128},bob,5,goal,2026-11-20", "must have 1 to 128 characters"),
        ("2,bob,5,goal,yesterday", "'yesterday' is not a time that can be read"),
        ("2,bob,5,goal,1700000000", "is not a time that can be read"),
        ("2,bob,5,goal,2026-02-30", "is not a time that can be read"),
        ("2,bob,5,goal,2026-W47-1", "is not a time that can be read"),
        ("2,bob,5,goal,0900-01-01", "is not a time that can be read"),
        ("2,bob,5,goal,2026-11-22 12:06:00", "lies in the future"),
        ("2,bob,5,goal", "it has 4 cells, the first line 5"),
        ("2,bob,5,goal,2026-11-20,more", "it has 6 cells, the first line 5"),
        ('2,bob,5,"goal" x,2026-11-20', "it is no CSV"),
        ('2,bob,5,"goal,2026-11-20', "it is no CSV"),
        ("2,bob,-1,hat,2026-11-20", "the balance of user bob would be -1 coins"),
    ],
)
def test_a_row_that_is_broken_is_named_by_its_line(quiet: Importer, row: str, words: str) -> None:
    quiet.refuses(quiet.csv(GOALS[0], row), "Nothing was imported", "line 3", words)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("[1]", "it is no JSON object"),
        ("{", "it is no JSON"),
        ("[" * 100_000, "it is no JSON"),
        (json.dumps(goal(id=True)), "its id is a text or an integer"),
        (json.dumps(goal(user_id=True)), "a user id is an integer or a text"),
        (json.dumps(goal(user_id=1.5)), "a user id is an integer or a text"),
        (json.dumps(goal(subject=[1])), "A subject is"),
        (json.dumps(goal(details="\ud800")), "Details must be JSON"),
        (json.dumps(goal(created_at=1700000000)), "is not a time that can be read"),
        (json.dumps(goal())[:-1] + ', "amount": 5}', "an object has a name twice"),
    ],
)
def test_a_broken_line_of_json_is_named(quiet: Importer, line: str, words: str) -> None:
    quiet.refuses(quiet.jsonl(goal(id=7), line), "line 2: ", words)


def test_bytes_that_are_no_utf_8_are_named(quiet: Importer) -> None:
    text = "\n".join((HEADER, *GOALS)).encode().replace(b"bob", b"b\xffb")
    quiet.refuses(quiet.run(quiet.file(text), "--source", "old"), "line 3: ", "surrogates")


def test_the_mark_of_utf_8_is_passed_over(quiet: Importer) -> None:
    text = b"\xef\xbb\xbf" + "\r\n".join((HEADER, *GOALS)).encode()
    assert done(quiet.run(quiet.file(text), "--source", "old", "--json"))["written"] == 3


def test_a_row_behind_one_of_several_lines_has_its_true_number(quiet: Importer) -> None:
    rows = ['1,ann,10,goal,2026-11-20,"{\n}"', "", "2,bob,x,goal,2026-11-20,"]
    quiet.refuses(quiet.csv(*rows, header=f"{HEADER},details"), "line 5: an amount")


def test_the_first_twenty_are_named(quiet: Importer) -> None:
    result = quiet.csv(*(f"{n},ann,x,goal,2026-11-20" for n in range(30)))
    assert result.output.count("line ") == 20
    assert "line 21: " in result.output
    assert "There may be more" in result.output


def test_nobody_is_below_zero_on_the_way(old: Importer) -> None:
    rows = ["1,ann,5,goal,2026-11-20", "2,ann,-8,hat,2026-11-21", "3,ann,9,goal,2026-11-22"]
    old.refuses(old.csv(*rows), "line 3 (id 2): the balance of user ann would be -3 coins")
    done(old.csv(rows[0], rows[2], rows[1].replace("21", "22"), args=["--json"]))


def test_nobody_has_more_than_there_can_be(old: Importer) -> None:
    rows = [f"1,ann,{MAX_AMOUNT},goal,2026-11-20", "2,ann,1,goal,2026-11-21"]
    old.refuses(old.csv(*rows), f"line 3 (id 2): the balance of user ann would be {MAX_AMOUNT + 1}")


def test_coins_on_hold_cannot_be_spent(old: Importer, db: SQLAlchemy) -> None:
    done(old.csv(GOALS[0], args=["--json"]))
    with old.app.app_context(), db.engine.begin() as connection:
        connection.execute(sa.update(balances).values(held=7))
    result = old.csv(*GOALS)
    assert result.exit_code == 1
    assert "line 4: user ann would have 6 coins, and 7 are on hold" in result.output
    assert len(old.entries()) == 1


def test_coins_of_a_hold_that_has_expired_can_be_spent(
    old: Importer, coins: Coins, clock: Clock, db: SQLAlchemy
) -> None:
    with old.app.app_context():
        coins.award("ann", 10)
        coins.hold("ann", 7, "bet", expires_in=timedelta(minutes=1))
        coins.hold("ann", 2, "order")
        db.session.commit()
    clock.forward(minutes=2)
    spent = "1,ann,-8,hat,2026-11-20"
    assert "2 are on hold" in old.csv(spent, "2,ann,-1,hat,2026-11-20").output
    done(old.csv(spent, args=["--json"]))
    with old.app.app_context(), db.engine.connect() as connection:
        assert connection.execute(sa.select(balances.c.balance, balances.c.held)).one() == (2, 2)
        assert list(faults(connection)) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "must name the columns"),
        ("id,id\n", "names a column twice"),
        ("id,user,reason,created_at\n", "no column 'amount'"),
        ("id,amount,reason,created_at\n", "no column 'user'"),
    ],
)
def test_a_first_line_that_is_none_is_wrong(quiet: Importer, text: str, words: str) -> None:
    result = quiet.run(quiet.file(text), "--source", "old")
    assert (result.exit_code, words in result.output) == (2, True)


@pytest.mark.parametrize(
    "args",
    [
        ["--map", "user"],
        ["--map", "user="],
        ["--map", "colour=c"],
        ["--map", "reason=why"],
        ["--source", "two words"],
        ["--source", ""],
        ["--currency", ""],
        ["--timezone", "Mars/Olympus"],
        ["--format", "xml"],
    ],
)
def test_wrong_arguments_end_with_status_2(quiet: Importer, args: list[str]) -> None:
    assert quiet.csv(*GOALS, args=args).exit_code == 2
    assert quiet.entries() == []


@pytest.mark.parametrize(
    ("origin", "words"),
    [
        ("nowhere.csv", "No such file"),
        ("sqlite:///nowhere.sqlite3", "There is no file"),
    ],
)
def test_a_source_that_is_not_there_takes_one_line(
    quiet: Importer, origin: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(quiet.folder)
    quiet.refuses(quiet.run(origin, "--source", "old"), words)
    assert not (quiet.folder / "nowhere.sqlite3").exists()


def test_what_cannot_be_reached_is_a_wrong_argument(quiet: Importer) -> None:
    for origin in ("oracle+nothing://x", "postgresql+nothing://x"):
        assert quiet.run(origin, "--source", "old").exit_code == 2


@pytest.mark.parametrize(
    ("origin", "driver", "extra"),
    [
        ("postgresql+psycopg://x", "psycopg", "postgresql"),
        ("mariadb+pymysql://x", "pymysql", "mariadb"),
    ],
)
def test_a_missing_driver_is_told_with_its_extra(
    quiet: Importer, origin: str, driver: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, driver, None)
    result = quiet.run(origin, "--source", "old")
    assert (result.exit_code, f"Flask-Coins[{extra}]" in result.output) == (2, True)


def test_missing_tables_are_told(tmp_path: Path) -> None:
    app = create_app("sqlite://", SQLAlchemy(), Coins())
    importer = Importer(app, SQLAlchemy(), tmp_path)
    result = importer.csv(*GOALS)
    assert (result.exit_code, "flask db upgrade" in result.output) == (1, True)


# -- another database -----------------------------------------------------------------------------


@pytest.fixture
def elsewhere(tmp_path: Path) -> Callable[..., str]:
    """``elsewhere(*rows)``: the URL of a database with a hand-written ``coin_log``."""

    def make(*rows: dict[str, Any], name: str = "coin_log", key: Any = sa.String) -> str:
        url = f"sqlite:///{tmp_path / 'elsewhere.sqlite3'}"
        engine = sa.create_engine(url, poolclass=NullPool)
        table = sa.Table(
            name,
            sa.MetaData(),
            sa.Column("id", sa.Integer, primary_key=True),
            sa.Column("user_id", key),
            sa.Column("amount", sa.Integer),
            sa.Column("reason", sa.String),
            sa.Column("created_at", sa.DateTime),
        )
        table.create(engine)
        with engine.begin() as connection:
            connection.execute(table.insert(), list(rows))
        return url

    return make


AT = datetime(2026, 11, 20, 9)


def test_a_hand_written_log_comes_in_by_its_url(
    old: Importer, elsewhere: Callable[..., str]
) -> None:
    url = elsewhere(goal(created_at=AT), goal(id=2, amount=-4, created_at=AT))
    args = ["--source", "old", "--timezone", "Europe/Berlin", "--json"]
    assert done(old.run(url, *args))["written"] == 2
    assert old.entries("amount", "balance_after", "created_at") == [
        (10, 10, datetime(2026, 11, 20, 8, tzinfo=timezone.utc)),
        (-4, 6, datetime(2026, 11, 20, 8, tzinfo=timezone.utc)),
    ]
    assert done(old.run(url, *args))["there"] == 2


def test_the_table_can_be_another(quiet: Importer, elsewhere: Callable[..., str]) -> None:
    url = elsewhere(goal(created_at=AT), name="points")
    assert "no table coin_log" in quiet.run(url, "--source", "old").output
    assert done(quiet.run(url, "--source", "old", "--table", "points", "--json"))["written"] == 1


def test_a_row_of_a_table_is_named_by_its_id(
    quiet: Importer, elsewhere: Callable[..., str]
) -> None:
    url = elsewhere(goal(id=5, created_at=AT), goal(id=7, amount=-40, created_at=AT))
    quiet.refuses(quiet.run(url, "--source", "old"), "row 2 (id 7): the balance")


def test_ids_that_are_kept_as_char_32_are_uuids(
    quiet: Importer, elsewhere: Callable[..., str]
) -> None:
    user = UUID("3d1c2f0a-1111-4222-8333-444455556666")
    url = elsewhere(goal(user_id=user.hex, created_at=AT), key=sa.CHAR(32))
    done(quiet.run(url, "--source", "old", "--json"))
    assert list(quiet.balances()) == [str(user)]


def test_a_table_has_no_lines(quiet: Importer, elsewhere: Callable[..., str]) -> None:
    url = elsewhere(goal(created_at=AT))
    result = quiet.run(url, "--source", "old", "--ids-from-lines")
    assert (result.exit_code, "--map id=COLUMN" in result.output) == (2, True)


def test_an_app_does_not_import_its_own_log(
    old: Importer, coins: Coins, db: SQLAlchemy, database_url: str
) -> None:
    with old.app.app_context():
        coins.award("ann", 10, "goal")
        db.session.commit()
    result = old.run(database_url, "--source", "old")
    assert result.exit_code == 1
    assert "the log of this very app" in result.output
    assert old.balances() == {"ann": (10, 10, 0)}


# -- all or nothing -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words", ["INSERT INTO coin_balance", "INSERT INTO coin_log", "updated_at = "]
)
def test_an_interrupt_leaves_nothing_behind(
    old: Importer, db: SQLAlchemy, words: str, engine: str
) -> None:
    if words == "updated_at = " and engine == "mariadb":
        words = "updated_at = VALUES"

    def interrupt() -> None:
        raise KeyboardInterrupt

    with old.app.app_context():
        bind = db.engine
    with before(bind, words, interrupt):
        assert old.csv(*GOALS).exit_code == 1
    assert (old.entries(), old.balances()) == ([], {})
    assert done(old.csv(*GOALS, args=["--json"]))["written"] == 3


def test_nothing_is_left_in_the_connection(old: Importer, db: SQLAlchemy) -> None:
    done(old.csv(*GOALS, args=["--json"]))
    assert old.csv("9,ann,-90,hat,2026-11-20").exit_code == 1
    with (
        old.app.app_context(),
        db.engine.connect() as connection,
        pytest.raises(sa.exc.DBAPIError),
    ):
        connection.exec_driver_sql("SELECT * FROM coin_import")


def test_every_option_of_import_is_known_by_the_tests() -> None:
    text = Path(__file__).read_text()
    options = [name for each in import_command.params for name in each.opts]
    assert [name for name in options if name.startswith("--") and f'"{name}"' not in text] == []


# -- beside others --------------------------------------------------------------------------------


class Said(NamedTuple):
    """What a process answers, in place of a receipt."""

    outcome: str


def carry(coins: Coins, what: str) -> Any:
    """Import the file that ``what`` names before its bar."""
    words = ["coins", "import", what.partition("|")[0], "--source", "old", "--json"]
    result = current_app.test_cli_runner().invoke(args=words)
    if result.exit_code:
        return Said("held" if "Others held these accounts" in result.output else result.output)
    return Said(str(json.loads(result.stdout)["written"]))


def pay(coins: Coins, what: str) -> Any:
    """Pay the user whose id stands behind the bar."""
    user = what.partition("|")[2]
    coins.award(user, 3, "quest")
    return coins.spend(user, 1, "hat")


def files(old: Importer, number: int) -> list[str]:
    """Files of 300 rows each, for the same 10 users in another order."""
    rows = [[f"{n}-{i},{i * 7 % 10},2,goal,2026-11-20" for i in range(300)] for n in range(number)]
    return [
        old.file("\n".join([HEADER, *rows[n][:: (-1) ** n]]), f"{n}.csv") for n in range(number)
    ]


def test_of_imports_at_once_one_writes(old: Importer, database_url: str, racers: Racers) -> None:
    paths = files(old, 4)
    answers = racers.race(database_url, [carry], paths)
    assert {answer.said for answer in answers} <= {"300", "0", "held"}
    for path in paths:
        assert [each.said for each in answers if each.user == path].count("300") <= 1
    assert [done(old.run(path, "--source", "old", "--json"))["rows"] for path in paths] == [300] * 4
    assert len(old.entries()) == 1200


def test_the_app_pays_on_during_an_import(old: Importer, database_url: str, racers: Racers) -> None:
    paths = files(old, 6)
    laps = [f"{path}|{user}" for path in paths for user in (1, 8)]
    answers = racers.race(database_url, [carry, pay], laps)
    said = [answer.said for answer in answers]
    assert set(said) <= {"300", "0", "held", "spent", "CoinsRetry", "lost at commit"}
    assert "300" in said
    assert "spent" in said
    # Each lap's payment is two entries; reconcile() has proved the rest.
    assert len(old.entries()) == 300 * said.count("300") + 2 * said.count("spent")


TIMEOUTS = {
    "postgresql": "SET lock_timeout = '100ms'",
    "mariadb": "SET innodb_lock_wait_timeout = 1",
    "sqlite": "PRAGMA busy_timeout = 100",
}


def test_nobody_pays_a_user_who_is_being_imported(
    old: Importer, db: SQLAlchemy, database_url: str, engine: str
) -> None:
    done(old.csv(GOALS[0], args=["--json"]))
    told = []

    def pay() -> None:
        with sa.create_engine(database_url, poolclass=NullPool).connect() as other:
            other.exec_driver_sql(TIMEOUTS[engine])
            try:
                other.execute(sa.update(balances).values(balance=99))
            except sa.exc.OperationalError:
                told.append("has to wait")

    with old.app.app_context():
        bind = db.engine
    with before(bind, "INSERT INTO coin_log", pay):
        done(old.csv(*GOALS, args=["--json"]))
    assert told == ["has to wait"]
    assert old.balances()["ann"] == (6, 10, 4)


def test_it_goes_on_from_what_others_commit_while_it_reads(
    make_app: Callable[..., Flask], db: SQLAlchemy, database_url: str, engine: str, tmp_path: Path
) -> None:
    if engine == "sqlite":
        pytest.skip("SQLite has one level")
    options = {"isolation_level": "REPEATABLE READ"}
    old = Importer(make_app(SQLALCHEMY_ENGINE_OPTIONS=options), db, tmp_path)
    done(old.csv(GOALS[0], args=["--json"]))

    def pay() -> None:
        coins, other = Coins(), SQLAlchemy()
        app = create_app(database_url, other, coins)
        with app.app_context():
            coins.award("ann", 100, "quest")
            other.session.commit()
            other.engine.dispose()

    with old.app.app_context():
        bind = db.engine
    with before(bind, "INSERT INTO coin_balance", pay):
        done(old.csv(*GOALS, args=["--json"]))
    assert [row for row in old.entries() if row[0] == "ann"] == [
        ("ann", 10, 10),
        ("ann", 100, 110),
        ("ann", -4, 106),
    ]


def test_a_driver_that_begins_no_transactions_is_given_one(
    make_app: Callable[..., Flask], db: SQLAlchemy, engine: str, tmp_path: Path
) -> None:
    if engine != "sqlite":
        pytest.skip("a way to set SQLite up")
    options = {"connect_args": {"isolation_level": None}}
    old = Importer(make_app(SQLALCHEMY_ENGINE_OPTIONS=options), db, tmp_path)
    old.refuses(old.csv("1,ann,-1,hat,2026-11-20"), "would be -1")
    done(old.csv(*GOALS, args=["--json"]))
    assert old.balances()["ann"] == (6, 10, 4)


def test_a_connection_that_commits_each_statement_is_refused_or_told_not_to(
    make_app: Callable[..., Flask], db: SQLAlchemy, engine: str, tmp_path: Path
) -> None:
    app = make_app(SQLALCHEMY_ENGINE_OPTIONS={"isolation_level": "AUTOCOMMIT"})
    old = Importer(app, db, tmp_path)
    spend = old.csv("1,ann,-1,hat,2026-11-20")
    assert spend.exit_code == 1
    assert ("AUTOCOMMIT" if engine == "sqlite" else "would be -1") in spend.output
    assert old.balances() == {}
