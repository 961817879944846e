"""Metrics for Prometheus: coins, answers, retries, and how long calls take. They name no user.

Needs the extra ``prometheus``. Nothing is measured until :func:`watch` is called for an app.
"""

from __future__ import annotations

from time import perf_counter
from typing import Any
from weakref import WeakKeyDictionary

from flask import Flask

from . import _checks, signals
from ._extras import needed
from ._state import state_of
from ._watching import Call
from .errors import InvalidInput
from .results import Outcome, Receipt

with needed("prometheus"):
    from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram

OTHER = "other"
"""The label of every reason, and currency, beyond those that are told apart."""

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_CURRENCIES = 10

_metrics: WeakKeyDictionary[CollectorRegistry, _Metrics] = WeakKeyDictionary()


def watch(app: Flask, registry: CollectorRegistry = REGISTRY, *, reasons: int = 100) -> None:
    """Count and time what the Flask-Coins of ``app`` does, in ``registry``; call it after ``init_app``.

    The first ``reasons`` different reasons get a label of their own, the rest share ``"other"``: so
    that a host that makes reasons out of data cannot fill the memory of its Prometheus. Apps of one
    process may share a registry. A second call for the same app changes nothing.
    :class:`~flask_coins.CoinsError` where Flask-Coins is not set up on ``app``.
    """
    state = state_of(app)
    if type(reasons) is not int or reasons < 0:
        raise InvalidInput(f"reasons is an int from 0, not {_checks.shown(reasons)}.")
    metrics = _metrics.get(registry) or _metrics.setdefault(registry, _Metrics(registry, reasons))
    if metrics.begin in state.watchers:
        return
    state.watchers.append(metrics.begin)
    for signal in (signals.coins_awarded, signals.coins_spent, signals.award_refused):
        signal.connect(metrics.told, app, weak=False)


class _Metrics:
    """What one registry is told, by however many apps."""

    def __init__(self, registry: CollectorRegistry, reasons: int) -> None:
        self._reasons = _Few(reasons)
        self._currencies = _Few(_CURRENCIES)
        coins = ["reason", "currency"]
        self._paid = Counter(
            "coins_paid", "Coins that were paid, once committed.", coins, registry=registry
        )
        self._taken = Counter(
            "coins_taken", "Coins that were taken, once committed.", coins, registry=registry
        )
        self._answers = Counter(
            "coins_answers",
            "Receipts by their outcome; those of payments once committed.",
            [*coins, "outcome"],
            registry=registry,
        )
        self._remembered = Counter(
            "coins_remembered_refusals",
            "Refusals that this process remembered, without asking the database.",
            registry=registry,
        )
        self._seconds = Histogram(
            "coins_call_seconds",
            "How long a call took with all its tries; with the commit where it was ours.",
            ["call", "outcome"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._retries = Counter(
            "coins_retries",
            "Tries after the first, because the database gave up.",
            ["call"],
            registry=registry,
        )

    def told(self, app: Flask, receipt: Receipt, **sent: Any) -> None:
        """Count a receipt that is true by now."""
        labels = (self._reasons.label(receipt.reason), self._currencies.label(receipt.currency))
        self._answers.labels(*labels, str(receipt.outcome)).inc()
        if receipt:
            moved = self._paid if receipt.amount > 0 else self._taken
            moved.labels(*labels).inc(abs(receipt.amount))
        elif receipt.outcome is Outcome.ALREADY and receipt.balance is None:
            self._remembered.inc()

    def begin(self, call: Call) -> _Timed:
        """Time a call."""
        return _Timed(self._seconds, self._retries)


class _Timed:
    """A call that is running."""

    def __init__(self, seconds: Histogram, retries: Counter) -> None:
        self._seconds = seconds
        self._retries = retries
        self._begin = perf_counter()

    def retried(self, call: Call) -> None:
        self._retries.labels(call.called.name).inc()

    def ended(self, call: Call) -> None:
        took = perf_counter() - self._begin
        self._seconds.labels(call.called.name, call.outcome).observe(took)


class _Few:
    """Names that get a label of their own, up to a number of them."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: set[str] = set()

    def label(self, name: str) -> str:
        """``name``, or :data:`OTHER` where there are enough already."""
        if name not in self._known:
            if len(self._known) >= self._most:
                return OTHER
            self._known.add(name)
        return name
