"""The command line: ``flask coins``."""

from __future__ import annotations

from flask.cli import AppGroup

coins_cli = AppGroup("coins", help="The coin ledger.")
