"""``flask coins``: tables for people, JSON for programs, and statuses that scripts can trust."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
import sqlalchemy as sa
from click.testing import Result
from flask import Flask, g
from flask.views import MethodView
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from flask_coins import Coins, award_once
from flask_coins._cli import coins_cli
from flask_coins._models import OWN_COLUMNS

from .apps import Clock
from .hosts import Host

Run = Callable[..., Result]


@pytest.fixture
def our_pages() -> str:
    return "/coins"


@pytest.fixture
def run(app: Flask) -> Run:
    """``run("award", "7", "15")``: a command on ``app``."""
    return lambda *args: app.test_cli_runner().invoke(args=["coins", *args])


@pytest.fixture
def host(tmp_path: Path, database_url: str) -> Host:
    """A host whose tables came by ``flask db upgrade``."""
    return Host(tmp_path, database_url).init().upgraded()


def run_on(host: Host, *args: str) -> Result:
    """A command on a new app of ``host``."""
    return host.create_app().test_cli_runner().invoke(args=["coins", *args])


def document(result: Result) -> Any:
    """The one JSON document that a command printed."""
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return json.loads(result.stdout)


def balance(run: Run, user: str) -> int:
    return int(document(run("balance", user, "--json"))["balances"][0]["balance"])


# -- moving coins ---------------------------------------------------------------------------------


def test_award_prints_the_receipt_and_commits(run: Run) -> None:
    result = run("award", "7", "15", "--reason", "support", "--subject", "ticket-1")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "outcome   awarded",
        "user      7",
        "amount    15",
        "currency  coins",
        "balance   15",
        "reason    support",
        "subject   ticket-1",
        "entry     1",
    ]
    assert balance(run, "7") == 15


def test_award_once_is_refused_with_the_time_it_opens(run: Run) -> None:
    first, second = (document(run("award", "7", "15", "--once", "day", "--json")) for _ in "ab")
    assert (first["outcome"], second["outcome"]) == ("awarded", "already")
    assert second["next_at"] == "2026-11-23T00:00:00Z"
    assert run("award", "7", "15", "--once", "day").exit_code == 0
    assert balance(run, "7") == 15


def test_a_key_makes_a_repeated_call_safe(run: Run) -> None:
    outcomes = [document(run("award", "7", "15", "--key", "k", "--json")) for _ in "ab"]
    assert [each["outcome"] for each in outcomes] == ["awarded", "replayed"]
    assert outcomes[0]["entry"] == outcomes[1]["entry"]
    conflict = run("award", "7", "16", "--key", "k")
    assert (conflict.exit_code, conflict.output.count("\n")) == (1, 1)


def test_spend_takes_what_is_there(run: Run) -> None:
    run("award", "7", "15")
    receipt = document(run("spend", "7", "5", "--reason", "hat", "--json"))
    assert (receipt["outcome"], receipt["amount"], receipt["balance"]) == ("spent", -5, 10)
    short = run("spend", "7", "11")
    assert (short.exit_code, short.output) == (1, "Error: 11 coins are needed, 10 are there.\n")
    assert balance(run, "7") == 10


def test_an_excluded_user_is_told(run: Run, coins: Coins) -> None:
    coins.eligible_check(lambda user_id, reason: user_id != "7")
    assert document(run("award", "7", "15", "--json"))["outcome"] == "excluded"
    assert balance(run, "7") == 0


@pytest.mark.parametrize(
    "args",
    [
        ("7", "0"),
        ("7", "1.5"),
        ("7", "1000000000000000"),
        ("7", "1", "--reason", "ends in a space "),
        ("7", "1", "--currency", ""),
        ("7", "1", "--once", "fortnight"),
        ("7", "1", "--once", ""),
        ("7", "1", "--once", "day", "--key", "k"),
        ("7", "1", "--once", "day", "--key", ""),
        ("u" * 65, "1"),
        ("7",),
    ],
)
def test_wrong_arguments_end_with_status_2_and_change_nothing(run: Run, args: list[str]) -> None:
    result = run("award", *args)
    assert result.exit_code == 2
    assert "Error: " in result.output
    assert balance(run, "7") == 0


def locked(*_: Any) -> None:
    """What SQLite's driver would say."""
    raise OperationalError("COMMIT", {}, Exception("database is locked"))


@pytest.fixture
def _no_naps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)


@pytest.mark.usefixtures("_no_naps")
def test_what_the_database_gave_up_is_repeated_whole(run: Run, db: SQLAlchemy) -> None:
    failures = [locked, locked]
    sa.event.listen(db.session, "before_commit", lambda _: failures and failures.pop()())
    assert document(run("award", "7", "15", "--json"))["balance"] == 15
    assert not failures


