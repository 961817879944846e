"""What layouts need, a host's own too: addresses of our pages and files, links, sums in words."""

from __future__ import annotations

from typing import Any, NamedTuple

from flask import Blueprint, current_app, request, url_for
from flask.blueprints import BlueprintSetupState

from .. import _checks, _words
from .._state import current_state
from ..errors import NoUserError

_NAMES = "coins.blueprint_names"


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
    return None if _checks.is_anonymous(user) else state.balance(user, currency)


def in_words(amount: int, currency: str = "coins", signed: bool = False) -> str:
    """``15 coins``, ``1 coin``, ``5 gems``; with ``signed`` ``+15 coins`` and ``−4 coins``."""
    sign = "−" if amount < 0 else "+" if signed and amount else ""
    return sign + _words.units(abs(amount), currency)
