"""What layouts need, a host's own too: addresses of our pages and files, links, sums in words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta, tzinfo
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from flask import Blueprint, Response, current_app, g, request, url_for
from flask.blueprints import BlueprintSetupState
from jinja2 import BaseLoader, ChoiceLoader, FileSystemLoader, PrefixLoader

from .. import _checks, _words
from .._state import current_state
from ..errors import NoUserError

_NAMES = "coins.blueprint_names"
_UNSAFE = re.compile(r"[^A-Za-z0-9@._-]")
_BALANCES = "_coins_balances"


class TwiceNamed(Blueprint):
    """A blueprint whose templates ``coins/…`` have a second name, ``flask_coins/…``.

    A host's own template of the first name takes the place of ours, and can extend the second.
    """

    @cached_property
    def jinja_loader(self) -> BaseLoader:
        """What Flask asks for the templates that the host does not have."""
        folder = Path(self.root_path, str(self.template_folder))
        again = PrefixLoader({"flask_coins": FileSystemLoader(folder / "coins")})
        return ChoiceLoader([FileSystemLoader(folder), again])


class Link(NamedTuple):
    """One of our pages, as a menu shows it."""

    url: str
    label: str
    is_here: bool
    """Whether it is the page that is being made."""


def add_globals(blueprint: Blueprint) -> None:
    """Give every template of the app ``coins_url``, ``coins_links`` and the others."""
    blueprint.record(_note_name)
    blueprint.add_app_template_global(url, "coins_url")
    blueprint.add_app_template_global(links, "coins_links")
    blueprint.add_app_template_global(in_words, "coins_sum")
    blueprint.add_app_template_global(when, "coins_when")
    blueprint.add_app_template_global(balance, "coins_balance")


def _note_name(setup: BlueprintSetupState) -> None:
    name = f"{setup.name_prefix}.{setup.name}".lstrip(".")
    setup.app.extensions.setdefault(_NAMES, []).append(name)


def _name() -> str:
    """Under which name the blueprint is registered: the one of this request, else the first."""
    names: list[str] = current_app.extensions[_NAMES]
    here = request.blueprint if request else None
    return here if here in names else names[0]


def url(endpoint: str, **values: Any) -> str:
    """The address of a page or, with ``filename``, of a file: ``url("static", filename=…)``."""
    return url_for(f"{_name()}.{endpoint}", **values)


def links() -> list[Link]:
    """The pages for every user that are there, as a menu shows them."""
    name = _name()
    pages = {"wallet": _words.text("Wallet"), "leaderboard": _words.text("Leaderboard")}
    return [
        Link(url(page), label, request.endpoint == f"{name}.{page}")
        for page, label in pages.items()
        if f"{name}.{page}" in current_app.view_functions
    ]


def balance(currency: str = "coins") -> int | None:
    """What the current user has; None where nobody is logged in, or nobody can tell who it is."""
    state = current_state()
    try:
        user = state.current_user()
    except NoUserError:
        return None
    if _checks.is_anonymous(user):
        return None
    known = g.get(_BALANCES, {}).get((_checks.user_id(user), currency))
    return state.balance(user, currency) if known is None else known


def know_balances(user_id: str, balances: Mapping[str, int]) -> None:
    """Spare a badge on this page the look: what the user has, by currency."""
    setattr(g, _BALANCES, {(user_id, name): amount for name, amount in balances.items()})


def in_words(amount: int, currency: str = "coins", signed: bool = False) -> str:
    """``15 coins``, ``1 coin``, ``5 gems``; with ``signed`` ``+15 coins`` and ``−4 coins``."""
    sign = "−" if amount < 0 else "+" if signed and amount else ""
    return sign + _words.units(abs(amount), currency)


def attach(response: Response, filename: str) -> Response:
    """Have a browser keep ``response`` as a file; only plain characters of its name are taken."""
    filename = _UNSAFE.sub("_", filename)
    response.headers.set("Content-Disposition", "attachment", filename=filename)
    return response


def when(moment: datetime, zone: tzinfo) -> str:
    """A moment to come, shortly where it is near: ``today at 18:00``, ``tomorrow at 00:00``."""
    today = current_state().now().astimezone(zone).date()
    day, clock = moment.astimezone(zone).date(), _words.clock(moment, zone)
    if day == today:
        return _words.text("today at %(clock)s", clock=clock)
    if day == today + timedelta(days=1):
        return _words.text("tomorrow at %(clock)s", clock=clock)
    return _words.time(moment, zone)
