"""``GET …/``: what the current user has, what there is to earn, and what has happened."""

from __future__ import annotations

from flask import Blueprint, render_template

from ._pages import signed_in


def add_routes(blueprint: Blueprint) -> None:
    """Put the wallet on ``blueprint``."""
    blueprint.add_url_rule("/", "wallet", wallet)


def wallet() -> str:
    """The current user's wallet."""
    state, user_id = signed_in()
    return render_template("coins/wallet.html", balance=state.balance(user_id))
