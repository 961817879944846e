"""Reversals: the opposite entry, linked to the first, and never more than is left of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask, g
from flask_sqlalchemy import SQLAlchemy

from flask_coins import (
    CoinEntry,
    Coins,
    CoinsRetry,
    Entry,
    IdempotencyConflict,
    InsufficientCoins,
    InvalidAmount,
    InvalidInput,
    Outcome,
    Receipt,
    signals,
)
from flask_coins._models import log

from .apps import Clock
from .movements import (
    USERS,
    Elsewhere,
    amounts,
    books_faults,
    entries,
    everything,
    isolated,
    rows_of,
    the_same_for_all,
)
from .races import Racers
from .statements import before, statements


def entry_of(receipt: Receipt) -> Entry:
    assert receipt.entry
    return receipt.entry


@pytest.fixture
def award(books: None, db: SQLAlchemy, coins: Coins) -> Entry:
    """User 7 was paid 10 coins for a goal, which are there still."""
    receipt = coins.award_once(7, 10, "goal", subject="math")
    db.session.commit()
    return entry_of(receipt)


@pytest.fixture
def spend(award: Entry, db: SQLAlchemy, coins: Coins) -> Entry:
    """User 7 spent 6 of them."""
    receipt = coins.spend(7, 6, "hat", subject="red")
    db.session.commit()
    return entry_of(receipt)


@pytest.fixture(params=["up", "down"])
def sent(request: pytest.FixtureRequest, books: None, db: SQLAlchemy, coins: Coins) -> Entry:
    """The sender's entry of a transfer of 6 coins, to a higher id or a lower one."""
    sender, recipient = ("1", "2") if request.param == "up" else ("2", "1")
    coins.award(sender, 10, "start")
    receipt, _ = coins.transfer(sender, recipient, 6, "gift", subject="hat")
    db.session.commit()
    return entry_of(receipt)


# -- whole and in parts ----------------------------------------------------------------------


def test_an_award_is_taken_back(award: Entry, db: SQLAlchemy, coins: Coins) -> None:
    receipt = coins.reverse(award, details={"by": "ada"})
    back = entry_of(receipt)
    assert receipt
    assert (receipt.outcome, receipt.amount, receipt.balance) == (Outcome.SPENT, -10, 0)
    assert (receipt.reason, receipt.subject, back.reverses_id) == ("reversal", "math", award.id)
    assert (back.user_id, back.details) == ("7", {"by": "ada"})
    db.session.commit()
    assert coins.history(7) == [back, award]


def test_a_spend_is_given_back(spend: Entry, db: SQLAlchemy, coins: Coins) -> None:
    receipt = coins.reverse(spend, "refund")
    assert (receipt.outcome, receipt.amount, receipt.balance) == (Outcome.AWARDED, 6, 10)
    assert (receipt.reason, entry_of(receipt).reverses_id) == ("refund", spend.id)
    db.session.commit()


def test_an_entry_is_told_by_any_form_of_it(books: None, db: SQLAlchemy, coins: Coins) -> None:
    receipts = [coins.award(7, 10) for _ in range(4)]
    row = db.session.get(CoinEntry, entry_of(receipts[3]).id)
    forms = [receipts[0], entry_of(receipts[1]), entry_of(receipts[2]).id, row]
    assert [coins.reverse(form).amount for form in forms] == [-10] * 4
    db.session.commit()
    assert coins.balance(7) == 0


@pytest.mark.parametrize("parts", [[3, 3, 4], [9, 1], [1, None], [None]])
@pytest.mark.parametrize("kind", ["award", "spend"])
def test_parts_are_reversed_until_nothing_is_left(
    books: None, db: SQLAlchemy, coins: Coins, kind: str, parts: list[Any]
) -> None:
    coins.award(7, 10)
    entry = getattr(coins, kind)(7, 10, "r").entry
    db.session.commit()
    left = 10
    for part in parts:
        taken = left if part is None else part
        assert abs(coins.reverse(entry, amount=part).amount) == taken
        left -= taken
    assert left == 0
    db.session.commit()
    seen = everything(db)
    for part in (None, 1, 10, 11):
        again = coins.reverse(entry, amount=part)
        assert (again.outcome, again.amount, again.entry) == (Outcome.ALREADY, 0, None)
        assert again.balance == 10
        assert not again
    db.session.commit()
    assert everything(db) == seen


