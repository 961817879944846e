"""The SQL about holds, built once; parameters are named as in :mod:`flask_coins._statements`."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from ._models import balances, holds
from ._statements import CHANGE, CHANGE_IF_THERE, LIMIT, NOW, OURS, N, same
from .results import Hold

HOLD = [column for column in holds.columns if column.key not in ("idempotency_key", "closed_at")]
_ROW = same(balances, "user_id", "currency")
_IDS = holds.c.id.in_(sa.bindparam("ids", expanding=True))
_IS_OPEN = holds.c.status == "open"
COUNTS = (_IS_OPEN, sa.or_(holds.c.expires_at.is_(None), holds.c.expires_at > NOW))
"""Of holds that keep coins from being spent at ``now``."""


def hold_of(row: Any) -> Hold:
    """The public :class:`Hold` of a row that selected :data:`HOLD`."""
    values = dict(row._mapping)
    values["subject"] = values["subject"] or None
    return Hold(**values)


INSERT = sa.insert(holds).execution_options(**OURS)
BY_ID = sa.select(*HOLD).where(*same(holds, "id"))
BY_ID_NOW = BY_ID.with_for_update()
"""As it is committed now, on MariaDB too; the row is locked."""
BY_KEY = sa.select(*HOLD).where(*same(holds, "user_id", "idempotency_key"))
BY_KEY_NOW = BY_KEY.with_for_update(read=True)
OVERDUE = sa.select(holds.c.id, holds.c.amount).where(
    *same(holds, "user_id", "currency"), _IS_OPEN, holds.c.expires_at <= NOW
)
OPEN_NOW = sa.select(holds.c.id, holds.c.amount).where(_IDS, _IS_OPEN).with_for_update()
OVERDUE_OWNERS = (
    sa.select(holds.c.user_id, holds.c.currency)
    .where(_IS_OPEN, holds.c.expires_at <= NOW)
    .distinct()
    .order_by(holds.c.user_id, holds.c.currency)
    .limit(LIMIT)
)
_CHANGE = sa.update(holds).execution_options(**OURS)
EXPIRE = _CHANGE.where(_IDS).values(status="expired", closed_at=holds.c.expires_at)
CLOSE = _CHANGE.where(*same(holds, "id")).values(
    status=sa.bindparam("to_status"), closed_at=NOW, entry_id=sa.bindparam("captured_by")
)
NOTE = _CHANGE.where(*same(holds, "id")).values(
    details=sa.bindparam("noted", type_=holds.c.details.type)
)
SET_ASIDE = CHANGE_IF_THERE.values(held=balances.c.held + N, updated_at=NOW)
SET_FREE = CHANGE.values(held=balances.c.held - N, updated_at=NOW)
LISTED = sa.select(*HOLD).where(*same(holds, "user_id", "currency"), *COUNTS).order_by(holds.c.id)
AVAILABLE = sa.select(
    balances.c.balance
    - sa.select(sa.func.coalesce(sa.func.sum(holds.c.amount), 0))
    .where(*same(holds, "user_id", "currency"), *COUNTS)
    .scalar_subquery()
).where(*_ROW)
"""What can be taken: the balance without the holds that are open and not overdue."""
BALANCE_AND_AVAILABLE = sa.select(balances.c.balance, *AVAILABLE.selected_columns).where(*_ROW)
