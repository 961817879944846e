"""Refusals that cost no SQL: which are kept, for how long, and that none ever pays."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import Session

from flask_coins import Coins, Outcome, Receipt, award_once
from flask_coins._cache import Refusals
from flask_coins._models import balances, log
from flask_coins.windows import Between

from .apps import NOON, Clock
from .statements import before, statements


@pytest.fixture
def app(make_app: Callable[..., Flask]) -> Flask:
    """A host in production: a cache is no use to tests."""
    return make_app(TESTING=False)


@pytest.fixture
def asked(app: Flask, db: SQLAlchemy, coins: Coins) -> Callable[..., int]:
    """``asked(…)`` calls ``award_once`` in a request of its own: how many statements it took."""

    def call(user: Any = 7, window: Any = "day", reason: str = "goal", **more: Any) -> int:
        with app.app_context():
            with statements(db.engine) as seen:
                call.receipt = coins.award_once(user, 10, reason, window, **more)  # type: ignore[attr-defined]
            db.session.commit()
            return len(seen)

    return call


def said(asked: Any) -> Receipt:
    receipt: Receipt = asked.receipt
    return receipt


def test_a_repeated_refusal_costs_no_sql(asked: Any) -> None:
    assert asked() > 1
    assert asked() == 1
    looked = said(asked)
    assert asked() == 0
    assert asked() == 0
    assert said(asked).outcome is Outcome.ALREADY
    assert said(asked).next_at == looked.next_at
    assert (looked.balance, said(asked).balance) == (10, None)


@pytest.mark.parametrize(
    "window",
    ["hour", "week", "forever", timedelta(hours=1), Between("x", NOON, NOON + timedelta(1))],
)
def test_every_window_is_remembered(asked: Any, window: Any) -> None:
    assert [asked(window=window) > 1, asked(window=window), asked(window=window)] == [True, 1, 0]


def test_a_payment_does_not_fill_the_cache(app: Flask, db: SQLAlchemy, coins: Coins) -> None:
    with app.app_context():
        coins.award_once(7, 10, "goal")
        db.session.rollback()
        assert coins.award_once(7, 10, "goal")
        db.session.rollback()


def test_ones_own_entries_do_not_fill_the_cache(
    asked: Any, app: Flask, db: SQLAlchemy, coins: Coins
) -> None:
    with app.app_context():
        assert coins.award_once(7, 10, "goal")
        assert not coins.award_once(7, 10, "goal")
        db.session.rollback()
        assert coins.balance(7) == 0
        assert coins.award_once(7, 10, "goal")
        db.session.rollback()
    assert asked() > 1
    assert said(asked)


def test_an_entry_of_another_reason_keeps_the_cache_empty_too(
    asked: Any, app: Flask, db: SQLAlchemy, coins: Coins
) -> None:
    asked()
    with app.app_context():
        coins.award(8, 1)
        assert not coins.award_once(7, 10, "goal")
        db.session.commit()
    assert asked() == 1


def test_a_lost_race_is_remembered(asked: Any, app: Flask, db: SQLAlchemy, coins: Coins) -> None:
    def other() -> None:
        with app.app_context():
            coins.award_once(7, 10, "goal")
            db.session.commit()

    with app.app_context():
        with before(db.engine, "INSERT INTO coin_balance", other):
            assert not coins.award_once(7, 10, "goal")
        db.session.commit()
    assert asked() == 0


OTHERS: list[dict[str, Any]] = [
    {"user": 8},
    {"reason": "other"},
    {"window": "week"},
    {"subject": "x"},
    {"currency": "gems"},
    {"limit": 2},
]


@pytest.mark.parametrize("other", OTHERS)
def test_another_call_is_looked_up(asked: Any, other: dict[str, Any]) -> None:
    asked(), asked(), asked()
    assert asked(**other) >= 1


def test_a_refusal_ends_with_its_period(asked: Any, clock: Clock) -> None:
    clock.now = NOON.replace(hour=23, minute=59, second=50)
    assert [asked() > 1, asked(), asked()] == [True, 1, 0]
    clock.forward(seconds=9.999999)
    assert asked() == 0
    clock.forward(microseconds=1)
    assert asked() > 1
    assert said(asked)


def test_a_cooldown_ends_when_it_is_over(asked: Any, clock: Clock) -> None:
    window = timedelta(seconds=30)
    assert [asked(window=window) > 1, asked(window=window)] == [True, 1]
    clock.forward(seconds=29.999999)
    assert asked(window=window) == 0
    clock.forward(microseconds=1)
    assert asked(window=window) > 1
    assert said(asked)


def test_a_refusal_is_kept_for_a_minute(asked: Any, clock: Clock) -> None:
    asked(), asked()
    clock.forward(seconds=59.999999)
    assert asked() == 0
    clock.forward(microseconds=1)
    assert [asked(), asked()] == [1, 0]


def test_how_long_is_a_setting(
    make_app: Callable[..., Flask], db: SQLAlchemy, coins: Coins, clock: Clock
) -> None:
    app = make_app(TESTING=False, COINS_CACHE_SECONDS=5)
    with app.app_context():
        coins.award_once(7, 10, "goal")
        db.session.commit()
        for seconds, count in ((0, 1), (4.9, 0), (0.2, 1), (1, 0)):
            clock.forward(seconds=seconds)
            with statements(db.engine) as seen:
                coins.award_once(7, 10, "goal")
            assert len(seen) == count
            db.session.commit()


@pytest.mark.parametrize("config", [{"TESTING": True}, {"COINS_CACHE_SECONDS": 0}])
def test_the_cache_can_be_off(
    make_app: Callable[..., Flask], db: SQLAlchemy, coins: Coins, config: dict[str, Any]
) -> None:
    with make_app(**{"TESTING": False} | config).app_context():
        coins.award_once(7, 10, "goal")
        db.session.commit()
        for _ in range(3):
            with statements(db.engine) as seen:
                assert not coins.award_once(7, 10, "goal")
            assert len(seen) == 1


def test_a_clock_set_back_finds_nothing(asked: Any, clock: Clock) -> None:
    asked(), asked()
    clock.forward(seconds=-1)
    assert asked() == 1


def test_a_stale_refusal_ends_when_it_is_cleared(
    asked: Any, app: Flask, db: SQLAlchemy, coins: Coins
) -> None:
    asked(), asked()
    with app.app_context():
        for table in (log, balances):
            db.session.connection().execute(sa.delete(table))
        db.session.commit()
        assert asked() == 0
        coins.cache_clear()
    assert asked() > 1
    assert said(asked)


def test_a_traveller_is_not_refused_for_another_places_day(
    asked: Any, app: Flask, db: SQLAlchemy, coins: Coins, clock: Clock
) -> None:
    home = ["Europe/Berlin"]
    coins.timezone_loader(lambda user_id: home[0])
    clock.forward(hours=11, minutes=10)
    with app.app_context():
        coins.award(7, 1, "goal")
        db.session.commit()
    clock.now = NOON + timedelta(hours=17, minutes=30)
    assert [asked(), asked()] == [1, 0]
    home[0] = "America/New_York"
    assert asked() > 1
    assert said(asked)


def test_another_app_on_the_same_database_asks_itself(
    asked: Any, make_app: Callable[..., Flask], db: SQLAlchemy, coins: Coins
) -> None:
    asked(), asked()
    with make_app(TESTING=False).app_context(), statements(db.engine) as seen:
        assert not coins.award_once(7, 10, "goal")
    assert len(seen) == 1


def test_a_refusal_is_told_though_it_cost_nothing(
    asked: Any, app: Flask, db: SQLAlchemy, coins: Coins
) -> None:
    from flask import g

    asked(), asked()
    with app.app_context():
        coins.award_once(7, 10, "goal")
        assert [receipt.outcome for receipt in g.coins_receipts] == [Outcome.ALREADY]


def test_a_schema_map_is_part_of_the_question(
    tmp_path: Any, db: SQLAlchemy, coins: Coins, clock: Clock
) -> None:
    app = Flask(__name__)
    app.config["SQLALCHEMY_DATABASE_URI"] = f"sqlite:///{tmp_path / 'a.sqlite3'}"
    db.init_app(app)
    coins.init_app(app, db)
    with app.app_context():
        sa.event.listen(db.engine, "connect", lambda raw, _: raw.execute("ATTACH ':memory:' AS b"))
        paid = []
        for schema in (None, None, None):
            connection = db.session.connection(
                execution_options={"schema_translate_map": {None: schema}}
            )
            log.metadata.create_all(connection)
            paid.append(bool(coins.award_once(7, 10, "goal")))
            db.session.commit()
        connection = db.session.connection(execution_options={"schema_translate_map": {None: "b"}})
        log.metadata.create_all(connection)
        paid.append(bool(coins.award_once(7, 10, "goal")))
        db.session.commit()
        db.engine.dispose()
    assert paid == [True, False, False, True]


@pytest.mark.parametrize("first", ["", "b"])
def test_a_schema_that_is_chosen_late_is_not_taken_for_another(
    tmp_path: Any, db: SQLAlchemy, coins: Coins, first: str
) -> None:
    app, tenant = Flask(__name__), [""]
    app.config["SQLALCHEMY_DATABASE_URI"] = f"sqlite:///{tmp_path / 'a.sqlite3'}"
    db.init_app(app)
    coins.init_app(app, db)
    coins.current_user_loader(lambda: 7)

    @app.post("/goal")
    @award_once(10, "goal")
    def goal() -> str:
        return "done"

    @sa.event.listens_for(db.session, "after_begin")
    def choose(session: Any, transaction: Any, connection: sa.Connection) -> None:
        if tenant[0]:
            connection.execution_options(schema_translate_map={None: tenant[0]})

    with app.app_context():
        for name in ("b", "c"):
            sa.event.listen(
                db.engine,
                "connect",
                lambda raw, _, name=name: raw.execute(
                    f"ATTACH '{tmp_path / name}.sqlite3' AS {name}"
                ),
            )
        with db.engine.connect() as connection:
            for name in ("b", "c"):
                mapped = connection.execution_options(schema_translate_map={None: name})
                log.metadata.create_all(mapped)
                connection.commit()
        log.metadata.create_all(db.engine)
    paid = []
    for tenant[0] in (first, first, first, "c", first, "c"):
        response = app.test_client().post("/goal")
        paid.append("Coins-Awarded" in response.headers)
    assert paid == [True, False, False, True, False, False]
    with app.app_context():
        db.engine.dispose()


def test_a_session_that_the_host_routes_is_part_of_the_question(
    tmp_path: Any, clock: Clock
) -> None:
    engines = [sa.create_engine(f"sqlite:///{tmp_path / name}") for name in ("a", "b")]
    tenant = [0]

    class Tenant(Session):
        def __init__(self, db: SQLAlchemy, **options: Any) -> None:
            super().__init__(**options)

        def get_bind(self, *args: Any, **options: Any) -> sa.Engine:
            return engines[tenant[0]]

    db, coins = SQLAlchemy(session_options={"class_": Tenant}), Coins(clock=clock)
    app = Flask(__name__)
    app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite://"
    db.init_app(app)
    coins.init_app(app, db)
    said = []
    for engine in engines:
        db.metadata.create_all(engine)
    for tenant[0] in (0, 0, 0, 1, 1, 0):
        with app.app_context():
            said.append(bool(coins.award_once(7, 10, "goal")))
            db.session.commit()
    assert said == [True, False, False, True, False, False]
    for engine in engines:
        engine.dispose()


# -- the store -------------------------------------------------------------------------------

REFUSED = Receipt(Outcome.ALREADY, "goal")


def test_the_store_is_bounded_and_forgets_the_oldest() -> None:
    store, end = Refusals(3), NOON + timedelta(minutes=1)
    for key in "abcad":
        store.put(key, REFUSED, NOON, end)
    assert len(store) == 3
    assert [key for key in "abcd" if store.get(key, NOON) is not None] == ["a", "c", "d"]


def test_the_store_keeps_from_and_until() -> None:
    store, end = Refusals(), NOON + timedelta(minutes=1)
    store.put("k", REFUSED, NOON, end)
    tick = timedelta(microseconds=1)
    assert [bool(store.get("k", at) is REFUSED) for at in (NOON - tick, NOON, end - tick, end)] == [
        False,
        True,
        True,
        False,
    ]
    store.clear()
    assert store.get("k", NOON) is None


def test_the_store_is_safe_for_threads() -> None:
    from concurrent.futures import ThreadPoolExecutor

    store, end = Refusals(50), NOON + timedelta(minutes=1)

    def work(thread: int) -> None:
        for n in range(2000):
            store.put((thread, n % 70), REFUSED, NOON, end)
            store.get((thread, n % 70), NOON)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(8)))
    assert len(store) == 50