def test_more_than_is_left_is_refused_and_leaves_the_session_usable(
    award: Entry, db: SQLAlchemy, coins: Coins
) -> None:
    coins.award(7, 100)
    with pytest.raises(InvalidAmount, match=r"Of entry 1 \(10 coins\) 10 are left .*not 11"):
        coins.reverse(award, amount=11)
    coins.reverse(award, amount=4)
    with pytest.raises(InvalidAmount, match=r"6 are left to be reversed, not 7"):
        coins.reverse(award, amount=7)
    db.session.commit()
    assert (coins.balance(7), entries(db)) == (106, 3)


def test_a_whole_reversal_after_a_part_takes_the_rest(
    award: Entry, db: SQLAlchemy, coins: Coins
) -> None:
    assert coins.reverse(award, amount=4).amount == -4
    assert coins.reverse(award).amount == -6
    assert coins.reverse(award).outcome is Outcome.ALREADY
    db.session.commit()
    assert amounts(coins, "7") == [[10, -4, -6]]


def test_entries_are_reversed_each_for_itself(books: None, db: SQLAlchemy, coins: Coins) -> None:
    first, second = coins.award(7, 10), coins.award(7, 10)
    assert coins.reverse(first)
    assert coins.reverse(second)
    assert coins.reverse(first).outcome is Outcome.ALREADY
    db.session.commit()


def test_coins_that_were_spent_cannot_be_taken_back(
    spend: Entry, award: Entry, db: SQLAlchemy, coins: Coins
) -> None:
    coins.award(8, 1)
    seen = rows_of(db, "coin_log")
    with pytest.raises(InsufficientCoins, match="10 coins are needed, 4 are there") as caught:
        coins.reverse(award)
    assert (caught.value.balance, caught.value.amount) == (4, 10)
    assert rows_of(db, "coin_log") == seen
    assert coins.reverse(award, amount=4).balance == 0
    db.session.commit()


def test_another_currency_is_given_back_in_kind(books: None, db: SQLAlchemy, coins: Coins) -> None:
    coins.award(7, 10)
    receipt = coins.reverse(coins.award(7, 5, currency="gems"))
    assert (receipt.currency, receipt.balance) == ("gems", 0)
    db.session.commit()
    assert (coins.balance(7), coins.balance(7, "gems")) == (10, 0)


def test_a_balance_cannot_pass_the_largest_by_a_reversal(
    spend: Entry, db: SQLAlchemy, coins: Coins
) -> None:
    coins.award(7, 999_999_999_999_999 - 4)
    db.session.commit()
    with pytest.raises(InvalidAmount, match="cannot pass"):
        coins.reverse(spend)
    assert entries(db) == 3


# -- what cannot be reversed -----------------------------------------------------------------


def test_a_reversal_is_not_reversed(award: Entry, db: SQLAlchemy, coins: Coins) -> None:
    back = coins.reverse(award)
    db.session.commit()
    seen = everything(db)
    with pytest.raises(InvalidInput, match=f"itself a reversal, of {award.id}: make a new entry"):
        coins.reverse(back)
    assert everything(db) == seen


def test_an_unknown_id_is_refused(award: Entry, db: SQLAlchemy, coins: Coins) -> None:
    coins.award(8, 1)
    with pytest.raises(InvalidInput, match="There is no entry 12345"):
        coins.reverse(12345)
    db.session.commit()
    assert coins.balance(8) == 1


NOTHING = Receipt(Outcome.ALREADY, "goal")


@pytest.mark.parametrize(
    "entry",
    [None, "1", 1.0, True, 0, -1, 2**63, NOTHING, {}, CoinEntry()],
    ids=lambda it: str(it)[:9],
)
def test_what_is_no_entry_is_refused_before_any_sql(
    award: Entry, db: SQLAlchemy, coins: Coins, entry: Any
) -> None:
    with statements(db.engine) as seen, pytest.raises(InvalidInput, match="An entry is an Entry"):
        coins.reverse(entry)
    assert seen == []


