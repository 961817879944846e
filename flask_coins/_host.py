"""What one app tells: whose session it is, who the current user is, and what time it is where."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import sqlalchemy as sa
from flask import Flask, g
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import Session

from . import _checks, _logs, _session
from ._loaders import NO_LOADER, NOBODY, Loaders
from ._settings import Settings
from .errors import CoinsError, NoUserError
from .windows import zone_of


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
                raise NoUserError(NO_LOADER)
            self._sets_user = True
            self.app.logger.info(NOBODY, extra=_logs.fields("nobody_logged_in"))
        return None

    def user_id(self, user: Any) -> str:
        """The id of ``user``, or of the current user where it is None: one to read of."""
        user = self.current_user() if user is None else user
        return _checks.user_id(user, forgotten=True)
