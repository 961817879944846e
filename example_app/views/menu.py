"""The menu of every page."""

from flask import current_app, url_for
from flask_login import current_user

PAGES = (
    ("home", "home.dashboard", "Today"),
    ("target", "goals.index", "Goals"),
    ("exam", "exams.index", "Exams"),
    ("book", "paragraphs.index", "Paragraphs"),
    ("boss", "bosses.index", "Bosses"),
    ("flame", "streaks.index", "Streak"),
    ("shop", "shop.index", "Shop"),
    ("friends", "friends.index", "Friends"),
    ("ranks", "coins.leaderboard", "Leaderboard"),
    ("wallet", "coins.wallet", "Wallet"),
)
ADMIN = ("admin", "coins.admin_overview", "Admin")


def menu() -> list[tuple[str, str, str]]:
    """Icon, address and name of each page that the current user may see."""
    pages = [*PAGES, ADMIN] if current_user.may("manage_coins") else PAGES
    return [
        (icon, url_for(endpoint), label)
        for icon, endpoint, label in pages
        if endpoint in current_app.view_functions
    ]
