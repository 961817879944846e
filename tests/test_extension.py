"""Set-up: what ``init_app`` takes, what it refuses with which words, and what hosts tell it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from datetime import timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import flask_login
import pytest
import sqlalchemy as sa
from blinker import Signal
from flask import Blueprint, Flask, g, render_template_string, request
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import DeclarativeBase, Mapped, MappedAsDataclass, mapped_column, registry

from flask_coins import (
    Coins,
    CoinsError,
    CoinsWarning,
    InvalidInput,
    NoUserError,
    Outcome,
    award_once,
)
from flask_coins._models import log

SHAPES: dict[str, Callable[[], SQLAlchemy]] = {}


def shape(make: Callable[[], SQLAlchemy]) -> Callable[[], SQLAlchemy]:
    SHAPES[make.__name__] = make
    return make


@shape
def plain() -> SQLAlchemy:
    return SQLAlchemy()


@shape
def declarative() -> SQLAlchemy:
    class Base(DeclarativeBase):
        registry = registry(type_annotation_map={int: sa.SmallInteger, str: sa.String(5)})

    return SQLAlchemy(model_class=Base)


@shape
def dataclasses() -> SQLAlchemy:
    class Base(MappedAsDataclass, DeclarativeBase):
        pass

    return SQLAlchemy(model_class=Base)


@shape
def naming() -> SQLAlchemy:
    convention = {
        "ix": "ix_%(column_0_label)s_host",
        "uq": "uq_%(table_name)s_%(column_0_name)s_host",
        "ck": "ck_%(table_name)s_%(constraint_name)s_host",
        "pk": "pk_%(table_name)s_host",
    }
    return SQLAlchemy(metadata=sa.MetaData(naming_convention=convention))


@shape
def without_expiry() -> SQLAlchemy:
    return SQLAlchemy(session_options={"expire_on_commit": False, "autoflush": False})


@pytest.fixture
def our_pages() -> str:
    return "/coins"


@pytest.fixture
def db(request: pytest.FixtureRequest) -> SQLAlchemy:
    name = getattr(request, "param", "plain")
    if name == "dataclasses" and sa.__version__ >= "2.1":
        pytest.skip("Flask-SQLAlchemy takes no such base under SQLAlchemy 2.1")
    return SHAPES[name]()


@pytest.mark.parametrize("db", SHAPES, indirect=True)
def test_any_host_has_the_same_tables_and_is_paid_once(
    db: SQLAlchemy, ctx: None, coins: Coins
) -> None:
    class Note(db.Model):  # type: ignore[name-defined,misc]
        id: Mapped[int] = mapped_column(primary_key=True)

    inspector = sa.inspect(db.engine)
    names = {index["name"] for index in inspector.get_indexes("coin_log")}
    assert {"uq_coin_log_once", "uq_coin_log_key", "ix_coin_log_user", "ix_coin_log_look"} <= names
    columns = {column["name"]: str(column["type"]) for column in inspector.get_columns("coin_log")}
    assert columns["user_id"].startswith("VARCHAR(64)")
    assert columns["subject"].startswith("VARCHAR(128)")
    assert coins.award_once(7, 10, "goal")
    db.session.commit()
    assert not coins.award_once(7, 10, "goal")
    assert coins.spend(7, 3, "shop").balance == 7


# -- init_app --------------------------------------------------------------------------------


def host(name: str = "host", **config: Any) -> Flask:
    app = Flask(name)
    app.config.update(SQLALCHEMY_DATABASE_URI="sqlite://", TESTING=True, **config)
    return app


@pytest.fixture
def tables() -> Iterator[Callable[[Flask, SQLAlchemy], None]]:
    apps: list[tuple[Flask, SQLAlchemy]] = []

    def create(app: Flask, db: SQLAlchemy) -> None:
        apps.append((app, db))
        with app.app_context():
            db.create_all()

    yield create
    for app, db in apps:
        with app.app_context():
            for engine in db.engines.values():
                engine.dispose()


def test_the_database_of_the_app_is_found() -> None:
    app = host()
    SQLAlchemy(app)
    coins = Coins(app)
    assert app.extensions["coins"].db is app.extensions["sqlalchemy"]
    assert app.jinja_env.globals["coins"] is coins


@pytest.mark.parametrize("db", [None, SQLAlchemy()])
def test_a_missing_database_is_told_what_to_do(db: SQLAlchemy | None) -> None:
    app = host()
    with pytest.raises(CoinsError, match=r"Call db.init_app\(app\) first, then coins.init_app"):
        Coins().init_app(app, db)
    assert "coins" not in app.extensions


def test_another_kind_of_database_is_refused() -> None:
    with pytest.raises(InvalidInput, match="db is Flask-SQLAlchemy's SQLAlchemy"):
        Coins().init_app(host(), sa.orm.scoped_session(sa.orm.sessionmaker()))


def test_a_second_set_up_is_refused() -> None:
    app = host()
    db = SQLAlchemy(app)
    coins = Coins(app, db)
    for second in (coins, Coins()):
        with pytest.raises(CoinsError, match="set up on 'host' already: call init_app once"):
            second.init_app(app, db)


def test_a_forgotten_set_up_is_told() -> None:
    coins = Coins()
    with (
        host("bare").app_context(),
        pytest.raises(CoinsError, match="not set up on the app 'bare'"),
    ):
        coins.award(7, 1)


def test_a_table_of_another_make_is_refused() -> None:
    app, db = host(), SQLAlchemy()

    class CoinLog(db.Model):  # type: ignore[name-defined,misc]
        __tablename__ = "coin_log"
        id = sa.Column(sa.Integer, primary_key=True)

    db.init_app(app)
    with pytest.raises(CoinsError, match=r"'coin_log' of another make.*flask coins adopt"):
        Coins(app, db)
    assert "coins" not in app.extensions


def test_two_apps_may_share_all(tables: Callable[..., None], tmp_path: Any) -> None:
    db, coins = SQLAlchemy(), Coins()
    apps = [host(name) for name in ("one", "two")]
    for app in apps:
        app.config["SQLALCHEMY_DATABASE_URI"] = f"sqlite:///{tmp_path / app.name}"
        db.init_app(app)
        coins.init_app(app, db)
        tables(app, db)
    for app in apps:
        with app.app_context():
            assert coins.award_once(7, 10, "goal")
            db.session.commit()
            assert len(g.coins_receipts) == 1
            assert not coins.award_once(7, 10, "goal")
            assert coins.balance(7) == 10


def test_a_name_that_is_taken_in_templates_is_left() -> None:
    app = host()
    app.jinja_env.globals["coins"] = "mine"
    Coins(app, SQLAlchemy(app))
    assert app.jinja_env.globals["coins"] == "mine"


@pytest.mark.parametrize(
    "call", [lambda app, db: Coins(db), lambda app, db: Coins().init_app(db, app)]
)
def test_the_app_comes_first(call: Callable[..., object]) -> None:
    app = host()
    with pytest.raises(InvalidInput, match=r"takes the app first, not <SQLAlchemy"):
        call(app, SQLAlchemy(app))


def test_a_url_is_no_database() -> None:
    app = host()
    SQLAlchemy(app)
    with pytest.raises(InvalidInput, match=r"SQLAlchemy\(\), not 'sqlite://'"):
        Coins(app, "sqlite://")  # type: ignore[arg-type]


def test_a_blueprint_of_our_name_is_told_what_to_do() -> None:
    app = host()
    app.register_blueprint(Blueprint("coins", __name__), url_prefix="/mine")
    db, coins = SQLAlchemy(app), Coins()
    for _ in range(2):
        with pytest.raises(
            CoinsError, match=r"named 'coins' already: set COINS_URL_PREFIX to None"
        ):
            coins.init_app(app, db)
    app.config["COINS_URL_PREFIX"] = None
    coins.init_app(app, db)
    app.register_blueprint(coins.blueprint, name="wallet", url_prefix="/wallet")
    coins.current_user_loader(lambda: None)
    assert app.test_client().get("/wallet/api/balance").status_code == 401


def test_templates_can_ask(ctx: None, app: Flask, coins: Coins) -> None:
    coins.award(7, 3)
    assert render_template_string("{{ coins.balance(7) }} coins") == "3 coins"


# -- who ------------------------------------------------------------------------------------


def test_the_current_user_is_whom_the_loader_names(ctx: None, coins: Coins) -> None:
    coins.award("ada", 5)
    coins.current_user_loader(lambda: "ada")
    assert coins.balance() == 5
    assert [entry.amount for entry in coins.history()] == [5]
    coins.current_user_loader(lambda: None)
    with pytest.raises(NoUserError, match="nobody is logged in"):
        coins.balance()


def test_a_command_coins_of_the_hosts_own_does_not_go_silently(
    db: SQLAlchemy, coins: Coins
) -> None:
    app = Flask("host")
    app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite://"
    app.cli.command("coins")(lambda: None)
    db.init_app(app)
    with pytest.warns(CoinsWarning, match="'host' has a command 'flask coins' already"):
        coins.init_app(app, db)
    assert app.test_cli_runner().invoke(args=["coins", "doctor", "--help"]).exit_code == 0


def test_the_current_user_is_g_user(ctx: None, coins: Coins) -> None:
    coins.award("ada", 5)
    g.user = "ada"
    assert coins.balance() == 5
    g.user = None
    with pytest.raises(NoUserError):
        coins.balance()


def test_nobody_is_there_where_g_user_is_set_for_others_only(
    app: Flask, coins: Coins, caplog: pytest.LogCaptureFixture
) -> None:
    app.logger.setLevel("INFO")

    @app.before_request
    def load() -> None:
        if "user" in request.args:
            g.user = request.args["user"]

    app.add_url_rule("/pay", "pay", award_once(5, "goal")(lambda: "done"), methods=["POST"])
    client = app.test_client()
    assert client.post("/pay").status_code == 200
    assert client.get("/coins/api/balance").status_code == 401
    assert caplog.text.count("g.user is not set in this request") == 1
    assert "Coins-Awarded" in client.post("/pay?user=ada").headers


def test_without_any_a_loader_is_shown(ctx: None, coins: Coins) -> None:
    with pytest.raises(NoUserError, match=r"@coins\.current_user_loader"):
        coins.balance()


def test_flask_login_counts_only_on_its_own_app(app: Flask, coins: Coins) -> None:
    flask_login.LoginManager(host("other"))
    with app.test_request_context(), pytest.raises(NoUserError, match="current_user_loader"):
        coins.balance()
    flask_login.LoginManager(app).user_loader(lambda key: None)
    with app.test_request_context(), pytest.raises(NoUserError, match="nobody is logged in"):
        coins.balance()


# -- where ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("zone", "opens"),
    [
        ("Asia/Tokyo", "2026-11-22T15:00:00+00:00"),
        (ZoneInfo("Asia/Tokyo"), "2026-11-22T15:00:00+00:00"),
        (timezone(timedelta(hours=9)), "2026-11-22T15:00:00+00:00"),
        (None, "2026-11-23T00:00:00+00:00"),
    ],
)
def test_a_day_is_one_of_the_users_zone(ctx: None, coins: Coins, zone: Any, opens: str) -> None:
    asked: list[Any] = []
    coins.timezone_loader(lambda user_id: asked.append(user_id) or zone)
    coins.award_once(7, 1, "goal")
    refused = coins.award_once(7, 1, "goal")
    assert refused.next_at
    assert refused.next_at.isoformat() == opens
    assert set(asked) == {"7"}


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", 3, b"UTC"])
def test_a_zone_that_is_none_pays_nothing(ctx: None, coins: Coins, zone: Any) -> None:
    coins.timezone_loader(lambda user_id: zone)
    with pytest.raises(InvalidInput, match="time zone"):
        coins.award_once(7, 1, "goal")
    assert coins.balance(7) == 0


REGISTER = ("current_user_loader", "timezone_loader", "eligible_check")


@pytest.mark.parametrize("name", REGISTER)
def test_a_loader_is_a_function(coins: Coins, name: str) -> None:
    async def later(*_: Any) -> bool:
        return False

    class Later:
        async def __call__(self, *_: Any) -> bool:
            return False

    for bad, words in (
        (5, "must be a function, not 5"),
        (None, "not None"),
        (later, "cannot be async"),
    ):
        with pytest.raises(InvalidInput, match=words):
            getattr(coins, name)(bad)
    with pytest.raises(InvalidInput, match="cannot be async"):
        getattr(coins, name)(Later())


def test_a_clock_is_a_function() -> None:
    with pytest.raises(InvalidInput, match="clock must be a function, not 'noon'"):
        Coins(clock="noon")  # type: ignore[arg-type]


def test_an_awaitable_is_no_yes(ctx: None, coins: Coins) -> None:
    async def later() -> bool:
        return False

    coins.eligible_check(lambda user_id, reason: later())
    with pytest.raises(CoinsError, match="not something to be awaited"):
        coins.award(7, 1)
    assert coins.balance(7) == 0


@pytest.mark.parametrize("answer", [False, None, 0])
def test_a_false_answer_excludes(ctx: None, coins: Coins, answer: Any) -> None:
    coins.eligible_check(lambda user_id, reason: answer)
    assert coins.award(7, 1).outcome is Outcome.EXCLUDED
    assert coins.balance(7) == 0


# -- signals --------------------------------------------------------------------------------


@pytest.fixture
def paid_for(app: Flask, coins: Coins) -> Signal:
    """A signal that pays its ``user`` in ``app``."""
    signal = Signal()
    coins.award_on(signal, 5, "solved", "forever")
    return signal


def test_a_signal_of_an_app_without_coins_is_passed_over(paid_for: Signal) -> None:
    other = Flask("admin")
    other.testing = True
    other.add_url_rule("/", view_func=lambda: str(len(paid_for.send(other, user=3))))
    assert other.test_client().get("/").text == "1"


def test_so_is_one_without_an_app(app: Flask, coins: Coins, paid_for: Signal) -> None:
    paid_for.send(None, user=3)
    with app.app_context():
        assert coins.balance(3) == 0
    with app.app_context():
        paid_for.send(None, user=3)
        assert coins.balance(3) == 5


def test_a_factory_pays_once_for_a_signal(app: Flask, coins: Coins, paid_for: Signal) -> None:
    rule = coins.award_on(paid_for, 5, "solved", "forever")
    assert coins.award_on(paid_for, 5, "solved", "forever") is rule
    assert coins.award_on(paid_for, 6, "solved", "forever") is not rule
    assert coins.award_on(Signal(), 5, "solved", "forever") is not rule
    assert len(paid_for.receivers) == 2
    with app.app_context():
        paid_for.send(None, user=3)
        assert [str(each.outcome) for each in g.coins_receipts] == ["awarded", "already"]


def test_the_name_of_a_signal_is_none(coins: Coins) -> None:
    for bad in ("user_logged_in", None):
        with pytest.raises(InvalidInput, match="A signal is one of blinker's, not "):
            coins.award_on(bad, 5, "login")


def test_loaders_are_given_back(coins: Coins) -> None:
    def load(*_: Any) -> Any:
        return None

    for register in (coins.current_user_loader, coins.timezone_loader, coins.eligible_check):
        assert register(load) is load


def test_set_up_warns_of_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ResourceWarning)  # of what other tests have left
        app = host()
        Coins(app, SQLAlchemy(app))
    assert log.name in app.extensions["sqlalchemy"].metadata.tables
