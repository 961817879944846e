"""The commands that look after the ledger: ``flask coins verify`` and ``flask coins forget``."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timezone
from functools import partial
from typing import Any

import click

from . import _checks, _output, _verify
from ._cli_base import as_json_option, coins_cli, progress, show
from ._commits import committed
from ._faults import whole
from ._forget import Forgotten, forget
from ._state import State, current_state
from ._verify import Fault, Since
from ._verify_fix import mend
from ._verify_scopes import Owner

_SHOWN = 1000
"""How many faults are told one by one: a ledger that is all wrong must not fill the memory."""


class _Findings:
    """The faults of a run, and what was done about them."""

    def __init__(self, state: State, fix: bool) -> None:
        self.state, self.fix = state, fix
        self.left: list[dict[str, str]] = []
        self.fixed: list[dict[str, str]] = []
        self.number = 0

    def take(self, found: list[Fault]) -> None:
        """Note the faults of a chunk; with ``fix`` those that are left when it has been mended."""
        session, table = self.state.session, self.state.table
        for owner in self._to_mend(found):
            done = mend(session, table, owner, self.state.now())
            self.fixed += [_row(owner.user_id, owner.currency, what) for what in done]
            with whole(session):
                left = list(_verify.account(self.state.connection(), owner))
                session.rollback()
            found = [it for it in found if _mendable(it) != owner] + left
        self.number += len(found)
        room = _SHOWN - len(self.left)
        self.left += [_row(it.user_id, it.currency, it.what) for it in found[:room]]

    def _to_mend(self, found: list[Fault]) -> list[Owner]:
        owners = dict.fromkeys(map(_mendable, found)) if self.fix else {}
        return [owner for owner in owners if owner]


def _mendable(fault: Fault) -> Owner | None:
    """Whose balance row is wrong; None where something else is."""
    if fault.kind not in ("balance", "held"):
        return None
    return Owner(fault.user_id, fault.currency)


def _row(user: str, currency: str, what: str) -> dict[str, str]:
    return {"user": user, "currency": currency, "what": what}


@coins_cli.command("verify")
@click.option(
    "--since",
    metavar="WHEN",
    help="Only entries from this moment (ISO 8601, UTC unless it says) or this id on.",
)
@click.option("--fix", is_flag=True, help="Mend balances by new entries; stays safe when repeated.")
@as_json_option
def verify_command(since: str | None, fix: bool, as_json: bool) -> None:
    """Prove that the ledger keeps its promises. Status 1 if it does not.

    Every balance is the sum of its log, the chain of balances is whole, every window could be claimed
    when it was, and holds, reversals and transfers fit. The app can go on meanwhile.
    """
    state = current_state()
    session, table, findings = state.session, state.table, _Findings(state, fix)
    with whole(session):
        connection = state.connection()
        start = _start(connection, since)
        size = _size(connection, start)
        session.rollback()
        with progress(size, "Verifying") as bar:
            for found in _verify.examine(session, table, bar.update, since=start, now=state.now()):
                findings.take(found)
    _show_findings(findings, start, size, as_json)


def _start(connection: Any, since: str | None) -> Since | None:
    """What ``--since`` names: an entry by its id, or the first of a day or moment."""
    if since is None:
        return None
    if since.isdecimal():
        return Since(int(since))
    try:
        moment = datetime.fromisoformat(since.removesuffix("Z"))
    except ValueError as error:
        raise click.UsageError(
            f"--since takes a day or moment such as 2026-11-22 or 2026-11-22T12:00+01:00, or the id of"
            f" an entry, not {since!r}."
        ) from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return _verify.entries_since(connection, moment)


def _size(connection: Any, start: Since | None) -> int:
    if start is None:
        return _verify.count(connection)
    return max(_verify.newest(connection) - start.entry + 1, 0)


def _show_findings(findings: _Findings, start: Since | None, size: int, as_json: bool) -> None:
    what = "balances" if start is None else "entries"
    document = {"ok": not findings.number, what: size, "faults": findings.left}
    lines = [f"{what.capitalize()} checked: {size}."]
    if start is not None:
        document["since"] = str(start.entry)
        lines[0] = f"Entries checked: {size}, from {start.entry} on."
    if findings.fix:
        document["fixed"] = findings.fixed
        lines += [f"Fixed: {it['user']}, {it['currency']}: {it['what']}." for it in findings.fixed]
    if findings.left:
        lines.append(_output.table(findings.left, "user", "currency", "what"))
    else:
        lines.append("They agree with the log.")
    if more := findings.number - len(findings.left):
        document["more"] = more
        lines.append(f"And {more} more.")
    show(document, "\n".join(lines), as_json, failed=bool(findings.number))


@coins_cli.command("forget")
@click.argument("user")
@as_json_option
def forget_command(user: str, as_json: bool) -> None:
    """Erase the user with the id USER from the ledger, and commit. Disable the account first.

    A random id takes the place of theirs, here and in other people's entries; subjects, keys and
    details are wiped, open holds released. There is no way back.
    """
    user_id = _checks.user_id(user)
    done: Forgotten = committed(partial(_forget, user_id=user_id))
    counts = {name.replace("_", " "): number for name, number in asdict(done).items()}
    text = _output.pairs(counts) if done else f"There is nothing under the id {user_id!r}."
    show({"forgotten": bool(done), **asdict(done)}, text, as_json)


def _forget(state: State, user_id: str) -> Forgotten:
    return forget(state.session, state.table, user_id, state.now())
