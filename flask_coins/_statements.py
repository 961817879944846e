"""The SQL, built once: Core constructs for every engine, told apart by dialect where they must be.

Bind parameters that pick rows are named ``of_<column>``; ``n`` is a number of coins, ``now`` the
moment of the call.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql, sqlite

from ._claims import Claim, Paid
from ._models import balances, budgets, log
from .errors import CoinsError
from .results import Entry

OWN = "flask_coins"
"""The execution option of our writes: what lacks it is the host's."""
OURS = {OWN: True}
N = sa.bindparam("n", type_=sa.BigInteger)
NOW = sa.bindparam("now", type_=balances.c.updated_at.type)
START = sa.bindparam("start", type_=log.c.created_at.type)
LIMIT = sa.bindparam("limit", type_=sa.Integer)
ZERO: sa.ColumnElement[int] = sa.literal_column("0")
MYSQL_FAMILY = ("mysql", "mariadb")
_MODULES: dict[str, Any] = {
    "postgresql": postgresql,
    "sqlite": sqlite,
    **dict.fromkeys(MYSQL_FAMILY, mysql),
}


def same(table: sa.Table, *names: str) -> list[sa.ColumnElement[bool]]:
    """One condition ``column = :of_column`` for each name."""
    return [table.c[name] == sa.bindparam(f"of_{name}", type_=table.c[name].type) for name in names]


ENTRY = [column for column in log.columns if column.key not in ("once_key", "idempotency_key")]


def entry_of(row: Any, *others: str) -> Entry:
    """The public :class:`Entry` of a row that selected :data:`ENTRY`, and ``others``."""
    values = dict(row._mapping)
    for name in others:
        del values[name]
    values["subject"] = values["subject"] or None
    return Entry(**values)


HELD = (balances.c.balance, balances.c.earned, balances.c.spent)
_ROW = same(balances, "user_id", "currency")
_OF_REASON = same(log, "user_id", "currency", "reason", "subject")
_PAID = (log.c.id, log.c.created_at, log.c.once_key)

ACCOUNT = sa.select(*HELD).where(*_ROW)
"""What a balance row holds; a transaction that changed the row sees it as changed."""
BY_KEY = sa.select(*ENTRY).where(*same(log, "user_id", "idempotency_key"))
_NEWEST = (
    sa.select(sa.func.max(log.c.id)).where(*same(log, "user_id", "currency")).scalar_subquery()
)
ACCOUNT_AND_HELD = ACCOUNT.add_columns(balances.c.held)
ACCOUNT_NOW = ACCOUNT_AND_HELD.with_for_update()
"""What the row holds as it is committed now, on MariaDB too; the row is locked."""
CHANGE = sa.update(balances).execution_options(**OURS).where(*_ROW)
"""What a balance row is changed by; the values are left to say."""
TOUCH = CHANGE.values(updated_at=balances.c.updated_at)
"""Changes nothing: for SQLite, where only a write takes the lock."""
INSERT = sa.insert(log).execution_options(**OURS)

# What counts as a payment is positive, and neither gives a spend back nor comes from a user.
IS_PAYMENT = (log.c.amount > 0, log.c.reverses_id.is_(None), log.c.counterparty.is_(None))
_UNDONE = log.alias()
BOUGHT = sa.select(log.c.created_at).where(
    log.c.amount < 0,
    log.c.reverses_id.is_(None),
    log.c.counterparty.is_(None),
    ~sa.exists().where(_UNDONE.c.user_id == log.c.user_id, _UNDONE.c.reverses_id == log.c.id),
)
"""When coins were spent of which none came back; for whom and on what is left to say."""
_SINCE = (
    sa.select(*_PAID)
    .where(*_OF_REASON, log.c.created_at >= START, *IS_PAYMENT)
    .order_by(log.c.created_at.desc())
    .limit(LIMIT)
)


def claimed(claim: Claim) -> dict[str, Any]:
    """What :func:`look` binds for ``claim``."""
    names = {f"name_{n}": name for n, name in enumerate(claim.known_names)}
    return {"start": claim.period.start, "limit": claim.limit, **names}


@lru_cache
def account(newest: bool) -> sa.Select[Any]:
    """What a balance row holds; with ``newest`` also the newest entry: see :func:`_since`."""
    return ACCOUNT.add_columns(_NEWEST if newest else ZERO)


