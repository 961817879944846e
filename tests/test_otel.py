"""Spans: one for each call, within those of the request, and they name nobody."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from flask_coins import Coins, CoinsError, InsufficientCoins, InvalidInput, award_once, charge
from flask_coins.otel import watch

from .apps import create_app
from .test_prometheus import give_up_at_first

db, coins = SQLAlchemy(), Coins()


class Spans:
    """The spans that have ended, oldest first."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))

    def all(self) -> list[ReadableSpan]:
        return list(self.exporter.get_finished_spans())

    def only(self) -> ReadableSpan:
        (span,) = self.all()
        return span


@pytest.fixture
def spans() -> Spans:
    return Spans()


@pytest.fixture
def app(spans: Spans) -> Flask:
    app = create_app("sqlite://", db, coins)
    watch(app, spans.provider)
    with app.app_context():
        db.create_all()
    return app


@pytest.fixture
def _ctx(app: Flask) -> Iterator[None]:
    with app.app_context():
        yield
        db.session.rollback()


pytestmark = pytest.mark.usefixtures("_ctx")


def test_a_call_is_a_span(spans: Spans) -> None:
    coins.award_once("ann", 5, "goal", "day")
    span = spans.only()
    assert span.name == "coins.award_once"
    assert span.attributes == {
        "coins.reason": "goal",
        "coins.currency": "coins",
        "coins.window": "day",
        "coins.outcome": "awarded",
    }


def test_every_way_to_move_coins_has_its_name(spans: Spans) -> None:
    entry = coins.award("ann", 50, "quest")
    coins.spend("ann", 5, "hat")
    coins.transfer("ann", "bob", 5)
    coins.reverse(entry, amount=1)
    coins.capture(coins.hold("ann", 5, "bet"))
    coins.release(coins.hold("ann", 5, "bet"))
    coins.award_many([{"user": "ann", "amount": 1}])
    coins.forget("bob")
    assert [span.name.removeprefix("coins.") for span in spans.all()] == [
        *("award", "spend", "transfer", "reverse", "hold", "capture", "hold", "release"),
        *("award_many", "forget"),
    ]
    assert [span.attributes["coins.outcome"] for span in spans.all()] == [  # type: ignore[index]
        *("awarded", "spent", "spent", "spent", "open", "spent", "open", "released"),
        *("done", "done"),
    ]


def test_what_only_the_answer_knows_is_told_too(spans: Spans) -> None:
    hold = (
        coins.hold("ann", 1, "bet", currency="gems")
        if coins.award("ann", 1, currency="gems")
        else None
    )
    assert hold
    coins.capture(hold)
    attributes = spans.all()[-1].attributes
    assert attributes
    assert (attributes["coins.reason"], attributes["coins.currency"]) == ("bet", "gems")


def test_a_view_has_one_for_each_rule(app: Flask, spans: Spans) -> None:
    @app.post("/goal")
    @award_once(3, "goal", user=lambda value: "ann")
    @award_once(4, "login", user=lambda value: "ann")
    def goal() -> str:
        return "done"

    app.test_client().post("/goal")
    told = {
        span.attributes["coins.reason"]: span.attributes["coins.outcome"] for span in spans.all()
    }  # type: ignore[index]
    assert told == {"goal": "awarded", "login": "awarded"}


def test_a_view_that_costs_coins_has_two(app: Flask, spans: Spans) -> None:
    coins.award("ann", 9)
    db.session.commit()
    spans.exporter.clear()

    @app.post("/hint")
    @charge(3, "hint", user=lambda value: "ann")
    def hint() -> str:
        return "done"

    app.test_client().post("/hint")
    assert [span.name for span in spans.all()] == ["coins.hold", "coins.charge", "coins.capture"]


def test_what_is_committed_here_is_a_transaction(app: Flask, spans: Spans) -> None:
    app.test_cli_runner().invoke(args=["coins", "award", "ann", "5", "--reason", "quest"])
    assert [(span.name, span.attributes["coins.outcome"]) for span in spans.all()] == [  # type: ignore[index]
        ("coins.award", "awarded"),
        ("coins.transaction", "awarded"),
    ]


def test_a_retry_is_an_event(spans: Spans, monkeypatch: pytest.MonkeyPatch) -> None:
    give_up_at_first(monkeypatch, 2)
    coins.award("ann", 5, "quest")
    span = spans.only()
    assert [(event.name, dict(event.attributes or {})) for event in span.events] == [
        ("coins.retry", {"coins.tries": 1, "error.type": "CoinsRetry"}),
        ("coins.retry", {"coins.tries": 2, "error.type": "CoinsRetry"}),
    ]
    assert span.attributes
    assert span.attributes["coins.outcome"] == "awarded"
    assert span.status.status_code is StatusCode.UNSET


def test_an_error_is_told_by_its_kind(spans: Spans) -> None:
    with pytest.raises(InvalidInput):
        coins.reverse(404)
    span = spans.only()
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes
    assert span.attributes["error.type"] == "InvalidInput"


def test_too_few_coins_are_no_fault(spans: Spans) -> None:
    with pytest.raises(InsufficientCoins):
        coins.spend("ann", 5, "hat")
    span = spans.only()
    assert span.status.status_code is StatusCode.UNSET
    assert span.attributes
    assert span.attributes["coins.outcome"] == "insufficient_coins"


def test_it_lies_within_the_span_of_the_request(spans: Spans) -> None:
    tracer = spans.provider.get_tracer("host")
    with tracer.start_as_current_span("POST /goal") as request:
        coins.award("ann", 5)
        assert trace.get_current_span() is request
    inner, outer = spans.all()
    assert inner.parent == outer.context


def test_spans_name_nobody(spans: Spans) -> None:
    coins.award("ann@example.org", 5, "quest", subject="secret-7", idempotency_key="key-8")
    with pytest.raises(InvalidInput, match="ann@example"):
        coins.transfer("ann@example.org", "ann@example.org", 5)
    with pytest.raises(InsufficientCoins):
        coins.transfer("ann@example.org", "bob@example.org", 50, details={"note": "note-9"})
    shown = " ".join(span.to_json() for span in spans.all())
    for name in ("ann@", "bob@", "secret-7", "key-8", "note-9"):
        assert name not in shown


def test_watching_twice_makes_one_span(app: Flask, spans: Spans) -> None:
    watch(app, spans.provider)
    coins.award("ann", 5)
    assert spans.only()


def test_an_app_without_coins_is_refused() -> None:
    with pytest.raises(CoinsError, match="init_app"):
        watch(Flask("bare"))
