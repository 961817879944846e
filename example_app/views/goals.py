"""The goals of the day and of the week."""

from flask import Blueprint, abort, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user, login_required

from ..extensions import coins, db
from ..rewards import TIERS, WEEKLY_ANSWERS, WEEKLY_GOAL, complete_daily_goal, tier_of

bp = Blueprint("goals", __name__, url_prefix="/goals")


@bp.get("/")
@login_required
def index() -> str:
    return render_template(
        "goals.html",
        tiers=TIERS,
        today=current_user.correct_today(),
        this_week=current_user.correct_this_week(),
        weekly_answers=WEEKLY_ANSWERS,
        weekly_coins=WEEKLY_GOAL.amount,
        paid={each.reason: each.opens_at for each in coins.status() if each.state == "paid"},
    )


@bp.post("/tier")
@login_required
def choose() -> ResponseReturnValue:
    """Choosing pays nothing: of the three goals one is paid, once a day."""
    if request.form["goal"] not in TIERS:
        abort(400, "There is no such goal.")
    current_user.goal = request.form["goal"]
    db.session.commit()
    return redirect(url_for("goals.index"), 303)


@bp.post("/daily")
@login_required
def complete_daily() -> ResponseReturnValue:
    """The direct call, before the view's own commit: the XP ride on the coins."""
    if current_user.correct_today() < tier_of(current_user).answers:
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
