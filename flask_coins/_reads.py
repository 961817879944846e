"""The calls that read; :class:`~flask_coins.Coins` has them all. No SQL stands here."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, TypeVar, overload

import sqlalchemy as sa

from . import _checks, _queries, _streaks
from ._rewards import status
from ._state import current_state
from .errors import CoinsError, InvalidInput
from .results import Entry, Hold, Reward, Streak
from .windows import Window, parse

T = TypeVar("T")


class Balances(dict[str, int]):
    """Balances by the text of the id; asked with an int, a UUID or an object, it finds them too."""

    def __getitem__(self, user: Any, /) -> int:
        key = user if type(user) is str else _checks.user_id(user, forgotten=True)
        return super().__getitem__(key)

    def __contains__(self, user: Any, /) -> bool:
        with suppress(CoinsError):
            return super().__contains__(_checks.user_id(user, forgotten=True))
        return False

    @overload
    def get(self, user: Any, default: None = None, /) -> int | None: ...
    @overload
    def get(self, user: Any, default: T, /) -> int | T: ...
    def get(self, user: Any, default: Any = None, /) -> Any:
        """What ``user``, in any form, has; ``default`` for whom the call was not asked of."""
        return self[user] if user in self else default  # noqa: SIM401 - it is what get() does


class Reading:
    """What reads; where ``user`` is left out the current user is meant."""

    def now(self) -> datetime:
        """The moment that a call made now would see, aware, in UTC: the clock's, or a traveller's."""
        return current_state().now()

    def balance(self, user: Any = None, currency: str = "coins") -> int:
        """What ``user``, or the current user, has, in units of ``currency``; 0 without an entry.

        Raises :class:`~flask_coins.NoUserError` where that is nobody, and
        :class:`~flask_coins.InvalidInput` for a user or currency that cannot be.
        """
        return current_state().balance(user, currency)

    def available(self, user: Any = None, currency: str = "coins") -> int:
        """What ``user`` can spend, in units of ``currency``: the balance without open holds.

        Raises as :meth:`balance`.
        """
        state = current_state()
        currency = _checks.currency(currency)
        return state.reader.available(state.session, state.user_id(user), currency, state.now())

    def holds(self, user: Any = None, currency: str = "coins") -> list[Hold]:
        """The holds of ``user`` that are open and not overdue, oldest first. Raises as :meth:`balance`."""
        state = current_state()
        currency = _checks.currency(currency)
        return state.reader.holds(state.session, state.user_id(user), currency, state.now())

    def balance_at(self, user: Any, when: datetime, currency: str = "coins") -> int:
        """What ``user`` had at ``when``, an aware datetime: the sum of what had moved by then.

        An entry counts from its ``created_at`` on, also one that was imported later. Raises
        :class:`~flask_coins.InvalidInput` for a naive ``when`` and for one outside of the years 1001
        to 9998, else as :meth:`balance`.
        """
        if not isinstance(when, datetime) or when.tzinfo is None:
            raise InvalidInput(f"when is an aware datetime, not {_checks.shown(when)}.")
        if not 1000 < when.year < 9999:
            raise InvalidInput(f"when lies in the years 1001 to 9998, not at {when}.")
        state = current_state()
        currency = _checks.currency(currency)
        return state.reader.balance_at(state.session, state.user_id(user), currency, when)

    def streak(
        self,
        user: Any = None,
        reason: str = "daily_login",
        window: str | timedelta | Window = "day",
        *,
        currency: str = "coins",
        freeze: str = "streak_freeze",
    ) -> Streak:
        """How many days, weeks, months or years in a row ``user`` was paid for ``reason``.

        Payments are those in ``currency``, also if they were reversed. A missed one is bridged by a
        freeze that was bought before it was over: each spend with the reason ``freeze`` and the
        subject ``reason``, in any currency, is one, unless it was reversed or a part of it was. It is
        read from the log as a whole, in the user's zone. :class:`~flask_coins.InvalidInput` for
        another kind of window; raises else as :meth:`balance`.
        """
        state, window = current_state(), _streaks.dated(parse(window))
        reason, freeze = _checks.reason(reason), _checks.reason(freeze)
        user_id, session = state.user_id(user), state.session
        return _streaks.counted(
            window,
            state.zone(user_id),
            state.now(),
            state.reader.payments(session, user_id, _checks.currency(currency), reason),
            state.reader.bought(session, user_id, freeze, reason),
        ).streak

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
