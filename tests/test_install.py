"""What a host sees of its history: ``flask db …`` before, with and after Flask-Coins."""

from __future__ import annotations

import errno
import hashlib
import inspect
import re
import subprocess
from pathlib import Path
from typing import Any

import flask_migrate
import pytest
import sqlalchemy as sa
from flask import Flask, appcontext_pushed
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import DeclarativeBase, registry

from flask_coins import Coins, CoinsError, _copies, _install
from flask_coins._models import OWN_COLUMNS

from .hosts import GUARDED_ENV, Host

CONVENTION = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
CHECKS = {"autogenerate_plugins": ["alembic.autogenerate.*", "alembic.ext.checkconstraint_byname"]}
AUTHOR = "op.create_table('author', sa.Column('id', sa.Integer, primary_key=True))"
OLD_LOG = "CREATE TABLE coin_log (user_id INTEGER, amount INTEGER, reason TEXT, created_at TEXT)"
OTHER_LOG = "CREATE TABLE coin_log (id INTEGER, mint TEXT)"
MAKE_BALANCE = "op.create_table('coin_balance', sa.Column('user_id', sa.Integer))"
DIGEST_OF_NOTHING = "e3b0c442"
FIVE_COINS = (
    "INSERT INTO coin_balance (user_id, currency, balance, earned, spent, updated_at)"
    " VALUES ('1', 'coins', 5, 5, 0, '2026-01-01')"
)
LINE = [revision.id for revision in _copies.shipped()]
OURS = set(OWN_COLUMNS)


def author(db: SQLAlchemy) -> None:
    db.Table("author", sa.Column("id", sa.Integer, primary_key=True))


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """A host without revisions, on SQLite."""
    return Host(tmp_path, f"sqlite:///{tmp_path / 'host.sqlite3'}").init()


@pytest.fixture
def grown(host: Host) -> Host:
    """A host with a table, two revisions and rows of its own, all of it run."""
    host.options.update(models=author, coins=False)
    host.revision("20240101_a", None, AUTHOR)
    host.revision("20240101_b", "20240101_a")
    host.upgraded().execute("INSERT INTO author VALUES (1)")
    host.options["coins"] = True
    return host


def copy(host: Host, **options: Any) -> list[Path]:
    with host.create_app().app_context():
        return _install.copy_revisions(**options)


# -- the ordinary way ------------------------------------------------------------------------


@pytest.mark.parametrize("convention", [None, CONVENTION])
def test_plain_upgrade_leaves_one_head_and_a_clean_check(
    tmp_path: Path, database_url: str, convention: dict[str, str] | None
) -> None:
    metadata = sa.MetaData(naming_convention=convention)
    host = Host(tmp_path, database_url, db={"metadata": metadata}, migrate=CHECKS).init()
    assert host.upgraded().heads() == host.copy_ids()[-1:]
    assert host.copy_ids()[0] == f"coins_0001_{DIGEST_OF_NOTHING}"
    assert [id_[:10] for id_ in host.copy_ids()] == LINE
    assert host.db("check").code == 0


def test_every_difference_that_alembic_can_see_is_looked_for(
    tmp_path: Path, database_url: str
) -> None:
    host = Host(tmp_path, database_url, migrate={**CHECKS, "compare_server_default": True})
    assert host.init().upgraded().db("check").code == 0


def test_down_and_up_again(tmp_path: Path, database_url: str) -> None:
    host = Host(tmp_path, database_url).init().upgraded()
    assert host.db("downgrade", "base").code == 0
    assert host.tables() == {"alembic_version"}
    assert host.upgraded().tables() >= OURS


def test_autogenerate_makes_the_same_tables_and_silences_the_installer(
    tmp_path: Path, database_url: str
) -> None:
    host = Host(tmp_path, database_url, migrate=CHECKS).init()
    assert host.db("migrate", "-m", "coins").code == 0
    before = host.files()
    assert "Flask-Coins" not in host.db("upgrade").text
    assert host.files() == before
    assert host.db("check").code == 0
    assert copy(host, check=True) == []


def test_a_second_upgrade_writes_nothing(grown: Host) -> None:
    before = grown.upgraded().files()
    assert "Flask-Coins" not in grown.db("upgrade").text
    assert grown.files() == before


