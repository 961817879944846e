"""Reads of leaderboards, through a session, and the one row that hides a user from them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy.orm import Session

from . import _leaderboard_statements as sql
from ._faults import whole
from ._queries import Reader
from .results import Place
from .windows import Period


class Board(NamedTuple):
    """What is counted: the payments of a currency, of a reason or of all, in a stretch of time."""

    currency: str
    reason: str | None = None
    period: Period | None = None
    """None: all time."""

    @property
    def which(self) -> tuple[bool, bool]:
        """Whether it is of a stretch of time, and whether of one reason."""
        return self.period is not None, self.reason is not None

    @property
    def params(self) -> dict[str, Any]:
        """What its statements bind."""
        period = {"start": self.period.start, "end": self.period.end} if self.period else {}
        return {"of_currency": self.currency, "of_reason": self.reason, **period}


class BoardReader(Reader):
    """Places without names, from the database that the table is bound to."""

    def top(
        self, session: Session, board: Board, limit: int, everyone: bool = False
    ) -> list[Place]:
        """The first ``limit`` places; for ``everyone`` also of those who are hidden."""
        rows = self._rows(
            session, sql.top(*board.which, everyone), {**board.params, "limit": limit}
        )
        places: list[Place] = []
        for line, (user_id, score) in enumerate(rows, 1):
            ties = bool(places) and places[-1].score == score
            places.append(Place(places[-1].rank if ties else line, user_id, int(score)))
        return places

    def around(self, session: Session, board: Board, user_id: str, each_side: int) -> list[Place]:
        """The user's place and those on either side; none without a place."""
        params = {**board.params, "me": user_id, "each_side": each_side}
        rows = self._rows(session, sql.around(*board.which), params)
        return [Place(rank, user_id, int(score)) for rank, user_id, score in rows]

    def is_hidden(self, session: Session, user_id: str) -> bool:
        """Whether the user is left out of every board."""
        return bool(self._rows(session, sql.IS_HIDDEN, {"of_user_id": user_id}))

    def hide(self, session: Session, user_id: str, now: datetime) -> None:
        """Leave the user out of every board."""
        with whole(session):
            connection = session.connection(bind_arguments={"clause": self.table})
            statement = sql.hide(connection.dialect.name)
            connection.execute(statement, {"of_user_id": user_id, "now": now})

    def show(self, session: Session, user_id: str) -> None:
        """Show the user again."""
        with whole(session):
            connection = session.connection(bind_arguments={"clause": self.table})
            connection.execute(sql.SHOW, {"of_user_id": user_id})
