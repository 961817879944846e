"""Which wrong versions of a module the tests let pass: each is made, and the tests have to fail.

    python benchmarks/mutants.py windows|_zones|_claims|_ledger|_writes [--match TEXT] [--part I/N] [--list]

mutmut makes the mutants, one small change each; some kinds of change are added here. Every one runs in
a process of its own, forked when the tests are collected; the function that was changed is given its
other code there, so no file is touched. Tests that do not enter that function are not run, nor are
races, whose processes import the module as it is; those that caught most go first. Texts of errors are
left as they are, and what runs twice as long as all tests is taken for caught. What survives must
be explained in ``equivalents.py``; the exit status is 1 if anything is not. It needs ``pip install
mutmut`` and a system that forks. Under ``python -m tests.private`` the tests run on PostgreSQL and
MariaDB too: much of ``_writes`` is for one of them.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import gc
import importlib
import inspect
import os
import select
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from itertools import islice, zip_longest
from pathlib import Path
from types import CodeType, FrameType, FunctionType, ModuleType
from typing import Any, NamedTuple

import libcst as cst
import libcst.matchers as m
import pytest
from equivalents import EQUIVALENTS
from mutmut.mutation.mutators import mutation_operators, operator_string

ROOT = Path(__file__).parents[1]
_MOVEMENTS = [
    "test_ledger_details.py",
    "test_transfer.py",
    "test_reverse.py",
    "test_ledger.py",
    "test_once.py",
    "test_budgets.py",
    "test_holds.py",
]
TESTS = {
    "windows": ["test_windows.py", "test_claims.py"],
    "_zones": ["test_windows.py", "test_claims.py"],
    "_claims": ["test_claims.py", "test_ledger_details.py", "test_once.py", "test_budgets.py"],
    "_ledger": _MOVEMENTS,
    "_writes": [*_MOVEMENTS, "test_plans.py", "engines/test_isolation.py"],
}
"""The tests of each module, the quick ones first."""
LEFT_OUT = [
    "test_near_clock_changes",
    "test_periods_tile",
    "test_every_instant_has_one_hour",
    "test_chance_calls",
    "test_real_activity",
]
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
        if m.matches(node, m.Call(m.Name("cast"))):
            node.args[1].visit(self)  # what comes first is a type
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


class Function(NamedTuple):
    """A function of the module, not one within another."""

    path: tuple[str, ...]
    """The names that lead to it: of its class, if it has one, and its own."""
    first: int
    last: int
    """Its lines, the decorators among them."""


def functions(tree: ast.Module | ast.ClassDef, path: tuple[str, ...] = ()) -> Iterator[Function]:
    """The functions and methods of a module."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            yield from functions(node, (*path, node.name))
        elif isinstance(node, ast.FunctionDef):
            first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
            yield Function((*path, node.name), first, node.end_lineno or first)


def found(space: dict[str, Any], path: tuple[str, ...]) -> FunctionType | None:
    """The function itself, without what decorates it; None if ``space`` has no such."""
    there: Any = space.get(path[0])
    for name in path[1:]:
        there = vars(there).get(name)
    there = there.fget if isinstance(there, property) else getattr(there, "__func__", there)
    there = inspect.unwrap(there) if callable(there) else None
    return there if isinstance(there, FunctionType) else None


