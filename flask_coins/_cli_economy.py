"""The commands that look at all users at once: ``flask coins leaderboard`` and ``flask coins stats``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, fields
from datetime import date, datetime
from typing import Any

import click

from . import _checks, _leaderboard, _output, _stats
from ._cli_base import as_json_option, coins_cli, currency_option, show
from ._state import current_state
from .results import BudgetUse, Flows, Place, Stats
from .windows import WORDS

_FLOWS = tuple(each.name for each in fields(Flows))
_WHEN = "A day, all of it, or a moment with its offset."


@coins_cli.command("leaderboard")
@click.option("--window", type=click.Choice(WORDS), help="The present one; without it, all time.")
@click.option("--reason", help="Only payments for this reason.")
@click.option(
    "--limit", type=click.IntRange(1, 1000), default=10, show_default=True, help="How many."
)
@currency_option
@as_json_option
def leaderboard_command(
    window: str | None, reason: str | None, limit: int, currency: str, as_json: bool
) -> None:
    """Print who was paid most, without those who are hidden."""
    state = current_state()
    board = _leaderboard.board(state, window, reason, currency)
    (places,) = _leaderboard.named(state, _leaderboard.top(state, board, limit))
    rows = [_place_row(place) for place in places]
    text = _output.table(rows, "rank", "user", "name", "score") if rows else "Nobody has a place."
    show({"window": window, "currency": currency, "places": rows}, text, as_json)


@coins_cli.command("stats")
@click.option("--since", metavar="WHEN", help=f"Where the period begins. {_WHEN}")
@click.option("--until", metavar="WHEN", help=f"Where it ends. {_WHEN}")
@currency_option
@as_json_option
def stats_command(since: str | None, until: str | None, currency: str, as_json: bool) -> None:
    """Print how the economy does: what moved, by day and reason, and what is there now."""
    state = current_state()
    bounds = _bound("--since", since), _bound("--until", until)
    stats = _stats.stats(state, *bounds, _checks.currency(currency))
    document = _document(stats)
    show(document, "\n\n".join(_tables(document)), as_json)


def _bound(option: str, given: str | None) -> date | datetime | None:
    if given is None:
        return None
    try:
        if len(given) == len("2026-11-22"):
            return date.fromisoformat(given)
        moment = datetime.fromisoformat(given.replace("Z", "+00:00"))
    except ValueError:
        moment = datetime.min
    if moment.tzinfo is None:
        raise click.UsageError(
            f"{option} is a day or a moment such as 2026-11-22 or 2026-11-22T12:00+01:00, not {given!r}."
        )
    return moment


def _document(stats: Stats) -> dict[str, Any]:
    spread = stats.concentration
    return {
        "currency": stats.currency,
        "since": _output.moment(stats.since),
        "until": _output.moment(stats.until),
        "total": {**_flows(stats.total), "net": stats.total.net},
        "now": {
            "in_circulation": stats.in_circulation,
            "held": stats.held,
            "holders": stats.holders,
        },
        "concentration": asdict(spread) if spread else None,
        "days": [{"day": it.day.isoformat(), **_flows(it)} for it in stats.days],
        "reasons": [
            {"reason": it.reason, "payments": it.payments, **_flows(it)} for it in stats.reasons
        ],
        "top_earners": [_place_row(place) for place in stats.top_earners],
        "budgets": [_budget_row(it) for it in stats.budgets],
    }


def _flows(it: Flows) -> dict[str, int]:
    return {name: getattr(it, name) for name in _FLOWS}


def _place_row(place: Place) -> dict[str, Any]:
    return {
        "rank": place.rank,
        "user": place.user_id,
        "name": place.name,
        "score": place.score,
    }


def _budget_row(it: BudgetUse) -> dict[str, Any]:
    bounds = {"start": _output.moment(it.start), "end": _output.moment(it.end)}
    return {
        "reason": it.reason,
        "window": it.window,
        "minted": it.minted,
        "most": it.most,
        **bounds,
    }


def _tables(document: dict[str, Any]) -> Iterable[str]:
    """For people: the totals, then a table for each list that has something in it."""
    spread = document["concentration"] or {}
    yield _output.pairs(
        {
            **document["total"],
            **document["now"],
            **{name: f"{part:.3f}" for name, part in spread.items()},
        }
    )
    columns = {
        "days": ("day", *_FLOWS),
        "reasons": ("reason", "payments", *_FLOWS[:-1]),
        "top_earners": ("rank", "user", "name", "score"),
        "budgets": ("reason", "window", "minted", "most"),
    }
    for name, found in columns.items():
        if document[name]:
            yield _output.table(document[name], *found)