def test_a_host_keeps_its_revisions_rows_and_one_row_of_versions(grown: Host) -> None:
    before = grown.files()
    grown.upgraded()
    assert before.items() <= grown.files().items()
    assert grown.execute("SELECT id FROM author") == [(1,)]
    assert grown.at() == set(grown.heads())
    assert len(grown.at()) == 1


def test_the_person_is_told_to_commit_and_the_log_when_there_is_no_terminal(host: Host) -> None:
    said = host.db("upgrade").text
    assert re.search(
        r"^Flask-Coins wrote .*coins_0001_e3b0c442_\w+\.py: commit it\.$", said, re.MULTILINE
    )
    assert "WARNING host: Flask-Coins wrote" in said


def test_an_upgrade_in_code_copies_as_well(grown: Host) -> None:
    grown.upgrade_in_code()
    assert "coin_log" in grown.tables()


@pytest.mark.parametrize("coins_first", [True, False])
def test_the_order_of_the_extensions_does_not_matter(host: Host, coins_first: bool) -> None:
    host.options["coins_first"] = coins_first
    assert "coin_log" in host.upgraded().tables()


def test_a_migrate_of_several_apps_is_hooked_once() -> None:
    migrate, db = Migrate(), SQLAlchemy()
    for name in ("first", "second"):
        app = Flask(name)
        app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite://"
        db.init_app(app)
        Coins(app, db)
        migrate.init_app(app, db)
        for _ in range(2):
            with app.app_context():
                pass
    assert len(migrate.configure_callbacks) == 1


def test_tables_made_by_create_all_at_start_are_left_as_they_are(host: Host) -> None:
    app = host.create_app()
    with app.app_context():
        app.extensions["sqlalchemy"].create_all()
    host.execute(FIVE_COINS)
    assert host.upgraded().execute("SELECT balance FROM coin_balance") == [(5,)]
    assert host.db("check").code == 0


def test_a_host_with_a_declarative_base_of_its_own(host: Host) -> None:
    class Base(DeclarativeBase):
        registry = registry(type_annotation_map={int: sa.SmallInteger, str: sa.Text})

    host.options["db"] = {"model_class": Base}
    assert host.upgraded().db("check").code == 0


def test_an_env_that_refuses_double_arguments(host: Host) -> None:
    (host.migrations / "env.py").write_text(GUARDED_ENV)
    assert host.upgraded().db("check").code == 0
    assert host.db("migrate").code == 0
    assert len(host.files()) == len(LINE)


def test_a_version_table_of_another_name(host: Host) -> None:
    host.options["migrate"] = {"version_table": "my_versions"}
    host.upgraded().revision("b", host.heads()[0])
    host.upgraded().lose().revision("b", None)
    host.execute("UPDATE my_versions SET version_num = 'coins_0001_00000000'")
    assert "has run coins_0001_00000000" in host.db("upgrade").text


def test_the_plain_command_line_and_uninstalling(tmp_path: Path) -> None:
    host = Host(tmp_path, f"sqlite:///{tmp_path / 'host.sqlite3'}")
    assert host.run("db", "init").returncode == 0
    upgraded = host.run("db", "upgrade")
    assert upgraded.returncode == 0, upgraded.stderr
    assert "Flask-Coins wrote migrations/versions/coins_0001_" in upgraded.stdout
    history = host.run("db", "history", UNINSTALLED="1")
    assert "<base> -> coins_0001_e3b0c442, Create the coin tables." in history.stdout
    assert f"{host.copy_ids()[-1]} (head), " in history.stdout
    (tmp_path / "host.sqlite3").unlink()
    assert host.run("db", "upgrade", UNINSTALLED="1").returncode == 0
    assert "coin_log" in host.tables()


# -- several databases -----------------------------------------------------------------------


