"""Who is logged in, and what Flask-Coins wants to know about them."""

from datetime import tzinfo

from flask import Flask
from flask_login import user_logged_in

from . import rewards
from .extensions import coins, db, login_manager
from .models import User
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


def init_app(app: Flask) -> None:
    user_logged_in.connect(rewards.update_streak, app)
