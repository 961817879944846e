"""What one app tells: whose session it is, who the current user is, and what time it is where."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import sqlalchemy as sa
from flask import Flask, g
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import Session

from . import _checks, _logs, _session
from ._settings import Settings
from .errors import CoinsError, NoUserError
from .windows import zone_of

_NO_LOADER = """\
Flask-Coins does not know who the current user is. Neither Flask-Login nor g.user is there; say so:

    @coins.current_user_loader
    def current_user():
        return session.get("user_id")
"""
_NOBODY = (
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


@dataclass(eq=False)
class Host:
    """An app as far as coins have to ask it, and the database that holds them."""

    app: Flask
    db: SQLAlchemy
    settings: Settings
    loaders: Loaders
    table: sa.Table
    """The log's; its metadata tell which database it is."""
    clock: Callable[[], dt.datetime]

    def __post_init__(self) -> None:
        self.default_zone = zone_of(self.settings.timezone)
        self._sets_user = False

    @property
    def session(self) -> Session:
        """The host's session of this app context."""
        # Here too: a host's tests may have put other sessions in place of those of init_app.
        _session.watch(self.db.session)
        session: Session = self.db.session()
        return session

    def open_session(self) -> Session | None:
        """The same if there is one yet: making one costs more than a refusal."""
        return self.session if self.db.session.registry.has() else None

    def connection(self) -> sa.Connection:
        """That of the session to our tables; it begins the transaction if there is none."""
        return self.session.connection(bind_arguments={"clause": self.table})

    def engine(self) -> sa.Engine:
        """That of the database that holds our tables."""
        return cast("sa.Engine", self.session.get_bind(clause=self.table))

    def now(self) -> dt.datetime:
        """The moment of a call, aware, in UTC."""
        now = self.clock()
        if not isinstance(now, dt.datetime) or now.tzinfo is None:
            raise CoinsError(f"The clock must return aware datetimes, not {now!r}.")
        if not 1000 < now.year < 9997:
            raise CoinsError(f"The clock says {now}: coins know the years 1001 to 9996.")
        return now.astimezone(dt.timezone.utc)

    def zone(self, user_id: str) -> dt.tzinfo:
        """The zone of the user, or the default one."""
        loader = self.loaders.timezone
        zone = loader(user_id) if loader else None
        return self.default_zone if zone is None else zone_of(zone)

    def current_user(self) -> Any:
        """The current user as the host knows it: an id, an object or None for nobody."""
        if self.loaders.current_user:
            return self.loaders.current_user()
        if hasattr(self.app, "login_manager"):
            from flask_login import current_user

            return current_user._get_current_object()
        if "user" in g:
            return g.user
        # Some hosts set it for those who are logged in, and for nobody else.
        if not self._sets_user:
            if not self.loaders.sets_user(self.app):
                raise NoUserError(_NO_LOADER)
            self._sets_user = True
            self.app.logger.info(_NOBODY, extra=_logs.fields("nobody_logged_in"))
        return None

    def user_id(self, user: Any) -> str:
        """The id of ``user``, or of the current user where it is None: one to read of."""
        user = self.current_user() if user is None else user
        return _checks.user_id(user, forgotten=True)