@pytest.mark.parametrize("bind_key", [None, "extra"])
def test_of_several_databases_only_that_of_the_coins_gets_the_tables(
    tmp_path: Path, bind_key: str | None
) -> None:
    main, extra = (f"sqlite:///{tmp_path / name}.sqlite3" for name in ("main", "extra"))
    config = {"SQLALCHEMY_BINDS": {"extra": extra}}
    host = Host(tmp_path, main, config=config, bind_key=bind_key).init("--multidb").upgraded()
    assert host.db("migrate").code == 0
    assert len(host.files()) == len(LINE)
    ours, other = (host, Host(tmp_path, extra))[:: 1 if bind_key is None else -1]
    assert ours.tables() >= OURS
    assert other.tables() == {"alembic_version"}
    assert host.db("downgrade", "base").code == 0
    assert ours.tables() == {"alembic_version"}


def test_coins_on_a_bind_need_an_env_that_knows_it(tmp_path: Path, host: Host) -> None:
    config = {"SQLALCHEMY_BINDS": {"extra": f"sqlite:///{tmp_path / 'extra.sqlite3'}"}}
    host.options.update(config=config, bind_key="extra")
    assert "flask db init --multidb" in host.upgraded().db("upgrade").text
    assert host.files() == {}


@pytest.fixture
def second(grown: Host, tmp_path: Path) -> Host:
    """A folder beside ``grown``'s, for another database; ``grown.db`` reaches it by ``-d``."""
    other = Host(tmp_path / "other", f"sqlite:///{tmp_path / 'other.sqlite3'}").init()
    other.revision("20250101_a", None, AUTHOR)
    return other


@pytest.mark.parametrize("coins_first", [True, False])
def test_a_second_folder_is_left_alone(grown: Host, second: Host, coins_first: bool) -> None:
    if coins_first:
        grown.upgraded()
    grown.url, url = second.url, grown.url
    before = second.files()
    ran = grown.db("upgrade", "-d", str(second.migrations))
    assert (ran.code, second.files()) == (0, before)
    assert "Flask-Coins" not in ran.text
    assert second.tables() == {"alembic_version", "author"}
    grown.url = url
    assert "coin_log" in grown.upgraded().tables()


def test_a_second_folder_with_a_copy_is_kept_up(grown: Host, second: Host) -> None:
    written = copy(grown, directory=second.migrations)
    for path in written:
        path.rename(path.with_suffix(".lost"))
    second.revision("20250102_a", written[-1].name[:19])
    grown.url = second.url
    assert grown.db("upgrade", "-d", str(second.migrations)).code == 0
    assert second.copies() == sorted(written)
    assert "coin_log" in second.tables()


@pytest.mark.parametrize("own", ["nowhere", _copies.environment()])
def test_the_only_folder_that_is_the_hosts_gets_the_copy(
    host: Host, tmp_path: Path, own: str | Path
) -> None:
    host.migrations.rename(tmp_path / "elsewhere")
    host.migrations = Path(own)
    assert host.db("upgrade", "-d", str(tmp_path / "elsewhere")).code == 0
    assert "coin_log" in host.tables()


# -- what copies nothing ---------------------------------------------------------------------


def test_offline_sql_copies_nothing_and_prints_what_is_committed(host: Host) -> None:
    assert host.db("upgrade", "--sql").code == 0
    assert host.files() == {}
    host.upgraded()
    assert "CREATE TABLE coin_log" in host.db("upgrade", "--sql").text


@pytest.mark.parametrize(
    "command",
    [["history"], ["heads"], ["current"], ["check"], ["stamp", "head"], ["upgrade", "20240101_b"]],
)
def test_only_an_upgrade_to_head_copies(grown: Host, command: list[str]) -> None:
    before = grown.files()
    grown.db(*command)
    assert grown.files() == before


def test_several_heads_are_left_to_the_host(grown: Host) -> None:
    grown.revision("20240101_c", "20240101_a")
    before = grown.files()
    said = grown.db("upgrade", "heads").text
    assert f"{' and '.join(LINE)} were not copied: there are several heads" in said
    assert grown.files() == before


def test_a_setting_leaves_only_a_hint(grown: Host) -> None:
    grown.options["config"] = {"COINS_INSTALL_MIGRATIONS": False}
    before = grown.files()
    ran = grown.db("upgrade")
    assert (ran.code, grown.files()) == (0, before)
    assert "run 'flask coins install'" in ran.text