@pytest.mark.usefixtures("_no_naps")
def test_it_is_not_repeated_for_ever(run: Run, db: SQLAlchemy) -> None:
    sa.event.listen(db.session, "before_commit", locked)
    result = run("award", "7", "15")
    assert (result.exit_code, result.output.count("\n")) == (1, 1)
    assert balance(run, "7") == 0


# -- looking --------------------------------------------------------------------------------------


def test_balances_are_aligned_with_numbers_to_the_right(run: Run) -> None:
    run("award", "student:1", "1500")
    assert run("balance", "student:1", "8").stdout.splitlines() == [
        "user       balance  currency",
        "student:1     1500  coins",
        "8                0  coins",
    ]


def test_wide_and_combining_characters_are_aligned_too(run: Run) -> None:
    assert run("balance", "\u5404\u65e5", "rene\u0301e", "ann").stdout.splitlines() == [
        "user   balance  currency",
        "\u5404\u65e5         0  coins",
        "rene\u0301e        0  coins",
        "ann          0  coins",
    ]


def test_the_log_is_read_page_by_page(run: Run, clock: Clock) -> None:
    for amount in ("5", "10", "100"):
        run("award", "7", amount, "--reason", f"r{amount}")
        clock.forward(microseconds=1)
    page = run("log", "7", "--limit", "2").stdout.splitlines()
    assert page == [
        "id  created at                   amount  balance after  reason  subject",
        " 3  2026-11-22T12:00:00.000002Z     100            115  r100    -",
        " 2  2026-11-22T12:00:00.000001Z      10             15  r10     -",
        "Older ones: --before 2",
    ]
    last = document(run("log", "7", "--before", "2", "--json"))
    assert [entry["id"] for entry in last["entries"]] == ["1"]
    assert last["next"] is None


def test_an_empty_log_is_said_to_be_empty(run: Run) -> None:
    assert run("log", "7").stdout == "No coins ever moved for user 7.\n"
    assert document(run("log", "7", "--json")) == {"entries": [], "next": None}


def test_rewards_are_listed_for_all_and_for_one(run: Run, app: Flask) -> None:
    rule = award_once(15, "listed_goal", "day", subject="easy")
    app.add_url_rule("/goal", "goal", rule(lambda: "done"))
    run("award", "7", "15", "--reason", "listed_goal", "--subject", "easy")
    lines = [line.split() for line in run("rewards").stdout.splitlines()]
    assert ["listed_goal", "15", "coins", "day", "1", "easy"] in lines
    (mine,) = (
        reward
        for reward in document(run("rewards", "7", "--json"))["rewards"]
        if reward["reason"] == "listed_goal"
    )
    assert (mine["state"], mine["opens_at"]) == ("paid", "2026-11-23T00:00:00Z")


def test_amounts_that_a_view_decides_are_listed(run: Run, app: Flask) -> None:
    rule = award_once(lambda value: 1, "tiers", "day", amounts=[25, 15])
    app.add_url_rule("/goal", "goal", rule(lambda: "done"))
    lines = [line.split() for line in run("rewards").stdout.splitlines()]
    assert ["tiers", "15,", "25", "coins"] in [line[:4] for line in lines]
    rewards = document(run("rewards", "--json"))["rewards"]
    assert [each["amounts"] for each in rewards if each["reason"] == "tiers"] == [[15, 25]]


# -- verify ---------------------------------------------------------------------------------------


def spoil(app: Flask, db: SQLAlchemy, statement: str) -> None:
    with app.app_context():
        db.session.execute(sa.text(statement))
        db.session.commit()


def test_verify_agrees_with_a_ledger_that_was_left_alone(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flask_coins._verify._AT_ONCE", 2)
    for user in "abcde":
        run("award", user, "15")
        run("spend", user, "5")
    assert document(run("verify", "--json")) == {"ok": True, "balances": 5, "faults": []}
    assert run("verify").stdout == "Balances checked: 5.\nThey agree with the log.\n"


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("UPDATE coin_balance SET balance = 99 WHERE user_id = 'd'", "coin_balance has 99"),
        ("UPDATE coin_balance SET earned = 9, spent = 9 WHERE user_id = 'd'", "earned 9, spent 9"),
        ("UPDATE coin_log SET balance_after = 7 WHERE user_id = 'd'", "0 +15 is not 7"),
        ("DELETE FROM coin_balance WHERE user_id = 'd'", "the log 15"),
        ("DELETE FROM coin_log WHERE user_id = 'd'", "the log 0"),
    ],
)
def test_verify_finds_what_was_spoilt(
    run: Run, app: Flask, db: SQLAlchemy, monkeypatch: pytest.MonkeyPatch, statement: str, what: str
) -> None:
    monkeypatch.setattr("flask_coins._verify._AT_ONCE", 2)
    for user in "abcde":
        run("award", user, "15")
    spoil(app, db, statement)
    result = run("verify")
    assert (result.exit_code, what in result.stdout) == (1, True)
    assert [it["user"] for it in document(run("verify", "--json"))["faults"]] == ["d"]


