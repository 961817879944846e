"""The tables as views of Flask-Admin: to be looked at, and changed only through the ledger."""

from __future__ import annotations

from typing import Any

from flask import abort, flash
from flask_sqlalchemy import SQLAlchemy
from markupsafe import Markup

from . import _checks, _moves, _words
from ._commits import committed
from ._extras import needed
from ._models import CoinBalance, CoinEntry, CoinHold
from ._state import State, current_state
from .blueprint import _csrf, _layout
from .blueprint._pages import signed_in
from .errors import CoinsError, InvalidInput

with needed("admin"):
    from flask_admin import Admin
    from flask_admin.actions import action
    from flask_admin.contrib.sqla import ModelView
    from flask_admin.form import BaseForm

_NOTE = "Flask-Admin"


def add_views(admin: Admin, db: SQLAlchemy, *, category: str = "Coins") -> None:
    """Add the log, the balances and the holds to ``admin``, under ``category`` of its menu.

    Only whom the ``admin_check`` lets in sees them. Nothing can be made, edited or deleted. Entries
    can be taken back, and holds released, by the rules of the ledger and with the admin's id in the
    details; users' ids lead to the page where coins are paid or taken.
    :class:`~flask_coins.InvalidInput` unless ``admin`` is Flask-Admin's and ``db``
    Flask-SQLAlchemy's.
    """
    if not isinstance(admin, Admin):
        raise InvalidInput(f"admin is Flask-Admin's Admin(), not {_checks.shown(admin)}.")
    if not isinstance(db, SQLAlchemy):
        raise InvalidInput(f"db is Flask-SQLAlchemy's SQLAlchemy(), not {_checks.shown(db)}.")
    views = (
        EntryView(CoinEntry, db, name="Entries", category=category, endpoint="coin_entries"),
        BalanceView(CoinBalance, db, name="Balances", category=category, endpoint="coin_balances"),
        HoldView(CoinHold, db, name="Holds", category=category, endpoint="coin_holds"),
    )
    for view in views:
        admin.add_view(view)


class _Form(BaseForm):  # type: ignore[misc]
    @property
    def csrf_token(self) -> Markup:
        return _csrf.field()


class CoinsView(ModelView):  # type: ignore[misc]
    """A table that is only read, by those whom the ``admin_check`` lets in."""

    can_create = can_edit = can_delete = can_export = False
    can_view_details = True
    column_display_pk = True
    column_filters: tuple[str, ...] = ("user_id", "currency")
    simple_list_pager = True  # a log is too long to be counted for each page
    page_size = 50
    form_base_class = _Form

    def is_accessible(self) -> bool:
        """Whether the current user may see it."""
        state = current_state()
        return not _checks.is_anonymous(state.current_user()) and state.loaders.is_admin()

    def inaccessible_callback(self, name: str, **kwargs: Any) -> Any:
        """To the login page, or 403."""
        signed_in()
        abort(403)

    def validate_form(self, form: Any) -> bool:
        """Refuse a form without its token with status 400."""
        _csrf.check()
        return bool(super().validate_form(form))

    def _user(self, context: Any, row: Any, name: str) -> Any:
        """The id, as a link to the user's page."""
        user_id = getattr(row, name)
        if user_id is None:
            return ""
        page = _layout.url("admin_user", id=user_id, currency=row.currency)
        return Markup('<a href="{}">{}</a>').format(page, user_id)

    column_formatters = {"user_id": _user, "counterparty": _user}  # noqa: RUF012  # Flask-Admin's way
    column_formatters_detail = column_formatters


class EntryView(CoinsView):
    """The log."""

    column_default_sort = ("id", True)
    column_list = (
        *(
            "id",
            "created_at",
            "user_id",
            "currency",
            "amount",
            "balance_after",
            "reason",
            "subject",
        ),
        *("counterparty", "reverses_id", "details"),
    )
    column_filters = (*CoinsView.column_filters, "reason")

    @action("take_back", "Take back", "Take all that is left of these entries back?")  # type: ignore[untyped-decorator]
    def take_back(self, ids: list[str]) -> None:
        """Reverse all that is left of these entries, or none of them."""

        def work(state: State, details: dict[str, str]) -> None:
            reason = state.settings.adjustment_reason
            for each in ids:
                entry = _id(each)
                _moves.reverse(
                    state, entry, reason, amount=None, idempotency_key=None, details=details
                )

        _done(work)


class BalanceView(CoinsView):
    """What users have."""

    column_list = ("user_id", "currency", "balance", "held", "earned", "spent", "updated_at")
    column_default_sort = "user_id"


class HoldView(CoinsView):
    """What is set aside, and what was."""

    column_default_sort = ("id", True)
    column_list = (
        *("id", "created_at", "user_id", "currency", "amount", "reason", "subject", "status"),
        *("expires_at", "closed_at", "entry_id", "details"),
    )
    column_filters = (*CoinsView.column_filters, "status")

    @action("release", "Release", "Set the coins of these holds free?")  # type: ignore[untyped-decorator]
    def release(self, ids: list[str]) -> None:
        """Release these holds, or none of them."""

        def work(state: State, details: dict[str, str]) -> None:
            for each in ids:
                _moves.release(state, _id(each), details)

        _done(work)


def _id(row: str) -> int:
    """The id of a row that was chosen, or 400 for what no page sends."""
    if not (row.isascii() and row.isdigit() and len(row) < 20):
        abort(400)
    return int(row)


def _done(work: Any) -> None:
    """Do it in a transaction of its own, and flash how that went."""
    _, user_id = signed_in()
    details = {"by": user_id, "note": _NOTE}
    try:
        committed(lambda state: work(state, details))
    except CoinsError as error:
        flash(_words.text("Nothing was changed: %(why)s", why=error), "error")
    else:
        flash(_words.text("Done."), "success")