def test_without_a_folder_flask_migrate_says_so(tmp_path: Path) -> None:
    ran = Host(tmp_path, "sqlite://").db("upgrade")
    assert ran.code == 1
    assert "Path doesn't exist" in ran.text


def test_an_app_without_coins_shares_a_migrate_with_one_that_has_them(host: Host) -> None:
    host.options["coins"] = False
    app = host.create_app()
    app.extensions["migrate"].migrate.configure(_install._on_configure)
    assert host.db("upgrade", app=app).code == 0
    assert host.files() == {}


# -- ids -------------------------------------------------------------------------------------


def test_the_id_carries_the_parent(host: Host) -> None:
    host.revision("0123456789ab", None)
    assert host.upgraded().copy_ids()[0] == "coins_0001_01234567"


def test_numbered_parents_get_a_digest_for_they_begin_alike(grown: Host) -> None:
    digest = hashlib.sha256(b"20240101_b").hexdigest()[:8]
    assert grown.upgraded().copy_ids()[0] == f"coins_0001_{digest}"


@pytest.mark.parametrize(
    "parents", [("202401010900", "202401010930"), ("0123456789ab", "0123456700ff")]
)
def test_parents_that_begin_alike_give_different_ids(host: Host, parents: tuple[str, str]) -> None:
    host.revision(parents[0], None)
    first = copy(host, check=True)
    host.revision(parents[1], parents[0])
    assert copy(host, check=True) != first


def test_the_same_parent_gives_the_same_bytes(tmp_path: Path) -> None:
    hosts = [Host(tmp_path / name, f"sqlite:///{tmp_path / name}.sqlite3") for name in "ab"]
    for host in hosts:
        host.folder.mkdir()
        host.init().upgraded()
    assert hosts[0].files() == hosts[1].files()


def test_later_revisions_follow_one_another(grown: Host) -> None:
    first, *later = grown.upgraded().copy_ids()
    for parent, id_ in zip([first, *later], later, strict=False):
        assert id_[11:] == hashlib.sha256(parent.encode()).hexdigest()[:8]
        assert f'down_revision = "{parent}"' in grown.copy(int(id_[6:10])).read_text()
    assert grown.heads() == later[-1:]


# -- stops -----------------------------------------------------------------------------------


which_is_lost = pytest.mark.parametrize("numbers", [(1,), (2,), (1, 2)], ids=str)


@which_is_lost
def test_a_lost_copy_under_the_same_parent_comes_back_identical(
    grown: Host, numbers: tuple[int, ...]
) -> None:
    before = grown.upgraded().files()
    assert grown.lose(*numbers).upgraded().files() == before


@which_is_lost
def test_a_lost_copy_on_which_others_build_comes_back_identical(
    grown: Host, numbers: tuple[int, ...]
) -> None:
    grown.upgraded().revision("20240102_a", grown.heads()[0])
    before = grown.upgraded().files()
    assert grown.lose(*numbers).upgraded().files() == before


@which_is_lost
@pytest.mark.parametrize("other", ["before", "behind"])
def test_a_lost_copy_comes_back_under_its_own_parent(
    host: Host, other: str, numbers: tuple[int, ...]
) -> None:
    first, second = "202401010900", "202401010930"
    host.revision(first, None)
    if other == "before":
        host.revision(second, first)
    host.upgraded().revision("on_it", host.heads()[0])
    if other == "behind":
        host.revision(second, "on_it")
    before = host.upgraded().files()
    assert host.lose(*numbers).upgraded().files() == before


@pytest.mark.parametrize("numbers", [(1,), (1, 2)], ids=str)
def test_a_lost_copy_that_may_stand_under_two_parents_does_not_come_back(
    host: Host, numbers: tuple[int, ...]
) -> None:
    host.revision("0123456789ab", None)
    host.upgraded().revision("on_it", host.heads()[0])
    host.lose(*numbers)
    host.revision("0123456700ff", "0123456789ab")
    before = host.files()
    ran = host.db("upgrade")
    assert (ran.code, host.files()) == (1, before)
    assert "on which others build: restore its file from version control" in ran.text


