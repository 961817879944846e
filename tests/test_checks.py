"""Bad input gets a clear error before any SQL and changes nothing; good input is kept as it came."""

from __future__ import annotations

import enum
import functools
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import flask_login
import pytest
import sqlalchemy as sa
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import Mapped, mapped_column
from werkzeug.local import LocalProxy

from flask_coins import (
    Coins,
    CoinsError,
    InvalidAmount,
    InvalidInput,
    InvalidSubject,
    NoUserError,
)
from flask_coins._models import log
from flask_coins.windows import Day

from .statements import statements

Refuses = Callable[..., None]


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("no words")


class Level(str, enum.Enum):
    EASY = "daily_goal_easy"


class Number(enum.IntEnum):
    SEVEN = 7


@pytest.fixture
def refuses(ctx: None, db: SQLAlchemy, coins: Coins) -> Refuses:
    """``refuses(error, words, call)``: exactly this error, no statement, the session as before."""

    def check(error: type[Exception], words: str, call: Callable[[], object]) -> None:
        coins.award("before", 1)
        with statements(db.engine) as seen, pytest.raises(error, match=words) as caught:
            call()
        assert caught.type is error
        assert seen == []
        assert coins.balance("before") == 1
        db.session.rollback()
        assert db.session.scalar(sa.select(sa.func.count()).select_from(log)) == 0

    return check


AMOUNTS = [0, -1, -(10**20), 10**15, 10**5000, True, False, 1.0, 5.5, float("nan"), float("inf")]
AMOUNTS += [Decimal(5), Fraction(5), None, b"5", [5], Unprintable(), Number.SEVEN]


def test_an_amount_is_a_whole_number_of_coins(refuses: Refuses, coins: Coins) -> None:
    words = "An amount is an int from 1 to 999,999,999,999,999, not "
    for bad in AMOUNTS:
        refuses(InvalidAmount, words, lambda bad=bad: coins.award("7", bad))
        refuses(InvalidAmount, words, lambda bad=bad: coins.award_once("7", bad, "r"))
        refuses(InvalidAmount, words, lambda bad=bad: coins.spend("7", bad, "r"))


def test_a_text_is_no_amount(refuses: Refuses, coins: Coins) -> None:
    refuses(InvalidAmount, "got the amount '5'", lambda: coins.award("7", "5"))
    refuses(InvalidAmount, "An amount is an int", lambda: coins.spend("7", "5", "r"))
    assert issubclass(InvalidAmount, ValueError)


def test_xp_are_a_whole_number_too(refuses: Refuses, coins: Coins) -> None:
    for bad in [-1, 1.5, "10", 10**17, True, None, 10**5000]:
        refuses(InvalidAmount, " an int from ", lambda bad=bad: coins.award_xp("7", bad))


TEXTS = [
    "",
    "ends in a space ",
    "a\x00b",
    "new\nline",
    "tab\t",
    "\x7f",
    "\x85",
    "\ud800",
    "a\udfff",
]
NO_TEXTS = [None, 5, b"goal", ["goal"], True, Unprintable(), 10**5000]


@pytest.mark.parametrize(
    ("name", "longest", "words"),
    [("reason", 64, "A reason"), ("currency", 16, "A currency"), ("idempotency_key", 128, "key")],
)
def test_a_text_is_one_that_every_database_keeps(
    refuses: Refuses, coins: Coins, name: str, longest: int, words: str
) -> None:
    for bad in [*TEXTS, "x" * (longest + 1), *NO_TEXTS]:
        if bad is not None or name != "idempotency_key":
            arguments = {"reason": "r", name: bad}
            refuses(InvalidInput, words, lambda a=arguments: coins.award("7", 1, **a))
            refuses(InvalidInput, words, lambda a=arguments: coins.spend("7", 1, **a))


def test_a_subject_is_an_id_or_a_saved_object(refuses: Refuses, coins: Coins) -> None:
    bad_ones: list[Any] = [*TEXTS, "x" * 129, True, 1.5, b"x", [1], {}, (), Unprintable(), object]
    for bad in [*bad_ones, 10**200, 10**5000]:
        refuses(InvalidSubject, "subject", lambda bad=bad: coins.award("7", 1, subject=bad))
        refuses(
            InvalidSubject, "subject", lambda bad=bad: coins.award_once("7", 1, "r", subject=bad)
        )


