"""The streak, on a calendar."""

from calendar import monthrange
from datetime import date

from flask import Blueprint, abort, render_template, request
from flask_login import current_user, login_required

from ..extensions import coins
from ..streaks import DAY, days

bp = Blueprint("streaks", __name__, url_prefix="/streak")


@bp.get("/")
@login_required
def index() -> str:
    """The month of ``?month=2026-11``, the present one by default."""
    first, streak = asked_month(), coins.streak()
    last = first.replace(day=monthrange(first.year, first.month)[1])
    return render_template(
        "streak.html",
        streak=streak,
        first=first,
        days=days(current_user, streak, first, last),
        earlier=first - DAY,
        later=last + DAY if last < current_user.today() else None,
    )


def asked_month() -> date:
    """The first day of the month that was asked for."""
    asked = request.args.get("month")
    if asked is None:
        return current_user.today().replace(day=1)  # type: ignore[no-any-return]
    try:
        month = date.fromisoformat(f"{asked}-01")
    except ValueError:
        abort(404)
    return month if month.year > 2000 else abort(404)