# -- install and adopt ----------------------------------------------------------------------------


def test_install_check_fails_until_the_copy_is_there(tmp_path: Path) -> None:
    host = Host(tmp_path, "sqlite://").init()
    missing = run_on(host, "install", "--check")
    assert (missing.exit_code, "is missing" in missing.stdout) == (1, True)
    assert host.files() == {}
    written = document(run_on(host, "install", "--json"))["written"]
    assert written == [str(path) for path in host.copies()] != []
    assert run_on(host, "install", "--check").exit_code == 0


def test_install_takes_a_folder_and_a_head(tmp_path: Path) -> None:
    host = Host(tmp_path, "sqlite://").init("-d", str(tmp_path / "migrations"))
    host.revision("a1", None)
    host.revision("b1", "a1")
    folder = str(host.migrations)
    installed = run_on(host, "install", "-d", folder, "--head", "a1")
    assert installed.exit_code == 0
    assert "There are several heads: join them with 'flask db merge heads'" in installed.output
    assert 'down_revision = "a1"' in host.copy().read_text()
    nowhere = run_on(host, "install", "-d", str(tmp_path / "nowhere"))
    assert (nowhere.exit_code, nowhere.output.count("\n")) == (1, 1)


@pytest.fixture
def old(tmp_path: Path, database_url: str) -> Host:
    """A host with coins that it kept by itself: 25 in the log, 30 in the column."""
    host = Host(tmp_path, database_url).init()
    host.execute(
        "CREATE TABLE users (id INTEGER PRIMARY KEY, coins INTEGER)",
        "CREATE TABLE coin_log (user_id INTEGER, amount INTEGER, reason VARCHAR(20),"
        " created_at VARCHAR(40))",
        "INSERT INTO users VALUES (7, 30)",
        "INSERT INTO coin_log VALUES (7, 25, 'goal', '2026-01-01 12:00:00')",
    )
    return host


def test_adopt_prints_a_reconciliation_and_runs_again_safely(old: Host) -> None:
    result = run_on(old, "adopt", "--timezone", "Europe/Berlin", "--keep")
    assert result.exit_code == 0, result.output
    assert "user 7: the log said 25, the column 30" in result.stdout
    log = document(run_on(old, "log", "7", "--json"))["entries"]
    assert [(it["amount"], it["reason"]) for it in log] == [(25, "goal"), (5, "opening_balance")]
    assert log[0]["created_at"] == "2026-01-01T11:00:00Z"
    assert "coin_log_before_coins" in old.tables()
    again = document(run_on(old, "adopt", "--json"))
    assert again["adopted"] is False
    assert run_on(old.upgraded(), "verify").exit_code == 0


def test_adopt_is_told_where_the_coins_are(old: Host) -> None:
    wrong = run_on(old, "adopt", "--balance", "coins")
    assert (wrong.exit_code, "TABLE.COLUMN" in wrong.output) == (2, True)
    told = document(run_on(old, "adopt", "--balance", "users.coins", "--user-key", "id", "--json"))
    assert (told["adopted"], told["column"]) == (True, "users.coins")
    assert told["differences"] == [{"user": "7", "logged": 25, "stated": 30}]


def test_adopt_may_leave_the_column_alone(old: Host) -> None:
    told = document(run_on(old, "adopt", "--balance", "none", "--json"))
    assert (told["openings"], told["total"]) == (0, 25)


# -- doctor ---------------------------------------------------------------------------------------


def faults(result: Result) -> dict[str, list[str]]:
    """What doctor found, by the name of the check."""
    assert result.exit_code == 1, result.output
    return {it["name"]: it["faults"] for it in document(result)["checks"] if it["faults"]}


@pytest.fixture
def healthy(app: Flask, coins: Coins) -> None:
    """The app as it should be."""
    coins.current_user_loader(lambda: 7)