@lru_cache
def named(count: int) -> sa.Select[Any]:
    """The rows that bear one of ``count`` names of a window."""
    names = [sa.bindparam(f"name_{n}", type_=log.c.once_key.type) for n in range(count)]
    return sa.select(*_PAID).where(*_OF_REASON, log.c.once_key.in_(names))


@lru_cache
def look(count: int, newest: bool) -> sa.CompoundSelect[Any]:
    """The balance row and the paid rows, as one snapshot; with ``newest`` also the newest entry.

    Read by two statements, in the wrong order, a payment between them would go unseen. The row of
    the balance is the one whose ``once_key`` is the empty text.
    """
    moment = balances.c.updated_at.label("at")
    name: sa.Label[str] = sa.literal_column("''", sa.String()).label("once_key")
    held = sa.select(*HELD, moment, name, _NEWEST if newest else ZERO).where(*_ROW)
    parts = [_SINCE.subquery()] + ([named(count).subquery()] if count else [])
    rows = [sa.select(p.c.id, ZERO, ZERO, p.c.created_at, p.c.once_key, ZERO) for p in parts]
    return sa.union_all(held, *rows)


def split(rows: Iterable[Any]) -> tuple[tuple[int, int, int, int] | None, list[Paid]]:
    """What :func:`look` found: the balance row, if there is one, and each paid row once."""
    held, paid = None, {}
    for a, b, c, at, once_key, newest in rows:
        if once_key == "":
            held = (a, b, c, newest)
        else:
            paid[a] = Paid(a, at, once_key)
    return held, list(paid.values())


def _since(columns: Iterable[Any], *where: sa.ColumnElement[bool]) -> sa.Select[Any]:
    """Entries of a user that came after the entry ``seen``, as they are committed now.

    For MariaDB, where at REPEATABLE READ a plain SELECT goes on showing the old snapshot. A locking
    read locks a gap besides, in the index that it reads: in this one only those who never had an
    entry put one into another's gap. In the indexes of the other looks, everybody does.
    """
    found = sa.select(*columns).where(
        *same(log, "user_id", "currency"), log.c.id > sa.bindparam("seen", type_=sa.BigInteger)
    )
    for dialect in MYSQL_FAMILY:
        found = found.with_hint(log, "FORCE INDEX (ix_coin_log_user)", dialect)
    return found.where(*where).order_by(log.c.id).with_for_update(read=True)


PAID_SINCE = _since(_PAID, *same(log, "reason", "subject"), *IS_PAYMENT)
KEY_SINCE = _since(ENTRY, *same(log, "idempotency_key"))

_IS_REVERSAL = (*same(log, "user_id", "reverses_id"),)
REVERSALS = sa.select(log.c.id, log.c.amount).where(*_IS_REVERSAL)
"""What was given back, or taken back, of an entry."""
REVERSALS_SINCE = _since((log.c.id, log.c.amount), *_IS_REVERSAL)

BY_ID = sa.select(*ENTRY).where(*same(log, "id"))
RECEIVED = sa.select(*ENTRY).where(*same(log, "user_id", "transfer_id"))
"""The recipient's entry of a transfer."""

_SEEN = sa.bindparam("seen", type_=sa.BigInteger)


@lru_cache
def minted(of_reason: bool, each: bool, seen: bool = False) -> sa.Select[Any]:
    """How much a user was paid since ``start``, and when last; with ``each`` payment by payment.

    With ``seen`` only up to that entry.
    """
    columns = (log.c.created_at, log.c.amount)
    if not each:
        total = sa.func.coalesce(sa.func.sum(log.c.amount), 0)
        columns = (sa.func.max(log.c.created_at), total)  # type: ignore[assignment]
    found = sa.select(*columns).where(
        *same(log, "user_id", "currency", *(["reason"] if of_reason else [])),
        log.c.created_at >= START,
        *IS_PAYMENT,
    )
    return found.where(log.c.id <= _SEEN) if seen else found


@lru_cache
def minted_since(of_reason: bool) -> sa.Select[Any]:
    """The same behind that entry: see :func:`_since`."""
    reason = same(log, "reason") if of_reason else []
    return _since((log.c.created_at, log.c.amount), *reason, log.c.created_at >= START, *IS_PAYMENT)


