"""Who is logged in, and what Flask-Coins wants to know about them."""

from collections.abc import Iterable
from datetime import tzinfo

from flask import Flask
from flask_login import current_user, user_logged_in
from sqlalchemy import select
from sqlalchemy.orm import InstrumentedAttribute

from . import rewards
from .extensions import coins, db, login_manager
from .models import Permission, User
from .zones import as_zone

login_manager.login_view = "auth.login"


@login_manager.user_loader
def load_user(user_id: str) -> User | None:
    return db.session.get(User, int(user_id)) if user_id.isdecimal() else None


@coins.timezone_loader
def zone_of_user(user_id: str) -> tzinfo | None:
    """A user's day begins at midnight in their own zone."""
    user = load_user(user_id)
    return as_zone(user.zone) if user else None


@coins.eligible_check
def may_earn(user_id: str, reason: str) -> bool:
    """Staff, whose accounts do not hold this permission, test the lessons without pay."""
    user = load_user(user_id)
    return user is not None and user.may("earn_coins")


@coins.user_names_loader
def names_of(user_ids: Iterable[str]) -> dict[str, str]:
    """What the leaderboard and the admin pages call learners."""
    ids = [int(user_id) for user_id in user_ids if user_id.isdecimal()]
    query = select(User.id, User.name).where(User.id.in_(ids))
    return {str(user_id): name for user_id, name in db.session.execute(query)}


@coins.admin_check
def may_manage() -> bool:
    """Whether the current user sees ``/coins/admin/``."""
    return current_user.is_authenticated and current_user.may("manage_coins")


def new_user(name: str, password: str, zone: str) -> User:
    """Add an account with the default permissions. ValueError says what is wrong."""
    if not 1 <= len(name) <= 40 or len(password) < 8:
        raise ValueError("A name has 1 to 40 characters, a password at least 8.")
    if name != name.strip() or not name.isprintable():
        raise ValueError("A name has no invisible characters, and no space at its start or end.")
    user = add_user(name, zone)
    user.set_password(password)
    return user


def add_user(name: str, zone: str) -> User:
    """Add an account that nobody can log in to before it is given a password."""
    user = User(name=name, zone=zone, password_hash="")
    user.permissions.extend(db.session.scalars(select(Permission).where(Permission.is_default)))
    db.session.add(user)
    return user


def pay_inviter(user: User, code: str) -> None:
    """Pay whoever invited ``user``, once. The caller commits."""
    inviter = find(User.invite_code, code)
    if inviter is not None and inviter.may("invite"):
        user.inviter_id = inviter.id
        rewards.REFERRAL.pay(inviter, subject=user)


def find(column: InstrumentedAttribute[str], text: str) -> User | None:
    """The account that has ``text`` there. None has a NUL, which PostgreSQL does not take."""
    return None if "\0" in text else db.session.scalar(select(User).where(column == text))


def init_app(app: Flask) -> None:
    user_logged_in.connect(log_in, app)


def log_in(app: Flask, user: User) -> None:
    rewards.daily_activity(user)