@pytest.mark.usefixtures("healthy")
def test_doctor_says_what_it_looked_at(run: Run) -> None:
    result = run("doctor")
    assert (result.exit_code, "FAULT" in result.stdout) == (0, False)
    names = [line.split()[:2] for line in result.stdout.splitlines()]
    assert names == [
        ["ok", name]
        for name in (
            *("extension", "settings", "rules", "routes", "user", "tables", "storage"),
            "revisions",
        )
    ]
    assert document(run("doctor", "--json"))["ok"] is True


@pytest.mark.usefixtures("healthy")
def test_doctor_finds_a_rule_above_its_route(run: Run, app: Flask) -> None:
    @award_once(15, "never_paid", "day")
    @app.get("/above")
    def above() -> str:
        return "done"

    (fault,) = faults(run("doctor", "--json"))["rules"]
    assert "'never_paid' never runs" in fault
    assert "FAULT  rules" in run("doctor").stdout


@pytest.mark.usefixtures("healthy")
def test_doctor_finds_a_rule_on_a_get_that_never_counts(run: Run, app: Flask) -> None:
    class Look(MethodView):
        @award_once(15, "never_paid", "day")
        def get(self) -> str:
            return "seen"

        def post(self) -> str:
            return "done"

    app.add_url_rule("/look", view_func=Look.as_view("look"))
    (fault,) = faults(run("doctor", "--json"))["rules"]
    assert "'never_paid' never counts" in fault


@pytest.mark.usefixtures("healthy")
def test_doctor_finds_a_route_under_the_prefix(run: Run, app: Flask) -> None:
    app.add_url_rule("/coins/shop", "shop", lambda: "shop")
    assert "'/coins/shop' (shop)" in faults(run("doctor", "--json"))["routes"][0]


@pytest.mark.usefixtures("healthy")
def test_doctor_finds_a_misspelt_setting(run: Run, app: Flask) -> None:
    app.config["COINS_TIMEZON"] = "Europe/Berlin"
    assert "did you mean COINS_TIMEZONE?" in faults(run("doctor", "--json"))["settings"][0]


def test_doctor_finds_that_nobody_tells_the_user(run: Run, app: Flask) -> None:
    assert "@coins.current_user_loader" in faults(run("doctor", "--json"))["user"][0]


def test_doctor_sees_who_sets_g_user(run: Run, app: Flask) -> None:
    @app.before_request
    def load() -> None:
        g.user = 7

    assert run("doctor").exit_code == 0


@pytest.mark.usefixtures("healthy")
def test_doctor_finds_missing_tables(run: Run, app: Flask, db: SQLAlchemy) -> None:
    with app.app_context():
        db.drop_all()
    (found,) = faults(run("doctor", "--json"))["tables"]
    assert f"has no {' and no '.join(OWN_COLUMNS)}: set up Flask-Migrate and run " in found
    assert "flask db upgrade" in found


@pytest.mark.usefixtures("healthy")
def test_doctor_finds_a_lost_index_and_a_lost_column(run: Run, app: Flask, db: SQLAlchemy) -> None:
    with app.app_context():
        table = db.metadata.tables["coin_log"]
        next(it for it in table.indexes if it.name == "uq_coin_log_once").drop(db.engine)
    spoil(app, db, "ALTER TABLE coin_log DROP COLUMN details")
    (fault,) = faults(run("doctor", "--json"))["tables"]
    assert "lacks the column details, the unique index uq_coin_log_once" in fault


@pytest.mark.usefixtures("healthy")
def test_doctor_finds_tables_of_another_make(run: Run, app: Flask, db: SQLAlchemy) -> None:
    with app.app_context():
        db.drop_all()
    spoil(app, db, "CREATE TABLE coin_log (user_id INTEGER)")
    assert "flask coins adopt" in faults(run("doctor", "--json"))["tables"][0]


def test_doctor_finds_a_database_that_is_away() -> None:
    app = Flask("away")
    app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite:////nowhere/at/all.sqlite3"
    Coins(app, SQLAlchemy(app)).current_user_loader(lambda: 7)
    result = app.test_cli_runner().invoke(args=["coins", "doctor", "--json"])
    assert "unable to open database file" in faults(result)["tables"][0]


def git(folder: Path, *args: str) -> None:
    who = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
    subprocess.run(["git", "-C", str(folder), *who, *args], check=True, capture_output=True)


def test_doctor_follows_a_revision_until_it_is_committed_and_run(
    tmp_path: Path, database_url: str
) -> None:
    host = Host(tmp_path, database_url).init()
    git(tmp_path, "init")
    assert "coins_0001 is not in the migrations" in revision_fault(host)
    assert run_on(host, "install").exit_code == 0
    assert "is not committed" in revision_fault(host)
    git(tmp_path, "add", "migrations")
    git(tmp_path, "commit", "-m", "Coins")
    assert "has not been run: run 'flask db upgrade'" in revision_fault(host)
    found = faults(run_on(host.upgraded(), "doctor", "--json"))
    assert not {"tables", "revisions"} & found.keys()


