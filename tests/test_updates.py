"""From one release to the next: a host that has an older line of revisions, and rows in its tables."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from flask_coins import Coins, MissingTablesError, _copies, _install

from .hosts import Host

ENTRY = (
    "INSERT INTO coin_log (id, user_id, currency, amount, balance_after, reason, created_at)"
    " VALUES (1, '7', 'coins', 15, 15, 'goal', '2026-01-01 12:00:00')"
)
BALANCE = (
    "INSERT INTO coin_balance (user_id, currency, balance, earned, spent, updated_at)"
    " VALUES ('7', 'coins', 15, 15, 0, '2026-01-01 12:00:00')"
)
HOLD = (
    "INSERT INTO coin_hold (id, user_id, currency, amount, reason, subject, status, created_at)"
    " VALUES (1, '7', 'coins', 5, 'shop', '', 'open', '2026-01-01 12:00:00')"
)
HIDDEN = "INSERT INTO coin_hidden (user_id, created_at) VALUES ('7', '2026-01-01 12:00:00')"
LINKED = (
    "INSERT INTO coin_log (id, user_id, currency, amount, balance_after, reason, created_at,"
    " counterparty, transfer_id)"
    " VALUES (2, '8', 'coins', 3, 3, 'transfer', '2026-01-01 12:00:00', '7', 1)"
)


@contextmanager
def first_release() -> Iterator[None]:
    """A package that ships ``coins_0001`` alone."""
    first = _copies.shipped()[:1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_copies, "shipped", lambda: first)
        yield


@pytest.fixture
def old(tmp_path: Path, database_url: str) -> Host:
    """A host of the first release: its copy has been run, and a coin has been paid."""
    host = Host(tmp_path, database_url).init()
    with first_release():
        host.upgraded()
    host.execute(ENTRY, BALANCE)
    return host


def rows(host: Host) -> list[list[Any]]:
    """What the first release wrote."""
    entries = "SELECT id, user_id, amount, balance_after, reason FROM coin_log ORDER BY id"
    balances = "SELECT user_id, balance, earned, spent FROM coin_balance ORDER BY user_id"
    return [host.execute(entries), host.execute(balances)]


# -- copied, run, taken back ---------------------------------------------------------------------


def test_an_upgrade_brings_what_is_new_and_keeps_the_rows(old: Host) -> None:
    before, files = rows(old), old.files()
    assert [id_[:10] for id_ in old.copy_ids()] == ["coins_0001"]
    old.upgraded()
    assert old.heads() == old.copy_ids()[-1:]
    assert old.at() == set(old.heads())
    assert files.items() <= old.files().items()
    assert rows(old) == before
    assert old.execute("SELECT held FROM coin_balance") == [(0,)]
    assert old.db("check").code == 0


def test_the_copy_goes_under_the_hosts_own_head(old: Host) -> None:
    old.options["models"] = lambda db: db.Table("a", sa.Column("id", sa.Integer, primary_key=True))
    make = "op.create_table('a', sa.Column('id', sa.Integer, primary_key=True))"
    old.revision("20240102_a", old.heads()[0], make)
    assert 'down_revision = "20240102_a"' in old.upgraded().copy(2).read_text()
    assert len(old.heads()) == 1
    assert old.db("check").code == 0


def test_two_releases_at_once_and_one_by_one_end_alike(old: Host, tmp_path: Path) -> None:
    other = Host(tmp_path / "other", f"sqlite:///{tmp_path / 'other.sqlite3'}")
    other.folder.mkdir()
    assert other.init().upgraded().files() == old.upgraded().files()


@pytest.mark.parametrize("to_base", [False, True], ids=["first", "base"])
def test_a_downgrade_goes_through_with_rows_in_every_table(old: Host, to_base: bool) -> None:
    before, first = rows(old), old.heads()[0]
    old.upgraded().execute("UPDATE coin_balance SET held = 5", HOLD, LINKED, HIDDEN)
    assert old.db("downgrade", "base" if to_base else first).code == 0
    if not to_base:
        old.execute("DELETE FROM coin_log WHERE id = 2")
        assert rows(old) == before
        assert not {"coin_hold", "coin_budget", "coin_hidden"} & old.tables()
    assert old.upgraded().db("check").code == 0
    assert rows(old) == ([[], []] if to_base else before)


def test_the_printed_sql_goes_up_and_down(old: Host) -> None:
    before, first = rows(old), old.copy_ids()[0]
    with old.create_app().app_context():
        _install.copy_revisions()
    printed(old, "upgrade", f"{first}:head")
    assert rows(old) == before
    assert old.db("check").code == 0
    printed(old, "downgrade", f"head:{first}")
    assert rows(old) == before
    assert old.at() == {first}
    assert old.upgraded().db("check").code == 0


def printed(host: Host, *args: str) -> None:
    """Run what ``--sql`` prints, as a database's own client would."""
    ran = host.db(*args, "--sql")
    assert ran.code == 0
    script = re.sub(r"^(--|INFO ).*$", "", ran.text, flags=re.MULTILINE)
    statements = [statement.strip() for statement in script.split(";")]
    host.execute(*(it for it in statements if it and it not in ("BEGIN", "COMMIT")))


