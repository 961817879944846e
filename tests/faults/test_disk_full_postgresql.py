"""PostgreSQL on a disk that is full: a clear error, nothing half done, and then it goes on."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from flask_coins import Coins
from tests.apps import create_app
from tests.private import Server
from tests.races import reconcile
from tests.views import listening

pytestmark = [
    pytest.mark.servers,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk"),
]


@pytest.fixture
def small_disk(private_postgresql: Server) -> Iterator[tuple[str, Path]]:
    """The URL of a database on a disk of a few megabytes, whose write-ahead log is elsewhere."""
    disk: Path = private_postgresql.folder / "disk"
    disk.mkdir(exist_ok=True)
    private = private_postgresql.url("postgres")
    options = {"poolclass": NullPool, "isolation_level": "AUTOCOMMIT"}
    with sa.create_engine(private, **options).connect() as connection:  # type: ignore[arg-type]
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=14m,uid=postgres", "coins", disk], check=True
        )
        try:
            connection.exec_driver_sql(f"CREATE TABLESPACE small LOCATION '{disk}'")
            connection.exec_driver_sql("CREATE DATABASE tiny TABLESPACE small")
            yield private_postgresql.url("tiny"), disk
            connection.exec_driver_sql("DROP DATABASE tiny")
            connection.exec_driver_sql("DROP TABLESPACE small")
        finally:
            subprocess.run(["umount", disk], check=True)


def make_room(disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)


def fill(db: SQLAlchemy) -> None:
    """Write until the disk is full."""
    rows = "INSERT INTO filler SELECT md5(n::text) FROM generate_series(1, 9999) n"
    db.session.execute(sa.text("CREATE TABLE filler (text TEXT)"))
    for _ in range(100):
        db.session.execute(sa.text(rows))
        db.session.commit()


def test_a_movement_for_which_there_is_no_room_is_not_made(small_disk: tuple[str, Path]) -> None:
    url, disk = small_disk
    db, coins, paid = SQLAlchemy(), Coins(), 0
    app = create_app(url, db, coins, SQLALCHEMY_ENGINE_OPTIONS={"poolclass": NullPool})
    long = {"note": "x" * 900}
    with app.app_context():
        db.create_all()
        with pytest.raises(OperationalError, match="No space left"):
            fill(db)
        db.session.rollback()
        with listening() as told, pytest.raises(OperationalError, match="No space left"):  # noqa: PT012
            for number in range(5000):
                coins.award_once("ann", 5, "goal", "day", subject=number, details=long)
                db.session.commit()
                paid += 1
        db.session.rollback()
        make_room(disk)  # even a read may have to write: what others have changed makes way
        assert coins.balance("ann") == 5 * paid == 5 * len(told)
        assert coins.award_once("ann", 5, "goal", "day", subject="room").balance == 5 * paid + 5
        db.session.commit()
        with db.engine.connect() as connection:
            assert reconcile(connection) == []