@pytest.mark.parametrize("numbers", [(1,), (1, 2)], ids=str)
def test_a_lost_copy_whose_parent_is_gone_too_stops_with_the_cure(
    grown: Host, numbers: tuple[int, ...]
) -> None:
    grown.upgraded().revision("20240102_a", grown.heads()[0])
    grown.lose(*numbers)
    (grown.versions / "20240101_b.py").unlink()
    before = grown.files()
    ran = grown.db("upgrade")
    assert (ran.code, grown.files()) == (1, before)
    assert "on which others build: restore its file from version control" in ran.text


@pytest.fixture(params=[1, 2])
def lost(grown: Host, request: pytest.FixtureRequest) -> Host:
    """The database has run copies that are gone from this one on; the host has gone on without."""
    first = request.param
    grown.upgraded().lose(*range(first, len(LINE) + 1))
    grown.revision("20240102_a", parent_of_the_lost(grown), AUTHOR.replace("author", "book"))
    return grown


def parent_of_the_lost(host: Host) -> str:
    return host.copy_ids()[-1] if host.copies() else "20240101_b"


def test_a_lost_copy_under_another_parent_stops_before_anything_changes(lost: Host) -> None:
    before, at = lost.files(), lost.at()
    ran = lost.db("upgrade")
    assert (ran.code, lost.files(), lost.at()) == (1, before, at)
    assert "book" not in lost.tables()
    assert f"Error: The database has run {LINE[-1]}_" in ran.text


def test_the_printed_cure_works(lost: Host) -> None:
    said = lost.db("upgrade").text
    head = parent_of_the_lost(lost)
    assert re.search(rf"flask coins install -d \S+ --head {head}' and then 'flask db merge", said)
    copy(lost, head=head)
    assert lost.db("merge", "heads").code == 0
    assert "book" in lost.upgraded().tables()


knows_purge = "purge" in inspect.signature(flask_migrate.stamp).parameters
can_purge = pytest.mark.skipif(not knows_purge, reason="Flask-Migrate 4.0.5 has no stamp --purge")


@can_purge
def test_a_copy_that_was_never_committed_gives_way_to_another(lost: Host) -> None:
    parent = parent_of_the_lost(lost)
    lost.execute(FIVE_COINS)
    copy(lost)
    said = lost.db("upgrade").text
    assert f"as {lost.heads()[0]} makes the same tables and keeps those that are there" in said
    stamp = re.search(rf"'flask db (stamp -d \S+ --purge {parent})' and then 'flask db up", said)
    assert stamp
    assert lost.db(*stamp[1].split()).code == 0
    assert lost.upgraded().tables() >= {"book", *OURS}
    assert lost.at() == set(lost.heads())
    assert lost.execute("SELECT balance FROM coin_balance") == [(5,)]


@can_purge
def test_a_copy_that_was_never_committed_gives_way_to_one_of_an_older_release(grown: Host) -> None:
    grown.upgraded().lose()
    grown.revision("20240102_a", "20240101_b", AUTHOR.replace("author", "book"))
    copy(grown)
    grown.lose(2)
    said = grown.db("upgrade").text
    assert f"as {grown.heads()[0]} makes the same tables" in said
    assert grown.db("stamp", "--purge", "20240101_b").code == 0
    assert grown.upgraded().tables() >= {"book", *OURS}
    assert grown.at() == set(grown.heads()) == set(grown.copy_ids()[-1:])


@can_purge
def test_a_copy_at_the_beginning_that_was_never_committed_gives_way_too(host: Host) -> None:
    host.upgraded().lose()
    host.revision("20240102_a", None, AUTHOR)
    copy(host)
    assert "--purge base' and then" in host.db("upgrade").text
    assert host.db("stamp", "--purge", "base").code == 0
    assert host.upgraded().tables() >= {"author", *OURS}


@pytest.mark.skipif(knows_purge, reason="Flask-Migrate knows stamp --purge")
def test_who_cannot_purge_is_told_to_update_first(grown: Host) -> None:
    grown.upgraded().lose()
    grown.revision("20240102_a", "20240101_b")
    copy(grown)
    said = grown.db("upgrade").text
    assert "update Flask-Migrate to 4.0.6 or newer, run 'flask db stamp" in said


