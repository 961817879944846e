"""Exams: questions in variants."""

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user, login_required
from sqlalchemy import and_, distinct, func, select
from sqlalchemy.exc import IntegrityError

from .. import rewards
from ..extensions import db
from ..models import Attempt, Hint, Question, Variant
from ..rewards import HINT, VARIANT_CLEAR

bp = Blueprint("exams", __name__, url_prefix="/exams")


@bp.get("/")
@login_required
def index() -> str:
    """Each variant with the number of its questions, and of those answered correctly."""
    answered = and_(
        Attempt.question_id == Question.id, Attempt.user_id == current_user.id, Attempt.correct
    )
    query = (
        select(
            Variant, func.count(distinct(Question.id)), func.count(distinct(Attempt.question_id))
        )
        .outerjoin(Variant.questions)
        .outerjoin(Attempt, answered)
        .group_by(Variant.id)
        .order_by(Variant.exam, Variant.title)
    )
    return render_template("exams.html", variants=db.session.execute(query).all())


@bp.get("/<int:variant_id>")
@login_required
def show(variant_id: int) -> str:
    variant = db.get_or_404(Variant, variant_id)
    return render_template(
        "exam.html",
        variant=variant,
        answered=variant.answered_by(current_user),
        hinted=variant.hinted_to(current_user),
        hint_price=HINT.amount,
        prize=VARIANT_CLEAR.amount,
    )


@bp.post("/questions/<int:question_id>")
@login_required
def answer(question_id: int) -> ResponseReturnValue:
    question = db.get_or_404(Question, question_id)
    correct = rewards.answer(current_user, question, request.form["answer"])
    db.session.commit()
    if correct:
        flash("Right.")
    else:
        flash("Not right: try again.", "error")
    return redirect(url_for("exams.show", variant_id=question.variant_id), 303)


@bp.post("/questions/<int:question_id>/hint")
@login_required
@HINT
def hint(question_id: int) -> ResponseReturnValue:
    """Its coins are set aside before this runs, and free again where it answers an error.

    No commit here: the rule commits the hint and its price together.
    """
    question = db.get_or_404(Question, question_id)
    db.session.add(Hint(user_id=current_user.id, question_id=question.id))
    try:
        db.session.flush()
    except IntegrityError:
        db.session.rollback()
        abort(409, "You have this hint already.")
    return redirect(url_for("exams.show", variant_id=question.variant_id), 303)
