"""The goals of the day and of the week."""

from flask import Blueprint, abort, redirect, render_template, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user, login_required

from ..extensions import coins, db
from ..rewards import TIERS, WEEKLY_ANSWERS, WEEKLY_GOAL, complete_daily_goal

bp = Blueprint("goals", __name__, url_prefix="/goals")


@bp.get("/")
@login_required
def index() -> str:
    return render_template(
        "goals.html",
        tier=TIERS[current_user.goal],
        weekly_answers=WEEKLY_ANSWERS,
        paid={each.reason: each.opens_at for each in coins.status() if each.state == "paid"},
    )


@bp.post("/daily")
@login_required
def complete_daily() -> ResponseReturnValue:
    """The direct call, before the view's own commit: the XP ride on the coins."""
    if current_user.correct_today() < TIERS[current_user.goal].answers:
        abort(409, "You are not there yet.")
    complete_daily_goal(current_user)
    db.session.commit()
    return redirect(url_for("goals.index"), 303)


@bp.post("/weekly")
@login_required
@WEEKLY_GOAL
def complete_weekly() -> ResponseReturnValue:
    """The rule above the view: it pays unless the view fails, and commits."""
    if current_user.correct_this_week() < WEEKLY_ANSWERS:
        abort(409, "You are not there yet.")
    return redirect(url_for("goals.index"), 303)
