"""Friends: who was invited, and gifts to them."""

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user, login_required
from sqlalchemy import select

from ..accounts import find
from ..extensions import coins, db
from ..models import User
from ..rewards import REFERRAL
from .forms import sent_key

bp = Blueprint("friends", __name__, url_prefix="/friends")
LARGEST_GIFT = 500


@bp.get("/")
@login_required
def index() -> str:
    invited = select(User).where(User.inviter_id == current_user.id).order_by(User.id)
    return render_template(
        "friends.html",
        invited=db.session.scalars(invited).all(),
        available=coins.available(),
        largest=LARGEST_GIFT,
        prize=REFERRAL.amount,
    )


@bp.post("/gift")
@login_required
def give() -> ResponseReturnValue:
    friend = find(User.name, request.form["name"])
    amount = request.form.get("amount", type=int)
    if friend is None or friend == current_user:
        abort(409, "There is no other learner of that name.")
    if amount is None or not 1 <= amount <= LARGEST_GIFT:
        abort(409, f"A gift is a whole number of coins from 1 to {LARGEST_GIFT}.")
    sent, _ = coins.transfer(
        current_user, friend, amount, "gift", idempotency_key=f"gift:{sent_key()}"
    )
    db.session.commit()
    flash(f"{friend} has your {amount} coins." if sent else "You have given this already: once.")
    return redirect(url_for("friends.index"), 303)
