"""Metrics: what is counted is what was committed, labels stay few, and they name nobody."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from prometheus_client import CollectorRegistry, generate_latest

from flask_coins import Coins, CoinsError, CoinsRetry, InsufficientCoins, InvalidInput, award_once
from flask_coins._ledger import Ledger
from flask_coins.prometheus import watch

from .apps import create_app

db, coins = SQLAlchemy(), Coins()
Value = Callable[..., float]


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def app(registry: CollectorRegistry) -> Flask:
    app = create_app("sqlite://", db, coins, COINS_CACHE_SECONDS=60)
    watch(app, registry)
    with app.app_context():
        db.create_all()
    return app


@pytest.fixture
def ctx(app: Flask) -> object:
    with app.app_context():
        yield
        db.session.rollback()


@pytest.fixture
def value(registry: CollectorRegistry) -> Value:
    """``value("coins_paid_total", reason="quest")``: the sum of what has these labels."""

    def read(name: str, **labels: str) -> float:
        return sum(
            sample.value
            for metric in registry.collect()
            for sample in metric.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    return read


@pytest.mark.usefixtures("ctx")
class TestCounts:
    def test_coins_are_counted_by_reason_and_currency(self, value: Value) -> None:
        coins.award("ann", 5, "quest")
        coins.award("bob", 7, "quest")
        coins.award("bob", 1, "quest", currency="gems")
        coins.spend("bob", 3, "hat")
        db.session.commit()
        assert value("coins_paid_total", reason="quest", currency="coins") == 12
        assert value("coins_paid_total", reason="quest", currency="gems") == 1
        assert value("coins_taken_total", reason="hat", currency="coins") == 3

    def test_what_is_rolled_back_is_not_counted(self, value: Value) -> None:
        coins.award("ann", 5, "quest")
        db.session.rollback()
        assert value("coins_paid_total") == 0

    def test_refusals_are_counted_by_outcome(self, value: Value) -> None:
        for _ in range(3):
            coins.award_once("ann", 5, "goal", "day")
            db.session.commit()
        assert value("coins_answers_total", reason="goal", outcome="awarded") == 1
        assert value("coins_answers_total", reason="goal", outcome="already") == 2

    def test_a_refusal_from_memory_is_told_apart(self, app: Flask, value: Value) -> None:
        app.testing = False
        for _ in range(4):
            coins.award_once("ann", 5, "goal", "day")
            db.session.commit()
        assert value("coins_answers_total", outcome="already") == 3
        assert value("coins_remembered_refusals_total") == 2

    def test_calls_are_timed_by_how_they_end(self, value: Value) -> None:
        coins.award("ann", 5, "quest")
        with pytest.raises(InsufficientCoins):
            coins.spend("ann", 99, "hat")
        hold = coins.hold("ann", 5, "bet")
        coins.release(hold)
        seen = {
            ("award", "awarded"),
            ("spend", "insufficient_coins"),
            ("hold", "open"),
            ("release", "released"),
        }
        for call, outcome in seen:
            assert value("coins_call_seconds_count", call=call, outcome=outcome) == 1, call
        assert value("coins_call_seconds_sum") > 0

    def test_what_fails_is_timed_too(self, value: Value) -> None:
        with pytest.raises(InvalidInput):
            coins.reverse(404)
        assert value("coins_call_seconds_count", call="reverse", outcome="failed") == 1

    def test_retries_are_counted(self, value: Value, monkeypatch: pytest.MonkeyPatch) -> None:
        give_up_at_first(monkeypatch, 2)
        coins.award("ann", 5, "quest")
        assert value("coins_retries_total", call="award") == 2
        assert value("coins_call_seconds_count", call="award", outcome="awarded") == 1


def give_up_at_first(monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """Have the database give up the first calls of ``award``."""
    award, left = Ledger.award, [None] * times

    def failing(*args: object) -> object:
        if left:
            left.pop()
            raise CoinsRetry
        return award(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(Ledger, "award", failing)


def test_payments_of_views_are_timed_with_their_commit(app: Flask, value: Value) -> None:
    @app.post("/goal")
    @award_once(3, "goal", user=lambda value: "ann")
    def goal() -> str:
        return "done"

    for _ in range(2):
        app.test_client().post("/goal")
    assert value("coins_paid_total", reason="goal") == 3
    assert value("coins_call_seconds_count", call="award_once", outcome="awarded") == 1
    assert value("coins_call_seconds_count", call="award_once", outcome="already") == 1


@pytest.mark.usefixtures("ctx")
def test_no_metric_names_a_user_or_a_subject(registry: CollectorRegistry) -> None:
    coins.award("ann@example.org", 5, "quest", subject="secret-7", idempotency_key="key-8")
    coins.transfer("ann@example.org", "bob@example.org", 2)
    db.session.commit()
    shown = generate_latest(registry).decode()
    assert "quest" in shown
    for name in ("ann@", "bob@", "secret-7", "key-8"):
        assert name not in shown


def test_reasons_beyond_a_number_share_a_label(registry: CollectorRegistry, value: Value) -> None:
    app = create_app("sqlite://", db, coins)
    watch(app, registry, reasons=2)
    with app.app_context():
        db.create_all()
        for number in range(5):
            coins.award("ann", 1, f"reason-{number}")
        for number in range(12):
            coins.award("ann", 1, "reason-0", currency=f"c{number}")
        db.session.commit()
    assert value("coins_paid_total", reason="reason-1") == 1
    assert value("coins_paid_total", reason="other") == 3
    assert value("coins_paid_total", currency="other") == 3


def test_watching_twice_counts_once(app: Flask, registry: CollectorRegistry, value: Value) -> None:
    watch(app, registry)
    with app.app_context():
        coins.award("ann", 5, "quest")
        db.session.commit()
    assert value("coins_paid_total") == 5
    assert value("coins_call_seconds_count") == 1


def test_two_apps_share_a_registry(registry: CollectorRegistry, value: Value) -> None:
    for _ in range(2):
        app = create_app("sqlite://", db, coins)
        watch(app, registry)
        with app.app_context():
            db.create_all()
            coins.award("ann", 5, "quest")
            db.session.commit()
    assert value("coins_paid_total") == 10


def test_an_app_without_coins_is_refused(registry: CollectorRegistry) -> None:
    with pytest.raises(CoinsError, match="init_app"):
        watch(Flask("bare"), registry)
    with pytest.raises(InvalidInput, match="a Flask app, not 5"):
        watch(5, registry)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="reasons"):
        watch(create_app("sqlite://", db, coins), registry, reasons=-1)


def test_a_watcher_that_fails_costs_no_payment(
    app: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    def failing(call: object) -> object:
        raise RuntimeError("no room")

    app.extensions["coins"].watchers.append(failing)
    with app.app_context():
        assert coins.award("ann", 5, "quest")
        db.session.commit()
    assert [record.coins_event for record in caplog.records] == ["watcher_failed"]  # type: ignore[attr-defined]


def test_every_metric_is_in_the_docs(app: Flask, registry: CollectorRegistry) -> None:
    page = (Path(__file__).parents[1] / "docs" / "watching.md").read_text(encoding="utf-8")
    names = [
        metric.name if metric.type == "histogram" else f"{metric.name}_total"
        for metric in registry.collect()
    ]
    assert len(names) == 6
    assert [name for name in names if f"| `{name}` |" not in page] == []


WORKER = """
import sys
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from flask_coins import Coins
from flask_coins.prometheus import watch

db, coins = SQLAlchemy(), Coins()
app = Flask("worker")
app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite://"
db.init_app(app)
coins.init_app(app, db)
watch(app)
with app.app_context():
    db.create_all()
    coins.award("ann", int(sys.argv[1]), "quest")
    db.session.commit()
"""
SCRAPE = """
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

registry = CollectorRegistry()
MultiProcessCollector(registry)
print(generate_latest(registry).decode())
"""


def test_the_processes_of_a_server_are_added_up(tmp_path: Path) -> None:
    def run(code: str, *args: str) -> str:
        command = [sys.executable, "-W", "error", "-c", code, *args]
        environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        return done.stdout

    run(WORKER, "3")
    shown = run(WORKER + SCRAPE, "4")
    assert 'coins_paid_total{currency="coins",reason="quest"} 7.0' in shown
    assert 'coins_call_seconds_count{call="award",outcome="awarded"} 2.0' in shown
