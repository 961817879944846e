"""Budgets: never a coin beyond them, and whatever fits is paid; on every engine."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
import sqlalchemy as sa
from blinker import Namespace
from flask import Flask
from flask_sqlalchemy import SQLAlchemy

from flask_coins import Coins, Outcome, Receipt, Reward, award_once
from flask_coins import award as award_rule
from flask_coins._models import budgets, log
from flask_coins.windows import Between

from .apps import APART, NOON, Clock
from .races import Racers, reconcile
from .statements import before, statements

UTC = timezone.utc
TICK = timedelta(microseconds=1)
SEASON = Between("winter-2026", NOON - timedelta(days=1), NOON + timedelta(days=1))
WRITES = ("INSERT", "UPDATE", "WITH")


def limit(most: int = 100, window: Any = "day", **more: Any) -> dict[str, Any]:
    return {"most": most, "window": window, **more}


def in_app(most: int = 100, window: Any = "day", **more: Any) -> dict[str, Any]:
    return limit(most, window, per="app", **more)


@dataclass
class Economy:
    """A host with budgets, and a few users."""

    app: Flask
    db: SQLAlchemy
    coins: Coins
    clock: Clock

    def pay(self, amount: int, user: str = "ann", reason: str = "goal", **more: Any) -> Receipt:
        receipt = self.coins.award(user, amount, reason, **more)
        self.db.session.commit()
        return receipt

    def pay_once(self, amount: int, window: Any = "day", **more: Any) -> Receipt:
        receipt = self.coins.award_once("ann", amount, "goal", window, **more)
        self.db.session.commit()
        return receipt

    def elsewhere(self, amount: int, user: str = "ann") -> None:
        """Pay in another transaction, which is committed at once."""
        with self.app.app_context():
            assert self.pay(amount, user)

    def minted(self) -> list[int]:
        return list(self.db.session.scalars(sa.select(budgets.c.minted).order_by(budgets.c.period)))

    def entries(self) -> int:
        return self.db.session.scalar(sa.select(sa.func.count()).select_from(log)) or 0

    def keeps_its_word(self, call: Callable[[], Receipt], opens: datetime) -> None:
        now = self.clock.now
        for moment, pays in ((opens - TICK, False), (opens, True)):
            self.clock.now = moment
            assert bool(call()) is pays
            self.db.session.rollback()
        self.clock.now = now


Start = Callable[..., Economy]


@pytest.fixture
def within(
    make_app: Callable[..., Flask], db: SQLAlchemy, coins: Coins, clock: Clock
) -> Iterator[Start]:
    """``within(budget, …)``: an app with these, its context pushed."""
    with ExitStack() as contexts:

        def start(*limits: Any, **config: Any) -> Economy:
            app = make_app(COINS_BUDGETS=list(limits), **config)
            contexts.enter_context(app.app_context())
            contexts.callback(db.session.rollback)
            return Economy(app, db, coins, clock)

        yield start


def said(receipt: Receipt) -> tuple[str, int | None]:
    return str(receipt.outcome), receipt.left


# -- how much --------------------------------------------------------------------------------

PER = pytest.mark.parametrize("per", ["user", "app"])
OF = pytest.mark.parametrize("reason", [None, "goal"])


@PER
@OF
def test_a_budget_is_paid_to_its_last_coin_and_no_further(
    within: Start, per: str, reason: str | None
) -> None:
    economy = within(limit(per=per, reason=reason))
    assert economy.pay(60).balance == 60
    assert said(economy.pay(41)) == ("capped", 40)
    assert economy.pay(40).balance == 100
    assert said(economy.pay(1)) == ("capped", 0)
    assert (economy.entries(), economy.coins.balance("ann")) == (2, 100)


@PER
def test_a_refusal_writes_nothing_and_says_all(within: Start, per: str) -> None:
    economy = within(limit(per=per))
    economy.pay(70)
    with statements(economy.db.engine) as sent:
        receipt = economy.pay(31, subject="x", idempotency_key="k", currency="coins")
    assert not [each for each in sent if each.lstrip().startswith(WRITES)]
    assert receipt == Receipt(
        Outcome.CAPPED,
        "goal",
        balance=70,
        next_at=NOON + timedelta(hours=12),
        subject="x",
        left=30,
    )
    assert not receipt


@pytest.mark.parametrize("once", [False, True])
def test_a_refusal_tells_the_balance_on_every_engine(within: Start, once: bool) -> None:
    economy = within(limit(5))
    economy.pay(5, reason="other")
    assert (economy.pay_once(1) if once else economy.pay(1)).balance == 5


@PER
def test_a_budget_of_one_reason_leaves_the_others_alone(within: Start, per: str) -> None:
    economy = within(limit(5, per=per, reason="goal"))
    economy.pay(5)
    assert not economy.pay(1)
    assert economy.pay(500, reason="gift")
    assert economy.pay(500, currency="gems")
    assert not economy.pay(1)


@PER
def test_a_budget_in_all_adds_the_reasons_up(within: Start, per: str) -> None:
    economy = within(limit(10, per=per))
    assert economy.pay(6, reason="a")
    assert economy.pay(3, reason="b", subject="s")
    assert said(economy.pay(2, reason="c")) == ("capped", 1)
    assert economy.pay(2, reason="c", currency="gems")


def test_a_budget_of_another_currency_counts_that_alone(within: Start) -> None:
    economy = within(limit(5, currency="gems"), in_app(6, currency="gems"))
    assert economy.pay(50)
    assert economy.pay(5, currency="gems")
    assert economy.pay(50)
    assert said(economy.pay(1, currency="gems")) == ("capped", 0)
    assert said(economy.pay(2, user="bob", currency="gems")) == ("capped", 1)


def test_a_user_s_budget_is_each_user_s_own_and_the_app_s_is_shared(within: Start) -> None:
    economy = within(limit(10), in_app(15))
    assert economy.pay(10, "ann")
    assert said(economy.pay(1, "ann")) == ("capped", 0)
    assert said(economy.pay(10, "bob")) == ("capped", 5)
    assert economy.pay(5, "bob")
    assert said(economy.pay(1, "cid")) == ("capped", 0)


@PER
def test_a_budget_of_nothing_pays_nothing(within: Start, per: str) -> None:
    economy = within(limit(0, per=per, reason="goal"))
    receipt = economy.pay(1)
    assert (said(receipt), receipt.next_at, economy.entries()) == (("capped", 0), None, 0)


def test_several_budgets_must_all_have_room(within: Start) -> None:
    economy = within(limit(10), limit(15, "week", reason="goal"), in_app(30, "month"))
    assert economy.pay(10)
    assert said(economy.pay(6)) == ("capped", 0)
    economy.clock.forward(hours=12)  # Monday: day and week are new, the month is not
    assert economy.pay(10, reason="gift")
    economy.clock.forward(days=1)
    assert economy.pay(10, reason="other")
    refused = economy.pay(1, "bob")
    assert (said(refused), refused.next_at) == (("capped", 0), datetime(2026, 12, 1, tzinfo=UTC))


def test_what_is_told_is_the_least_that_is_left_and_the_last_to_open(within: Start) -> None:
    economy = within(limit(10, "hour"), limit(12, "day"), limit(30, "year"))
    economy.pay(8)
    refused = economy.pay(5)
    assert (refused.left, refused.next_at) == (2, NOON + timedelta(hours=12))
    never = economy.pay(11)
    assert (never.left, never.next_at) == (2, None)


def test_a_budget_that_was_cut_below_what_is_paid_has_nothing_left(
    within: Start, make_app: Callable[..., Flask]
) -> None:
    economy = within(limit(100), in_app(100))
    economy.pay(80)
    fewer = Coins(clock=economy.clock)
    app = Flask("fewer")
    app.config.update(economy.app.config, COINS_BUDGETS=[limit(50), in_app(50)])
    db = SQLAlchemy(app)
    fewer.init_app(app, db)
    with app.app_context():
        assert said(fewer.award("ann", 1, "goal")) == ("capped", 0)
        assert said(fewer.award("bob", 1, "goal")) == ("capped", 0)
        db.session.rollback()
        db.engine.dispose()


# -- when ------------------------------------------------------------------------------------

WINDOWS = [
    ("hour", "2026-11-22T13:00"),
    ("day", "2026-11-23T00:00"),
    ("week", "2026-11-23T00:00"),
    ("month", "2026-12-01T00:00"),
    ("year", "2027-01-01T00:00"),
    (SEASON, "2026-11-23T12:00"),
]


@pytest.mark.parametrize(("window", "opens"), WINDOWS, ids=str)
@PER
@pytest.mark.parametrize("once", [False, True])
def test_a_budget_opens_when_it_says(
    within: Start, per: str, window: Any, opens: str, once: bool
) -> None:
    economy = within(limit(10, window, per=per))
    assert economy.pay(10)

    def call() -> Receipt:
        if once:
            return economy.coins.award_once("ann", 1, "prize", "forever")
        return economy.coins.award("ann", 1, "goal")

    refused = call()
    assert refused.next_at == datetime.fromisoformat(opens).replace(tzinfo=UTC)
    economy.keeps_its_word(call, refused.next_at)


@PER
def test_a_budget_for_ever_never_opens(within: Start, per: str) -> None:
    economy = within(limit(10, "forever", per=per))
    assert economy.pay(10)
    economy.clock.forward(days=3000)
    refused = economy.pay(1)
    assert (said(refused), refused.next_at) == (("capped", 0), None)


def test_a_rolling_budget_opens_when_enough_has_left_it(within: Start) -> None:
    economy = within(limit(100, timedelta(hours=6)))
    for _ in range(3):
        assert economy.pay(30)
        economy.clock.forward(hours=1)

    def call() -> Receipt:
        return economy.coins.award("ann", 50, "goal")

    refused = call()
    assert (said(refused), refused.next_at) == (("capped", 10), NOON + timedelta(hours=7))
    economy.keeps_its_word(call, NOON + timedelta(hours=7))


@PER
def test_a_season_s_budget_says_nothing_outside_of_it(within: Start, per: str) -> None:
    economy = within(limit(0, SEASON, per=per))
    economy.clock.now = SEASON.start - TICK
    assert economy.pay(50)
    economy.clock.now = SEASON.start
    assert economy.pay(50).next_at == SEASON.end
    economy.clock.now = SEASON.end
    assert economy.pay(50)


def test_the_day_of_a_budget_is_the_app_s(within: Start) -> None:
    economy = within(limit(10), in_app(30), COINS_TIMEZONE="America/New_York")
    economy.coins.timezone_loader(lambda user_id: "Asia/Tokyo")
    opens_at = datetime(2026, 11, 23, 5, tzinfo=UTC)
    assert economy.pay(10, "ann")
    assert economy.pay(1, "ann").next_at == opens_at
    assert economy.pay(10, "bob")
    assert economy.pay(10, "cid")
    assert economy.pay(1, "dee").next_at == opens_at


def test_who_moves_from_zone_to_zone_begins_no_new_day(within: Start) -> None:
    economy = within(limit(10))
    zones = {"ann": "Pacific/Kiritimati"}
    economy.coins.timezone_loader(zones.__getitem__)
    assert economy.pay(10, "ann")
    for hours in range(-11, 13):
        zones["ann"] = f"Etc/GMT{hours:+d}"
        assert said(economy.pay(1, "ann")) == ("capped", 0)


# -- with windows and keys ---------------------------------------------------------------------


@PER
def test_a_window_that_is_paid_says_so_before_any_budget(within: Start, per: str) -> None:
    economy = within(limit(10, per=per))
    assert economy.pay_once(10)
    assert economy.pay_once(10).outcome is Outcome.ALREADY
    assert said(economy.pay_once(10, subject="other")) == ("capped", 0)


@PER
def test_a_capped_payment_leaves_its_window_and_its_key_open(within: Start, per: str) -> None:
    economy = within(limit(10, per=per))
    assert said(economy.pay_once(11)) == ("capped", 10)
    assert said(economy.pay(11, idempotency_key="k")) == ("capped", 10)
    assert economy.pay_once(5)
    assert economy.pay(5, idempotency_key="k")
    assert economy.pay(5, idempotency_key="k").outcome is Outcome.REPLAYED


def test_the_moment_that_is_told_is_one_at_which_the_window_pays_too(within: Start) -> None:
    economy = within(limit(10, "month"))
    economy.pay(10, reason="other")
    ends = Between("advent", NOON, NOON + timedelta(days=3))
    goes_on = Between("year-end", NOON, NOON + timedelta(days=30))
    assert economy.pay_once(1, ends).next_at is None
    assert economy.pay_once(1, goes_on).next_at == datetime(2026, 12, 1, tzinfo=UTC)


def test_a_day_that_was_paid_in_another_zone_is_not_promised(within: Start) -> None:
    economy = within(limit(5, "hour"))
    zones = {"ann": "Pacific/Kiritimati"}
    economy.coins.timezone_loader(zones.__getitem__)
    economy.clock.now = datetime(2026, 11, 22, 10, tzinfo=UTC)
    assert economy.pay_once(5)  # for the 23rd
    zones["ann"] = "Etc/GMT+12"  # where it is the 21st until noon
    economy.clock.now = datetime(2026, 11, 22, 11, 59, tzinfo=UTC)
    assert economy.pay(5, reason="other")
    economy.clock.forward(minutes=1)
    assert economy.pay(5, reason="other")
    refused = economy.pay_once(1, "day")
    assert refused.outcome is Outcome.CAPPED
    assert refused.next_at
    economy.keeps_its_word(lambda: economy.pay_once(1), refused.next_at)


# -- what counts -----------------------------------------------------------------------------


@PER
def test_transfers_refunds_and_holds_count_for_nothing(within: Start, per: str) -> None:
    economy = within(limit(100, per=per))
    coins, commit = economy.coins, economy.db.session.commit
    economy.pay(100, "ann")
    coins.transfer("ann", "bob", 40, "goal")
    spent = coins.spend("bob", 30, "goal")
    coins.reverse(spent, "goal")
    hold = coins.hold("ann", 20, "goal")
    coins.capture(hold, 5)
    coins.release(coins.hold("ann", 5, "goal"))
    commit()
    economy.clock.forward(days=1)
    assert economy.pay(60, "bob")
    coins.transfer("bob", "ann", 40, "goal")
    coins.reverse(coins.spend("bob", 30, "goal"))
    assert economy.pay(40, "bob")
    assert said(economy.pay(1, "bob")) == ("capped", 0)


@PER
def test_taking_a_payment_back_gives_the_budget_nothing(within: Start, per: str) -> None:
    economy = within(limit(100, per=per))
    economy.coins.reverse(economy.pay(100))
    economy.db.session.commit()
    assert (economy.coins.balance("ann"), said(economy.pay(1))) == (0, ("capped", 0))


def test_a_payment_of_another_system_counts_for_its_user(within: Start) -> None:
    economy = within(limit(10))
    row = {"user_id": "ann", "currency": "coins", "amount": 8, "balance_after": 8, "reason": "old"}
    row |= {"subject": "", "created_at": NOON - timedelta(hours=12)}
    economy.db.session.connection().execute(sa.insert(log), row)
    economy.db.session.commit()
    assert said(economy.pay(3)) == ("capped", 2)


@PER
def test_what_was_rolled_back_was_not_paid(within: Start, per: str) -> None:
    economy = within(limit(100, per=per))
    economy.coins.award("ann", 100, "goal")
    economy.db.session.rollback()
    assert economy.pay(60)
    with economy.db.session.begin_nested() as savepoint:
        economy.coins.award("ann", 40, "goal")
        savepoint.rollback()
    assert economy.pay(40)
    assert not economy.pay(1)


@PER
def test_every_call_of_one_transaction_counts(within: Start, per: str) -> None:
    economy = within(limit(100, per=per))
    heard = [economy.coins.award("ann", 40, "goal") for _ in range(3)]
    economy.db.session.commit()
    assert [said(each) for each in heard] == [("awarded", None), ("awarded", None), ("capped", 20)]


# -- every way to pay --------------------------------------------------------------------------

GOAL = award_once(10, "goal", "forever", subject="{n}")


def test_the_direct_calls_obey(within: Start) -> None:
    economy = within(limit(25))
    assert economy.coins.award_xp("ann", 100, "xp")
    assert GOAL.pay("ann", subject="1")
    assert economy.coins.award_many([{"user": "ann", "amount": 6}]) == 0
    assert economy.coins.award_many([{"user": "ann", "amount": 5}]) == 1
    assert said(economy.coins.award_xp("ann", 10)) == ("capped", 0)
    assert said(GOAL.pay("ann", subject="2")) == ("capped", 0)
    economy.db.session.commit()


def test_rules_on_views_obey(within: Start) -> None:
    economy = within(in_app(25))
    economy.coins.current_user_loader(lambda: "ann")

    @economy.app.post("/goals/<int:n>")
    @GOAL
    def goal(n: int) -> str:
        return "done"

    @economy.app.post("/bonus")
    @award_rule(10, "bonus")
    def bonus() -> str:
        return "done"

    client = economy.app.test_client()
    paths = ["/goals/1", "/goals/1", "/bonus", "/goals/2", "/bonus"]
    paid = [client.post(path).headers.get("Coins-Awarded") is not None for path in paths]
    assert paid == [True, False, True, False, False]
    assert economy.minted() == [20]


def test_a_signal_obeys_and_a_refusal_is_told(within: Start) -> None:
    from flask_coins import signals

    economy = within(in_app(15))
    logged_in = Namespace().signal("logged-in")
    economy.coins.award_on(logged_in, 10, "login", user=lambda sent: sent["user"])
    refused: list[Receipt] = []
    with signals.award_refused.connected_to(
        lambda sender, receipt, **sent: refused.append(receipt)
    ):
        for user in ("ann", "bob"):
            logged_in.send(economy.app, user=user)
    assert economy.coins.balances(["ann", "bob"]) == {"ann": 10, "bob": 0}
    assert [said(each) for each in refused] == [("capped", 5)]


# -- how rewards stand -------------------------------------------------------------------------

LIMITS: list[list[dict[str, Any]]] = [
    [],
    [limit(25)],
    [in_app(25)],
    [limit(25, "forever")],
    [limit(9, "week")],
    [limit(25, timedelta(hours=5)), in_app(60, "month", reason="daily")],
    [limit(0, SEASON), limit(12, "hour", reason="hourly")],
    [limit(15, "hour", reason="goal"), limit(26, "day"), in_app(2, currency="gems")],
]


def offered(economy: Economy, *rules: Any) -> tuple[Any, ...]:
    """The same rules, each on a view of the app."""
    for rule in rules:
        path = f"/{rule.reason}/<n>"
        economy.app.add_url_rule(path, rule.reason, rule(lambda n: n), methods=["POST"])
    return rules


def standing(economy: Economy) -> dict[str, Reward]:
    return {each.reason: each for each in economy.coins.status("ann")}


@pytest.mark.parametrize("limits", LIMITS, ids=[f"limits{n}" for n, _ in enumerate(LIMITS)])
def test_a_reward_stands_as_its_payment_would_be_answered(
    within: Start, limits: list[dict[str, Any]]
) -> None:
    economy = within(*limits, COINS_TIMEZONE="America/New_York", import_name=APART)
    economy.coins.timezone_loader(lambda user_id: "Asia/Tokyo")
    rules = offered(
        economy,
        award_once(10, "daily", "day"),
        award_once(10, "twice", "day", limit=2),
        award_once(10, "hourly", "hour"),
        award_once(7, "cooldown", timedelta(hours=3)),
        award_once(10, "once", "forever"),
        award_once(10, "season", Between("s", NOON, NOON + timedelta(hours=13))),
        award_once(3, "gem", "day", currency="gems"),
        award_rule(10, "bonus"),
    )
    for step, hours in enumerate((0, 0, 2, 2, 13, 30)):
        economy.clock.forward(hours=hours)
        rewards = standing(economy)
        for rule in rules:
            reward, answer = rewards[rule.reason], rule.pay("ann")
            economy.db.session.rollback()
            assert (reward.state, reward.left) == (STATES[answer.outcome], answer.left)
            assert reward.opens_at == (None if answer else answer.next_at)
        for rule in rules[step::3]:
            rule.pay("ann")
        economy.db.session.commit()


STATES = {
    Outcome.AWARDED: "open",
    Outcome.ALREADY: "paid",
    Outcome.NOT_OPEN: "not_open",
    Outcome.CAPPED: "capped",
}


def test_a_reward_that_a_view_makes_out_is_capped_when_no_coin_is_left(within: Start) -> None:
    economy = within(limit(10))
    offered(
        economy,
        award_once(lambda _: 5, "quest", subject="{n}"),
        award_once(lambda _: 5, "tiers", amounts=[2, 5]),
    )
    economy.pay(8)
    assert [standing(economy)[it].state for it in ("quest", "tiers")] == ["varies", "open"]
    economy.pay(1)
    assert [standing(economy)[it].state for it in ("quest", "tiers")] == ["varies", "capped"]
    economy.pay(1)
    reward = standing(economy)["quest"]
    assert (reward.state, reward.left) == ("capped", 0)
    assert reward.opens_at == NOON + timedelta(hours=12)


def test_a_budget_opens_no_window_that_a_traveller_was_paid_for(within: Start) -> None:
    economy = within(limit(10), COINS_TIMEZONE="Pacific/Niue")
    (rule,) = offered(economy, award_once(10, "daily"))
    zones = {"ann": "Pacific/Kiritimati"}
    economy.coins.timezone_loader(zones.__getitem__)
    economy.clock.now = datetime(2026, 11, 22, 10, 30, tzinfo=UTC)
    assert rule.pay("ann")
    zones["ann"] = "Pacific/Niue"
    economy.clock.now = NOON
    assert economy.pay(10)
    reward = standing(economy)["daily"]
    assert (reward.state, reward.opens_at) == ("capped", datetime(2026, 11, 24, 11, tzinfo=UTC))
    assert rule.pay("ann").next_at == reward.opens_at


def test_the_wallet_shows_what_is_left_and_until_when(within: Start) -> None:
    economy = within(limit(25), limit(4, "forever", reason="bonus"), COINS_URL_PREFIX="/coins")
    economy.coins.current_user_loader(lambda: "ann")
    offered(economy, award_once(10, "daily"), award_once(3, "bonus"))
    economy.pay(19)
    economy.pay(4, reason="bonus", subject="before")
    page = economy.app.test_client().get("/coins/").text
    assert "Only 2 coins left – opens again tomorrow at 00:00" in page
    assert "None left<" in page


def test_how_rewards_stand_takes_three_statements_however_many(within: Start) -> None:
    economy = within(limit(9), in_app(90, "month"), *(limit(9, reason=f"r{n}") for n in range(20)))
    rules = offered(economy, *(award_once(5, f"r{number}") for number in range(30)))
    economy.pay(5)
    with statements(economy.db.engine) as seen:
        rewards = standing(economy)
    assert [rewards[rule.reason].left for rule in rules] == [4] * 30
    assert len(seen) == 3


# -- others at the same time ---------------------------------------------------------------------


@pytest.mark.parametrize("once", [False, True])
@pytest.mark.parametrize("window", ["day", timedelta(days=1)])
def test_what_was_paid_after_the_look_counts(within: Start, window: Any, once: bool) -> None:
    economy = within(limit(100, window))
    with before(economy.db.engine, "INTO coin_balance", lambda: economy.elsewhere(70)):
        refused = economy.pay_once(31, "year", subject="x") if once else economy.pay(31)
    assert (said(refused), refused.balance) == (("capped", 30), 70)
    with before(economy.db.engine, "INTO coin_balance", lambda: economy.elsewhere(10)):
        assert economy.pay_once(20, "forever", subject="y") if once else economy.pay(20)
    assert economy.coins.balance("ann") == 100


def test_what_the_app_paid_after_the_look_counts(within: Start) -> None:
    economy = within(in_app(500, "year"), in_app(100, "day", reason="goal"))
    with before(economy.db.engine, "INTO coin_balance", lambda: economy.elsewhere(70, "bob")):
        refused = economy.pay(31)
    assert (said(refused), refused.balance) == (("capped", 30), 0)
    assert refused.next_at == NOON + timedelta(hours=12)
    assert economy.minted() == [70, 70]
    assert economy.coins.balance("ann") == 0
    assert economy.pay(30)


def test_a_budget_that_was_taken_is_given_back_where_a_later_one_refuses(within: Start) -> None:
    economy = within(in_app(500, "day"), in_app(100, "year"))
    with before(economy.db.engine, "INTO coin_balance", lambda: economy.elsewhere(100, "bob")):
        assert said(economy.pay(1)) == ("capped", 0)
    assert economy.minted() == [100, 100]


@PER
@pytest.mark.parametrize("window", ["day", timedelta(days=1)])
def test_a_transaction_that_had_begun_sees_what_others_paid(
    within: Start, per: str, window: Any
) -> None:
    if per == "app" and window != "day":
        window = "year"
    economy = within(limit(100, window, per=per))
    economy.db.session.execute(sa.select(log.c.id)).all()
    economy.elsewhere(70)
    assert said(economy.coins.award("ann", 31, "goal")) == ("capped", 30)
    assert economy.coins.award("ann", 30, "goal")
    assert said(economy.coins.award("ann", 1, "goal")) == ("capped", 0)
    economy.db.session.commit()


@pytest.mark.parametrize("window", ["day", timedelta(days=1)])
def test_a_transaction_that_has_locked_the_balance_before_sees_them_too(
    within: Start, window: Any
) -> None:
    economy = within(limit(100, window, reason="goal"))
    economy.pay(5, reason="start")
    economy.db.session.execute(sa.select(log.c.id)).all()
    economy.elsewhere(70)
    economy.coins.spend("ann", 1, "shop")
    assert said(economy.coins.award("ann", 31, "goal")) == ("capped", 30)
    assert economy.coins.award("ann", 20, "goal")
    assert said(economy.coins.award_once("ann", 11, "goal", "day", limit=9)) == ("capped", 10)
    economy.db.session.commit()


# -- races -----------------------------------------------------------------------------------

USERS = [f"racer:{number}" for number in range(20)]


def thirty(coins: Coins, user: str) -> Receipt:
    return coins.award(user, 30, "goal")


def thirty_once(coins: Coins, user: str) -> Receipt:
    return coins.award_once(user, 30, "goal", "day", subject=str(os.getpid()))


def seven(coins: Coins, user: str) -> Receipt:
    return coins.award(f"{user}:{os.getpid()}", 7, "goal")


def of_own_reason(coins: Coins, user: str) -> Receipt:
    return coins.award(f"{user}:{os.getpid()}", 30, user)


def books_agree(economy: Economy) -> bool:
    with economy.db.engine.connect() as connection:
        return reconcile(connection) == []


@pytest.mark.parametrize("call", [thirty, thirty_once])
@pytest.mark.parametrize("window", ["day", timedelta(hours=6), "forever"])
def test_a_user_s_budget_is_kept_in_a_race(
    within: Start, racers: Racers, window: Any, call: Any
) -> None:
    budget = limit(100, window)
    economy = within(budget)
    url = economy.app.config["SQLALCHEMY_DATABASE_URI"]
    answers = racers.race(url, [call], USERS, COINS_BUDGETS=[budget])
    for user in USERS:
        said = Counter(answer.said for answer in answers if answer.user == user)
        assert said == {"awarded": 3, "capped": 5}
    assert books_agree(economy)


def test_the_budget_of_the_app_is_kept_in_a_race_and_used_up(within: Start, racers: Racers) -> None:
    budget = in_app(800)
    economy = within(budget)
    url = economy.app.config["SQLALCHEMY_DATABASE_URI"]
    answers = racers.race(url, [seven], USERS, COINS_BUDGETS=[budget])
    assert Counter(answer.said for answer in answers) == {"awarded": 114, "capped": 46}
    assert economy.minted() == [798]
    assert books_agree(economy)


def test_the_first_payments_of_a_window_do_not_get_in_each_others_way(
    within: Start, racers: Racers
) -> None:
    limits = [in_app(100, reason=user) for user in USERS]
    economy = within(*limits)
    url = economy.app.config["SQLALCHEMY_DATABASE_URI"]
    answers = racers.race(url, [of_own_reason], USERS, COINS_BUDGETS=limits)
    assert Counter(answer.said for answer in answers) == {"awarded": 60, "capped": 100}
    assert economy.minted() == [90] * 20
    assert books_agree(economy)
