"""The extension object: set-up, loaders, and the calls that hosts make. No SQL stands here."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from inspect import isawaitable, iscoroutine
from typing import Any, TypeVar

import sqlalchemy as sa
from flask import Blueprint, Flask, current_app, has_app_context
from flask_sqlalchemy import SQLAlchemy

from . import _checks, _install, _models, _queries, _session, _settings, _wiring
from ._cli import coins_cli
from ._decorators import Rule, award_once
from ._rewards import status
from ._state import Loaders, State, current_state, utc_now
from ._visit import pay_for_signal
from .blueprint import make_blueprint
from .errors import CoinsError, InvalidAmount, InvalidInput
from .results import Entry, Receipt, Reward
from .windows import Window, parse

F = TypeVar("F", bound=Callable[..., Any])
_MISSING: Any = object()


class Coins:
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
        self._clock = utc_now if clock is None else _checks.function(clock, "clock")
        self._bind_key = bind_key
        self._loaders = Loaders(sets_user=_wiring.sets_user)
        #: The JSON API; registered for you unless ``COINS_URL_PREFIX`` is None.
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
        app.teardown_appcontext(state.warn_of_lost_entries)
        app.jinja_env.globals.setdefault("coins", self)
        app.cli.add_command(coins_cli)
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
        one; so for the other two.
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
            return _not_awaitable(check(user_id, reason))

        self._loaders.eligible = answer
        return check

    # -- moving coins -------------------------------------------------------------------------

    def award(
        self,
        user: Any,
        amount: int = _MISSING,
        reason: str = "xp_bonus",
        *,
        subject: Any = None,
        idempotency_key: str | None = None,
        currency: str = "coins",
        details: Any = None,
    ) -> Receipt:
        """Pay ``amount`` coins, in units of ``currency``; every call is one entry of the log.

        Where the ``eligible_check`` refuses, the Receipt is EXCLUDED and nothing is written.
        A call with an ``idempotency_key`` (1 to 128 characters, per user) that was used before
        answers REPLAYED with the first entry, or raises
        :class:`~flask_coins.IdempotencyConflict` where it differs. ``details`` is kept as JSON.
        Writes through ``db.session`` and does not commit.
        """
        _refuse_decoration("award", amount, reason)
        state = current_state()
        return state.award(
            state.movement(
                user,
                amount,
                reason,
                subject=subject,
                idempotency_key=idempotency_key,
                currency=currency,
                details=details,
            )
        )

    def award_once(
        self,
        user: Any,
        amount: int = _MISSING,
        reason: str = _MISSING,
        window: str | timedelta | Window = "day",
        *,
        subject: Any = None,
        limit: int = 1,
        currency: str = "coins",
        details: Any = None,
    ) -> Receipt:
        """Pay unless the log holds ``limit`` payments of this reason and subject in ``window``.

        Any payment counts, also one by :meth:`award`. A refusal is a Receipt too: ALREADY or NOT_OPEN
        with ``next_at``, or EXCLUDED. Writes through ``db.session`` and does not commit.
        """
        _refuse_decoration("award_once", amount, reason)
        state, window, limit = current_state(), parse(window), _checks.limit(limit)
        movement = state.movement(
            user, amount, reason, subject=subject, currency=currency, details=details
        )
        return state.award_once(movement, window, limit)

    def award_xp(
        self,
        user: Any,
        xp: int,
        reason: str = "xp_bonus",
        *,
        subject: Any = None,
        idempotency_key: str | None = None,
        currency: str = "coins",
        details: Any = None,
    ) -> Receipt:
        """Pay what ``xp`` is worth: one coin for each ``COINS_XP_PER_COIN``, rounded down.

        Less than a coin is NOTHING_DUE. The rest is as in :meth:`award`.
        """
        if type(xp) is not int or xp < 0:
            raise InvalidAmount(f"XP are an int from 0, not {_checks.shown(xp)}.")
        state = current_state()
        coins = xp // state.settings.xp_per_coin
        movement = state.movement(
            user,
            coins or 1,
            reason,
            subject=subject,
            idempotency_key=idempotency_key,
            currency=currency,
            details=details,
        )
        return state.award(movement) if coins else state.nothing_due(movement)

    def spend(
        self,
        user: Any,
        amount: int,
        reason: str,
        *,
        subject: Any = None,
        idempotency_key: str | None = None,
        currency: str = "coins",
        details: Any = None,
    ) -> Receipt:
        """Take ``amount`` coins, or raise :class:`~flask_coins.InsufficientCoins` before any write.

        ``idempotency_key`` is as in :meth:`award`. Writes through ``db.session`` and does not commit.
        """
        state = current_state()
        return state.spend(
            state.movement(
                user,
                amount,
                reason,
                subject=subject,
                idempotency_key=idempotency_key,
                currency=currency,
                details=details,
                sign=-1,
            )
        )

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

    # -- reading ------------------------------------------------------------------------------

    def now(self) -> datetime:
        """The moment that a call made now would see, aware, in UTC: the clock's, or a traveller's."""
        return current_state().now()

    def balance(self, user: Any = None, currency: str = "coins") -> int:
        """What ``user``, or the current user, has, in units of ``currency``; 0 without an entry.

        Raises :class:`~flask_coins.NoUserError` where that is nobody, and
        :class:`~flask_coins.InvalidInput` for a user or currency that cannot be.
        """
        return current_state().balance(user, currency)

    def balances(self, users: Iterable[Any], currency: str = "coins") -> Balances:
        """What each of ``users`` has, in units of ``currency``, by id as text.

        The answer can be asked by any form of a user. Raises :class:`~flask_coins.InvalidInput`
        unless ``users`` is a list or another iterable of users, and
        :class:`~flask_coins.NoUserError` where one of them is nobody.
        """
        state = current_state()
        ids = _checks.user_ids(users)
        return Balances(state.reader.balances(state.session, ids, _checks.currency(currency)))

    def balance_of(self, key: Any, currency: str = "coins") -> sa.ColumnElement[int]:
        """A balance as a SQL expression for a host's own SELECT, as in ``balance_of(User.id)``.

        ``key`` is the column that identifies users; integers and UUIDs are converted in SQL. A text
        is :class:`~flask_coins.InvalidInput`: it would be one user's id, and no column's name.
        """
        if isinstance(key, str):
            raise InvalidInput(f"balance_of() takes a column such as User.id, not {key!r}.")
        return _queries.balance_of(key, _checks.currency(currency))

    def history(
        self,
        user: Any = None,
        limit: int = 50,
        before: int | None = None,
        currency: str = "coins",
    ) -> list[Entry]:
        """Up to ``limit`` (1 to 1000) entries, newest first.

        For the next page pass the last entry's id as ``before``. Amounts are in units of
        ``currency``. Raises :class:`~flask_coins.NoUserError` without a user, and
        :class:`~flask_coins.InvalidInput` for any other argument that cannot be.
        """
        return current_state().history(user, limit, before, currency)

    def status(self, user: Any = None) -> list[Reward]:
        """Each reward of the app as it stands for ``user``, or for the current user.

        Its amount is in units of its ``currency``. Raises :class:`~flask_coins.NoUserError` without a
        user, and :class:`~flask_coins.InvalidInput` for what is no user.
        """
        return status(current_state(), user)

    def cache_clear(self) -> None:
        """Forget the refusals that this process remembers, after a restore or a deletion by hand."""
        current_state().refusals.clear()


class Balances(dict[str, int]):
    """Balances by the text of the id; asked with an int, a UUID or an object, it finds them too."""

    def __missing__(self, user: Any) -> int:
        key = _checks.user_id(user)
        if key is user or key not in self:
            raise KeyError(user)
        return self[key]


def _database(app: Any, db: Any) -> SQLAlchemy:
    """The database to set up on; a clear error where something stands in the way."""
    if not isinstance(app, Flask):
        raise InvalidInput(
            f"coins.init_app(app, db) takes the app first, not {_checks.shown(app)}."
        )
    if "coins" in app.extensions:
        raise CoinsError(f"Flask-Coins is set up on {app.name!r} already: call init_app once.")
    found = app.extensions.get("sqlalchemy") if db is None else db
    if found is None or "sqlalchemy" not in app.extensions:
        raise CoinsError("Call db.init_app(app) first, then coins.init_app(app, db).")
    if not isinstance(found, SQLAlchemy):
        raise InvalidInput(f"db is Flask-SQLAlchemy's SQLAlchemy(), not {_checks.shown(found)}.")
    return found


def _metadata(db: SQLAlchemy, bind_key: str | None) -> sa.MetaData:
    if bind_key not in db.metadatas:
        naming = db.metadata.naming_convention
        db.metadatas[bind_key] = sa.MetaData(naming_convention=naming, info={"bind_key": bind_key})
    return db.metadatas[bind_key]


def _not_awaitable(answer: Any) -> bool:
    if isawaitable(answer):
        if iscoroutine(answer):
            answer.close()
        raise InvalidInput("An eligible_check answers True or False, not something to be awaited.")
    return bool(answer)


def _refuse_decoration(name: str, amount: Any, reason: Any) -> None:
    """Say both ways where a call looks as if it were meant for a view."""
    ways = (
        f"coins.{name}(user, amount, reason, ...) pays now, and got {{}}. To decorate a view:"
        f" from flask_coins import {name}, then @{name}(amount, reason, ...)."
    )
    if isinstance(amount, str):
        raise InvalidAmount(ways.format(f"the amount {amount!r}"))
    if amount is _MISSING or reason is _MISSING:
        raise TypeError(ways.format(f"no {'amount' if amount is _MISSING else 'reason'}"))