def test_an_unknown_revision_of_the_hosts_is_left_to_alembic(grown: Host) -> None:
    grown.execute("UPDATE alembic_version SET version_num = 'gone'")
    before = grown.files()
    assert "Can't locate revision identified by 'gone'" in grown.db("upgrade").text
    assert grown.files() == before


def test_a_coin_log_of_another_make_stops_before_anything_changes(grown: Host) -> None:
    grown.execute(OLD_LOG)
    grown.revision("20240102_a", "20240101_b", AUTHOR.replace("author", "book"))
    before = grown.files()
    ran = grown.db("upgrade")
    assert (ran.code, grown.files()) == (1, before)
    assert "'flask coins adopt'" in ran.text
    assert "book" not in grown.tables()


@pytest.mark.parametrize(
    "table",
    [
        "coin_balance (user_id INTEGER)",
        "coin_balance (user_id INTEGER, earned INTEGER)",
        "coin_log (id INTEGER, mint TEXT)",
        "coin_log (user_id INTEGER, amount INTEGER, once_key TEXT)",
    ],
)
def test_a_table_that_is_no_log_of_coins_is_to_be_renamed(grown: Host, table: str) -> None:
    grown.execute(f"CREATE TABLE {table}")
    said = grown.db("upgrade").text
    assert f"{table.partition(' ')[0]} that is not Flask-Coins' own" in said
    assert "rename it by a revision of your own, and run that with 'flask db upgrade REV'" in said


def test_the_cure_for_a_table_of_another_make_works_here_and_on_a_new_database(
    grown: Host, tmp_path: Path
) -> None:
    grown.revision("20240102_a", "20240101_b", MAKE_BALANCE)
    assert grown.db("upgrade", "20240102_a").code == 0
    assert "coin_balance" in grown.db("upgrade").text
    grown.revision("20240102_b", "20240102_a", "op.rename_table('coin_balance', 'mine')")
    assert grown.db("upgrade", "20240102_b").code == 0
    assert {"mine", "coin_balance", "coin_log"} <= grown.upgraded().tables()
    grown.url = f"sqlite:///{tmp_path / 'new.sqlite3'}"
    assert {"mine", "coin_balance", "coin_log"} <= grown.upgraded().tables()


def test_tables_that_were_dropped_are_never_passed_over_in_silence(host: Host) -> None:
    host.upgraded().options.update(coins=False)
    assert host.db("migrate", "-m", "remove").code == 0
    assert not OURS & host.upgraded().tables()
    host.options["coins"] = True
    said = host.db("upgrade").text
    assert f"has no {' and no '.join(OWN_COLUMNS)}, though it has run coins_0001_e3b0c442" in said
    assert "'flask db migrate'" in said
    assert host.db("migrate", "-m", "again").code == 0
    assert "Flask-Coins" not in host.db("upgrade").text
    assert host.tables() >= OURS
    assert "Flask-Coins" not in host.db("upgrade").text


def test_a_folder_that_cannot_be_written_is_one_line(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, data: bytes) -> int:
        path.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    ran = host.db("upgrade")
    assert ran.code == 1
    assert "cannot be written (No space left on device): run 'flask coins install'" in ran.text
    assert list(host.versions.iterdir()) == []


def test_processes_that_copy_together_do_not_fail_each_other(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Path.write_bytes

    def overtaken(path: Path, data: bytes) -> int:
        monkeypatch.setattr(Path, "write_bytes", write)
        written = write(path, data)
        assert host.db("upgrade").code == 0
        return written

    monkeypatch.setattr(Path, "write_bytes", overtaken)
    assert host.upgraded().heads() == host.copy_ids()[-1:]
    assert [path for path in host.versions.iterdir() if path.suffix == ".part"] == []


def test_a_version_table_that_only_the_env_names_is_told_before_a_copy(grown: Host) -> None:
    env = grown.migrations / "env.py"
    old = "target_metadata=get_metadata(),"
    env.write_text(env.read_text().replace(old, f"{old} version_table='mine',"))
    grown.execute("DROP TABLE author", "DROP TABLE alembic_version")
    grown.upgraded().lose()
    grown.revision("20240102_a", "20240101_b")
    before = grown.files()
    ran = grown.db("upgrade")
    assert (ran.code, grown.files()) == (1, before)
    assert "Name it in Migrate(app, db, version_table='mine') instead" in ran.text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("revision = 5 +", "SyntaxError: invalid syntax (broken.py, line 1)"),
        ("foo = 1", "Could not determine revision id"),
        ("revision = 'a'; down_revision = 'a'", "(a)"),
    ],
)
def test_a_revision_that_cannot_be_read_is_one_line(host: Host, text: str, said: str) -> None:
    (host.versions / "broken.py").write_text(text)
    with pytest.raises(CoinsError, match="migrations cannot be read: ") as caught:
        copy(host)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert host.db("upgrade").code == 1


