"""What the commands of ``flask coins`` share: the group, options, and ways to show an answer."""

from __future__ import annotations

import io
import json
import sys
from typing import Any

import click
from flask.cli import AppGroup
from sqlalchemy.exc import DBAPIError

from .errors import CoinsError, InvalidInput


class CoinsGroup(AppGroup):
    """Commands that say in one line what they cannot do."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; wrong arguments end with status 2, other errors with 1."""
        try:
            return super().invoke(ctx)
        except InvalidInput as error:
            raise click.UsageError(str(error)) from error
        except CoinsError as error:
            raise click.ClickException(str(error)) from error
        except DBAPIError as error:
            raise click.ClickException(
                f"The database refused: {error.orig}".partition("\n")[0]
            ) from error


coins_cli = CoinsGroup("coins", help="Coins: move them, look at them, and keep them in order.")

as_json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
currency_option = click.option(
    "--currency", default="coins", show_default=True, help="Which coins are meant."
)
timezone_option = click.option(
    "--timezone", default="UTC", show_default=True, help="Zone of times without one."
)


def progress(length: int | None, label: str) -> Any:
    """A bar on stderr, for people only: a program that reads it gets nothing."""
    stream = sys.stderr if sys.stderr.isatty() else io.StringIO()
    return click.progressbar(length=length, label=label, file=stream)


def show(document: dict[str, Any], text: str, as_json: bool, *, failed: bool = False) -> None:
    """Print one of the two, and end with status 1 if ``failed``."""
    click.echo(json.dumps(document, indent=2) if as_json else text)
    if failed:
        raise click.exceptions.Exit(1)
