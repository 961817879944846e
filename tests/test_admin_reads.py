"""What admins read and release, on every engine."""

from __future__ import annotations

from datetime import timedelta

import pytest
from flask_sqlalchemy import SQLAlchemy

from flask_coins import Coins, _admin_reads, _moves
from flask_coins._admin_reads import Account, AdminReader
from flask_coins._export import Selection
from flask_coins._state import current_state

from .apps import Clock

pytestmark = pytest.mark.usefixtures("ctx")
read = AdminReader()


def test_accounts_and_holds_of_every_currency(db: SQLAlchemy, coins: Coins, clock: Clock) -> None:
    coins.award(7, 50, "r")
    coins.award(7, 9, "r", currency="Gems")
    coins.award(8, 50, "r")
    coins.spend(7, 20, "r")
    kept = coins.hold(7, 5, "kept", expires_in=timedelta(hours=2))
    coins.hold(7, 1, "over", expires_in=timedelta(hours=1))
    gems = coins.hold(7, 2, "kept", currency="Gems")
    coins.release(coins.hold(7, 3, "let go"))
    clock.forward(hours=1)
    accounts = read.accounts(db.session(), "7")
    assert sorted(accounts) == [Account("Gems", 9, 9, 0), Account("coins", 30, 50, 20)]
    assert [each.id for each in read.open_holds(db.session(), "7", clock.now)] == [kept.id, gems.id]
    assert read.hold(db.session(), kept.id) == kept
    assert read.hold(db.session(), 99) is None


def test_entries_below_an_id(db: SQLAlchemy, coins: Coins, clock: Clock) -> None:
    first, second = (coins.award(7, n, "r").entry for n in (1, 2))
    coins.award(7, 3, "other")
    coins.award(8, 3, "r")
    chosen = Selection(user_id="7", currency="coins", reason="r")
    session = db.session()
    assert read.entries(session, chosen, 9, None) == [second, first]
    assert read.entries(session, chosen, 9, second.id) == [first]
    assert read.entry(session, first.id) == first
    assert read.entry(session, 99_999) is None


def test_how_much_was_taken_back(db: SQLAlchemy, coins: Coins) -> None:
    whole, part, none = (coins.award(7, 50, "r").entry for _ in range(3))
    coins.reverse(whole)
    coins.reverse(part, amount=5)
    coins.reverse(part, amount=6)
    ids = [whole.id, part.id, none.id]
    assert read.taken_back(db.session(), ids) == {whole.id: 50, part.id: 11}
    assert read.taken_back(db.session(), []) == {}


def test_a_reason_is_looked_for_in_stretches_of_ids(
    db: SQLAlchemy, coins: Coins, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = db.session()
    assert read.for_reason(session, "a", 9, None) == ([], None)
    ids = [coins.award(user, 1, "a").entry.id for user in (7, 8, 9)]
    for _ in range(4):
        last = coins.award(7, 1, "b").entry.id
    found = read.for_reason(session, "a", 2, None)
    assert ([each.id for each in found.entries], found.before) == ([ids[2], ids[1]], ids[1])
    found = read.for_reason(session, "a", 2, found.before)
    assert ([each.id for each in found.entries], found.before) == ([ids[0]], None)
    monkeypatch.setattr(_admin_reads, "STRETCH", 3)
    assert read.for_reason(session, "a", 2, None) == ([], last - 2)


def test_chunks_go_through_all_of_it_once(
    db: SQLAlchemy, coins: Coins, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_admin_reads, "_CHUNK", 2)
    ids = [coins.award(user, 1, "r", details={"n": user}).entry.id for user in (7, 8, 7, 9, 7)]
    clock.forward(days=1)
    coins.award(7, 1, "r")
    chosen = Selection(currency="coins", until=clock.now)
    rows = [row for rows in read.chunks(db.session(), chosen) for row in rows]
    assert [row.id for row in rows] == ids
    assert rows[1].details == {"n": 8}


def test_a_note_goes_with_a_release_that_was_needed(db: SQLAlchemy, coins: Coins) -> None:
    coins.award(7, 50, "r")
    hold = coins.hold(7, 5, "h", details={"order": 3})
    released = _moves.release(current_state(), hold, {"by": "1"})
    assert released.details == {"order": 3, "release": {"by": "1"}}
    assert _moves.release(current_state(), hold, {"by": "2"}) == released
    assert coins.available(7) == 50
