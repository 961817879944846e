"""A host as its author would type it: mypy --strict must find nothing wrong here."""

from __future__ import annotations

from datetime import datetime, time, timedelta, timezone
from uuid import UUID

from flask import Flask
from flask.views import MethodView
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import select
from sqlalchemy.orm import Mapped, mapped_column
from typing_extensions import assert_type

from flask_coins import (
    Coins,
    CoinsRetry,
    InsufficientCoins,
    Outcome,
    Receipt,
    award,
    award_once,
    redirected,
    signals,
)
from flask_coins.testing import travel
from flask_coins.windows import Between, Day, Forever, Hour, Month, Rolling, Week, Year

db = SQLAlchemy()
coins = Coins(clock=lambda: datetime.now(timezone.utc))


def create_app() -> Flask:
    app = Flask(__name__)
    db.init_app(app)
    coins.init_app(app, db)
    return app


@coins.current_user_loader
def current_user() -> str | None:
    return "ada"


@coins.timezone_loader
def timezone_of(user_id: str) -> str:
    return "Europe/Berlin" if user_id == "ada" else "UTC"


@coins.eligible_check
def eligible(user_id: str, reason: str) -> bool:
    return (user_id, reason) != ("bot", "daily_goal")


@award_once(15, "daily_goal", "day")
def complete_goal(goal_id: int) -> str:
    return f"goal {goal_id}"


@award_once(10, "form", Week(), when=redirected, methods=["POST"])
@award(lambda answer: len(str(answer)), "words", user="{name}", subject="{name}")
def form(name: str) -> tuple[str, int]:
    return name, 200


@award_once(10, "async", timedelta(hours=24), limit=3)
async def later(number: int) -> int:
    return number


class Api(MethodView):
    @award_once(10, "api", Between("winter-2026", datetime(2026, 12, 1), datetime(2027, 3, 1)))
    def post(self, number: int) -> str:
        return str(number)


GOAL = award_once(10, "weekly_goal", "week")


@GOAL
def weekly() -> str:
    return "done"


class User(db.Model):  # type: ignore[name-defined, misc]
    id: Mapped[int] = mapped_column(primary_key=True)


def the_decorated_keep_their_types() -> None:
    assert_type(complete_goal(7), str)
    assert_type(form("ada"), tuple[str, int])
    assert_type(Api().post(3), str)
    assert_type(weekly(), str)


async def a_coroutine_function_stays_one() -> None:
    assert_type(await later(5), int)


def moving(user: User) -> None:
    coins.award(user, 5)
    coins.award(1, 5, "gift", subject=UUID(int=1), idempotency_key="gift-1", details={"a": 1})
    coins.award_once("ada", 15, "daily_goal", Day(starts_at=time(4)), subject=user, limit=2)
    coins.award_xp(UUID(int=2), 125)
    receipt = GOAL.pay(user, subject="variant", amount=20)
    assert_type(receipt, Receipt)
    assert_type(receipt.outcome, Outcome)
    assert_type(receipt.next_at, datetime | None)
    assert_type(receipt.entry.id if receipt.entry else None, int | None)
    try:
        assert_type(coins.spend(user, 5, "shop"), Receipt)
    except (InsufficientCoins, CoinsRetry) as error:
        assert_type(str(error), str)


def reading(user: User) -> None:
    assert_type(coins.balance(), int)
    assert_type(coins.balance(user), int)
    found = coins.balances([user, "ada", 3])
    assert_type([found[user], found["ada"], found[3]], list[int])
    assert_type(found.get(user), int | None)
    assert_type(found.get(3, 0), int)
    assert_type([entry.amount for entry in coins.history(user, limit=10)], list[int])
    assert_type([entry.created_at for entry in coins.history(before=17)], list[datetime])
    select(User.id).order_by(coins.balance_of(User.id).desc())


@signals.coins_awarded.connect
def on_award(app: Flask, receipt: Receipt, user_id: str | None) -> None:
    app.logger.info("%s coins for %s", receipt.amount, user_id)


def in_their_tests(app: Flask) -> None:
    with travel(app, datetime(2026, 11, 22, tzinfo=timezone.utc)):
        coins.award_once("ada", 5, "visit", Hour())
        coins.award_once("ada", 5, "visit", Month())
        coins.award_once("ada", 5, "visit", Year())
        coins.award_once("ada", 5, "visit", Forever())
        coins.award_once("ada", 5, "visit", Rolling(timedelta(days=1)))
    coins.cache_clear()
