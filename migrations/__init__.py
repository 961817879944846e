"""The revisions that Flask-Coins ships: templates for the copies in a host's own history."""
