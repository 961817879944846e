"""The pages are programs: every block runs, in order, and what it shows is what comes out."""

from __future__ import annotations

import contextvars
import doctest
import re
import subprocess
import sys
import types
import warnings
from collections.abc import Iterator
from dataclasses import fields
from inspect import signature
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from flask.cli import FlaskGroup

import flask_coins
from flask_coins import Coins, Outcome, errors, signals
from flask_coins._cli import coins_cli
from flask_coins._settings import Settings

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(python|pycon|console)\n(.*?)^```$", re.M | re.S)
APART: dict[str, Any] = (
    {"mix_stderr": False} if "mix_stderr" in signature(CliRunner).parameters else {}
)
"""Before Click 8.2 a runner mixed what is said with what goes wrong."""
FLAGS = doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL | doctest.NORMALIZE_WHITESPACE


class Page:
    """One page that is being read: a folder, and the names that its blocks share."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.module = types.ModuleType("page")

    def python(self, code: str) -> None:
        named = re.match(r"# (\w+)\.py\n", code)
        if named:
            (self.folder / f"{named[1]}.py").write_text(code)
            self.module = types.ModuleType(named[1])
            sys.modules[named[1]] = self.module
        if ": ...\n" not in code:  # a sketch in the introduction
            exec(compile(code, "page", "exec"), self.module.__dict__)

    def pycon(self, code: str) -> None:
        test = doctest.DocTestParser().get_doctest(code, self.module.__dict__, "page", None, 0)
        report: list[str] = []
        doctest.DocTestRunner(optionflags=FLAGS).run(test, out=report.append, clear_globs=False)
        self.module.__dict__.update(test.globs)
        assert not report, "".join(report)

    def console(self, code: str) -> None:
        for command, expected in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", code, re.M):
            output = self.run(command)
            if expected:
                assert doctest.OutputChecker().check_output(expected, output, FLAGS), output

    def run(self, command: str) -> str:
        program, *args = command.split()
        if program == "flask":
            # In a context without an app, with the page's modules read anew: as a process has them.
            return contextvars.Context().run(self.flask, args)
        words = [sys.executable, "-m", program, *args]
        done = subprocess.run(words, cwd=self.folder, capture_output=True, text=True, check=True)
        return done.stdout

    def flask(self, args: list[str]) -> str:
        ours = {name: it for name, it in sys.modules.items() if not hasattr(it, "__file__")}
        ours = {name: it for name, it in ours.items() if (self.folder / f"{name}.py").exists()}
        for name in ours:
            del sys.modules[name]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                done = CliRunner(**APART).invoke(FlaskGroup(), args, catch_exceptions=False)
        finally:
            sys.modules.update(ours)
        assert done.exit_code == 0, done.output
        return done.stdout


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Page]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("FLASK_RUN_FROM_CLI", "true")  # as its command line leaves it
    modules = dict(sys.modules)
    yield Page(tmp_path)
    for name in sys.modules.keys() - modules.keys():
        if not hasattr(sys.modules[name], "__file__"):
            del sys.modules[name]


def read(path: Path, page: Page) -> None:
    for kind, code in in_order(path):
        getattr(page, kind)(code)


def in_order(page: Path) -> list[tuple[str, str]]:
    return [match.groups() for match in BLOCK.finditer(page.read_text())]  # type: ignore[misc]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_a_page_does_what_it_says(path: Path, page: Page) -> None:
    # What a page pushes, an app context above all, ends with it.
    contextvars.copy_context().run(read, path, page)


ALL_WORDS = "\n".join(path.read_text() for path in PAGES)


def documented() -> Iterator[Any]:
    yield from (f"COINS_{field.name.upper()}" for field in fields(Settings))
    yield from (f"flask coins {name}" for name in coins_cli.commands)
    yield from (f"coins.{name}" for name in vars(Coins) if not name.startswith("_"))
    yield from (name for name in vars(signals) if name.startswith(("coins_", "award_")))
    yield from (name for name in vars(errors) if name.startswith(("Coins", "Invalid", "Missing")))
    yield from (f"`{outcome.name}`" for outcome in Outcome)
    yield from (name for name in flask_coins.__all__ if name != "signals")


@pytest.mark.parametrize("word", sorted(set(documented())))
def test_it_is_in_the_docs(word: str) -> None:
    # Not as the beginning of a longer name: coins.award is more than coins.award_once.
    assert re.search(rf"{re.escape(word)}(?!\w)", ALL_WORDS)


def options() -> Iterator[tuple[str, str]]:
    for name, command in coins_cli.commands.items():
        for option in (each for each in command.params if isinstance(each, click.Option)):
            yield from ((name, written) for written in option.opts)


@pytest.mark.parametrize(("command", "option"), sorted(options()))
def test_an_option_stands_in_the_row_of_its_command(command: str, option: str) -> None:
    rows = re.findall(
        rf"^\| (?:every command|`flask coins {command}\b.*?`) \|.*$",
        (ROOT / "docs" / "cli.md").read_text(),
        re.M,
    )
    assert re.search(rf"`{option}[ `]", "\n".join(rows))


@pytest.mark.parametrize("argument", [*signature(flask_coins.award_once).parameters])
def test_an_argument_of_a_rule_has_a_row(argument: str) -> None:
    page = (ROOT / "docs" / "rules.md").read_text()
    assert argument == "more" or f"\n| `{argument}` | " in page


@pytest.mark.parametrize("path", [*PAGES, ROOT / "CHANGES.md"], ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\((?!http)(.+?)\)", path.read_text()):
        name, _, anchor = target.partition("#")
        page = path.parent / name if name else path
        assert page.exists(), target
        assert not anchor or anchor in anchors(page), target


def anchors(page: Path) -> list[str]:
    """Those that a page's headings have where its Markdown is shown: words joined by hyphens."""
    headings = re.findall(r"^#+ (.+)$", BLOCK.sub("", page.read_text()), re.M)
    return [re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings]


def test_the_readme_runs_the_tests_as_ci_does() -> None:
    line = re.search("^tests='(.+)'$", (ROOT / ".ci" / "run").read_text(), re.M)
    assert line
    assert f"    {line[1]}\n" in (ROOT / "README.md").read_text()