def test_a_user_is_an_id_or_an_object_with_one(refuses: Refuses, coins: Coins) -> None:
    bad_ones: list[Any] = [
        *TEXTS,
        "x" * 65,
        True,
        1.5,
        b"7",
        [7],
        object(),
        Unprintable(),
        10**5000,
    ]
    words = "A user id|def coins_id"
    for bad in bad_ones:
        refuses(InvalidInput, words, lambda bad=bad: coins.award(bad, 1))
        refuses(InvalidInput, words, lambda bad=bad: coins.spend(bad, 1, "r"))
    refuses(InvalidInput, "def coins_id", lambda: coins.award(object(), 1))
    refuses(InvalidInput, "def coins_id", lambda: coins.award(flask_login.UserMixin, 1))


def test_nobody_is_paid_nothing(refuses: Refuses, coins: Coins) -> None:
    for nobody in [None, flask_login.AnonymousUserMixin(), LocalProxy(lambda: None)]:
        refuses(NoUserError, "Pass an id", lambda user=nobody: coins.award(user, 1))
        refuses(NoUserError, "Pass an id", lambda user=nobody: coins.award_once(user, 1, "r"))
        refuses(NoUserError, "Pass an id", lambda user=nobody: coins.spend(user, 1, "r"))


def test_a_window_is_one_of_the_windows(refuses: Refuses, coins: Coins) -> None:
    words = "is not a window|A rolling window"
    for bad in ["daily", "", None, 1, Day, timedelta(0), time(4), datetime(2026, 1, 1)]:
        refuses(InvalidInput, words, lambda bad=bad: coins.award_once("7", 1, "r", bad))
    refuses(InvalidInput, 'use "hour", "day"', lambda: coins.award_once("7", 1, "r", "daily"))


def test_a_limit_is_a_number(refuses: Refuses, coins: Coins) -> None:
    for bad in [0, -1, 1001, True, 1.0, "2", None, 10**5000]:
        words = "A limit is an int from 1 to 1000"
        refuses(InvalidInput, words, lambda bad=bad: coins.award_once("7", 1, "r", limit=bad))
        refuses(InvalidInput, words, lambda bad=bad: coins.history("7", bad))


def test_details_are_json(refuses: Refuses, coins: Coins) -> None:
    loop: list[Any] = []
    loop.append(loop)
    deep: list[Any] = []
    for _ in range(31):
        deep = [deep]
    bad_ones: list[Any] = [float("nan"), {"x": float("inf")}, object(), {1, 2}, b"x", {(1, 2): 3}]
    for bad in [*bad_ones, loop, deep, "\ud800", {"\udfff": 1}]:
        refuses(InvalidInput, "Details must be JSON", lambda b=bad: coins.award("7", 1, details=b))


def test_a_page_of_history_begins_at_an_entry(refuses: Refuses, coins: Coins) -> None:
    for bad in ["5", 1.0, True, -1, 2**63, 10**5000]:
        refuses(InvalidInput, "id of an entry", lambda bad=bad: coins.history("7", before=bad))


def test_readers_check_their_user_and_currency(refuses: Refuses, coins: Coins) -> None:
    refuses(InvalidInput, "coins_id", lambda: coins.balance(1.5))
    refuses(InvalidInput, "A user id", lambda: coins.balances(["7", ""]))
    for no_list in ("abc", b"abc", None, 7):
        refuses(InvalidInput, "list or another", lambda users=no_list: coins.balances(users))
    refuses(InvalidInput, "A currency", lambda: coins.balance("7", ""))
    refuses(InvalidInput, "A currency", lambda: coins.history("7", currency="x" * 17))
    refuses(InvalidInput, "A currency", lambda: coins.balance_of(log.c.user_id, "gold "))