_BUDGET_ROW = [
    budgets.c[name] == sa.bindparam(f"budget_{name}", type_=budgets.c[name].type)
    for name in ("currency", "reason", "period")
]
_MOST = sa.bindparam("most", type_=sa.BigInteger)
BUDGET = sa.select(budgets.c.minted).where(*_BUDGET_ROW)
"""What a budget of the app has paid in its window."""
BUDGET_NOW = BUDGET.with_for_update()
"""The same as it is committed now; the row is locked."""
_CHANGE_BUDGET = sa.update(budgets).execution_options(**OURS).where(*_BUDGET_ROW)
MINT = _CHANGE_BUDGET.where(budgets.c.minted <= _MOST - N).values(
    minted=budgets.c.minted + N, updated_at=NOW
)
UNMINT = _CHANGE_BUDGET.values(minted=budgets.c.minted - N)


@lru_cache
def open_budget(dialect: str) -> Any:
    """Make the row of a budget's window where it is not there yet."""
    insert = (
        insert_for(dialect, budgets)
        .execution_options(**OURS)
        .values(
            currency=sa.bindparam("budget_currency"),
            reason=sa.bindparam("budget_reason"),
            period=sa.bindparam("budget_period"),
            minted=ZERO,
            updated_at=NOW,
        )
    )
    if dialect in MYSQL_FAMILY:
        return insert.on_duplicate_key_update(minted=budgets.c.minted)
    return insert.on_conflict_do_nothing()


def insert_for(dialect: str, table: sa.Table) -> Any:
    """The INSERT of an engine, which knows what to do where the row is there already."""
    module = _MODULES.get(dialect)
    if module is None:
        raise CoinsError(
            f"Flask-Coins knows SQLite, PostgreSQL, MariaDB and MySQL, and not {dialect!r}."
        )
    return module.insert(table)


@lru_cache
def earn(dialect: str) -> Any:
    """Add ``n`` to the balance row, made first where there is none: this takes its lock."""
    insert = (
        insert_for(dialect, balances)
        .execution_options(**OURS)
        .values(
            user_id=sa.bindparam("of_user_id"),
            currency=sa.bindparam("of_currency"),
            balance=N,
            earned=N,
            spent=ZERO,
            updated_at=NOW,
        )
    )
    change = {
        "balance": balances.c.balance + N,
        "earned": balances.c.earned + N,
        "updated_at": NOW,
    }
    if dialect in MYSQL_FAMILY:
        return insert.on_duplicate_key_update(change)
    keys = [balances.c.user_id, balances.c.currency]
    return insert.on_conflict_do_update(index_elements=keys, set_=change)


def _earn_and_enter() -> sa.Select[Any]:
    """For PostgreSQL: :func:`earn`, and the entry with it where nobody moved coins since the look.

    The row is ``(balance, earned, spent, id)``; where somebody did there is no entry, and no id.
    """
    earned = returning(earn("postgresql")).cte("earned")
    types = log.c
    values = {
        "user_id": sa.bindparam("of_user_id", type_=types.user_id.type),
        "currency": sa.bindparam("of_currency", type_=types.currency.type),
        "amount": N,
        "balance_after": earned.c.balance,
        "reason": sa.bindparam("of_reason", type_=types.reason.type),
        "subject": sa.bindparam("of_subject", type_=types.subject.type),
        "once_key": sa.bindparam("once_key", type_=types.once_key.type),
        "created_at": NOW,
        "details": sa.bindparam("details", type_=types.details.type),
    }
    unmoved = (
        earned.c.earned == sa.bindparam("earned_before", type_=sa.BigInteger) + N,
        earned.c.spent == sa.bindparam("spent_before", type_=sa.BigInteger),
    )
    entry = sa.insert(log).from_select(list(values), sa.select(*values.values()).where(*unmoved))
    entered = entry.returning(log.c.id).cte("entered")
    both = earned.outerjoin(entered, sa.true())
    statement = sa.select(*earned.c, entered.c.id).select_from(both)
    return statement.execution_options(**OURS)


@lru_cache
def returning(change: Any) -> Any:
    """``change`` of a balance row, answering with what the row holds afterwards."""
    return change.returning(*HELD)


EARN_AND_ENTER = _earn_and_enter()
UNEARN = CHANGE.values(balance=balances.c.balance - N, earned=balances.c.earned - N)
CHANGE_IF_THERE = CHANGE.where(balances.c.balance - balances.c.held >= N)
"""The same, where ``n`` coins are there to be taken."""
SPEND = CHANGE_IF_THERE.values(
    balance=balances.c.balance - N, spent=balances.c.spent + N, updated_at=NOW
)
UNSPEND = CHANGE.values(balance=balances.c.balance + N, spent=balances.c.spent - N)
