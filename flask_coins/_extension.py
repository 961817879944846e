"""The extension object: set-up, loaders, and the calls that hosts make. No SQL stands here."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from inspect import isawaitable, iscoroutine, isroutine
from typing import Any, TypeVar

import sqlalchemy as sa
from flask import Blueprint, Flask, current_app, has_app_context
from flask_sqlalchemy import SQLAlchemy

from . import _checks, _install, _models, _session, _settings, _wiring, _words
from ._calls import Moving
from ._charges import release_late
from ._cli import coins_cli
from ._decorators import Rule, award_once
from ._economy import Economy
from ._host import Loaders
from ._lost import tell_of_lost_entries
from ._reads import Reading
from ._state import State
from ._visit import pay_for_signal
from .blueprint import make_blueprint
from .errors import CoinsError, CoinsWarning, InvalidInput
from .windows import Window

F = TypeVar("F", bound=Callable[..., Any])


class Coins(Moving, Reading, Economy):
    """A coin log, a balance that agrees with it, and rewards that pay exactly once per window.

    Make one, then call :meth:`init_app` for each app. ``clock`` is called for the moment of every
    call and returns an aware datetime; ``bind_key`` names the database of ``SQLALCHEMY_BINDS`` that
    holds the tables.

    The calls that move coins write through ``db.session`` and never commit: a rollback of the host's
    takes them along. A call that begins the session's transaction is tried up to five times when the
    database gives up (a lock, a deadlock, a lost race); after that, and in a transaction that had
    begun before, it raises :class:`~flask_coins.CoinsRetry` with the session rolled back.

    Every call raises :class:`~flask_coins.MissingTablesError` where the tables are not there, and
    before any SQL :class:`~flask_coins.InvalidInput` for an argument that cannot be stored, or
    :class:`~flask_coins.NoUserError` for a user who is nobody.
    """

    def __init__(
        self,
        app: Flask | None = None,
        db: SQLAlchemy | None = None,
        *,
        clock: Callable[[], datetime] | None = None,
        bind_key: str | None = None,
    ) -> None:
        self._clock = _utc_now if clock is None else _checks.function(clock, "clock")
        self._bind_key = bind_key
        self._loaders = Loaders(sets_user=_wiring.sets_user)
        #: The pages and the JSON API; registered for you unless ``COINS_URL_PREFIX`` is None.
        self.blueprint: Blueprint = make_blueprint()
        if app is not None:
            self.init_app(app, db)

    def init_app(self, app: Flask, db: SQLAlchemy | None = None) -> None:
        """Set the extension up on ``app``, after ``db.init_app(app)``.

        Without ``db`` it takes the one that Flask-SQLAlchemy has on the app. Raises
        :class:`~flask_coins.CoinsError` when there is none, when the app has Flask-Coins already,
        when one of its blueprints is named ``coins``, or when a ``coin_log`` of another make stands
        in ``db.metadata``.
        """
        db = _database(app, db)
        settings = _settings.read(app.config)
        if settings.url_prefix is not None and "coins" in app.blueprints:
            raise CoinsError(
                f"{app.name!r} has a blueprint named 'coins' already: set COINS_URL_PREFIX to None,"
                " and call app.register_blueprint(coins.blueprint, name=..., url_prefix=...)."
            )
        table = _models.copy_tables(_metadata(db, self._bind_key))
        _models.Base.metadata.info["bind_key"] = self._bind_key
        state = State(app, db, settings, self._loaders, table, self._clock)
        _session.watch(db.session)
        # Called in reverse: what is lost is told before the session is made ready for the releases.
        app.teardown_appcontext(release_late(state))
        app.teardown_appcontext(tell_of_lost_entries(state))
        app.jinja_env.globals.setdefault("coins", self)
        _words.init_app(app)
        _add_commands(app)
        _install.connect(app, self._bind_key)
        if settings.url_prefix is not None:
            app.register_blueprint(self.blueprint, url_prefix=settings.url_prefix)
        app.before_request(_wiring.warn_once(state))
        app.extensions["coins"] = state

    # -- what the host tells us ---------------------------------------------------------------

    def current_user_loader(self, loader: F) -> F:
        """Register ``loader()``: the current user or their id, or None for nobody.

        By default Flask-Login's ``current_user`` is taken, else ``g.user``. It is asked after the
        view has run. :class:`~flask_coins.InvalidInput` unless it is a function, and not an async
        one; so for the others.
        """
        self._loaders.current_user = _checks.function(loader, "A current_user_loader")
        return loader

    def timezone_loader(self, loader: F) -> F:
        """Register ``loader(user_id)``: an IANA name or a tzinfo; None stands for the default."""
        self._loaders.timezone = _checks.function(loader, "A timezone_loader")
        return loader

    def eligible_check(self, check: F) -> F:
        """Register ``check(user_id, reason)``; a false answer refuses an award with EXCLUDED.

        That is any value that is false in an ``if``, None too: answer True for all who may be paid.
        """
        _checks.function(check, "An eligible_check")

        def answer(user_id: str, reason: str) -> bool:
            return _yes_or_no(check(user_id, reason), "An eligible_check")

        self._loaders.eligible = answer
        return check

    def admin_check(self, check: F) -> F:
        """Register ``check()``: whether the current user may use the admin pages; by default nobody.

        It is asked in each request of somebody who is logged in, and decides alone: who passes sees
        every user's coins and may move them.
        """
        _checks.function(check, "An admin_check")
        self._loaders.is_admin = lambda: _yes_or_no(check(), "An admin_check")
        return check

    def words_loader(self, loader: F) -> F:
        """Register ``loader(reason, subject)``: how pages name it to the current user, as plain text.

        ``subject`` is text, or None. The answer None stands for the name that we have ourselves.
        """
        self._loaders.words = _checks.function(loader, "A words_loader")
        return loader

    def recipient_loader(self, loader: F) -> F:
        """Register ``loader(name)``: whom a client of the API means, or None for nobody.

        It turns ``POST …/api/transfer`` on. ``name`` is the client's text, of 1 to 128 characters; the
        answer is a user or an id.
        """
        self._loaders.recipient = _checks.function(loader, "A recipient_loader")
        return loader

    def user_names_loader(self, loader: F) -> F:
        """Register ``loader(user_ids)``: a dict of ids and names to show, for a list of ids as text.

        It is called once for a page or a call; whoever is not in its answer is shown without a name.
        """
        self._loaders.user_names = _checks.function(loader, "A user_names_loader")
        return loader

    # -- paying on signals --------------------------------------------------------------------

    def award_on(
        self,
        signal: Any,
        amount: int | Callable[[Any], int],
        reason: str,
        window: str | timedelta | Window = "day",
        *,
        user: Any = None,
        subject: Any = None,
        when: Callable[[Any], Any] | None = None,
    ) -> Rule:
        """Pay whenever a blinker ``signal`` is sent, by the rules of a decorated view.

        Callables are given the signal's keyword arguments as one dict; texts are formatted with
        them. The user is the signal's ``user`` argument, else the current user. In a request the
        payment comes after the view; outside of one at once, and it is committed unless the session
        holds changes of the host's. What apps without this extension send is passed over.

        A call that repeats an earlier one, as in an app factory, changes nothing.
        """
        if not callable(getattr(signal, "connect", None)):
            raise InvalidInput(f"A signal is one of blinker's, not {_checks.shown(signal)}.")
        rule = award_once(amount, reason, window, user=user, subject=subject, when=when)
        for other, known in self._loaders.on_signals:
            if other is signal and type(known.user) is type(user) and known == rule:
                return known  # type: ignore[no-any-return]
        self._loaders.on_signals.append((signal, rule))

        def receive(sender: Any, **sent: Any) -> None:
            state = current_app.extensions.get("coins") if has_app_context() else None
            if isinstance(state, State) and state.loaders is self._loaders:
                pay_for_signal(rule, sent)

        signal.connect(receive, weak=False)
        return rule


def _utc_now() -> datetime:
    return datetime.now(timezone.utc)


def _database(app: Any, db: Any) -> SQLAlchemy:
    """The database to set up on; a clear error where something stands in the way."""
    if not isinstance(app, Flask):
        raise InvalidInput(
            f"coins.init_app(app, db) takes the app first, not {_checks.shown(app)}."
        )
    if "coins" in app.extensions:
        raise CoinsError(f"Flask-Coins is set up on {app.name!r} already: call init_app once.")
    found = app.extensions.get("sqlalchemy") if db is None else db
    if found is not None and not isinstance(found, SQLAlchemy):
        raise InvalidInput(f"db is Flask-SQLAlchemy's SQLAlchemy(), not {_checks.shown(found)}.")
    if found is None or "sqlalchemy" not in app.extensions:
        raise CoinsError("Call db.init_app(app) first, then coins.init_app(app, db).")
    return found


def _add_commands(app: Flask) -> None:
    if "coins" in app.cli.commands:
        text = (
            f"{app.name!r} has a command 'flask coins' already, and that of Flask-Coins takes its place:"
            " give yours another name."
        )
        warnings.warn(text, CoinsWarning, stacklevel=3)
    app.cli.add_command(coins_cli)


def _metadata(db: SQLAlchemy, bind_key: str | None) -> sa.MetaData:
    if bind_key not in db.metadatas:
        naming = db.metadata.naming_convention
        db.metadatas[bind_key] = sa.MetaData(naming_convention=naming, info={"bind_key": bind_key})
    return db.metadatas[bind_key]


def _yes_or_no(answer: Any, name: str) -> bool:
    """What a check has answered; a method that was never called would count as a yes."""
    if iscoroutine(answer):
        answer.close()
    if isawaitable(answer) or isroutine(answer):
        to_be = "called" if isroutine(answer) else "awaited"
        raise CoinsError(f"{name} answers True or False, not something to be {to_be}.")
    return bool(answer)
