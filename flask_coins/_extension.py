"""The extension object: set-up, loaders, and the calls that hosts make. No SQL stands here."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, TypeVar

import sqlalchemy as sa
from flask import Blueprint, Flask
from flask_sqlalchemy import SQLAlchemy

from . import _checks, _install, _models, _queries, _session, _settings, _wiring
from ._cli import coins_cli
from ._decorators import Rule, award_once
from ._rewards import status
from ._state import Loaders, State, current_state, utc_now
from ._visit import pay_for_signal
from .blueprint import make_blueprint
from .errors import CoinsError, InvalidAmount
from .results import Entry, Receipt, Reward
from .windows import parse

F = TypeVar("F", bound=Callable[..., Any])


class Coins:
    """A coin log, a balance that agrees with it, and rewards that pay exactly once per window.

    Make one, then call :meth:`init_app` for each app. ``clock`` is called for the moment of every
    call and returns an aware datetime; ``bind_key`` names the database of ``SQLALCHEMY_BINDS`` that
    holds the tables.

    The calls that move coins write through ``db.session`` and never commit: a rollback of the host's
    takes them along. When the database gives up, they raise :class:`~flask_coins.CoinsRetry` with
    the session rolled back; :class:`~flask_coins.MissingTablesError` says that the tables are not
    there; :class:`~flask_coins.InvalidInput` comes before any SQL.
    """

    def __init__(
        self,
        app: Flask | None = None,
        db: SQLAlchemy | None = None,
        *,
        clock: Callable[[], datetime] | None = None,
        bind_key: str | None = None,
    ) -> None:
        self._clock = clock or utc_now
        self._bind_key = bind_key
        self._loaders = Loaders()
        #: The pages and the JSON API; registered for you unless ``COINS_URL_PREFIX`` is None.
        self.blueprint: Blueprint = make_blueprint()
        if app is not None:
            self.init_app(app, db)

    def init_app(self, app: Flask, db: SQLAlchemy | None = None) -> None:
        """Set the extension up on ``app``, after ``db.init_app(app)``.

        Without ``db`` it takes the one that Flask-SQLAlchemy has on the app. Raises
        :class:`~flask_coins.CoinsError` when there is none, when the app has Flask-Coins already, or
        when a ``coin_log`` of another make stands in ``db.metadata``.
        """
        if "coins" in app.extensions:
            raise CoinsError(f"Flask-Coins is set up on {app.name!r} already: call init_app once.")
        db = db or app.extensions.get("sqlalchemy")
        if db is None or "sqlalchemy" not in app.extensions:
            raise CoinsError("Call db.init_app(app) first, then coins.init_app(app, db).")
        settings = _settings.read(app.config)
        table = _models.copy_tables(_metadata(db, self._bind_key))
        _models.Base.metadata.info["bind_key"] = self._bind_key
        state = State(app, db, settings, self._loaders, table, self._clock)
        app.extensions["coins"] = state
        _session.watch(db.session)
        app.teardown_appcontext(state.warn_of_lost_entries)
        app.jinja_env.globals.setdefault("coins", self)
        app.cli.add_command(coins_cli)
        _install.connect(app, self._bind_key)
        if settings.url_prefix is not None:
            app.register_blueprint(self.blueprint, url_prefix=settings.url_prefix)
        app.before_request(_wiring.warn_once(state))

    # -- what the host tells us ---------------------------------------------------------------

    def current_user_loader(self, loader: F) -> F:
        """Register ``loader()``: the current user or their id, or None for nobody.

        By default Flask-Login's ``current_user`` is taken, else ``g.user``. It is asked after the
        view has run.
        """
        self._loaders.current_user = loader
        return loader

    def timezone_loader(self, loader: F) -> F:
        """Register ``loader(user_id)``: an IANA name or a tzinfo; None stands for the default."""
        self._loaders.timezone = loader
        return loader

    def eligible_check(self, check: F) -> F:
        """Register ``check(user_id, reason)``: False refuses an award with EXCLUDED."""
        self._loaders.eligible = check
        return check

    # -- moving coins -------------------------------------------------------------------------

    def award(
        self,
        user: Any,
        amount: int,
        reason: str = "xp_bonus",
        *,
        subject: Any = None,
        idempotency_key: str | None = None,
        currency: str = "coins",
        details: Any = None,
    ) -> Receipt:
        """Pay ``amount`` coins; every call is one entry of the log.

        A call with an ``idempotency_key`` (1 to 128 characters, per user) that was used before
        answers REPLAYED with the first entry, or raises
        :class:`~flask_coins.IdempotencyConflict` where it differs. ``details`` is kept as JSON.
        Writes through ``db.session`` and does not commit.
        """
        _refuse_decoration("award", amount)
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
        amount: int,
        reason: str,
        window: Any = "day",
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
        _refuse_decoration("award_once", amount)
        state, window, limit = current_state(), parse(window), _checks.limit(limit)
        movement = state.movement(
            user, amount, reason, subject=subject, currency=currency, details=details
        )
        return state.award_once(movement, window, limit)

    def award_xp(self, user: Any, xp: int, reason: str = "xp_bonus", **options: Any) -> Receipt:
        """Pay what ``xp`` is worth: one coin for each ``COINS_XP_PER_COIN``, rounded down.

        Less than a coin is NOTHING_DUE. ``options`` are those of :meth:`award`, which says the rest.
        """
        if type(xp) is not int or xp < 0:
            raise InvalidAmount(f"XP are an int from 0, not {_checks.shown(xp)}.")
        state = current_state()
        coins = xp // state.settings.xp_per_coin
        movement = state.movement(user, coins or 1, reason, **options)
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
        window: Any = "day",
        *,
        user: Any = None,
        subject: Any = None,
        when: Callable[[Any], Any] | None = None,
    ) -> Rule:
        """Pay whenever a blinker ``signal`` is sent, by the rules of a decorated view.

        Callables are given the signal's keyword arguments as one dict; texts are formatted with
        them. The user is the signal's ``user`` argument, else the current user. In a request the
        payment comes after the view; outside of one at once, and it is committed unless the session
        holds changes of the host's.
        """
        rule = award_once(amount, reason, window, user=user, subject=subject, when=when)
        self._loaders.signal_rules.append(rule)

        def receive(sender: Any, **sent: Any) -> None:
            if current_state().loaders is self._loaders:
                pay_for_signal(rule, sent)

        signal.connect(receive, weak=False)
        return rule

    # -- reading ------------------------------------------------------------------------------

    def now(self) -> datetime:
        """The moment that a call made now would see, aware, in UTC: the clock's, or a traveller's."""
        return current_state().now()

    def balance(self, user: Any = None, currency: str = "coins") -> int:
        """What ``user``, or the current user, has."""
        return current_state().balance(user, currency)

    def balances(self, users: Iterable[Any], currency: str = "coins") -> Balances:
        """What each of ``users`` has, by id as text; can be asked by any form of a user."""
        state = current_state()
        ids = [_checks.user_id(user) for user in users]
        return Balances(state.reader.balances(state.session, ids, _checks.currency(currency)))

    def balance_of(self, key: Any, currency: str = "coins") -> sa.ColumnElement[int]:
        """A balance as a SQL expression for a host's own SELECT, as in ``balance_of(User.id)``.

        ``key`` is the column that identifies users; integers and UUIDs are converted in SQL.
        """
        return _queries.balance_of(key, _checks.currency(currency))

    def history(
        self,
        user: Any = None,
        limit: int = 50,
        before: int | None = None,
        currency: str = "coins",
    ) -> list[Entry]:
        """Up to ``limit`` (1 to 1000) entries, newest first.

        For the next page pass the last entry's id as ``before``.
        """
        return current_state().history(user, limit, before, currency)

    def status(self, user: Any = None) -> list[Reward]:
        """Each reward of the app as it stands for ``user``, or for the current user."""
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


def _metadata(db: SQLAlchemy, bind_key: str | None) -> sa.MetaData:
    if bind_key not in db.metadatas:
        naming = db.metadata.naming_convention
        db.metadatas[bind_key] = sa.MetaData(naming_convention=naming, info={"bind_key": bind_key})
    return db.metadatas[bind_key]


def _refuse_decoration(name: str, amount: Any) -> None:
    if isinstance(amount, str):
        raise InvalidAmount(
            f"coins.{name}(user, amount, reason, ...) pays now, and got the amount {amount!r}. To"
            f" decorate a view: from flask_coins import {name}, then @{name}(amount, reason, ...)."
        )
