"""What only a server can show of adoption: others who hold on to the old table."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from sqlalchemy.pool import NullPool

from flask_coins import CoinsError, _adopt

CREATE = "CREATE TABLE coin_log (user_id INTEGER, amount INTEGER, reason TEXT, created_at DATE)"


@pytest.fixture
def engine_in_use(engine_url: str) -> sa.Engine:
    engine = sa.create_engine(engine_url, poolclass=NullPool)
    with engine.begin() as connection:
        connection.exec_driver_sql(CREATE)
        connection.exec_driver_sql("INSERT INTO coin_log VALUES (1, 5, 'goal', '2026-01-01')")
    return engine


def test_one_who_never_lets_go_is_not_waited_for(
    engine_in_use: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_adopt, "_PATIENCE", 1)
    with engine_in_use.connect() as other:
        other.exec_driver_sql("SELECT * FROM coin_log").all()
        with pytest.raises(CoinsError, match=r"(?i)nothing was changed: .*lock"):
            _adopt.adopt(engine_in_use)
    assert sa.inspect(engine_in_use).get_table_names() == ["coin_log"]
    assert _adopt.adopt(engine_in_use).total == 5


def test_rows_that_come_in_meanwhile_are_not_lost(
    engine_in_use: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL locks them out; on MariaDB the tables are put back."""
    if engine_in_use.dialect.name == "postgresql":
        pytest.skip("the table is locked")
    swap = _adopt._Adoption._swap

    def late(adoption: _adopt._Adoption, result: _adopt.Reconciliation) -> None:
        with engine_in_use.begin() as other:
            other.exec_driver_sql("INSERT INTO coin_log VALUES (1, 7, 'late', '2026-01-01')")
        swap(adoption, result)

    with monkeypatch.context() as patch:
        patch.setattr(_adopt._Adoption, "_swap", late)
        with pytest.raises(CoinsError, match="changed while it was being adopted"):
            _adopt.adopt(engine_in_use)
    assert sa.inspect(engine_in_use).get_table_names() == ["coin_log"]
    assert _adopt.adopt(engine_in_use).total == 12


def test_a_pool_of_one_connection_is_enough(engine_in_use: sa.Engine) -> None:
    pool = {"pool_size": 1, "max_overflow": 0, "pool_timeout": 1}
    engine = sa.create_engine(engine_in_use.url, **pool)
    assert _adopt.adopt(engine).total == 5
    engine.dispose()


@pytest.mark.parametrize("value", ["'NaN'", "'Infinity'"])
def test_amounts_that_are_no_numbers_are_named(engine_url: str, value: str) -> None:
    if not engine_url.startswith("postgresql"):
        pytest.skip("a NUMERIC there is a number")
    engine = sa.create_engine(engine_url, poolclass=NullPool)
    with engine.begin() as connection:
        connection.exec_driver_sql(CREATE.replace("amount INTEGER", "id INTEGER, amount NUMERIC"))
        connection.exec_driver_sql(
            f"INSERT INTO coin_log VALUES (1, 7, {value}, 'goal', '2026-01-01')"
        )
    with pytest.raises(CoinsError, match=r"id 7: Decimal\(.*\) is not a whole number"):
        _adopt.adopt(engine)
