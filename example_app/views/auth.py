"""Sign up, log in, log out."""

import re

from flask import Blueprint, current_app, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import login_required, login_user, logout_user
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import InstrumentedAttribute

from ..extensions import db
from ..models import Permission, User
from ..rewards import REFERRAL

bp = Blueprint("auth", __name__)

# Browsers read a backslash as a slash and drop control characters: with these, and with two slashes
# at its start, what looks like a path leads to another host.
LOCAL = re.compile(r"/(?!/)[^\\\x00-\x20\x7f]*")


@bp.get("/signup")
def signup() -> str:
    return render_template("signup.html")


@bp.post("/signup")
def create_account() -> ResponseReturnValue:
    form = request.form
    try:
        user = new_user(form["name"], form["password"], form["zone"])
        db.session.flush()
    except ValueError as error:
        return again("signup.html", str(error), 400)
    except IntegrityError:
        db.session.rollback()
        return again("signup.html", "This name is taken.", 409)
    pay_inviter(user, form.get("invite", ""))
    login_user(user)
    db.session.commit()
    return redirect(url_for("home.dashboard"), 303)


def new_user(name: str, password: str, zone: str) -> User:
    """Add an account with the default permissions. ValueError says what is wrong."""
    if not 1 <= len(name) <= 40 or len(password) < 8:
        raise ValueError("A name has 1 to 40 characters, a password at least 8.")
    if name != name.strip() or not name.isprintable():
        raise ValueError("A name has no invisible characters, and no space at its start or end.")
    user = User(name=name, zone=zone)
    user.set_password(password)
    user.permissions.extend(db.session.scalars(select(Permission).where(Permission.is_default)))
    db.session.add(user)
    return user


def pay_inviter(user: User, code: str) -> None:
    """Pay whoever invited ``user``, once. The caller commits."""
    inviter = find(User.invite_code, code)
    if inviter is not None and inviter.may("invite"):
        user.inviter_id = inviter.id
        REFERRAL.pay(inviter, subject=user)


def find(column: InstrumentedAttribute[str], text: str) -> User | None:
    """The account that has ``text`` there. None has a NUL, which PostgreSQL does not take."""
    return None if "\0" in text else db.session.scalar(select(User).where(column == text))


@bp.get("/login")
def login() -> str:
    return render_template("login.html")


@bp.post("/login")
def check_login() -> ResponseReturnValue:
    form = request.form
    user = find(User.name, form["name"])
    if user is None or not user.has_password(form["password"]):
        return again("login.html", "This name and this password do not belong together.", 401)
    try:
        user.zone = form.get("zone") or user.zone
    except ValueError as error:
        return again("login.html", str(error), 400)
    login_user(user)
    db.session.commit()
    return redirect(next_page(), 303)


def next_page() -> str:
    """The page that sent its visitor to the login, if it is one of ours; else the dashboard."""
    wanted = request.args.get("next", "")
    path = wanted.partition("?")[0].removeprefix(request.root_path)
    # A form that was sent after the session had ended cannot be sent again: it answers no GET.
    if LOCAL.fullmatch(wanted) and current_app.url_map.bind("").test(path, "GET"):
        return wanted
    return url_for("home.dashboard")


@bp.post("/logout")
@login_required
def logout() -> ResponseReturnValue:
    logout_user()
    return redirect(url_for("home.dashboard"), 303)


def again(template: str, message: str, status: int) -> ResponseReturnValue:
    """The form once more, with what was wrong."""
    flash(message)
    return render_template(template), status
