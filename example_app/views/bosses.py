"""Bosses: hard riddles behind hit points, that come back every week."""

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user, login_required
from sqlalchemy import select

from ..extensions import db
from ..models import Boss
from ..rewards import BOSS_DEFEATED, defeated_this_week

bp = Blueprint("bosses", __name__, url_prefix="/bosses")


@bp.get("/")
@login_required
def index() -> str:
    return render_template(
        "bosses.html",
        bosses=db.session.scalars(select(Boss).order_by(Boss.id)).all(),
        blows=current_user.correct_this_week(),
        defeated=defeated_this_week(current_user),
        prize=BOSS_DEFEATED.amount,
    )


@bp.post("/<int:boss_id>/fight")
@login_required
@BOSS_DEFEATED
def fight(boss_id: int) -> ResponseReturnValue:
    """A wrong answer is a page with status 200; only the redirect is worth coins."""
    boss = db.get_or_404(Boss, boss_id)
    if current_user.correct_this_week() < boss.hit_points:
        abort(409, f"{boss} has hit points left: each right answer of this week takes one.")
    if request.form["answer"].strip().lower() != boss.answer:
        flash(f"{boss.name} laughs at your answer.", "error")
        return index()
    flash(f"{boss.name} is defeated!")
    return redirect(url_for("bosses.index"), 303)
