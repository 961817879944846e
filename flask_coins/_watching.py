"""Lets watchers look on while calls run: how long each takes, how it ends, how often it is tried again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeVar

from ._faults import repeated
from ._logs import fields, nameless
from .errors import InsufficientCoins
from .results import Hold, Receipt

T = TypeVar("T")


class Called(NamedTuple):
    """What is known of a call before it runs; nobody's id is among it."""

    name: str
    """As in code, such as ``"award_once"``."""
    reason: str | None = None
    currency: str | None = None
    window: Any = None


@dataclass
class Call:
    """One run of a call, as a watcher sees it."""

    called: Called
    tries: int = 0
    error: BaseException | None = None
    """What the last try has raised."""
    answer: Receipt | Hold | None = None

    @property
    def outcome(self) -> str:
        """That of the receipt, the status of a hold, ``"insufficient_coins"``, ``"failed"`` or ``"done"``."""
        if self.error is not None:
            short = isinstance(self.error, InsufficientCoins)
            return "insufficient_coins" if short else "failed"
        if self.answer is None:
            return "done"
        return self.answer.status if isinstance(self.answer, Hold) else str(self.answer.outcome)

    @property
    def reason(self) -> str | None:
        """What the coins are for, where that is known."""
        return self.called.reason if self.answer is None else self.answer.reason

    @property
    def currency(self) -> str | None:
        """What they are, where that is known."""
        return self.called.currency if self.answer is None else self.answer.currency


class Look(Protocol):
    """One watcher's look at one call."""

    def retried(self, call: Call) -> None:
        """The call is about to be tried again, after ``call.error``."""

    def ended(self, call: Call) -> None:
        """It is over, by ``call.answer`` or ``call.error``; a commit of the host's may come later."""


Watcher = Callable[[Call], Look]
"""Called when a call begins."""


class Watched:
    """Calls that run as one, in one transaction, while ``watchers`` look on at each."""

    def __init__(self, app: Any, called: Sequence[Called], watchers: Sequence[Watcher]) -> None:
        self._app = app
        self._calls = [Call(each) for each in called]
        self._looks: list[tuple[Call, Look]] = []
        for call in self._calls:
            for watcher in watchers:
                self._safely(self._begin, call, watcher)

    def repeated(self, attempt: Callable[[], T], times: int) -> T:
        """What ``attempt()`` returns, called up to ``times`` times."""
        try:
            answer = repeated(lambda: self._try(attempt), times)
            self._answered(answer)
            return answer
        finally:
            # The last to look is the first to be told: spans lie within one another.
            for call, look in reversed(self._looks):
                self._safely(look.ended, call)

    def _begin(self, call: Call, watcher: Watcher) -> None:
        self._looks.append((call, watcher(call)))

    def _try(self, attempt: Callable[[], T]) -> T:
        for call, look in self._looks:
            if call.tries:
                self._safely(look.retried, call)
        for call in self._calls:
            call.tries += 1
            call.error = None
        try:
            return attempt()
        except BaseException as error:
            for call in self._calls:
                call.error = error
            raise

    def _answered(self, answer: Any) -> None:
        """Give each call its own of the answers."""
        if not isinstance(answer, list):
            answer = [answer]
        for call, each in zip(self._calls, answer, strict=False):
            first = each[0] if isinstance(each, tuple) else each
            call.answer = first if isinstance(first, Receipt | Hold) else None

    def _safely(self, step: Callable[..., None], *given: Any) -> None:
        """No failure of a watcher may cost a payment."""
        try:
            step(*given)
        except Exception as error:
            self._app.logger.exception(
                "A watcher failed", exc_info=nameless(error), extra=fields("watcher_failed")
            )