class Run:
    """A session of pytest that runs its tests once as they are, and then against each mutant."""

    def __init__(self, name: str, source: str, chosen: Iterable[Mutant], temp: Path) -> None:
        self.name, self.source, self.chosen, self.temp = name, source, chosen, temp
        self.file = str(ROOT / "flask_coins" / f"{name}.py")
        self.functions = list(functions(ast.parse(source)))
        self.entered: dict[pytest.Item, set[int]] = {}
        self.caught: Counter[str] = Counter()
        self.failed = ""
        self.patience = 600.0
        self.status = 1

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """All of it."""
        began = time.monotonic()
        for item, after in _with_next(session.items):
            self.entered[item] = self._watch(item, after)
        if self.failed:
            print(f"Without any change this fails: {self.failed}")
            return True
        self.patience = max(120, 2 * (time.monotonic() - began))
        self.status = _report(self.name, self.chosen, self.survives)
        for function in self.functions:
            if not self.survives(Mutant(function.first, "", self.source)):
                print(f"{'.'.join(function.path)} is caught without any change: nothing is proved.")
                self.status = 1
        return True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed = self.failed or report.nodeid

    def _watch(self, item: Any, after: Any) -> set[int]:
        """Run a test; the first lines of the functions that it enters."""
        entered: set[int] = set()

        def watch(frame: FrameType, event: str, arg: object) -> None:
            if frame.f_code.co_filename == self.file:
                entered.add(frame.f_code.co_firstlineno)

        sys.settrace(watch)
        item.ihook.pytest_runtest_protocol(item=item, nextitem=after)
        sys.settrace(None)
        return entered

    def survives(self, mutant: Mutant) -> bool:
        """Whether the tests that can see the change pass with it; the likeliest to fail go first."""
        around = [each for each in self.functions if each.first <= mutant.line <= each.last]
        tests = [
            test for test, lines in self.entered.items() if not around or around[0].first in lines
        ]
        tests.sort(key=lambda test: -self.caught[test.nodeid])
        told, tell = os.pipe()
        child = os.fork()
        if child == 0:
            os.setpgid(0, 0)
            os.write(tell, self._tested(mutant, around, tests).encode())
            os._exit(0)
        os.close(tell)
        with os.fdopen(told, encoding="utf-8") as answer:
            if not select.select([answer], [], [], self.patience)[0]:
                os.killpg(child, signal.SIGKILL)
            failed = answer.read()
        os.waitpid(child, 0)
        self.caught[failed] += 1
        return failed == "none"

    def _tested(self, mutant: Mutant, around: list[Function], tests: list[pytest.Item]) -> str:
        try:
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, 1)
            os.dup2(nothing, 2)
            if not around or not self._patched(mutant, around[0]):
                return _by_itself(self.name, mutant.source, self.temp)
            for item, after in _with_next(tests):
                item.ihook.pytest_runtest_protocol(item=item, nextitem=after)
                if self.failed:
                    item.session._setupstate.teardown_exact(None)  # noqa: SLF001  # its database
                    return self.failed
        except BaseException as error:  # noqa: BLE001  # whatever it was, the mutant did not pass
            return repr(error)
        return "none"

    def _patched(self, mutant: Mutant, function: Function) -> bool:
        """Whether the function that is there could be given the mutant's code."""
        module = sys.modules[f"flask_coins.{self.name}"]
        other = ModuleType(module.__name__)
        other.__package__ = module.__package__
        exec(compile(mutant.source, self.file, "exec", dont_inherit=True), vars(other))
        old, new = found(vars(module), function.path), found(vars(other), function.path)
        if old is None or new is None or old.__code__.co_freevars != new.__code__.co_freevars:
            return False
        old.__code__, old.__defaults__ = new.__code__, new.__defaults__
        old.__kwdefaults__ = new.__kwdefaults__
        return True


def _with_next(tests: list[pytest.Item]) -> Iterator[tuple[pytest.Item, pytest.Item | None]]:
    yield from zip_longest(tests, tests[1:])


def _by_itself(name: str, source: str, temp: Path) -> str:
    """The same in a session of its own, which begins by importing the package; SQLite must do."""
    for module in [
        each for each in sys.modules if each.partition(".")[0] in ("flask_coins", "tests")
    ]:
        del sys.modules[module]
    path = ROOT / "flask_coins" / f"{name}.py"
    sys.meta_path.insert(0, Impostor(f"flask_coins.{name}", path, source))
    return (
        "none"
        if pytest.main(_options(name, temp / "alone", False)) == 0
        else "a module that is read anew"
    )


def _options(name: str, temp: Path, servers: bool) -> list[str]:
    tests = [ROOT / "tests" / test for test in TESTS[name]]
    options = ["-x", "-q", "--tb=no", "-p", "no:cacheprovider", "-m"]
    options += ["not slow and not races" if servers else "not servers and not slow and not races"]
    options += ["-o", "tmp_path_retention_policy=none", "--basetemp", str(temp)]
    options += ["-k", " and ".join(f"not {test}" for test in LEFT_OUT)]
    options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # loaded before
    return [*options, *(str(test) for test in tests if test.exists())]


def main() -> int:
    """Make and run the mutants of one module; 1 if one survives that nobody has explained."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("module", choices=TESTS)
    parser.add_argument("--match", default="", help="only changes that contain this text")
    parser.add_argument(
        "--part", default="1/1", help="1/2 and 2/2 are two runs that share the work"
    )
    parser.add_argument("--list", action="store_true", help="make them, run nothing")
    given = parser.parse_args()
    source = (ROOT / "flask_coins" / f"{given.module}.py").read_text(encoding="utf-8")
    part, parts = (int(number) for number in given.part.split("/"))
    matching = (each for each in mutants(source) if given.match in each.change)
    chosen = islice(matching, part - 1, None, parts)
    if given.list:
        for each in chosen:
            print(f"{each.line}: {each.change}", flush=True)
        return 0
    for name in LOADED:
        importlib.import_module(name)
    gc.disable()
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    with tempfile.TemporaryDirectory() as temp:
        run = Run(given.module, source, chosen, Path(temp))
        options = _options(given.module, run.temp / "all", "COINS_TEST_POSTGRESQL" in os.environ)
        pytest.main([*options, "-s"], plugins=[run])
    return run.status


def _report(name: str, chosen: Iterable[Mutant], survives: Callable[[Mutant], bool]) -> int:
    made = explained = unexplained = 0
    for mutant in chosen:
        made += 1
        if not survives(mutant):
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
