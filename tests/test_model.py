"""Any sequence of calls, commits and rollbacks answers as a plain-Python ledger says it must."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from hypothesis.stateful import run_state_machine_as_test as run

from flask_coins import Coins, CoinsError, Receipt
from flask_coins._verify import faults

from .apps import Clock
from .ledger_model import BUDGET, Entry, Hold, Ledger

USERS = st.sampled_from(["ann", "bob", "cyd"])
AMOUNTS = st.integers(1, 30)
REASONS = st.sampled_from(["goal", "quest", "capped"])
KEYS = st.sampled_from([None, None, "k1", "k2"])
WINDOWS = st.sampled_from(["day", "forever", timedelta(hours=6)])
CAPPED = {"most": BUDGET, "window": "day", "reason": "capped"}
LEVELS = {
    "postgresql": ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"],
    "mariadb": ["READ COMMITTED", "REPEATABLE READ"],
}
STEPS = settings(
    max_examples=int(os.environ.get("COINS_TEST_EXAMPLES", "12")),
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


class Machine(RuleBasedStateMachine):
    """One host transaction after another; ``model`` is what it sees, ``kept`` what is committed."""

    def __init__(self, app: Flask, db: SQLAlchemy, coins: Coins, clock: Clock) -> None:
        super().__init__()
        self.db, self.coins, self.clock = db, coins, clock
        self.context = app.app_context()
        self.context.push()
        for table in ("coin_log", "coin_balance", "coin_hold", "coin_budget"):
            db.session.execute(sa.text(f"DELETE FROM {table}"))
        db.session.commit()
        self.model, self.kept = Ledger(), Ledger()

    def teardown(self) -> None:
        self.db.session.rollback()
        assert list(faults(self.db.session.connection())) == []
        self.db.session.rollback()
        self.context.pop()

    def told(self, call: Callable[[], Any]) -> tuple[str, Any]:
        """How a call ended. After an error of the database all of the transaction is gone."""
        try:
            answer = call()
        except CoinsError as error:
            return type(error).__name__, None
        if isinstance(answer, Receipt):
            return str(answer.outcome), answer
        return "", answer

    @rule(user=USERS, amount=AMOUNTS, reason=REASONS, key=KEYS)
    def award(self, user: str, amount: int, reason: str, key: str | None) -> None:
        expected = self.model.award(user, amount, reason, self.clock.now, key)
        said, receipt = self.told(
            lambda: self.coins.award(user, amount, reason, idempotency_key=key)
        )
        assert said == expected
        if said == "awarded":
            self.model.add(receipt.entry, key)

    @rule(user=USERS, amount=AMOUNTS, reason=REASONS, window=WINDOWS, limit=st.integers(1, 3))
    def award_once(
        self, user: str, amount: int, reason: str, window: str | timedelta, limit: int
    ) -> None:
        now = self.clock.now
        expected = self.model.award_once(user, amount, reason, now, window, limit)
        said, receipt = self.told(
            lambda: self.coins.award_once(user, amount, reason, window, limit=limit)
        )
        assert said == expected
        if said == "awarded":
            self.model.add(receipt.entry)

    @rule(user=USERS, amount=AMOUNTS, key=KEYS)
    def spend(self, user: str, amount: int, key: str | None) -> None:
        expected = self.model.spend(user, amount, "shop", self.clock.now, key)
        said, receipt = self.told(
            lambda: self.coins.spend(user, amount, "shop", idempotency_key=key)
        )
        assert said == expected
        if said == "spent":
            self.model.add(receipt.entry, key)

    @rule(pair=st.permutations(["ann", "bob", "cyd"]), amount=AMOUNTS, key=KEYS)
    def transfer(self, pair: Sequence[str], amount: int, key: str | None) -> None:
        sender, recipient, _ = pair
        expected = self.model.transfer(sender, recipient, amount, self.clock.now, key)
        said, answer = self.told(
            lambda: self.coins.transfer(sender, recipient, amount, idempotency_key=key)
        )
        assert (said or str(answer[0].outcome)) == expected
        if expected == "spent":
            sent = self.model.add(answer[0].entry, key)
            received = self.model.add(answer[1].entry)
            sent.leg, received.leg = received.id, sent.id

    @precondition(lambda self: self.model.entries)
    @rule(data=st.data(), amount=st.none() | AMOUNTS)
    def reverse(self, data: Any, amount: int | None) -> None:
        entry = data.draw(st.sampled_from(self.model.entries))
        expected = self.model.reverse(entry, amount, self.clock.now)
        said, receipt = self.told(lambda: self.coins.reverse(entry.id, amount=amount))
        assert said == expected
        if said in ("spent", "awarded"):
            assert receipt.entry.user_id == entry.user
            self.model.add(receipt.entry)
            if entry.leg is not None:
                self._add_other_side(entry.leg)

    def _add_other_side(self, leg: int) -> None:
        other = self.model.find(leg)
        known = {it.id for it in self.model.entries}
        (new,) = [it for it in self.coins.history(other.user) if it.id not in known]
        assert new.reverses_id == leg
        self.model.add(new)

    @rule(user=USERS, amount=AMOUNTS, hours=st.none() | st.integers(1, 30))
    def hold(self, user: str, amount: int, hours: int | None) -> None:
        expected = self.model.hold(user, amount, self.clock.now)
        lasts = None if hours is None else timedelta(hours=hours)
        said, hold = self.told(lambda: self.coins.hold(user, amount, "shop", expires_in=lasts))
        assert (said or hold.status) == expected
        if hold:
            self.model.holds[hold.id] = Hold(user, amount, hold.expires_at)

    @precondition(lambda self: self.model.holds)
    @rule(data=st.data(), amount=st.none() | AMOUNTS)
    def capture(self, data: Any, amount: int | None) -> None:
        number = data.draw(st.sampled_from(sorted(self.model.holds)))
        hold = self.model.holds[number]
        expected = self.model.capture(hold, amount, self.clock.now)
        said, receipt = self.told(lambda: self.coins.capture(number, amount))
        assert said == expected
        if said == "spent":
            self.model.add(receipt.entry)
            hold.status, hold.captured = "captured", -receipt.amount

    @precondition(lambda self: self.model.holds)
    @rule(data=st.data())
    def release(self, data: Any) -> None:
        number = data.draw(st.sampled_from(sorted(self.model.holds)))
        hold = self.model.holds[number]
        expected = self.model.release(hold, self.clock.now)
        said, released = self.told(lambda: self.coins.release(number))
        if said:
            assert said == expected
        elif released.status != "expired":  # swept meanwhile
            assert released.status == expected
            hold.status = "released"

    @rule(rows=st.lists(st.tuples(USERS, AMOUNTS, REASONS, st.none() | WINDOWS), max_size=6))
    def award_many(self, rows: list[Any]) -> None:
        names = ("user", "amount", "reason", "window")
        known = {it.id for it in self.model.entries}
        number = self.coins.award_many(dict(zip(names, row, strict=True)) for row in rows)
        # Within each user the rows are paid in order.
        model, paid = self.model.copied(), 0
        for user, amount, reason, window in sorted(rows, key=lambda row: str(row[0])):
            now = self.clock.now
            if window is None:
                said = model.award(user, amount, reason, now, None)
            else:
                said = model.award_once(user, amount, reason, now, window, 1)
            if said == "awarded":
                paid += 1
                number_of_it = -len(model.entries) - 1
                model.entries.append(Entry(number_of_it, user, amount, reason, now))
        assert number == paid
        for user in ("ann", "bob", "cyd"):
            for entry in reversed(self.coins.history(user)):
                if entry.id not in known:
                    self.model.add(entry)
            assert self.model.balance(user) == model.balance(user)

    @rule(hours=st.sampled_from([1, 6, 7, 24]))
    def wait(self, hours: int) -> None:
        self.clock.forward(hours=hours)

    @rule()
    def commit(self) -> None:
        self.db.session.commit()
        self.kept = self.model.copied()

    @rule()
    def roll_back(self) -> None:
        self.db.session.rollback()
        self.model = self.kept.copied()

    @invariant()
    def balances_agree(self) -> None:
        for user in ("ann", "bob", "cyd"):
            assert self.coins.balance(user) == self.model.balance(user)
            assert self.coins.available(user) == self.model.available(user, self.clock.now)

    @invariant()
    def what_is_held_are_the_open_holds(self) -> None:
        held = "SELECT user_id, held FROM coin_balance WHERE held <> 0"
        open_holds = (
            "SELECT user_id, SUM(amount) FROM coin_hold WHERE status = 'open' GROUP BY user_id"
        )
        rows, sums = (self.db.session.execute(sa.text(it)).all() for it in (held, open_holds))
        assert {user: int(n) for user, n in rows} == {user: int(n) for user, n in sums}


def test_every_call_answers_as_the_model_does(
    make_app: Callable[..., Flask], db: SQLAlchemy, coins: Coins, clock: Clock, engine: str
) -> None:
    started = clock.now
    for level in LEVELS.get(engine, ["SERIALIZABLE"]):
        app = make_app(COINS_BUDGETS=[CAPPED], SQLALCHEMY_ENGINE_OPTIONS={"isolation_level": level})

        def machine(app: Flask = app) -> Machine:
            clock.now = started
            return Machine(app, db, coins, clock)

        run(machine, settings=STEPS)  # type: ignore[no-untyped-call]