def test_a_call_on_the_wrong_name_says_so(refuses: Refuses, coins: Coins) -> None:
    words = "from flask_coins import award_once, then @award_once"
    refuses(InvalidAmount, words, lambda: coins.award_once(15, "daily_goal", "day"))
    refuses(InvalidAmount, words, lambda: coins.award_once(15, "daily_goal"))
    refuses(InvalidAmount, "from flask_coins import award,", lambda: coins.award(15, "bonus"))
    missing = r"coins.award\(user, amount, reason, ...\) pays now, and got no amount. To decorate"
    refuses(TypeError, missing, lambda: coins.award(15))
    refuses(TypeError, "and got no amount", lambda: coins.award_once(15))
    refuses(TypeError, "and got no reason", lambda: coins.award_once("7", 15))


def test_an_option_that_xp_do_not_have_is_told_by_their_name(
    refuses: Refuses, coins: Coins
) -> None:
    refuses(TypeError, r"award_xp\(\).*'nope'", lambda: coins.award_xp("7", 50, nope=1))  # type: ignore[call-arg]


def test_a_long_message_is_cut_short(ctx: None, coins: Coins) -> None:
    with pytest.raises(InvalidAmount) as caught:
        coins.award("7", ["x"] * 1000)
    assert len(str(caught.value)) < 200


# -- what is good is kept as it came ---------------------------------------------------------

GOOD_TEXTS = [
    "x",
    "inner space",
    "daily_goal",
    "Grüße",
    "目標",
    "🏆",
    " leads",
    "a" * 64,
    "'\"\\;%",
]


def test_good_texts_come_back_as_they_were(ctx: None, db: SQLAlchemy, coins: Coins) -> None:
    for text in GOOD_TEXTS:
        coins.award(text, 1, text, subject=text, idempotency_key=text)
        db.session.commit()
        (entry,) = coins.history(text)
        assert (entry.user_id, entry.reason, entry.subject) == (text, text, text)


def test_the_longest_texts_fit(ctx: None, db: SQLAlchemy, coins: Coins) -> None:
    longest = {"subject": "ß" * 128, "idempotency_key": "🏆" * 128, "currency": "目" * 16}
    coins.award("ü" * 64, 1, "é" * 64, **longest)
    db.session.commit()
    (entry,) = coins.history("ü" * 64, currency="目" * 16)
    assert (entry.reason, entry.subject) == ("é" * 64, "ß" * 128)


def test_an_enum_that_is_a_text_is_its_value(ctx: None, coins: Coins) -> None:
    entry = coins.award("7", 1, Level.EASY, subject=Number.SEVEN).entry
    assert entry
    assert (entry.reason, type(entry.reason), entry.subject) == ("daily_goal_easy", str, "7")


DEEP: Any = functools.reduce(lambda inner, _: {"x": inner}, range(31), 1)


@pytest.mark.parametrize(
    "details", [None, {"a": [1, 2.5, None, "ä🏆"]}, [], "text", 0, False, "\0", DEEP]
)
def test_details_come_back(ctx: None, db: SQLAlchemy, coins: Coins, details: Any) -> None:
    coins.award("7", 1, details=details)
    db.session.commit()
    assert coins.history("7")[0].details == details


def test_a_receipt_has_the_details_that_the_log_keeps(
    ctx: None, db: SQLAlchemy, coins: Coins
) -> None:
    entry = coins.award("7", 1, details={1: (2, 3)}).entry
    db.session.commit()
    assert entry
    assert entry.details == coins.history("7")[0].details == {"1": [2, 3]}


# -- who a user is ---------------------------------------------------------------------------


@dataclass
class Host:
    """A host's models."""

    User: Any
    Student: Any
    Seat: Any
    Token: Any


@pytest.fixture
def host(db: SQLAlchemy) -> Host:
    class User(db.Model):  # type: ignore[name-defined,misc]
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(sa.String(50))

    class Student(db.Model):  # type: ignore[name-defined,misc]
        id: Mapped[int] = mapped_column(primary_key=True)

        @property
        def coins_id(self) -> str:
            return f"student:{self.id}"

    class Seat(db.Model):  # type: ignore[name-defined,misc]
        row: Mapped[int] = mapped_column(primary_key=True)
        number: Mapped[int] = mapped_column(primary_key=True)

    class Token(db.Model):  # type: ignore[name-defined,misc]
        id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)

    return Host(User, Student, Seat, Token)


