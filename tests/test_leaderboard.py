"""Who stands where: scores, ranks and windows, and who is left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from flask import Flask, g
from flask_sqlalchemy import SQLAlchemy

from flask_coins import (
    CoinHidden,
    Coins,
    CoinsError,
    InvalidInput,
    MissingTablesError,
    NoUserError,
    Place,
)
from flask_coins._models import hidden
from flask_coins.windows import Between, Day, Hour

from .apps import NOON, Clock, create_app
from .economy_oracle import USERS, board, entries, live
from .statements import statements


@pytest.fixture
def lite(db: SQLAlchemy, coins: Coins) -> Iterator[Flask]:
    """A host on SQLite alone, for what no engine does in its own way."""
    app = create_app("sqlite://", db, coins, COINS_TIMEZONE="America/New_York")
    with app.app_context():
        db.create_all()
        yield app
        db.session.rollback()


def shown(found: list[Place]) -> list[tuple[int, str, int]]:
    return [(place.rank, place.user_id, place.score) for place in found]


# -- against plain Python -------------------------------------------------------------------------


@pytest.mark.usefixtures("ctx")
def test_every_board_is_what_the_log_says(db: SQLAlchemy, coins: Coins, clock: Clock) -> None:
    live(db, coins, clock)
    coins.hide_from_leaderboard("user:c")
    found, hidden, now = entries(db), ("user:c",), clock.now
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    starts = {
        None: datetime(1000, 1, 1, tzinfo=timezone.utc),
        "day": midnight,
        "week": midnight - timedelta(days=now.weekday()),
        "month": midnight.replace(day=1),
    }
    for window, start in starts.items():
        for reason in (None, "goal"):

            def counts(entry: Any, start: datetime = start, reason: str | None = reason) -> bool:
                return entry.created_at >= start and reason in (None, entry.reason)

            right = board(found, counts, hidden)
            assert coins.leaderboard(window, 100, reason=reason) == right
            for user in (*USERS, "nobody"):
                check_around(coins, right, user, window, reason)


def check_around(
    coins: Coins, right: list[Place], user: str, window: str | None, reason: str | None
) -> None:
    line = next((line for line, place in enumerate(right) if place.user_id == user), None)
    near = [] if line is None else right[max(line - 1, 0) : line + 2]
    mine = None if line is None else right[line]
    assert coins.neighbours(user, window, each_side=1, reason=reason) == near
    assert coins.rank(user, window, reason=reason) == mine


@pytest.mark.usefixtures("ctx")
def test_a_board_is_of_one_currency(db: SQLAlchemy, coins: Coins, clock: Clock) -> None:
    live(db, coins, clock, steps=60)
    right = board(entries(db, "gems"))
    assert right
    assert coins.leaderboard(currency="gems") == right
    assert coins.leaderboard(timedelta(days=300), currency="gems") == right


# -- what a score is ------------------------------------------------------------------------------


@pytest.mark.usefixtures("ctx")
def test_nobody_climbs_by_what_is_no_payment(coins: Coins) -> None:
    coins.award("ann", 10, "goal")
    coins.award("bob", 9, "goal")
    spent = coins.spend("bob", 5, "hat")
    coins.reverse(spent)
    sent, _ = coins.transfer("ann", "bob", 8)
    for window in (None, "day"):
        assert shown(coins.leaderboard(window)) == [(1, "ann", 10), (2, "bob", 9)]
    coins.reverse(sent)
    for window in (None, "day"):
        assert shown(coins.leaderboard(window)) == [(1, "ann", 10), (2, "bob", 9)]


@pytest.mark.usefixtures("ctx")
def test_what_is_taken_back_counts_against_the_window_that_paid_it(
    coins: Coins, clock: Clock
) -> None:
    paid = coins.award("ann", 10, "goal")
    coins.award("bob", 7, "goal")
    clock.forward(days=1)
    coins.award("ann", 1, "goal")
    coins.reverse(paid, "mistake", amount=4)
    assert shown(coins.leaderboard("day")) == [(1, "ann", 1)]
    assert shown(coins.leaderboard(timedelta(days=2))) == [(1, "ann", 7), (1, "bob", 7)]
    assert shown(coins.leaderboard(reason="goal")) == [(1, "ann", 7), (1, "bob", 7)]
    assert coins.leaderboard(reason="mistake") == []


def test_ties_share_a_rank_and_the_next_is_lower(lite: Flask, coins: Coins) -> None:
    for user, amount in {"dee": 3, "cid": 5, "ann": 9, "bob": 5, "eve": 1}.items():
        coins.award(user, amount)
    right = [(1, "ann", 9), (2, "bob", 5), (2, "cid", 5), (4, "dee", 3), (5, "eve", 1)]
    assert shown(coins.leaderboard()) == right
    assert shown(coins.leaderboard(limit=3)) == right[:3]
    assert shown(coins.neighbours("dee", each_side=2)) == right[1:]
    assert coins.rank("cid") == Place(2, "cid", 5)


def test_whose_payments_were_all_taken_back_has_no_place(lite: Flask, coins: Coins) -> None:
    coins.reverse(coins.award("ann", 5))
    coins.award("bob", 1)
    assert shown(coins.leaderboard()) == [(1, "bob", 1)]
    assert coins.rank("ann") is None
    assert coins.neighbours("ann") == []


# -- windows --------------------------------------------------------------------------------------


def test_days_are_those_of_the_app(lite: Flask, coins: Coins, clock: Clock) -> None:
    coins.timezone_loader(lambda user_id: "Asia/Tokyo")
    coins.award("ann", 5)
    clock.forward(hours=16)  # 23:00 in New York, where the day is not over
    assert shown(coins.leaderboard("day")) == [(1, "ann", 5)]
    clock.forward(hours=1)
    assert coins.leaderboard("day") == []
    assert shown(coins.leaderboard(Day())) == []
    assert shown(coins.leaderboard("month")) == [(1, "ann", 5)]


def test_every_kind_of_window_works(lite: Flask, coins: Coins, clock: Clock) -> None:
    coins.award("ann", 5)
    clock.forward(minutes=90)
    coins.award("bob", 3)
    both, bob = [(1, "ann", 5), (2, "bob", 3)], [(1, "bob", 3)]
    assert shown(coins.leaderboard(Hour())) == bob
    assert shown(coins.leaderboard(timedelta(hours=1))) == bob
    assert shown(coins.leaderboard("forever")) == both
    assert shown(coins.leaderboard("year")) == both


def test_a_season_keeps_its_board(lite: Flask, coins: Coins, clock: Clock) -> None:
    season = Between("autumn", datetime(2026, 11, 22), datetime(2026, 11, 23))  # New York's
    clock.now = NOON - timedelta(hours=7, minutes=1)
    coins.award("ann", 5)
    assert coins.leaderboard(season) == []
    clock.forward(minutes=1)
    coins.award("bob", 3)
    assert shown(coins.leaderboard(season)) == [(1, "bob", 3)]
    clock.forward(days=40)
    coins.award("bob", 3)
    assert shown(coins.leaderboard(season)) == [(1, "bob", 3)]


# -- who is left out ------------------------------------------------------------------------------


@pytest.mark.usefixtures("ctx")
def test_who_is_hidden_is_not_counted(db: SQLAlchemy, coins: Coins) -> None:
    for user, amount in {"ann": 9, "bob": 5, "cid": 3}.items():
        coins.award(user, amount)
    coins.hide_from_leaderboard("ann")
    coins.hide_from_leaderboard("ann")
    assert coins.is_hidden("ann")
    assert not coins.is_hidden("bob")
    for window in (None, "day"):
        assert shown(coins.leaderboard(window)) == [(1, "bob", 5), (2, "cid", 3)]
        assert shown(coins.neighbours("cid", window)) == [(1, "bob", 5), (2, "cid", 3)]
        assert coins.rank("ann", window) is None
    coins.hide_from_leaderboard("ann", hidden=False)
    coins.hide_from_leaderboard("ann", hidden=False)
    assert coins.rank("ann") == Place(1, "ann", 9)
    assert not coins.is_hidden("ann")
    assert db.session.query(CoinHidden).all() == []


def test_hiding_joins_the_hosts_transaction(lite: Flask, db: SQLAlchemy, coins: Coins) -> None:
    coins.hide_from_leaderboard("ann")
    db.session.rollback()
    assert not coins.is_hidden("ann")


@pytest.mark.usefixtures("ctx")
def test_who_is_erased_is_never_shown(db: SQLAlchemy, coins: Coins) -> None:
    coins.award("ann", 9)
    coins.award("Forgotten:1", 5)  # an id that a host may give
    coins.hide_from_leaderboard("ann")
    assert coins.forget("ann").hidden == 1
    assert db.session.query(CoinHidden).all() == []
    for window in (None, "day"):
        assert shown(coins.leaderboard(window)) == [(1, "Forgotten:1", 5)]
    (alias,) = {entry.user_id for entry in entries(db)} - {"Forgotten:1"}
    assert coins.rank(alias) is None


def test_an_app_without_the_table_goes_on_paying(lite: Flask, db: SQLAlchemy, coins: Coins) -> None:
    hidden.drop(db.session.connection())
    assert coins.award_once("ann", 5, "goal", "day")
    coins.award("ann", 5)
    db.session.commit()
    for call in (coins.leaderboard, lambda: coins.rank("ann"), lambda: coins.is_hidden("ann")):
        with pytest.raises(MissingTablesError, match="flask db upgrade"):
            call()
    assert coins.balance("ann") == 10


# -- names and users ------------------------------------------------------------------------------


def test_names_come_in_one_call_and_some_are_missing(lite: Flask, coins: Coins) -> None:
    asked: list[list[str]] = []

    @coins.user_names_loader
    def names(user_ids: list[str]) -> dict[Any, str | None]:
        asked.append(user_ids)
        return {7: "Ann", UUID(int=8): "Bob", "nine": None}

    assert coins.leaderboard() == []
    for user in (7, UUID(int=8), "nine", "ten"):
        coins.award(user, 1)
    found = {place.user_id: place.name for place in coins.leaderboard()}
    assert found == {"7": "Ann", str(UUID(int=8)): "Bob", "nine": None, "ten": None}
    assert [sorted(each) for each in asked] == [sorted(found)]


def test_without_a_loader_there_are_no_names(lite: Flask, coins: Coins) -> None:
    coins.award("ann", 1)
    assert coins.leaderboard() == [Place(1, "ann", 1, None)]


def test_a_loader_that_answers_no_dict_is_told_so(lite: Flask, coins: Coins) -> None:
    coins.award("ann", 1)
    coins.user_names_loader(lambda user_ids: ["Ann"])
    with pytest.raises(CoinsError, match="a dict of ids and names"):
        coins.leaderboard()


def test_the_current_user_is_meant_where_none_is_named(lite: Flask, coins: Coins) -> None:
    coins.award("ann", 2)
    g.user = "ann"
    coins.hide_from_leaderboard()
    assert coins.is_hidden()
    coins.hide_from_leaderboard(hidden=False)
    assert coins.rank() == Place(1, "ann", 2)
    assert coins.neighbours() == [Place(1, "ann", 2)]
    g.user = None
    for call in (coins.rank, coins.neighbours, coins.is_hidden, coins.hide_from_leaderboard):
        with pytest.raises(NoUserError):
            call()


# -- bad input, and what it costs -----------------------------------------------------------------

WRONG: dict[str, Callable[[Coins], object]] = {
    "is not a window": lambda coins: coins.leaderboard("fortnight"),
    "A limit is": lambda coins: coins.leaderboard(limit=0),
    "limit is an int from 1 to 1000": lambda coins: coins.leaderboard(limit=1001),
    "A reason must": lambda coins: coins.leaderboard(reason=""),
    "A currency must": lambda coins: coins.rank("ann", currency=5),  # type: ignore[arg-type]
    "each_side is an int from 0 to 100": lambda coins: coins.neighbours("ann", each_side=101),
    "who was erased": lambda coins: coins.hide_from_leaderboard("forgotten:1"),
    "must be a function": lambda coins: coins.user_names_loader({}),  # type: ignore[type-var]
}


@pytest.mark.parametrize("words", WRONG)
def test_bad_input_is_told(lite: Flask, coins: Coins, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        WRONG[words](coins)


def test_each_call_is_one_statement_however_many_there_are(
    lite: Flask, db: SQLAlchemy, coins: Coins
) -> None:
    for number in range(30):
        coins.award(number, number + 1)
    for call in (coins.leaderboard, lambda: coins.neighbours(7, "day"), lambda: coins.rank(7)):
        with statements(db.engine) as sent:
            assert call()
        assert len(sent) == 1


@pytest.mark.usefixtures("ctx")
def test_those_who_tie_share_a_rank_also_with_those_who_are_not_shown(
    db: SQLAlchemy, coins: Coins
) -> None:
    coins.award_many({"user": f"u{n:02}", "amount": 1 + n % 4} for n in range(24))
    everybody = coins.leaderboard(limit=24)
    assert [place.rank for place in everybody] == [1] * 6 + [7] * 6 + [13] * 6 + [19] * 6
    for line, place in enumerate(everybody):
        for sides in (0, 1, 7, 24):
            found = coins.neighbours(place.user_id, each_side=sides)
            assert found == everybody[max(line - sides, 0) : line + sides + 1]


@pytest.mark.usefixtures("ctx")
def test_a_rank_reads_each_user_a_few_times(db: SQLAlchemy, coins: Coins) -> None:
    """For the maximum of a window that is all rows, MariaDB passes over all again for each."""
    if db.engine.dialect.name != "mariadb":
        pytest.skip("it is MariaDB that counts what it reads")
    users = 2000
    coins.award_many({"user": f"u{n}", "amount": 1 + n % 50} for n in range(users))
    db.session.commit()
    db.session.execute(sa.text("FLUSH STATUS"))
    assert coins.rank("u49").rank == 1
    counted = sa.text("SHOW SESSION STATUS LIKE 'Handler_read%'")
    assert sum(int(row[1]) for row in db.session.execute(counted)) < 100 * users
