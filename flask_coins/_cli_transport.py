"""The commands that carry entries from one place to another: ``flask coins import`` and ``export``."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

import click
import sqlalchemy as sa

from . import _checks
from ._cli_base import as_json_option, coins_cli, progress, show, timezone_option
from ._export import Export, Selection, new_file
from ._import import STEPS, Imported, import_entries
from ._import_rows import EXTRAS, Plan, moment
from ._import_sources import FORMATS, Source, opened
from ._state import State, current_state
from .windows import zone_of

_ALIASES = {"user": "user_id"}


@coins_cli.command("import")
@click.argument("origin", metavar="FILE|URL")
@click.option(
    "--source",
    metavar="NAME",
    help="What the source is called: each of its rows is imported once, however often this is run.",
)
@click.option(
    "--format",
    "kind",
    type=click.Choice(FORMATS),
    help="What FILE is, where its name does not say so.",
)
@click.option("--table", default="coin_log", show_default=True, help="The table at URL.")
@click.option(
    "--map",
    "columns",
    metavar="FIELD=COLUMN",
    multiple=True,
    help="The column that a field has in the source.",
)
@click.option(
    "--extra",
    type=click.Choice(EXTRAS),
    default="refuse",
    show_default=True,
    help="What to do with other columns.",
)
@click.option(
    "--ids-from-lines",
    is_flag=True,
    help="Take the numbers of lines for ids: FILE only ever grows.",
)
@click.option(
    "--currency", default="coins", show_default=True, help="Of rows that do not say which."
)
@timezone_option
@click.option("--dry-run", is_flag=True, help="Do all of it, then undo it.")
@as_json_option
def import_command(
    origin: str,
    kind: str | None,
    table: str,
    dry_run: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Write the entries of a CSV or JSON Lines file (- is stdin) or of another database, and commit.

    All of them, with their times, or none: what is wrong is named by its line. What was imported
    before is passed over.
    """
    state = current_state()
    plan = _plan(state, **options)
    if plan.ids_from_lines and "://" in origin:
        raise click.UsageError("A table has no lines: name its key with --map id=COLUMN.")
    engine = state.engine()
    id_column = plan.columns.get("id", "id")
    source = opened(origin, kind, sys.stdin.buffer, table=table, target=engine, id_column=id_column)
    try:
        result = _imported(engine, source, plan, dry_run)
    finally:
        source.close()
    show(asdict(result), "\n".join(_lines(result)), as_json)


def _plan(
    state: State, source: str | None, columns: tuple[str, ...], timezone: str, **options: Any
) -> Plan:
    pairs = [each.partition("=") for each in columns]
    if not all(name and column for name, _, column in pairs):
        raise click.UsageError("--map is FIELD=COLUMN, such as user=uid.")
    return Plan(
        now=state.now(),
        source=source,
        columns={_ALIASES.get(name, name): column for name, _, column in pairs},
        zone=zone_of(timezone),
        **options,
    )


def _imported(engine: sa.Engine, source: Source, plan: Plan, dry_run: bool) -> Imported:
    with (
        progress(source.length or 0, "Reading") as reading,
        progress(STEPS, "Writing") as writing,
    ):
        return import_entries(
            engine,
            source,
            plan,
            dry_run=dry_run,
            read=lambda how_far: reading.update(how_far - reading.pos),
            stepped=writing.update,
        )


def _lines(result: Imported) -> list[str]:
    lines = [
        f"rows read              {result.rows:>15,}",
        f"there already          {result.there:>15,}",
        f"entries written        {result.written:>15,}",
        f"users who have them    {result.users:>15,}",
        f"earned                 {result.earned:>15,}",
        f"spent                  {result.spent:>15,}",
    ]
    return [*lines, "Nothing was changed: this was a dry run."] if result.dry_run else lines


@coins_cli.command("export")
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="A file, not stdout."
)
@click.option(
    "--format",
    "kind",
    type=click.Choice(FORMATS),
    help="csv, or jsonl for one object in each line.",
)
@click.option("--user", help="Only entries of the user with this id.")
@click.option("--currency", help="Only entries in this currency.")
@click.option("--since", metavar="TIME", help="Only entries from this moment on.")
@click.option("--until", metavar="TIME", help="Only entries before this moment.")
@timezone_option
@click.option(
    "--for-spreadsheets", is_flag=True, help="Disarm formulas; such a file cannot be imported."
)
@as_json_option
def export_command(
    output: Path | None, kind: str | None, for_spreadsheets: bool, as_json: bool, **chosen: Any
) -> None:
    """Write entries to stdout or to a file, every column, as they are at one moment.

    With --json a summary is printed, and the entries must go to a file.
    """
    if as_json and output is None:
        raise click.UsageError("--json needs --output: stdout holds one document.")
    kind = kind or ("jsonl" if output and output.suffix in (".jsonl", ".ndjson") else "csv")
    if for_spreadsheets and kind != "csv":
        raise click.UsageError("--for-spreadsheets is for CSV.")
    export = Export(current_state().engine(), _selection(**chosen))
    with _stream(output) as out, progress(_length(export), "Exporting") as bar:
        number = export.write(out, kind, for_spreadsheets=for_spreadsheets, seen=bar.update)
    if output:
        document = {"entries": number, "file": str(output), "format": kind}
        show(document, f"Entries written to {output}: {number:,}.", as_json)


def _selection(
    user: str | None, currency: str | None, since: str | None, until: str | None, timezone: str
) -> Selection:
    zone = zone_of(timezone)
    return Selection(
        user_id=None if user is None else _checks.text(user, "A user id", 64),
        currency=None if currency is None else _checks.currency(currency),
        since=None if since is None else moment(since, zone),
        until=None if until is None else moment(until, zone),
    )


def _length(export: Export) -> int:
    """How long a bar would have to be; counting takes a while, and is for people only."""
    return export.count() if sys.stderr.isatty() else 0


def _stream(output: Path | None) -> AbstractContextManager[TextIO]:
    return new_file(output) if output else _stdout()


@contextmanager
def _stdout() -> Iterator[TextIO]:
    """Stdout in UTF-8, whatever the terminal's own encoding is."""
    out = io.TextIOWrapper(sys.stdout.buffer, "utf-8", newline="")
    try:
        yield out
    finally:
        out.detach()
