"""Exams: questions in variants."""

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user, login_required
from sqlalchemy import and_, distinct, func, select

from ..extensions import db
from ..models import Attempt, Question, Variant
from ..rewards import correct_answer

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
    return render_template("exam.html", variant=variant, answered=variant.answered_by(current_user))


@bp.post("/questions/<int:question_id>")
@login_required
def answer(question_id: int) -> ResponseReturnValue:
    question = db.get_or_404(Question, question_id)
    correct = request.form["answer"].strip() == question.answer
    db.session.add(
        Attempt(
            user_id=current_user.id,
            question_id=question.id,
            correct=correct,
            day=current_user.today(),
        )
    )
    if correct:
        correct_answer(current_user, question.variant)
    db.session.commit()
    flash("Right." if correct else "Not right: try again.")
    return redirect(url_for("exams.show", variant_id=question.variant_id), 303)