BAD = [{"amount": bad} for bad in (0, -1, True, 1.0, "5", 10**15)]
BAD += [{"reason": ""}, {"reason": None}, {"reason": "x" * 65}, {"details": {1}}]
BAD += [{"idempotency_key": ""}, {"idempotency_key": 1}]


@pytest.mark.parametrize("bad", BAD, ids=repr)
def test_what_cannot_be_kept_is_refused_before_any_sql(
    award: Entry, db: SQLAlchemy, coins: Coins, bad: dict[str, Any]
) -> None:
    with statements(db.engine) as seen, pytest.raises(InvalidInput):
        coins.reverse(award, **bad)
    assert seen == []


# -- keys ------------------------------------------------------------------------------------


def test_a_part_with_a_key_is_taken_once(award: Entry, db: SQLAlchemy, coins: Coins) -> None:
    first = coins.reverse(award, amount=4, idempotency_key="k")
    db.session.commit()
    again = coins.reverse(award, amount=4, idempotency_key="k")
    assert (again.outcome, again.amount, again.entry) == (Outcome.REPLAYED, -4, first.entry)
    assert coins.reverse(award, idempotency_key="rest").amount == -6
    assert coins.reverse(award, idempotency_key="rest").outcome is Outcome.REPLAYED
    db.session.commit()
    assert amounts(coins, "7") == [[10, -4, -6]]


def test_a_key_used_otherwise_is_a_conflict(award: Entry, db: SQLAlchemy, coins: Coins) -> None:
    other = coins.award(7, 10, "goal", idempotency_key="gift")
    coins.reverse(award, amount=4, idempotency_key="k")
    db.session.commit()
    seen = rows_of(db, "coin_log")
    for entry, more in [
        (award, {"amount": 3}),
        (award, {"amount": 4, "reason": "other"}),
        (other, {"amount": 4}),
    ]:
        with pytest.raises(IdempotencyConflict, match="use a new key"):
            coins.reverse(entry, idempotency_key="k", **more)
    with pytest.raises(IdempotencyConflict):
        coins.reverse(award, amount=6, idempotency_key="gift")
    db.session.commit()
    assert rows_of(db, "coin_log") == seen


def test_a_key_used_between_look_and_lock_is_replayed(
    award: Entry, db: SQLAlchemy, coins: Coins, elsewhere: Elsewhere, engine: str
) -> None:
    def part() -> Receipt:
        return coins.reverse(award, amount=4, idempotency_key="k")

    lock = "UPDATE coin_balance" if engine == "sqlite" else "FOR UPDATE"
    with before(db.engine, lock, lambda: elsewhere(part)):
        assert part().outcome is Outcome.REPLAYED
    db.session.commit()
    assert coins.balance(7) == 6


# -- windows ---------------------------------------------------------------------------------


def test_a_window_that_was_paid_stays_paid(
    books: None, db: SQLAlchemy, coins: Coins, clock: Clock
) -> None:
    for window in ("day", "forever", timedelta(hours=3)):
        receipt = coins.award_once(7, 10, "goal", window, subject=str(window))
        assert coins.reverse(receipt, "goal")
        assert coins.award_once(7, 10, "goal", window, subject=str(window)).outcome == "already"
    db.session.commit()
    clock.forward(hours=3)
    assert coins.award_once(7, 10, "goal", timedelta(hours=3), subject=str(timedelta(hours=3)))
    db.session.commit()


def test_coins_that_are_given_back_fill_no_window(
    spend: Entry, db: SQLAlchemy, coins: Coins
) -> None:
    coins.reverse(spend, "prize")
    assert coins.award_once(7, 1, "prize", subject="red")
    db.session.commit()


# -- transfers -------------------------------------------------------------------------------


def received(coins: Coins, sent: Entry) -> Entry:
    assert sent.counterparty
    return coins.history(sent.counterparty)[0]


