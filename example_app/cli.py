"""``flask --app example_app demo | seed | replay``."""

import json
import socket
import sys
from collections.abc import Mapping

import click
import flask_migrate
from flask import Flask, current_app
from flask.cli import run_command, with_appcontext
from werkzeug.serving import is_running_from_reloader

import example_app

from . import demo, replay, seeds


def init_app(app: Flask) -> None:
    for command in (demo_command, seed_command, replay_command):
        app.cli.add_command(command)


@click.command("demo")
@click.option("--port", type=click.IntRange(0, 65535), default=5000, show_default=True)
@click.pass_context
def demo_command(ctx: click.Context, port: int) -> None:
    """Make or upgrade the database, fill it with learners and their weeks, and serve the app.

    On this computer alone: anybody could forge a login where SECRET_KEY is not set.
    """
    # The reloader's child is served through its parent's port.
    if not is_running_from_reloader() and is_taken(port):
        raise click.ClickException(f"Port {port} is taken: choose another one with --port.")
    ctx.invoke(prepare)
    ctx.invoke(run_command, port=port)


def is_taken(port: int) -> bool:
    """Whether a program on this computer answers at ``port`` already."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


@click.command()
@with_appcontext
def prepare() -> None:
    current_app.secret_key = current_app.secret_key or example_app.DEVELOPMENT_KEY
    flask_migrate.upgrade()
    seeds.seed()
    try:
        demo.fill(current_app._get_current_object())
    except ValueError as error:
        raise click.ClickException(str(error)) from error


@click.command("seed")
@with_appcontext
def seed_command() -> None:
    """Add the permissions, achievements and lessons that are missing."""
    seeds.seed()
    click.echo("Seeded.")


@click.command("replay")
@click.option("--limit", type=click.IntRange(min=1), help="Only so many events.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def replay_command(limit: int | None, as_json: bool) -> None:
    """Live 16 years of learning again, through the pages, on a database of its own.

    All events take about a minute.
    """
    events = replay.read_events()[:limit]
    run = replay.Replay(example_app.create_app(replay.CONFIG), events)
    with click.progressbar(events, label="Replaying", file=sys.stderr) as bar:
        for event in bar:
            run.play(event)
    report(run.totals, as_json)


def report(totals: Mapping[str, int], as_json: bool) -> None:
    """Print the coins of each reason, and of all."""
    coins = {**dict(sorted(totals.items())), "total": sum(totals.values())}
    if as_json:
        click.echo(json.dumps(coins))
        return
    for reason, amount in coins.items():
        click.echo(f"{reason:<16}{amount:>12,}")
