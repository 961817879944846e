"""What a host tells about its users, and what it is told where it has not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from flask import Flask

NO_LOADER = """\
Flask-Coins does not know who the current user is. Neither Flask-Login nor g.user is there; say so:

    @coins.current_user_loader
    def current_user():
        return session.get("user_id")
"""
NOBODY = (
    "g.user is not set in this request: Flask-Coins takes it that nobody is logged in. If nothing ever"
    " sets it, write a @coins.current_user_loader."
)


@dataclass
class Loaders:
    """What the host has told us about its users; shared by every app of one ``Coins``."""

    current_user: Callable[[], Any] | None = None
    timezone: Callable[[str], Any] | None = None
    eligible: Callable[[str, str], bool] | None = None
    words: Callable[[str, str | None], Any] | None = None
    """How the host names a reason, with its subject."""
    user_names: Callable[[list[str]], Mapping[Any, Any]] | None = None
    """The names to show for a list of ids."""
    is_admin: Callable[[], bool] = lambda: False
    """Whether the current user may see and do everything; nobody may, until the host says so."""
    recipient: Callable[[str], Any] | None = None
    """Whom a client of the API means; None: nobody can be sent anything by it."""
    on_signals: list[tuple[Any, Any]] = field(default_factory=list)
    """Each signal that pays, with its rule."""
    sets_user: Callable[[Flask], bool] = lambda app: False
    """Whether code of the host's may set ``g.user``."""
