"""Which wrong versions of a module the tests let pass: each is made, and the tests have to fail.

    python benchmarks/mutants.py windows|_claims|_ledger|_writes [--match TEXT] [--list]

mutmut makes the mutants, one small change each; some kinds of change are added here. Every one runs in
a process of its own, forked when all that the tests need but the package is loaded; it takes the
place of the module at import, so no file is touched. Texts of errors are left as they are, and what
runs longer than ten times the tests is taken for caught. What survives must be explained
in ``equivalents.py``; the exit status is 1 if anything is not. It needs ``pip install mutmut`` and a
system that forks.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import gc
import importlib
import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import CodeType
from typing import Any, NamedTuple

import libcst as cst
import libcst.matchers as m
import pytest
from equivalents import EQUIVALENTS
from mutmut.mutation.mutators import mutation_operators, operator_string

ROOT = Path(__file__).parents[1]
TESTS = {
    "windows": ["test_windows.py", "test_claims.py"],
    "_claims": ["test_claims.py"],
    "_ledger": ["test_ledger.py", "test_once.py", "test_session.py", "test_model.py"],
    "_writes": ["test_ledger.py", "test_once.py", "test_session.py", "test_model.py"],
}
"""The tests of each module, the quick ones first. Races run elsewhere: they see no mutant."""
LEFT_OUT = ["test_near_clock_changes", "test_periods_tile", "test_every_instant_has_one_hour"]
"""Scans that take long: what is claimed by examples must be enough."""
LOADED = ["flask_sqlalchemy", "flask_migrate", "flask_login", "hypothesis", "freezegun"]


class Mutant(NamedTuple):
    """One wrong version."""

    line: int
    change: str
    """``old -> new``: the first line that differs, without its indent."""
    source: str


class Impostor(SourceFileLoader):
    """Gives a module other code than its file holds; it is its own finder."""

    def __init__(self, name: str, path: Path, source: str) -> None:
        super().__init__(name, str(path))
        self.source = source

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name != self.name:
            return None
        return spec_from_file_location(name, self.path, loader=self)

    def get_code(self, fullname: str) -> CodeType:
        return compile(self.source, self.path, "exec", dont_inherit=True)


# -- making mutants -------------------------------------------------------------------------------


def _turned(node: cst.If) -> Iterable[cst.If]:
    test = node.test.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])
    yield node.with_changes(test=cst.UnaryOperation(cst.Not(), test))


def _dropped(node: cst.Expr | cst.Raise) -> Iterable[cst.Pass]:
    if not m.matches(node, m.Expr(m.SimpleString() | m.Ellipsis())):
        yield cst.Pass()


def _emptied(node: cst.Return) -> Iterable[cst.Return]:
    if node.value is not None and not m.matches(node.value, m.Name("None")):
        yield node.with_changes(value=cst.Name("None"))


def _padded(node: cst.SimpleString) -> Iterable[cst.CSTNode]:
    yield from list(operator_string(node))[:1]


OPERATORS: list[tuple[Any, Any]] = [
    *(each for each in mutation_operators if each[1] is not operator_string),
    (cst.SimpleString, _padded),
    (cst.If, _turned),
    (cst.Expr, _dropped),
    (cst.Raise, _dropped),
    (cst.Return, _emptied),
]


EXPORTS = m.Assign([m.AssignTarget(m.Name("__all__"))]) | m.AugAssign(m.Name("__all__"))
STRING = m.SimpleString() | m.ConcatenatedString() | m.FormattedString()


class Maker(cst.CSTVisitor):
    """Collects what each node of a module could be instead."""

    def __init__(self, module: cst.Module) -> None:
        super().__init__()
        # Texts of errors are for people, and may change.
        self._wording = {
            id(text) for error in m.findall(module, m.Raise()) for text in m.findall(error, STRING)
        }
        self.found: list[tuple[cst.CSTNode, cst.CSTNode]] = []

    def on_visit(self, node: cst.CSTNode) -> bool:
        if isinstance(node, cst.Annotation | cst.Decorator) or id(node) in self._wording:
            return False
        if m.matches(node, EXPORTS):
            return False
        for kind, operator in OPERATORS:
            if isinstance(node, kind):
                self.found += [(node, other) for other in operator(node)]
        return True


def mutants(source: str) -> Iterator[Mutant]:
    """Every mutant that is another program; one that Python cannot read is none."""
    module = cst.parse_module(source)
    maker = Maker(module)
    module.visit(maker)
    seen = {_program(source), ""}
    for node, other in maker.found:
        mutated: Any = module.deep_replace(node, other)
        code = mutated.code
        program = _program(code)
        if program not in seen:
            seen.add(program)
            yield Mutant(*_change(source, code), code)


def _program(source: str) -> str:
    try:
        return ast.dump(ast.parse(source))
    except SyntaxError:
        return ""


def _change(source: str, mutated: str) -> tuple[int, str]:
    one, two = source.splitlines(), mutated.splitlines()
    matcher = difflib.SequenceMatcher(None, one, two, autojunk=False)
    _, start, end, other, until = next(each for each in matcher.get_opcodes() if each[0] != "equal")
    texts = (" ".join(line.strip() for line in part) for part in (one[start:end], two[other:until]))
    return start + 1, " -> ".join(texts)


# -- running them ---------------------------------------------------------------------------------


def survives(name: str, source: str, patience: float) -> bool:
    """Whether the tests pass with ``source`` in place of the module."""
    child = os.fork()
    if child == 0:
        os._exit(_run_tests(name, source))
    ends = time.monotonic() + patience
    while time.monotonic() < ends:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status) == 0
        time.sleep(0.02)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def _run_tests(name: str, source: str) -> int:
    try:
        os.setpgid(0, 0)
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, 1)
        os.dup2(nothing, 2)
        path = ROOT / "flask_coins" / f"{name}.py"
        sys.meta_path.insert(0, Impostor(f"flask_coins.{name}", path, source))
        tests = [str(ROOT / "tests" / test) for test in TESTS[name]]
        gc.disable()
        os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
        options = [
            "-x",
            "-q",
            "--tb=no",
            "-p",
            "no:cacheprovider",
            "-m",
            "not servers and not slow",
        ]
        options += ["-k", " and ".join(f"not {test}" for test in LEFT_OUT)]
        options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # loaded before
        return int(pytest.main([*options, *(test for test in tests if Path(test).exists())]))
    except BaseException:  # noqa: BLE001  # whatever it was, the mutant did not pass
        return 1


def main() -> int:
    """Make and run the mutants of one module; 1 if one survives that nobody has explained."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("module", choices=TESTS)
    parser.add_argument("--match", default="", help="only changes that contain this text")
    parser.add_argument("--list", action="store_true", help="make them, run nothing")
    given = parser.parse_args()
    source = (ROOT / "flask_coins" / f"{given.module}.py").read_text(encoding="utf-8")
    chosen = (each for each in mutants(source) if given.match in each.change)
    if given.list:
        for each in chosen:
            print(f"{each.line}: {each.change}", flush=True)
        return 0
    for name in LOADED:
        importlib.import_module(name)
    began = time.monotonic()
    if not survives(given.module, source, 600):
        print("The tests fail without any change.")
        return 1
    patience = 10 * (time.monotonic() - began)
    return _report(given.module, chosen, patience)


def _report(name: str, chosen: Iterable[Mutant], patience: float) -> int:
    made = explained = unexplained = 0
    for mutant in chosen:
        made += 1
        if not survives(name, mutant.source, patience):
            continue
        why = EQUIVALENTS[name].get(mutant.change)
        explained += bool(why)
        unexplained += not why
        print(f"{name}:{mutant.line}: {mutant.change}\n    {why or 'SURVIVES'}", flush=True)
    print(
        f"{name}: {made} mutants, {made - explained - unexplained} caught,"
        f" {explained} change nothing that can be seen, {unexplained} survive"
    )
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