def revision_fault(host: Host) -> str:
    return faults(run_on(host, "doctor", "--json"))["revisions"][0]


def test_doctor_finds_a_lost_copy(host: Host) -> None:
    host.lose()
    found = faults(run_on(host, "doctor", "--json"))["revisions"]
    assert any("its file is lost" in fault for fault in found)


@pytest.fixture
def bare(host: Host) -> Flask:
    """An app on a database with coin tables, without the extension."""
    app = Flask("bare")
    app.config["SQLALCHEMY_DATABASE_URI"] = host.url
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = {"poolclass": NullPool}
    SQLAlchemy(app)
    app.cli.add_command(coins_cli)
    return app


def test_doctor_warns_before_our_tables_are_dropped(bare: Flask) -> None:
    result = bare.test_cli_runner().invoke(args=["coins", "doctor", "--json"])
    absent, danger = faults(result)["extension"]
    assert "coins.init_app(app, db)" in absent
    assert "would drop the coin tables" in danger


@pytest.mark.parametrize(
    "args",
    [
        ("award", "7", "1"),
        ("spend", "7", "1"),
        ("balance", "7"),
        ("log", "7"),
        ("rewards",),
        ("install",),
        ("adopt",),
        ("verify",),
    ],
)
def test_without_the_extension_every_command_says_so(bare: Flask, args: tuple[str, ...]) -> None:
    result = bare.test_cli_runner().invoke(args=["coins", *args])
    assert (result.exit_code, result.output.count("\n")) == (1, 1)
    assert "coins.init_app(app, db)" in result.output


# -- as a whole -----------------------------------------------------------------------------------


def test_an_app_without_the_extension_has_the_commands_too(tmp_path: Path) -> None:
    (tmp_path / "bare.py").write_text("from flask import Flask\napp = Flask(__name__)\n")
    command = [sys.executable, "-m", "flask", "--app", "bare", "coins", "doctor"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (ran.returncode, "FAULT  extension" in ran.stdout) == (1, True)


@pytest.fixture
def quiet(tmp_path: Path) -> Host:
    """A host on SQLite alone, for what a process shows is the same on all engines."""
    return Host(tmp_path, f"sqlite:///{tmp_path / 'host.sqlite3'}").init()


def test_a_process_prints_only_its_document(quiet: Host) -> None:
    host = quiet.upgraded()
    ran = host.run("coins", "award", "7", "15", "--json")
    assert (json.loads(ran.stdout)["balance"], ran.stderr) == (15, "")
    ran = host.run("coins", "verify", "--json")
    assert (json.loads(ran.stdout)["ok"], ran.stderr) == (True, "")


def seen_by_people(host: Host, *args: str) -> str:
    """What a command shows on a terminal beside its output."""
    terminal, stderr = pytest.importorskip("pty").openpty()
    command = [sys.executable, "-m", "flask", "--app", "host", "coins", *args]
    environment = {**os.environ, "HOST_URL": host.url}
    subprocess.run(command, cwd=host.folder, env=environment, stderr=stderr, check=True)
    return str(os.read(terminal, 10_000), "utf-8")


def test_people_see_how_far_it_is(quiet: Host) -> None:
    host = quiet.upgraded()
    host.run("coins", "award", "7", "15")
    assert "Verifying" in seen_by_people(host, "verify")


def test_people_see_how_far_an_adoption_is(old: Host) -> None:
    assert old.run("coins", "doctor").returncode == 1
    seen = seen_by_people(old, "adopt")
    assert ("Adopting" in seen, "100%" in seen) == (True, True)
    assert old.run("coins", "adopt").stderr == ""


def test_tables_that_are_missing_take_one_line(tmp_path: Path) -> None:
    ran = Host(tmp_path, "sqlite://").run("coins", "balance", "7")
    assert ran.returncode == 1
    assert ran.stderr == "Error: The coin tables are missing or behind: run 'flask db upgrade'.\n"


@pytest.mark.parametrize("command", coins_cli.commands.values(), ids=lambda it: it.name)
def test_every_command_and_option_has_a_help_text(command: click.Command) -> None:
    assert command.help
    options = [it for it in command.params if isinstance(it, click.Option)]
    assert all(option.help for option in options)
    assert "as_json" in [option.name for option in options]