@pytest.mark.parametrize("given", ["sent", "received", "its receipt", "its id"])
def test_a_transfer_is_taken_back_on_both_sides_whichever_is_given(
    sent: Entry, db: SQLAlchemy, coins: Coins, given: str
) -> None:
    theirs = received(coins, sent)
    mine = sent if given == "sent" else theirs
    form: Any = Receipt(Outcome.SPENT, "x", entry=mine) if given == "its receipt" else mine
    receipt = coins.reverse(mine.id if given == "its id" else form)
    assert entry_of(receipt).user_id == mine.user_id
    assert entry_of(receipt).reverses_id == mine.id
    assert receipt.amount == -mine.amount
    assert receipt.balance == (10 if given == "sent" else 0)
    db.session.commit()
    assert (coins.balance(sent.user_id), coins.balance(theirs.user_id)) == (10, 0)
    assert amounts(coins, sent.user_id, theirs.user_id) == [[10, -6, 6], [6, -6]]
    for entry in (sent, theirs):
        assert coins.reverse(entry).outcome is Outcome.ALREADY
        back = coins.history(entry.user_id)[0]
        assert (back.reverses_id, back.counterparty) == (entry.id, entry.counterparty)
        with pytest.raises(InvalidInput, match="itself a reversal"):
            coins.reverse(back)


def test_parts_of_a_transfer_go_back_from_either_side(
    sent: Entry, db: SQLAlchemy, coins: Coins
) -> None:
    theirs = received(coins, sent)
    assert coins.reverse(sent, amount=2).amount == 2
    assert coins.reverse(theirs, amount=3).amount == -3
    with pytest.raises(InvalidAmount, match="1 are left"):
        coins.reverse(sent, amount=2)
    assert coins.reverse(theirs).amount == -1
    assert coins.reverse(sent, amount=1).outcome is Outcome.ALREADY
    db.session.commit()
    assert (coins.balance(sent.user_id), coins.balance(theirs.user_id)) == (10, 0)


def test_what_the_recipient_has_spent_does_not_come_back(
    sent: Entry, db: SQLAlchemy, coins: Coins
) -> None:
    theirs = received(coins, sent)
    coins.spend(theirs.user_id, 5, "shop")
    db.session.commit()
    seen = everything(db)[0]
    for entry in (sent, theirs):
        with pytest.raises(InsufficientCoins, match="6 coins are needed, 1 are there"):
            coins.reverse(entry)
    db.session.commit()
    assert everything(db)[0] == seen
    assert coins.reverse(sent, amount=1)
    db.session.commit()


@pytest.mark.parametrize("given", ["sent", "received"])
def test_a_replayed_reversal_of_a_transfer_answers_for_the_side_that_is_asked(
    sent: Entry, db: SQLAlchemy, coins: Coins, given: str
) -> None:
    entry = sent if given == "sent" else received(coins, sent)
    first = coins.reverse(entry, amount=2, idempotency_key="k")
    db.session.commit()
    again = coins.reverse(entry, amount=2, idempotency_key="k")
    assert again.outcome is Outcome.REPLAYED
    assert (again.entry, again.amount, again.balance) == (first.entry, first.amount, first.balance)
    db.session.commit()
    assert entries(db) == 5


@pytest.mark.parametrize("step", [1, 2, 3, 4])
def test_a_failure_in_the_middle_moves_nothing(
    sent: Entry, db: SQLAlchemy, coins: Coins, step: int
) -> None:
    seen, told = everything(db), []

    def fail(*args: Any) -> None:
        if args[2].startswith(("INSERT", "UPDATE")) and "updated_at=coin_bal" not in args[2]:
            told.append(args[2])
            if len(told) == step:
                raise KeyboardInterrupt

    sa.event.listen(db.engine, "before_cursor_execute", fail)
    with pytest.raises(KeyboardInterrupt):
        coins.reverse(sent)
    sa.event.remove(db.engine, "before_cursor_execute", fail)
    assert not db.session().in_transaction()
    assert everything(db) == seen
    assert coins.reverse(sent)
    db.session.commit()


def test_a_transfer_whose_other_side_is_lost_is_left_alone(
    sent: Entry, db: SQLAlchemy, coins: Coins
) -> None:
    theirs = received(coins, sent)
    hidden = sa.update(log).where(log.c.id == theirs.id)
    db.session.connection().execute(hidden.values(transfer_id=None))
    with pytest.raises(InvalidInput, match=f"other side of transfer {sent.id} is lost.*verify"):
        coins.reverse(sent)
    db.session.rollback()
    assert coins.reverse(sent)
    db.session.commit()