SOME_UUID = uuid.UUID("0195A6E0-0000-7000-8000-00000000ABCD")


@pytest.mark.parametrize(
    ("user", "kept"),
    [
        (7, "7"),
        (0, "0"),
        (-3, "-3"),
        ("7", "7"),
        ("student:1", "student:1"),
        ("ada-lovelace", "ada-lovelace"),
        ("Ada", "Ada"),
        (SOME_UUID, "0195a6e0-0000-7000-8000-00000000abcd"),
        (Number.SEVEN, "7"),
        (LocalProxy(lambda: "proxied"), "proxied"),
    ],
)
def test_an_id_is_kept_as_text(ctx: None, coins: Coins, user: Any, kept: str) -> None:
    entry = coins.award(user, 5).entry
    assert entry
    assert entry.user_id == kept
    assert coins.balance(user) == coins.balance(kept) == 5


@pytest.fixture
def saved(host: Host, ctx: None, db: SQLAlchemy) -> Any:
    user = host.User(name="ada")
    db.session.add(user)
    db.session.commit()
    return user


def test_a_saved_object_is_its_key_without_sql(saved: Any, db: SQLAlchemy, coins: Coins) -> None:
    with statements(db.engine) as seen:
        assert coins.award(saved, 5).entry.user_id == str(sa.inspect(saved).identity[0])  # type: ignore[union-attr]
    assert not [sql for sql in seen if "FROM user" in sql or 'FROM "user"' in sql]
    assert coins.balance(LocalProxy(lambda: saved)) == 5


def test_a_detached_object_is_its_key(saved: Any, db: SQLAlchemy, coins: Coins) -> None:
    number = saved.id
    db.session.expunge(saved)
    coins.award(saved, 5, subject=saved)
    assert coins.history(number)[0].subject == str(number)


def test_a_pending_object_is_flushed_to_get_its_key(
    host: Host, ctx: None, db: SQLAlchemy, coins: Coins
) -> None:
    user, student = host.User(name="ada"), host.Student()
    db.session.add_all([user, student])
    coins.award(user, 5)
    coins.award(student, 7)
    assert coins.balance(user.id) == 5
    assert coins.balance(f"student:{student.id}") == 7


def test_a_pending_object_makes_no_flush_for_bad_input(
    host: Host, ctx: None, db: SQLAlchemy, coins: Coins
) -> None:
    user = host.User(name="ada")
    db.session.add(user)
    for bad in ({"window": "daily"}, {"limit": 0}, {"subject": ""}, {"currency": ""}):
        with statements(db.engine) as seen, pytest.raises(InvalidInput):
            coins.award_once(user, 5, "goal", **bad)
        assert seen == []


def test_an_unsaved_object_is_told_to_be_added(host: Host, ctx: None, coins: Coins) -> None:
    for unsaved in (host.User(), host.Student(), host.Token()):
        with pytest.raises(InvalidInput, match="add it to the session"):
            coins.award(unsaved, 5)
    with pytest.raises(InvalidSubject, match="saved"):
        coins.award("7", 5, subject=host.User())


def test_a_key_of_two_columns_needs_a_coins_id(
    host: Host, ctx: None, db: SQLAlchemy, coins: Coins
) -> None:
    seat = host.Seat(row=1, number=2)
    db.session.add(seat)
    with pytest.raises(InvalidInput, match="def coins_id"):
        coins.award(seat, 5)
    with pytest.raises(InvalidSubject):
        coins.award("7", 5, subject=seat)


def test_a_uuid_key_is_its_text(host: Host, ctx: None, db: SQLAlchemy, coins: Coins) -> None:
    token = host.Token()
    db.session.add(token)
    coins.award(token, 5)
    assert coins.balance(str(token.id)) == coins.balance(token.id) == 5


def test_an_object_may_name_its_id(ctx: None, coins: Coins) -> None:
    class Named:
        coins_id = "team:9"

    class Flasky(flask_login.UserMixin):  # type: ignore[misc]
        id = 12

    coins.award(Named(), 1)
    coins.award(Flasky(), 2)
    assert (coins.balance("team:9"), coins.balance(12)) == (1, 2)


