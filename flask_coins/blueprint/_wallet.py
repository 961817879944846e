"""``GET …/``: what the current user has, what there is to earn, and what has happened."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime, tzinfo
from itertools import groupby
from typing import TYPE_CHECKING, Any

from flask import Blueprint, render_template, request

from .. import _leaderboard, _rewards, _streaks
from .._state import State
from .._wallet_reads import Account, WalletReader
from ..results import Entry, Reward
from ..windows import Day
from . import _filters, _layout
from ._days import Balanced, Calendar, balanced, calendar, last
from ._filters import Filters
from ._how_often import how_much, how_often
from ._pages import signed_in

if TYPE_CHECKING:
    from .._decorators import Rule

PAGE = 20
"""How many entries of the history a page shows."""
_FREEZE = "streak_freeze"
_MOST_STREAKS = 10
_ORDER = ("open", "varies", "capped", "paid", "not_open")


def add_routes(blueprint: Blueprint) -> None:
    """Put the wallet on ``blueprint``."""
    blueprint.add_url_rule("/", "wallet", wallet)
    blueprint.add_app_template_global(how_often, "coins_how_often")
    blueprint.add_app_template_global(how_much, "coins_how_much")


def wallet() -> tuple[str, int]:
    """The current user's wallet: ``?currency=``, ``?days=`` and the filters of the history.

    What cannot be among them is left out and told on the page, with status 400.
    """
    state, user_id = signed_in()
    filters = _filters.read(request.args, state.zone(user_id))
    parts = Wallet(state, user_id, filters).parts()
    return render_template("coins/wallet.html", **parts), 400 if filters.errors else 200


class Wallet:
    """What the page shows of one user, read in five statements; with budgets in up to seven."""

    def __init__(self, state: State, user_id: str, filters: Filters) -> None:
        self.state, self.user_id, self.filters = state, user_id, filters
        self.reader = WalletReader(state.table)
        self.now, self.zone = state.now(), filters.zone
        self.today = Day().date_of(self.now, self.zone)

    def parts(self) -> dict[str, Any]:
        """The names that the template knows."""
        rules = _rewards.rules_of(self.state)
        rewards = _shown(_rewards.standing(self.state, self.user_id, rules))
        return {
            **self._accounts(),
            **self._history(),
            "rewards": rewards,
            "next_at": _next_opening(rewards),
            "streak": self._streak(rules),
            "filters": self.filters,
            "spans": _filters.DAYS,
            "now": self.now,
            "today": self.today,
            "zone": self.zone,
        }

    def _accounts(self) -> dict[str, Any]:
        currency = self.filters.currency
        accounts, reasons = self.reader.accounts(
            self.state.session, self.user_id, currency, self.now
        )
        accounts.setdefault(currency, Account(currency, 0, 0))
        _layout.know_balances(
            self.user_id, {each.currency: each.balance for each in accounts.values()}
        )
        wanted = self.filters.query.get("reason")
        return {
            "account": accounts[currency],
            "accounts": sorted(accounts.values(), key=lambda each: each.currency),
            "reasons": sorted({*reasons, wanted or ""} - {""}),
            "chart": self._chart(accounts[currency]),
        }

    def _chart(self, account: Account) -> list[Balanced]:
        dates = last(self.filters.days, self.today)
        starts = [Day().start(day, self.zone) for day in dates]
        moved = self.reader.daily(self.state.session, self.user_id, account.currency, starts)
        return balanced(dates, moved, account.balance)

    def _history(self) -> dict[str, Any]:
        conditions = self.filters.conditions
        lines = self.reader.page(
            self.state.session, self.user_id, self.filters.currency, PAGE + 1, conditions
        )
        more = len(lines) > PAGE
        backwards = "after" in conditions
        lines = lines[-PAGE:] if backwards else lines[:PAGE]
        entries = [line.entry for line in lines]
        newer = more if backwards else "before" in conditions
        older = backwards or more
        others = (entry.counterparty for entry in entries if entry.counterparty)
        return {
            "history": _by_day(entries, self.zone),
            "undone": {line.entry.id: line.undone for line in lines if line.undone},
            "names": _leaderboard.names(self.state, others),
            "newer": entries[0].id if entries and newer else None,
            "older": entries[-1].id if entries and older else None,
        }

    def _streak(self, rules: Sequence[Rule]) -> Calendar | None:
        """Of the rewards that are paid by the day, the one with the longest streak."""
        windows = _by_the_day(rules, self.state.settings.streak)
        if not windows:
            return None
        tracked = self.reader.tracked(self.state.session, self.user_id, list(windows), _FREEZE)
        counted = [
            _streaks.counted(window, self.zone, self.now, *found)
            for window, found in zip(windows.values(), tracked, strict=True)
        ]
        names = [reason for _, reason in windows]
        best = max(counted, key=lambda each: (each.streak.length, each.streak.longest))
        return calendar(names[counted.index(best)], best)


def _by_the_day(rules: Sequence[Rule], only: str | None) -> dict[tuple[str, str], Day]:
    """The windows of rewards by currency and reason; ``only`` those for one reason, if it is set."""
    windows = {
        (rule.currency, rule.reason): rule.window
        for rule in reversed(rules)
        if isinstance(rule.window, Day) and only in (None, rule.reason)
    }
    if only and not windows:
        return {("coins", only): Day()}
    return dict(list(reversed(windows.items()))[:_MOST_STREAKS])


def _shown(rewards: Iterable[Reward]) -> list[Reward]:
    """Those that the user may earn: what is open comes first, what never opens again last."""
    found = [reward for reward in rewards if reward.state in _ORDER]
    return sorted(
        found,
        key=lambda each: (_ORDER.index(each.state), each.state == "paid" and not each.opens_at),
    )


def _next_opening(rewards: Sequence[Reward]) -> datetime | None:
    """When there will be something to earn again, where now there is nothing."""
    if any(reward.state in ("open", "varies") for reward in rewards):
        return None
    return min((reward.opens_at for reward in rewards if reward.opens_at), default=None)


def _by_day(entries: Iterable[Entry], zone: tzinfo) -> list[tuple[date, list[Entry]]]:
    """Entries in a row that are of one day on the user's calendar."""
    days = groupby(entries, lambda each: each.created_at.astimezone(zone).date())
    return [(day, list(group)) for day, group in days]
