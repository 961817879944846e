"""The calls that look at all users at once; :class:`~flask_coins.Coins` has them. No SQL stands here."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

from . import _leaderboard, _stats
from ._state import current_state
from .results import Place, Stats
from .windows import Window


class Economy:
    """Leaderboards and figures. A board is one for all, so its windows go by ``COINS_TIMEZONE``.

    A score is what was paid in the window, less what was taken back of that, whenever it was. Users
    who have none, are hidden or were erased have no place.
    """

    def leaderboard(
        self,
        window: str | timedelta | Window | None = None,
        limit: int = 10,
        *,
        reason: str | None = None,
        currency: str = "coins",
    ) -> list[Place]:
        """The first ``limit`` (1 to 1000) places of the present ``window``, or of all time.

        Scores are in units of ``currency``; with ``reason`` only payments for that count. A
        ``Between`` is its season's board at any time. Raises :class:`~flask_coins.InvalidInput` for
        an argument that cannot be.
        """
        state = current_state()
        board = _leaderboard.board(state, window, reason, currency)
        return _leaderboard.named(state, _leaderboard.top(state, board, limit))[0]

    def rank(
        self,
        user: Any = None,
        window: str | timedelta | Window | None = None,
        *,
        reason: str | None = None,
        currency: str = "coins",
    ) -> Place | None:
        """The place of ``user``, or of the current user, on that board; None: they have none.

        Raises :class:`~flask_coins.NoUserError` where that is nobody, else as :meth:`leaderboard`.
        """
        found = self.neighbours(user, window, each_side=0, reason=reason, currency=currency)
        return found[0] if found else None

    def neighbours(
        self,
        user: Any = None,
        window: str | timedelta | Window | None = None,
        *,
        each_side: int = 2,
        reason: str | None = None,
        currency: str = "coins",
    ) -> list[Place]:
        """The place of ``user`` between the ``each_side`` (0 to 100) before and behind, in order.

        Nothing where they have no place. Raises as :meth:`rank`.
        """
        state = current_state()
        board, user_id = _leaderboard.board(state, window, reason, currency), state.user_id(user)
        return _leaderboard.named(state, _leaderboard.around(state, board, user_id, each_side))[0]

    def hide_from_leaderboard(self, user: Any = None, hidden: bool = True) -> None:
        """Leave ``user``, or the current user, out of every leaderboard; with False show them again.

        Nothing else changes: they are paid as before. Writes through ``db.session`` and does not
        commit. Raises as :meth:`rank`.
        """
        _leaderboard.hide(current_state(), user, hidden)

    def is_hidden(self, user: Any = None) -> bool:
        """Whether ``user``, or the current user, is left out of leaderboards. Raises as :meth:`rank`."""
        state = current_state()
        return _leaderboard.is_hidden(state, state.user_id(user))

    def stats(
        self,
        since: datetime | date | None = None,
        until: datetime | date | None = None,
        *,
        currency: str = "coins",
    ) -> Stats:
        """The figures of the economy: what moved from ``since`` to ``until``, and what is there now.

        Both are aware datetimes, of which ``until`` lies behind the period, or dates of the calendar
        of ``COINS_TIMEZONE``, which are whole days and both in it; None: no bound. Amounts are in
        units of ``currency``. Raises :class:`~flask_coins.InvalidInput` for an argument that cannot
        be. It is for the eyes of those who look after the app: names of users are in it.
        """
        return _stats.stats(current_state(), since, until, currency)
