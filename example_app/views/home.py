"""The dashboard, the history of coins, and the account's settings."""

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user, login_required
from sqlalchemy import select

from ..extensions import coins, db
from ..models import Achievement
from ..rewards import TIERS, is_for

bp = Blueprint("home", __name__)
PAGE_SIZE = 25


@bp.get("/")
def dashboard() -> str:
    if not current_user.is_authenticated:
        return render_template("welcome.html")
    return render_template(
        "dashboard.html",
        rewards=[each for each in coins.status() if is_for(current_user, each)],
        achievements=db.session.scalars(select(Achievement).order_by(Achievement.id)).all(),
    )


@bp.get("/history")
@login_required
def history() -> str:
    before = request.args.get("before", type=int)
    entries = coins.history(limit=PAGE_SIZE, before=before)
    return render_template("history.html", entries=entries, page_size=PAGE_SIZE)


@bp.get("/account")
@login_required
def account() -> str:
    return render_template("account.html", tiers=TIERS)


@bp.post("/account")
@login_required
def change_account() -> ResponseReturnValue:
    goal = request.form["goal"]
    try:
        current_user.zone = request.form["zone"]
        if goal not in TIERS:
            raise ValueError(f"There is no goal {goal!r}.")
    except ValueError as error:
        db.session.rollback()
        flash(str(error))
        return account(), 400
    current_user.goal = goal
    db.session.commit()
    flash("Saved.")
    return redirect(url_for("home.account"), 303)
