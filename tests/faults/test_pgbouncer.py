"""PgBouncer in transaction mode: the next transaction may be on another server connection."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.pool import NullPool

from flask_coins import Coins
from tests.apps import create_app
from tests.databases import drop_tables
from tests.private import Server
from tests.races import Racers, reconcile
from tests.test_races import bonus, day, gift, order, purchase, three_in_a_row

from .workers import Crew, Job, survive

pytestmark = pytest.mark.servers

AS_THE_DOCS_SAY = {"poolclass": NullPool, "connect_args": {"prepare_threshold": None}}
USERS = [f"racer:{number}" for number in range(5)]


@pytest.fixture
def url(pgbouncer: Server) -> Iterator[str]:
    """A database behind PgBouncer with empty tables, and eight coins for everybody."""
    url = pgbouncer.url("postgres")
    db, coins = SQLAlchemy(), Coins()
    app = create_app(url, db, coins, SQLALCHEMY_ENGINE_OPTIONS=AS_THE_DOCS_SAY)
    with app.app_context():
        db.create_all()
        for user in USERS:
            coins.award(user, 14, "start")
        db.session.commit()
    yield url
    drop_tables(url)


@pytest.mark.parametrize("level", ["READ COMMITTED", "SERIALIZABLE"])
def test_it_is_exact_behind_pgbouncer(racers: Racers, url: str, level: str) -> None:
    options = AS_THE_DOCS_SAY | {"isolation_level": level}
    for call in (day, three_in_a_row, gift, order, purchase, bonus):
        said = Counter(
            s for _, s in racers.race(url, [call], USERS, SQLALCHEMY_ENGINE_OPTIONS=options)
        )
        if level == "SERIALIZABLE":
            assert said.keys() <= {*SAID[call.__name__], "CoinsRetry", "lost at commit"}
        else:
            assert {word: times // len(USERS) for word, times in said.items()} == SAID[
                call.__name__
            ]
    engine = sa.create_engine(url, **AS_THE_DOCS_SAY)  # type: ignore[arg-type]
    with engine.connect() as connection:
        assert reconcile(connection) == []


SAID: dict[str, dict[str, int]] = {
    "day": {"awarded": 1, "already": 7},
    "three_in_a_row": {"awarded": 2, "already": 6},
    "gift": {"awarded": 1, "replayed": 7},
    "order": {"spent": 1, "replayed": 7},
    "purchase": {"spent": 8},
    "bonus": {"awarded": 8},
}


def test_workers_that_are_killed_behind_it_lose_nothing(pgbouncer: Server, tmp_path: Path) -> None:
    job = Job(pgbouncer.url("postgres"), str(tmp_path / "acks"), options=AS_THE_DOCS_SAY)
    verdict = survive(job, [Crew.kill_one] * 8)
    assert verdict.is_clean, verdict
    drop_tables(job.url)
