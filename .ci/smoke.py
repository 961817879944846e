"""A new host in an empty folder, with nothing installed but the wheel.

Run by the interpreter of a fresh virtual environment, in a folder of its own: the tables come by
``flask db upgrade``, a coin is paid, and the books are checked.
"""

from __future__ import annotations

import subprocess
import sys
from importlib.resources import files
from pathlib import Path

HOST = """
from flask import Flask
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from flask_coins import Coins, award_once

db, migrate, coins = SQLAlchemy(), Migrate(), Coins()
app = Flask(__name__)
app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite:///host.sqlite3"
db.init_app(app)
migrate.init_app(app, db)
coins.init_app(app, db)
coins.current_user_loader(lambda: "ada")


@app.post("/goal")
@award_once(15, "daily_goal", "day")
def goal():
    return "done"
"""

PAY = """
from host import app, coins

for _ in range(2):
    assert app.test_client().post("/goal").text == "done"
with app.app_context():
    assert coins.balance("ada") == 15
"""


def run(*command: str) -> None:
    """Run a module of this interpreter's, and stop at a failure."""
    subprocess.run([sys.executable, *command], check=True)


def main() -> None:
    """Set the host up as its author would."""
    assert files("flask_coins").joinpath("py.typed").is_file()
    Path("host.py").write_text(HOST, encoding="utf-8")
    Path("pay.py").write_text(PAY, encoding="utf-8")
    for command in ("db init", "db upgrade", "db check"):
        run("-m", "flask", "--app", "host", *command.split())
    run("-W", "error", "pay.py")
    run("-m", "flask", "--app", "host", "coins", "verify")


if __name__ == "__main__":
    main()
