"""Where rows come from: CSV, JSON Lines, or a table of another database, read as a stream."""

from __future__ import annotations

import csv
import io
import os
from abc import ABC, abstractmethod
from collections.abc import Collection, Generator
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO
from uuid import UUID

import sqlalchemy as sa

from ._checks import is_packed, unpacked
from ._extras import cure
from ._import_rows import EXPORTED, strict_json
from ._statements import MYSQL_FAMILY
from .errors import CoinsError, InvalidInput

FORMATS = ("csv", "jsonl")
_LONGEST_CELL = 2**24
"""Characters. Details may be long; a quote that is never closed ends there, and not in the memory."""
_SUFFIXES = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
_DRIVERS = {"psycopg": "postgresql", "pymysql": "mariadb"}
"""Which extra brings which module."""
_PLACE = {
    "postgresql": "SELECT current_database(), pg_postmaster_start_time()",
    "mysql": "SELECT DATABASE(), @@hostname, @@port",
    "mariadb": "SELECT DATABASE(), @@hostname, @@port",
    "sqlite": "SELECT file FROM pragma_database_list WHERE name = 'main'",
}
"""What tells one database from another."""

Numbered = tuple[int, "list[Any] | dict[str, Any] | InvalidInput"]
"""A row's number, and its values in the order of the columns, or by their names."""


class Source(ABC):
    """Rows with their numbers; or what is wrong with one."""

    texts = False
    """Whether all values are texts."""
    json_texts = False
    """Whether details are texts with JSON in them."""
    label = "line"
    columns: Collection[str]
    length: int | None = None
    """How far :attr:`read` will get, if that is known."""

    @property
    def read(self) -> int:
        """How far it is read."""
        return 0

    @abstractmethod
    def rows(self) -> Generator[Numbered, None, None]:
        """Every row, in order."""

    @abstractmethod
    def close(self) -> None:
        """Let go of it."""


class _File(Source):
    def __init__(self, stream: BinaryIO, length: int | None) -> None:
        self.stream, self.length = stream, length
        # What is no UTF-8 becomes surrogates, which the checks of each row refuse.
        self.text = io.TextIOWrapper(stream, "utf-8-sig", "surrogateescape", self.newline)

    newline: str | None = None

    @property
    def read(self) -> int:
        return self.stream.tell() if self.length is not None else 0

    def close(self) -> None:
        if self.length is None:
            self.text.detach()
        else:
            self.text.close()


class Csv(_File):
    """Comma-separated, the names of the columns in the first line; an empty cell is no value."""

    texts = json_texts = True
    newline = ""

    def __init__(self, stream: BinaryIO, length: int | None) -> None:
        super().__init__(stream, length)
        csv.field_size_limit(_LONGEST_CELL)
        self.reader = csv.reader(self.text, strict=True)
        try:
            self.columns = next(self.reader, [])
        except csv.Error as error:
            raise InvalidInput(f"The first line is no CSV: {error}.") from error
        if not self.columns:
            raise InvalidInput("The first line must name the columns, and it is empty.")
        if len(set(self.columns)) < len(self.columns):
            raise InvalidInput("The first line names a column twice.")

    def rows(self) -> Generator[Numbered, None, None]:
        line = self.reader.line_num + 1
        try:
            for cells in self.reader:
                if cells:
                    yield line, self._row(cells)
                line = self.reader.line_num + 1
        except csv.Error as error:
            yield line, InvalidInput(f"it is no CSV, and nothing behind it can be read: {error}.")

    def _row(self, cells: list[str]) -> list[Any] | InvalidInput:
        if len(cells) != len(self.columns):
            return InvalidInput(f"it has {len(cells)} cells, the first line {len(self.columns)}.")
        return [cell or None for cell in cells] if "" in cells else cells


class JsonLines(_File):
    """One JSON object in each line; empty lines are passed over. The first names the columns."""

    def __init__(self, stream: BinaryIO, length: int | None) -> None:
        super().__init__(stream, length)
        self._lines = enumerate(self.text, 1)
        self._first = next(((n, line) for n, line in self._lines if line.strip()), None)
        first = _object(self._first[1]) if self._first else {}
        self.columns = first if isinstance(first, dict) else {}
        if not self.columns:
            reason = f"line {self._first[0]}: {first}" if self._first else "it is empty."
            raise InvalidInput(f"The source holds no rows: {reason}")
        self._names = list(self.columns)

    def rows(self) -> Generator[Numbered, None, None]:
        for number, line in chain([self._first] if self._first else [], self._lines):
            if line.strip():
                yield number, self._row(_object(line))

    def _row(
        self, found: dict[str, Any] | InvalidInput
    ) -> list[Any] | dict[str, Any] | InvalidInput:
        if isinstance(found, dict) and list(found) == self._names:
            return list(found.values())
        return found


