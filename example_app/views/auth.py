"""Sign up, log in, log out."""

import re

from flask import Blueprint, current_app, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import login_required, login_user, logout_user
from sqlalchemy.exc import IntegrityError

from ..accounts import find, new_user, pay_inviter
from ..extensions import db
from ..models import User

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
    flash(message, "error")
    return render_template(template), status
