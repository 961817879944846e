"""The start page, the check-in, and the account's settings."""

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user, login_required
from sqlalchemy import select

from ..demo import LOGINS, is_there
from ..extensions import coins, db
from ..models import Achievement
from ..quests import quests
from ..rewards import TIERS, daily_activity
from ..streaks import this_week

bp = Blueprint("home", __name__)


@bp.get("/")
def dashboard() -> str:
    if not current_user.is_authenticated:
        return render_template("welcome.html", logins=LOGINS if is_there() else ())
    streak = coins.streak()
    return render_template(
        "dashboard.html",
        quests=quests(current_user),
        streak=streak,
        week=this_week(current_user, streak),
        achievements=db.session.scalars(select(Achievement).order_by(Achievement.id)).all(),
    )


@bp.post("/check-in")
@login_required
def check_in() -> ResponseReturnValue:
    """For those who stay logged in: the day counts as soon as they say so."""
    daily_activity(current_user)
    db.session.commit()
    return redirect(url_for("home.dashboard"), 303)


@bp.get("/history")
@login_required
def history() -> ResponseReturnValue:
    """Old links lead to the wallet."""
    return redirect(url_for("coins.wallet"), 301)


@bp.get("/account")
@login_required
def account() -> str:
    return render_template("account.html", tiers=TIERS)


@bp.post("/account")
@login_required
def change_account() -> ResponseReturnValue:
    try:
        current_user.zone = request.form["zone"]
        choose_goal(request.form["goal"])
    except ValueError as error:
        db.session.rollback()
        flash(str(error), "error")
        return account(), 400
    db.session.commit()
    flash("Saved.")
    return redirect(url_for("home.account"), 303)


def choose_goal(name: str) -> None:
    if name not in TIERS:
        raise ValueError(f"There is no goal {name!r}.")
    current_user.goal = name