class Database(Source):
    """A table elsewhere, in the order of its column ``id``, if it has one; times as they are there."""

    label = "row"

    def __init__(self, url: sa.URL, table: str, target: sa.Engine, id_column: str) -> None:
        self.engine = sa.create_engine(url)
        self._read = 0
        try:
            self._look(table, target, id_column)
        except BaseException:
            self.close()
            raise

    def _look(self, table: str, target: sa.Engine, id_column: str) -> None:
        inspector = sa.inspect(self.engine)
        if not inspector.has_table(table):
            raise CoinsError(f"There is no table {table} in {self.engine.url}.")
        types = {each["name"]: each["type"] for each in inspector.get_columns(table)}
        self.columns = list(types)
        if set(EXPORTED) <= set(types) and _place(self.engine) == _place(target):
            raise CoinsError(f"{table} there is the log of this very app.")
        self.packed = [n for n, kind in enumerate(types.values()) if is_packed(kind)]
        is_json = isinstance(types.get("details"), sa.JSON)
        self.json_texts = not (is_json and self.engine.dialect.name == "postgresql")
        # Without types: what the driver gives is what is checked.
        rows = sa.table(table, *(sa.column(name) for name in types))
        self.query = sa.select(*rows.c)
        if id_column in types:
            self.query = self.query.order_by(rows.c[id_column])
        with self.engine.connect() as connection:
            self.length = connection.scalar(sa.select(sa.func.count()).select_from(rows))

    @property
    def read(self) -> int:
        return self._read

    def rows(self) -> Generator[Numbered, None, None]:
        with self.engine.connect() as connection:
            options = {"yield_per": 2000}
            with connection.execute(self.query, execution_options=options) as result:
                for number, values in enumerate(result, 1):
                    self._read = number
                    yield number, self._row(values)

    def _row(self, values: Any) -> list[Any]:
        row = [str(it) if isinstance(it, UUID) else it for it in values]
        for n in self.packed:
            row[n] = unpacked(row[n])
        return row

    def close(self) -> None:
        self.engine.dispose()


def opened(
    name: str,
    kind: str | None,
    stdin: BinaryIO,
    *,
    table: str,
    target: sa.Engine,
    id_column: str,
) -> Source:
    """The source of that name: ``-``, a path, or a database's URL."""
    if "://" in name:
        return Database(_url(name), table, target, id_column)
    kind = kind or _SUFFIXES.get(Path(name).suffix.lower())
    if kind not in FORMATS:
        raise InvalidInput(f"Say with --format what {name} is: {' or '.join(FORMATS)}.")
    make = Csv if kind == "csv" else JsonLines
    if name == "-":
        return make(stdin, None)
    try:
        stream = Path(name).open("rb")  # noqa: SIM115  # the source closes it
    except OSError as error:
        raise CoinsError(f"{name} cannot be read: {error.strerror}.") from error
    try:
        return make(stream, os.fstat(stream.fileno()).st_size)
    except BaseException:
        stream.close()
        raise


def _url(name: str) -> sa.URL:
    try:
        url = sa.make_url(name)
        url.get_dialect().import_dbapi()
        if url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file():
            raise CoinsError(f"There is no file {url.database}.")
    except (sa.exc.ArgumentError, sa.exc.NoSuchModuleError, ImportError) as error:
        raise InvalidInput(
            f"This is no URL of a database that can be reached: {error}.{_driver_for(error)}"
        ) from error
    return url


def _driver_for(error: Exception) -> str:
    extra = _DRIVERS.get(getattr(error, "name", None) or "")
    return f" Install the driver: {cure(extra)}" if extra else ""


def _object(line: str) -> dict[str, Any] | InvalidInput:
    try:
        found = strict_json(line)
    except (ValueError, RecursionError) as error:
        return InvalidInput(f"it is no JSON: {error}.")
    if not isinstance(found, dict):
        return InvalidInput("it is no JSON object.")
    return found


def _place(engine: sa.Engine) -> tuple[Any, ...]:
    with engine.connect() as connection:
        found = connection.exec_driver_sql(_PLACE[connection.dialect.name]).one()
    return connection.dialect.name in MYSQL_FAMILY, *found