# -- telling ---------------------------------------------------------------------------------


def test_each_side_is_told_of_its_own_after_the_commit(
    sent: Entry, db: SQLAlchemy, coins: Coins
) -> None:
    heard: list[Any] = []

    def hear(sender: Any, receipt: Receipt, user_id: str | None) -> None:
        heard.append((receipt.outcome.value, user_id, receipt.amount))

    with signals.coins_awarded.connected_to(hear), signals.coins_spent.connected_to(hear):
        coins.reverse(sent, amount=1)
        db.session.rollback()
        coins.reverse(received(coins, sent))
        assert heard == []
        db.session.commit()
    assert sorted(heard) == [("awarded", sent.user_id, 6), ("spent", sent.counterparty, -6)]


def test_the_response_shows_the_side_that_was_asked_alone(
    app: Flask, db: SQLAlchemy, coins: Coins
) -> None:
    with app.app_context():
        coins.award(1, 10)
        coins.award(2, 1000)
        entry = entry_of(coins.transfer(1, 2, 4)[0])
        db.session.commit()
    shown: list[Any] = []

    @app.post("/")
    def view() -> str:
        coins.reverse(entry, amount=1, idempotency_key="k")
        db.session.commit()
        shown.extend((receipt.amount, receipt.balance) for receipt in g.coins_receipts)
        return "ok"

    client = app.test_client()
    header = client.post("/").headers.getlist("Coins-Awarded")
    assert header == ["reversal;amount=1;balance=7"]
    assert "Coins-Awarded" not in client.post("/").headers
    assert shown == [(1, 7), (1, 7)]


# -- isolation -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["award", "transfer"])
@pytest.mark.parametrize("key", [None, "k"])
def test_an_old_snapshot_does_not_reverse_twice(
    books: None,
    db: SQLAlchemy,
    coins: Coins,
    elsewhere: Elsewhere,
    engine: str,
    kind: str,
    key: str | None,
) -> None:
    if engine == "sqlite":
        pytest.skip("SQLite has one level")
    elsewhere(lambda: (coins.award(7, 100), coins.award(8, 100)))
    entry = elsewhere(
        lambda: coins.award(7, 10) if kind == "award" else coins.transfer(7, 8, 10)[0]
    ).entry

    def reverse() -> Receipt:
        return coins.reverse(entry, idempotency_key=key)

    said = Outcome.REPLAYED if key else Outcome.ALREADY
    with isolated(db, "REPEATABLE READ"):
        first = elsewhere(reverse)
        if engine == "mariadb":
            again = reverse()
            assert (again.outcome, again.balance) == (said, first.balance)
            assert again.entry == (first.entry if key else None)
        else:
            with pytest.raises(CoinsRetry):
                reverse()
            assert not db.session().in_transaction()
    db.session.commit()
    assert reverse().outcome is said
    db.session.commit()


def test_an_old_snapshot_takes_only_the_rest(
    award: Entry, db: SQLAlchemy, coins: Coins, elsewhere: Elsewhere, engine: str
) -> None:
    if engine != "mariadb":
        pytest.skip("MariaDB's default, and its alone")
    with isolated(db, "REPEATABLE READ"):
        coins.reverse(award, amount=1)
        db.session.commit()
    with isolated(db, "REPEATABLE READ"):
        elsewhere(lambda: coins.reverse(award, amount=4))
        coins.award(7, 50)
        elsewhere_left = coins.reverse(award)
        assert elsewhere_left.amount == -5
    db.session.commit()
    assert coins.reverse(award).outcome is Outcome.ALREADY


def test_a_window_paid_elsewhere_is_not_paid_again_after_a_reversal(
    award: Entry, db: SQLAlchemy, coins: Coins, elsewhere: Elsewhere, engine: str
) -> None:
    if engine != "mariadb":
        pytest.skip("MariaDB alone shows a row as changed beside a log that is old")

    def prize() -> Receipt:
        return coins.award_once(7, 5, "prize", timedelta(days=1))

    with isolated(db, "REPEATABLE READ"):
        elsewhere(prize)
        assert coins.reverse(award)
        assert prize().outcome is Outcome.ALREADY
        db.session.commit()


