"""Paragraphs to read."""

from flask import Blueprint, redirect, render_template, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user, login_required
from sqlalchemy import select

from ..extensions import db
from ..models import Paragraph, Reading
from ..rewards import PARAGRAPH_CLOSE

bp = Blueprint("paragraphs", __name__, url_prefix="/paragraphs")


@bp.get("/")
@login_required
def index() -> str:
    return render_template(
        "paragraphs.html",
        paragraphs=db.session.scalars(select(Paragraph).order_by(Paragraph.id)).all(),
        closed=Paragraph.closed_by(current_user),
        prize=PARAGRAPH_CLOSE.amount,
    )


@bp.post("/<int:paragraph_id>/close")
@login_required
@PARAGRAPH_CLOSE
def close(paragraph_id: int) -> ResponseReturnValue:
    """No commit here: the rule commits the reading and its coins together."""
    paragraph = db.get_or_404(Paragraph, paragraph_id)
    db.session.add(Reading(user_id=current_user.id, paragraph_id=paragraph.id))
    return redirect(url_for("paragraphs.index"), 303)