class Broken(flask_login.UserMixin):  # type: ignore[misc]
    id = 1

    @property
    def coins_id(self) -> str:
        return f"student:{self.number}"


class Wrapped:
    """As libraries wrap objects: every attribute is asked of another."""

    def __init__(self, other: Any) -> None:
        self.other = other

    def __getattr__(self, name: str) -> Any:
        return getattr(self.other, name)


class Method(flask_login.UserMixin):  # type: ignore[misc]
    id = 1

    def coins_id(self) -> str:
        return "teacher:1"


@pytest.mark.parametrize("wrap", [lambda it: it, lambda it: LocalProxy(lambda: it), Wrapped])
def test_a_coins_id_that_fails_is_never_another_id(
    ctx: None, coins: Coins, wrap: Callable[[Any], Any]
) -> None:
    with pytest.raises(AttributeError, match="number"):
        coins.award(wrap(Broken()), 5)
    with pytest.raises(InvalidInput, match="def coins_id"):
        coins.award(wrap(Method()), 5)
    assert coins.balance(1) == 0


@pytest.mark.parametrize("bad", [None, 1.5, True, object()])
def test_a_coins_id_is_a_text_or_number(ctx: None, coins: Coins, bad: Any) -> None:
    user = type("User", (flask_login.UserMixin,), {"id": 1})()
    user.coins_id = bad
    with pytest.raises(InvalidInput, match=re.escape(f"is {bad!r}. Pass an id")):
        coins.award(user, 5)
    assert coins.balance(1) == 0


def test_a_mapped_user_has_no_other_id_either(ctx: None, db: SQLAlchemy, coins: Coins) -> None:
    class Teacher(db.Model):  # type: ignore[name-defined,misc]
        id: Mapped[int] = mapped_column(primary_key=True)
        coins_id: Mapped[str | None] = mapped_column(sa.String(50))

    db.create_all()
    teacher = Teacher(id=1)
    db.session.add(teacher)
    db.session.commit()
    with pytest.raises(InvalidInput, match=r"coins_id of .* is None"):
        coins.award(teacher, 5)
    assert coins.balance(1) == 0


@pytest.mark.parametrize(
    "bad", [{"currency": ""}, {"idempotency_key": ""}, {"details": {1}}, {"reason": ""}]
)
def test_a_call_that_is_refused_flushes_no_subject(
    ctx: None, db: SQLAlchemy, coins: Coins, bad: dict[str, Any]
) -> None:
    class Thing(db.Model):  # type: ignore[name-defined,misc]
        id: Mapped[int] = mapped_column(primary_key=True)

    thing = Thing()
    db.session.add(thing)
    with pytest.raises(InvalidInput):
        coins.award("ada", 5, subject=thing, **bad)
    assert thing in db.session.new


def test_a_coins_id_that_is_known_needs_no_flush(ctx: None, db: SQLAlchemy, coins: Coins) -> None:
    class Pupil(db.Model):  # type: ignore[name-defined,misc]
        id: Mapped[int] = mapped_column(primary_key=True)
        slug: Mapped[str] = mapped_column(sa.String(50))

        @property
        def coins_id(self) -> str:
            return f"pupil:{self.slug}"

    pupil = Pupil(slug="ada")
    assert coins.award(pupil, 5).entry.user_id == "pupil:ada"  # type: ignore[union-attr]
    db.session.add(pupil)
    assert coins.balance(pupil) == 5
    assert sa.inspect(pupil).pending


def test_the_current_user_of_flask_login_is_unwrapped(
    app: Flask, db: SQLAlchemy, coins: Coins
) -> None:
    class Flasky(flask_login.UserMixin):  # type: ignore[misc]
        id = 12

    flask_login.LoginManager(app).user_loader(lambda key: Flasky())
    with app.test_request_context():
        flask_login.login_user(Flasky())
        coins.award(flask_login.current_user, 5)
        assert coins.balance() == coins.balance("12") == 5
        db.session.rollback()
    with app.test_request_context(), pytest.raises(CoinsError, match="Pass an id"):
        coins.award(flask_login.current_user, 5)
