"""Spans for OpenTelemetry: one for each call that moves coins. They name no user.

Needs the extra ``otel``. Nothing is traced until :func:`watch` is called for an app.
"""

from __future__ import annotations

from flask import Flask

from . import __version__
from ._extras import needed
from ._state import state_of
from ._watching import Call
from .errors import InsufficientCoins

with needed("otel"):
    from opentelemetry import context, trace
    from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer, TracerProvider

_WATCHES = "coins-otel"


def watch(app: Flask, tracer_provider: TracerProvider | None = None) -> None:
    """Trace what the Flask-Coins of ``app`` does; call it after ``init_app``.

    Without ``tracer_provider`` the global one is taken. A second call for the same app changes
    nothing. :class:`~flask_coins.CoinsError` where Flask-Coins is not set up on ``app``.
    """
    state = state_of(app)
    if _WATCHES in app.extensions:
        return
    tracer = trace.get_tracer("flask_coins", __version__, tracer_provider)
    app.extensions[_WATCHES] = tracer
    state.watchers.append(lambda call: _Span(tracer, call))


class _Span:
    """The span of a call that is running, the current one until it ends."""

    def __init__(self, tracer: Tracer, call: Call) -> None:
        self._span = tracer.start_span(f"coins.{call.called.name}", kind=SpanKind.INTERNAL)
        if call.called.window is not None:
            self._span.set_attribute("coins.window", str(call.called.window))
        self._token = context.attach(trace.set_span_in_context(self._span))

    def retried(self, call: Call) -> None:
        """Add an event that says after what."""
        error = type(call.error).__qualname__
        self._span.add_event("coins.retry", {"coins.tries": call.tries, "error.type": error})

    def ended(self, call: Call) -> None:
        """Say how it ended; of an error its kind alone, as its words may name somebody."""
        context.detach(self._token)
        self._span.set_attribute("coins.outcome", call.outcome)
        for name, value in (("coins.reason", call.reason), ("coins.currency", call.currency)):
            if value is not None:
                self._span.set_attribute(name, value)
        if call.error is not None:
            self._span.set_attribute("error.type", type(call.error).__qualname__)
            if not isinstance(call.error, InsufficientCoins):
                self._span.set_status(Status(StatusCode.ERROR))
        self._span.end()
