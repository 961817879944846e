"""The log as a file: every column of every entry, from one snapshot, as a stream."""

from __future__ import annotations

import csv
import json
import os
import re
import tempfile
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

import sqlalchemy as sa

from ._models import log
from ._output import moment
from .errors import CoinsError

COLUMNS = tuple(column.name for column in log.columns)
_IDS = ("id", "reverses_id", "transfer_id")
# Where a comma is what points are elsewhere, spreadsheets end a cell at a semicolon.
_FORMULA = re.compile(r"""(?:^|(?<=;))(?=[\s"]*[=+\-@＝＋－＠])""")
_CHUNK = 2000
Write = Callable[[Any], None]


@dataclass(frozen=True)
class Selection:
    """Which entries are meant; what is None leaves none out."""

    user_id: str | None = None
    currency: str | None = None
    reason: str | None = None
    since: datetime | None = None
    """The first moment that is meant. Aware."""
    until: datetime | None = None
    """The first moment that is not. Aware."""

    def of(self, columns: tuple[Any, ...]) -> sa.Select[Any]:
        """The query that picks ``columns`` of these entries."""
        query = sa.select(*columns)
        if self.user_id is not None:
            query = query.where(log.c.user_id == self.user_id)
        if self.currency is not None:
            query = query.where(log.c.currency == self.currency)
        if self.reason is not None:
            query = query.where(log.c.reason == self.reason)
        if self.since is not None:
            query = query.where(log.c.created_at >= self.since)
        if self.until is not None:
            query = query.where(log.c.created_at < self.until)
        return query


class Export:
    """The entries of ``selection`` as they are at one moment; others go on paying meanwhile."""

    def __init__(self, engine: sa.Engine, selection: Selection) -> None:
        self.engine = engine
        self.selection = selection

    def count(self) -> int:
        """How many entries there are."""
        with self.engine.connect() as connection:
            return connection.scalar(self.selection.of((sa.func.count(log.c.id),))) or 0

    def write(
        self,
        out: TextIO,
        kind: str,
        *,
        for_spreadsheets: bool = False,
        seen: Callable[[int], object] = lambda number: None,
    ) -> int:
        """Write them to ``out`` by their ids, as "csv" or "jsonl"; how many is returned.

        ``seen`` is told how many more were written.
        """
        write = rows_to_csv(out, for_spreadsheets) if kind == "csv" else _json_lines(out)
        number = 0
        with closing(self._partitions()) as partitions:
            for rows in partitions:
                for row in rows:
                    write(row)
                number += len(rows)
                seen(len(rows))
        return number

    def _partitions(self) -> Generator[Sequence[Any], None, None]:
        """One statement, and so one snapshot; the driver is given a few rows at a time."""
        query = self.selection.of(tuple(log.columns)).order_by(log.c.id)
        with self.engine.connect() as connection:
            if connection.dialect.name != "sqlite":
                # A cursor on the server lives in a transaction.
                connection.execution_options(isolation_level="REPEATABLE READ")
            options = {"yield_per": _CHUNK}
            with connection.execute(query, execution_options=options) as result:
                yield from result.partitions()


def rows_to_csv(out: TextIO, for_spreadsheets: bool) -> Write:
    """Write the names, and give what writes a row; a value that is not there is an empty cell."""
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    details, created_at = COLUMNS.index("details"), COLUMNS.index("created_at")

    def write(row: Any) -> None:
        cells = list(row)
        cells[created_at] = moment(cells[created_at])
        if cells[details] is not None:
            cells[details] = json.dumps(cells[details], ensure_ascii=False)
        writer.writerow(map(harmless, cells) if for_spreadsheets else cells)

    return write


def harmless(cell: Any) -> Any:
    """A text that a spreadsheet would take for a formula, made a text there too."""
    return _FORMULA.sub("'", cell) if isinstance(cell, str) else cell


def _json_lines(out: TextIO) -> Write:
    """What writes a row. Ids are texts: not every reader of JSON keeps large numbers."""

    def write(row: Any) -> None:
        entry = dict(row._mapping)
        entry["created_at"] = moment(entry["created_at"])
        for name in _IDS:
            entry[name] = None if entry[name] is None else str(entry[name])
        out.write(json.dumps(entry, ensure_ascii=False) + "\n")

    return write


@contextmanager
def new_file(path: Path) -> Iterator[TextIO]:
    """A file that is there as a whole or not at all, and readable by its owner alone.

    What stood at ``path`` is replaced at the end. CoinsError if it cannot be written.
    """
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise CoinsError(f"{path} cannot be written: {error.strerror}.") from error
    try:
        with open(handle, "w", encoding="utf-8", newline="") as out:  # noqa: PTH123  # a descriptor
            yield out
        os.replace(name, path)  # noqa: PTH105
    except OSError as error:
        raise CoinsError(f"{path} cannot be written: {error.strerror}.") from error
    finally:
        Path(name).unlink(missing_ok=True)