def test_a_lost_copy_comes_back_identical_also_in_a_history_that_went_on(old: Host) -> None:
    old.revision("20240102_a", old.heads()[0])
    old.upgraded().revision("20240103_a", old.heads()[0])
    before = old.upgraded().files()
    assert old.lose(2).upgraded().files() == before
    assert old.lose().upgraded().files() == before


def test_a_trigger_of_the_hosts_survives(tmp_path: Path) -> None:
    host = Host(tmp_path, f"sqlite:///{tmp_path / 'host.sqlite3'}").init()
    with first_release():
        host.upgraded()
    host.execute(
        "CREATE TABLE audit (user_id TEXT)",
        "CREATE TRIGGER noted AFTER UPDATE ON coin_balance"
        " BEGIN INSERT INTO audit VALUES (new.user_id); END",
        ENTRY,
        BALANCE,
    )
    triggers = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"
    before = host.execute(triggers)
    assert host.upgraded().execute(triggers) == before
    host.execute("UPDATE coin_balance SET balance = balance")
    assert host.execute("SELECT user_id FROM audit") == [("7",)]


# -- before it has been run ----------------------------------------------------------------------

Call = Callable[[], Any]
coins = Coins()
CALLS: dict[str, Call] = {
    "award": lambda: coins.award("7", 5, "bonus"),
    "a new user's award": lambda: coins.award("9", 5, "bonus"),
    "award with a key": lambda: coins.award("7", 5, "bonus", idempotency_key="k"),
    "award_once": lambda: coins.award_once("7", 5, "daily", "day"),
    "spend": lambda: coins.spend("7", 5, "shop"),
    "transfer": lambda: coins.transfer("7", "8", 5, "gift"),
    "hold": lambda: coins.hold("7", 5, "shop"),
    "balance": lambda: coins.balance("7"),
    "history": lambda: coins.history("7"),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_before_the_upgrade_a_call_works_or_says_what_to_run(old: Host, call: Call) -> None:
    before, app, said = rows(old), old.create_app(), ""
    with app.app_context():
        try:
            call()
        except MissingTablesError as error:
            said = str(error)
        app.extensions["sqlalchemy"].session.commit()
    assert not said or ("run 'flask db upgrade'" in said and rows(old) == before)
    assert whole(old)
    paid(old.upgraded(), call)
    assert whole(old)


def paid(host: Host, call: Call) -> None:
    """Make the call, and commit."""
    with (app := host.create_app()).app_context():
        call()
        app.extensions["sqlalchemy"].session.commit()


def whole(host: Host) -> bool:
    """Whether every balance is the sum of its log."""
    query = "SELECT user_id, SUM(amount) FROM coin_log GROUP BY user_id ORDER BY user_id"
    sums = [(user, int(total)) for user, total in host.execute(query)]
    return sums == host.execute("SELECT user_id, balance FROM coin_balance ORDER BY user_id")


# -- a host that makes the tables itself ---------------------------------------------------------


@pytest.fixture
def own(tmp_path: Path, database_url: str) -> Host:
    """A host whose own revision made the first tables, as autogenerate had written it."""
    host = Host(tmp_path, database_url).init()
    (host.versions / "a0.py").write_text(autogenerated("a0"))
    host.options["coins"] = False
    host.upgraded().execute(ENTRY, BALANCE)
    host.options["coins"] = True
    return host


def autogenerated(id_: str) -> str:
    """A revision that makes the tables of ``coins_0001`` in its ``upgrade`` itself."""
    tree = ast.parse(_copies.shipped()[0].text)
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    made = [functions[f"create_coin_{table}"].body for table in ("balance", "log")]
    functions["upgrade"].body = [*made[0], *made[1]]
    return ast.unparse(tree).replace("coins_0001", id_)


def test_who_makes_the_tables_in_an_own_way_is_told_to_go_on_so(own: Host) -> None:
    before, files = rows(own), own.files()
    said = own.db("upgrade").text
    for lacking in ("coin_hold", "coin_budget", "coin_hidden", "coin_balance.held"):
        assert f" no {lacking} and" in said
    assert "'flask db migrate' writes a revision that helps" in said
    assert own.files() == files
    assert doctor(own)["tables"][-1].endswith("'flask db upgrade' runs it.")
    assert "revisions" not in doctor(own)
    assert own.db("migrate", "-m", "coins").code == 0
    assert doctor(own)["tables"][-1].endswith("run 'flask db upgrade'.")
    assert "Flask-Coins" not in own.db("upgrade").text
    assert own.db("check").code == 0
    assert (rows(own), own.copies()) == (before, [])
    mend(own)
    assert own.db("check").code == 0
    assert (rows(own), own.copies()) == (before, [])
    assert not {"tables", "revisions"} & doctor(own).keys()
    assert "Flask-Coins" not in own.db("upgrade").text


def doctor(host: Host) -> dict[str, list[str]]:
    """The faults that ``flask coins doctor`` finds, by the name of the check."""
    app = host.create_app()
    result = app.test_cli_runner().invoke(args=["coins", "doctor", "--json"])
    checks = json.loads(result.stdout)["checks"]
    return {it["name"]: it["faults"] for it in checks if it["faults"]}


def mend(host: Host) -> None:
    """Add the check that autogenerate does not write, by a revision with what doctor tells."""
    (fault,) = doctor(host)["tables"]
    assert fault.startswith("The check ck_coin_balance_held of the table coin_balance is missing: ")
    (told,) = re.findall("'(.*)'", fault)
    line = told if told.startswith("with") else f"op.execute({told!r})"
    host.revision("mended", *host.heads(), line)
    host.upgraded()


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_in_an_own_way_everything_works_afterwards(own: Host, call: Call) -> None:
    assert own.db("migrate", "-m", "coins").code == 0
    paid(own.upgraded(), call)
    assert whole(own)


def test_who_migrates_before_the_upgrade_has_made_it_too(old: Host) -> None:
    """A copy besides would find all of it there, and go down twice."""
    before = rows(old)
    assert old.db("migrate", "-m", "coins").code == 0
    assert "Flask-Coins" not in old.db("upgrade").text
    assert [id_[:10] for id_ in old.copy_ids()] == ["coins_0001"]
    assert old.db("check").code == 0
    assert old.db("downgrade").code == 0
    assert rows(old.upgraded()) == before
    mend(old)
    assert rows(old) == before
    assert not {"tables", "revisions"} & doctor(old).keys()


# -- a host without migrations -------------------------------------------------------------------


@pytest.fixture
def created(old: Host) -> Host:
    """A host that calls ``create_all()`` at each start, on tables of the first release."""
    old.execute("DROP TABLE alembic_version")
    old.options["migrate"] = None
    with (app := old.create_app()).app_context():
        app.extensions["sqlalchemy"].create_all()
    return old


def test_create_all_is_not_enough_and_doctor_says_so(created: Host) -> None:
    balance, log = doctor(created)["tables"]
    assert balance.startswith("The table coin_balance lacks the column held: ")
    assert log.startswith(
        "The table coin_log lacks the column counterparty, the column transfer_id,"
        " the unique index uq_coin_log_transfer: "
    )
    for fault in balance, log:
        assert "set up Flask-Migrate and run 'flask db upgrade'" in fault
        assert fault.endswith("(db.create_all() makes tables that are missing, but changes none).")


def test_the_cure_for_create_all_works(created: Host) -> None:
    before = rows(created)
    created.options["migrate"] = {}
    created.lose().upgraded()
    assert created.db("check").code == 0
    assert rows(created) == before
    assert not {"tables", "revisions"} & doctor(created).keys()


# -- what doctor says ----------------------------------------------------------------------------


def test_doctor_says_each_thing_once(old: Host) -> None:
    with first_release():
        assert "revisions" not in doctor(old)
    found = doctor(old)
    assert [fault.partition(" is not")[0] for fault in found["revisions"]] == [
        "coins_0002",
        "coins_0003",
    ]
    assert [re.split(r" lacks | has ", fault)[0] for fault in found["tables"]] == [
        "The table coin_balance",
        "The table coin_log",
        "The database",
    ]
    assert all(fault.endswith(": run 'flask db upgrade'.") for fault in found["tables"])
    assert not {"tables", "revisions"} & doctor(old.upgraded()).keys()