def test_a_reversal_between_look_and_lock_is_seen(
    award: Entry, db: SQLAlchemy, coins: Coins, elsewhere: Elsewhere, engine: str
) -> None:
    lock = "UPDATE coin_balance" if engine == "sqlite" else "FOR UPDATE"
    with before(db.engine, lock, lambda: elsewhere(lambda: coins.reverse(award, amount=4))):
        assert coins.reverse(award).amount == -6
    db.session.commit()
    assert coins.balance(7) == 0


# -- races -----------------------------------------------------------------------------------


def whole(coins: Coins, user: str) -> Receipt:
    return coins.reverse(coins.history(user)[-1])


def part(coins: Coins, user: str) -> Receipt:
    return coins.reverse(coins.history(user)[-1], amount=4)


def part_with_key(coins: Coins, user: str) -> Receipt:
    return coins.reverse(coins.history(user)[-1], amount=4, idempotency_key="k")


def shop(coins: Coins, user: str) -> Receipt:
    return coins.spend(user, 6, "shop")


def of_sender(coins: Coins, user: str) -> Receipt:
    return coins.reverse(coins.history(user)[-2])


def of_recipient(coins: Coins, user: str) -> Receipt:
    return coins.reverse(coins.history(f"a{user}")[-1])


Race = Callable[..., Any]


@pytest.fixture
def race(app: Flask, db: SQLAlchemy, coins: Coins, racers: Racers) -> Iterator[Race]:
    """``race(*calls)``: how often what was said; then the books. Everybody was paid 10 coins."""
    with app.app_context():
        for user in USERS:
            coins.award(user, 10, "start")
        db.session.commit()

    def run(*calls: Any) -> dict[str, int]:
        return the_same_for_all(racers.race(app.config["SQLALCHEMY_DATABASE_URI"], calls, USERS))

    yield run
    with app.app_context(), db.engine.connect() as connection:
        assert books_faults(connection) == []


def test_a_whole_reversal_that_is_raced_happens_once(race: Race) -> None:
    assert race(whole) == {"spent": 1, "already": 7}


def test_parts_that_are_raced_never_exceed_the_whole(
    race: Race, app: Flask, db: SQLAlchemy, coins: Coins
) -> None:
    with app.app_context():
        for user in USERS:
            coins.award(user, 50, "more")
        db.session.commit()
    assert race(part) == {"spent": 2, "InvalidAmount": 6}


def test_a_part_with_a_key_that_is_raced_happens_once(race: Race) -> None:
    assert race(part_with_key) == {"spent": 1, "replayed": 7}


def test_reversals_and_spends_at_once_never_overdraw(
    race: Race, app: Flask, coins: Coins, racers: Racers
) -> None:
    answers = racers.race(app.config["SQLALCHEMY_DATABASE_URI"], [whole, shop], USERS)
    with app.app_context():
        for user in USERS:
            said = Counter(each.said for each in answers if each.user == user)
            if coins.balance(user) == 0:
                assert said == {"spent": 1, "already": 3, "InsufficientCoins": 4}
            else:
                assert said == {"spent": 1, "InsufficientCoins": 7}
                assert coins.balance(user) == 4


def test_a_transfer_is_reversed_once_from_both_sides(
    race: Race, app: Flask, db: SQLAlchemy, coins: Coins, racers: Racers
) -> None:
    with app.app_context():
        for user in USERS:
            coins.transfer(user, f"a{user}", 6)
        db.session.commit()
    url = app.config["SQLALCHEMY_DATABASE_URI"]
    answers = racers.race(url, [of_sender, of_recipient], USERS)
    with app.app_context():
        for user in USERS:
            said = Counter(each.said for each in answers if each.user == user)
            assert said["awarded"] + said["spent"] == 1
            assert said["already"] == 7
            assert (coins.balance(user), coins.balance(f"a{user}")) == (10, 0)