def test_a_bind_that_is_not_there_is_one_line(host: Host) -> None:
    host.options["bind_key"] = "nope"
    ran = host.db("upgrade")
    assert (ran.code, host.files()) == (1, {})
    assert "under the key 'nope' of SQLALCHEMY_BINDS, which is not set" in ran.text


# -- by hand ---------------------------------------------------------------------------------


def test_install_copies_and_check_names_what_is_missing(grown: Host) -> None:
    missing = copy(grown, check=True)
    assert [path.name[:10] for path in missing] == LINE
    assert grown.copies() == []
    assert copy(grown) == missing
    assert grown.copies() == missing
    assert copy(grown, check=True) == []


def test_install_takes_a_head_and_a_folder(grown: Host) -> None:
    paths = copy(grown, directory=grown.migrations, head="20240101_a")
    assert 'down_revision = "20240101_a"' in paths[0].read_text()
    for path in paths:
        path.unlink()
    paths = copy(grown, head="base")
    assert "down_revision = None" in paths[0].read_text()


def test_install_says_what_is_wrong(grown: Host, tmp_path: Path) -> None:
    with pytest.raises(CoinsError, match="run 'flask db init' first"):
        copy(grown, directory=tmp_path / "nowhere")
    for _ in "before", "after":
        with pytest.raises(CoinsError, match="No revision to go after"):
            copy(grown, head="unheard")
        grown.upgraded()
    assert copy(grown) == []


def test_install_needs_to_know_which_head(grown: Host) -> None:
    grown.revision("20240101_c", "20240101_a")
    with pytest.raises(CoinsError, match="several heads"):
        copy(grown)


def test_install_needs_flask_migrate(tmp_path: Path) -> None:
    app = Flask("bare")
    app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite://"
    Coins(app, SQLAlchemy(app))
    with app.app_context(), pytest.raises(CoinsError, match="Flask-Migrate is not set up"):
        _install.copy_revisions()


# -- the state of a host ---------------------------------------------------------------------


def state(host: Host) -> _install.Standing:
    with host.create_app().app_context():
        return _install.standing()


def test_the_state_before_and_after(grown: Host) -> None:
    before = state(grown)
    assert (before.missing, before.pending, before.unknown) == (tuple(LINE), (), ())
    copy(grown)
    assert (state(grown).missing, state(grown).pending) == ((), tuple(grown.copy_ids()))
    assert state(grown.upgraded()).pending == ()


def test_the_state_knows_what_the_folder_has_lost(lost: Host) -> None:
    assert state(lost).unknown == tuple(lost.at())


def test_the_state_knows_what_git_does_not_hold(grown: Host) -> None:
    grown.upgraded()
    assert state(grown).uncommitted == ()
    git(grown, "init", "-q")
    assert state(grown).uncommitted == tuple(grown.copies())
    git(grown, "add", ".")
    git(grown, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "all")
    assert state(grown).uncommitted == ()


def git(host: Host, *args: str) -> None:
    subprocess.run(["git", "-C", str(host.folder), *args], check=True)


def test_an_app_that_serves_requests_waits_no_longer_for_migrate() -> None:
    app = Flask("host")
    app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite://"
    Coins(app, SQLAlchemy(app))
    assert any(appcontext_pushed.receivers_for(app))
    app.test_client().get("/")
    assert not any(appcontext_pushed.receivers_for(app))
