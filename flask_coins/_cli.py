"""The command line: ``flask coins``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click
import sqlalchemy as sa
from flask import current_app

from . import (
    _adopt,
    _checks,
    _cli_care,  # noqa: F401  # its commands join the group
    _cli_economy,  # noqa: F401  # and so do these
    _cli_transport,  # noqa: F401  # and so do these
    _doctor,
    _install,
    _moves,
    _old_log,
    _output,
    _rewards,
)
from ._cli_base import as_json_option, coins_cli, currency_option, progress, show, timezone_option
from ._commits import committed
from ._models import MAX_AMOUNT
from ._state import State, current_state
from .results import Receipt
from .windows import WORDS, parse, zone_of

__all__ = ["coins_cli"]

F = TypeVar("F", bound=Callable[..., Any])


def _entry_options(reason: str) -> Callable[[F], F]:
    """What every command that moves coins may be told."""

    def add_all(command: F) -> F:
        for add in (
            as_json_option,
            currency_option,
            click.option("--key", help="An idempotency key: the same call again moves nothing."),
            click.option("--subject", help="What the coins are for, such as an order's id."),
            click.option("--reason", default=reason, show_default=True, help="The entry's reason."),
        ):
            command = add(command)
        return command

    return add_all


def _movement_options(command: F) -> F:
    """What the commands that pay and spend are told."""
    amount = click.argument("amount", type=click.IntRange(1, MAX_AMOUNT))
    return click.argument("user")(amount(_entry_options("manual")(command)))


# -- moving coins -------------------------------------------------------------------------------


@coins_cli.command("award")
@click.option("--once", type=click.Choice(WORDS), help="Pay once in this window.")
@_movement_options
def award_command(
    user: str, amount: int, once: str | None, key: str | None, as_json: bool, **options: Any
) -> None:
    """Pay AMOUNT coins to the user with the id USER, and commit.

    A refusal is no error: the receipt says why, and when the same call would pay.
    """
    if once and key is not None:
        raise click.UsageError("--once and --key exclude each other: each already pays once.")

    def move(state: State) -> Receipt:
        movement = state.movement(user, amount, idempotency_key=key, **options)
        return state.award_once(movement, parse(once), 1) if once else state.award(movement)

    _show_receipt(committed(move), user, as_json)


@coins_cli.command("spend")
@_movement_options
def spend_command(user: str, amount: int, key: str | None, as_json: bool, **options: Any) -> None:
    """Take AMOUNT coins from the user with the id USER, and commit."""

    def move(state: State) -> Receipt:
        return state.spend(state.movement(user, amount, idempotency_key=key, sign=-1, **options))

    _show_receipt(committed(move), user, as_json)


@coins_cli.command("transfer")
@click.argument("sender")
@click.argument("recipient")
@click.argument("amount", type=click.IntRange(1, MAX_AMOUNT))
@_entry_options("transfer")
def transfer_command(
    sender: str, recipient: str, amount: int, key: str | None, as_json: bool, **options: Any
) -> None:
    """Move AMOUNT coins from the user with the id SENDER to RECIPIENT, and commit."""

    def move(state: State) -> Receipt:
        more = {"idempotency_key": key, "details": None, **options}
        return _moves.transfer(state, sender, recipient, amount, **more)[0]

    _show_receipt(committed(move), sender, as_json)


@coins_cli.command("reverse")
@click.argument("entry", type=click.IntRange(1, 2**63 - 1))
@click.option(
    "--amount", type=click.IntRange(1, MAX_AMOUNT), help="Of how much; default: the rest."
)
@click.option("--reason", default="reversal", show_default=True, help="The new entry's reason.")
@click.option("--key", help="An idempotency key: the same call again moves nothing.")
@as_json_option
def reverse_command(
    entry: int, amount: int | None, reason: str, key: str | None, as_json: bool
) -> None:
    """Take the entry with the id ENTRY back by a new one, and commit; of a transfer both sides."""

    def move(state: State) -> tuple[Receipt, str]:
        found = state.reader.entry(state.session, entry)
        receipt = _moves.reverse(
            state, entry, reason, amount=amount, idempotency_key=key, details=None
        )
        return receipt, found.user_id if found else ""

    _show_receipt(*committed(move), as_json)


@coins_cli.command("holds")
@click.argument("user", required=False)
@click.option(
    "--expire", is_flag=True, help="Close all that are overdue, and say how many users had some."
)
@currency_option
@as_json_option
def holds_command(user: str | None, expire: bool, currency: str, as_json: bool) -> None:
    """Print the open holds of the user with the id USER, or sweep the overdue ones of all.

    They count no more as soon as they are overdue: sweeping only tidies up.
    """
    if expire == (user is not None):
        raise click.UsageError("Name a USER, or pass --expire.")
    if user is None:
        users = _swept()
        show({"users": users}, f"Users whose overdue holds were closed: {users}.", as_json)
        return
    state = current_state()
    user_id = _checks.user_id(user)
    found = state.reader.holds(state.session, user_id, _checks.currency(currency), state.now())
    rows = [_output.hold_json(hold) for hold in found]
    columns = ("id", "created_at", "expires_at", "amount", "reason", "subject")
    text = (
        _output.table(rows, *columns) if rows else f"User {user} has no open holds of {currency}."
    )
    show({"holds": rows}, text, as_json)


def _swept() -> int:
    """Sweep in parts, each committed, so that nobody waits long."""
    users = 0
    while number := committed(lambda state: state.holds.expire(state.session, state.now())):
        users += number
    return users


def _show_receipt(receipt: Receipt, user: str, as_json: bool) -> None:
    document = _output.receipt_json(receipt, user)
    entry = receipt.entry.id if receipt.entry else None
    show(document, _output.pairs(document | {"entry": entry}), as_json)


# -- looking ------------------------------------------------------------------------------------


@coins_cli.command("balance")
@click.argument("users", metavar="USER...", nargs=-1, required=True)
@currency_option
@as_json_option
def balance_command(users: tuple[str, ...], currency: str, as_json: bool) -> None:
    """Print what users have, by their ids."""
    state, currency = current_state(), _checks.currency(currency)
    ids = _checks.user_ids(users)
    found = state.reader.balances(state.session, ids, currency)
    rows = [{"user": user, "balance": it, "currency": currency} for user, it in found.items()]
    show({"balances": rows}, _output.table(rows, "user", "balance", "currency"), as_json)


@coins_cli.command("log")
@click.argument("user")
@click.option(
    "--limit", type=click.IntRange(1, 500), default=20, show_default=True, help="How many."
)
@click.option("--before", type=click.IntRange(1), help="Only entries with smaller ids.")
@currency_option
@as_json_option
def log_command(user: str, limit: int, before: int | None, currency: str, as_json: bool) -> None:
    """Print the entries of the user with the id USER, newest first."""
    page = _output.page(current_state().history(user, limit + 1, before, currency), limit)
    columns = ("id", "created_at", "amount", "balance_after", "reason", "subject")
    rows = [entry | {"id": int(entry["id"])} for entry in page["entries"]]
    text = _output.table(rows, *columns) if rows else f"No {currency} ever moved for user {user}."
    more = f"\nOlder ones: --before {page['next']}" if page["next"] else ""
    show(page, text + more, as_json)


@coins_cli.command("rewards")
@click.argument("user", required=False)
@as_json_option
def rewards_command(user: str | None, as_json: bool) -> None:
    """Print the rewards of the app; with a USER's id also what is open for them."""
    state = current_state()
    if user is None:
        found = [rule.listed(rule.constant_subject) for rule in _rewards.rules_of(state)]
    else:
        found = _rewards.status(state, user)
    names = ["reason", "amount", "amounts", "currency", "window", "limit", "subject"]
    if user is not None:
        names += ["state", "opens_at", "times", "left"]
    rows = [{name: _output.reward_json(reward)[name] for name in names} for reward in found]
    told = [row | {"amount": row["amount"] or _output.several(row["amounts"])} for row in rows]
    names.remove("amounts")
    text = _output.table(told, *names) if rows else "There are no rewards."
    show({"rewards": rows}, text, as_json)


# -- keeping order ------------------------------------------------------------------------------


@coins_cli.command("install")
@click.option("-d", "--directory", help="The migrations folder, where it is not Flask-Migrate's.")
@click.option("--head", metavar="REV", help="The revision that the copies go after, or base.")
@click.option("--check", is_flag=True, help="Write nothing; status 1 if anything is missing.")
@as_json_option
def install_command(directory: str | None, head: str | None, check: bool, as_json: bool) -> None:
    """Copy the revisions that the migrations folder lacks. 'flask db upgrade' does the same."""
    current_state()
    paths = _install.copy_revisions(directory, head=head, check=check)
    line = "{} is missing: run 'flask coins install'." if check else "Wrote {}: commit it."
    text = "\n".join(line.format(path) for path in paths) or "Every revision is there."
    if len(_install.heads(directory)) > 1:
        text += "\nThere are several heads: join them with 'flask db merge heads'."
    files = [str(path) for path in paths]
    show({"missing" if check else "written": files}, text, as_json, failed=check and bool(paths))


@coins_cli.command("adopt")
@click.option(
    "--balance",
    metavar="TABLE.COLUMN",
    help="Where the users' coins are, or 'none'. By default a column 'coins' is looked for.",
)
@click.option("--user-key", default="id", show_default=True, help="That table's key of users.")
@timezone_option
@click.option("--keep", is_flag=True, help=f"Keep the old table, as {_old_log.KEPT}.")
@as_json_option
def adopt_command(
    balance: str | None, user_key: str, timezone: str, keep: bool, as_json: bool
) -> None:
    """Move a hand-made coin_log over, every row with its time. Stop the app first.

    Users of whom the balance column says more or less than their rows, or whose rows go below zero
    on the way, get an opening_balance entry. Running it again is safe.
    """
    state = current_state()
    engine = state.engine()
    column = _balance_column(engine, balance, user_key)
    zone, now = zone_of(timezone), state.now()
    with progress(_adopt.steps(engine), "Adopting") as bar:
        result = _adopt.adopt(
            engine, balance_column=column, zone=zone, now=now, keep=keep, told=bar.update
        )
    show(_output.reconciliation_json(result), "\n".join(result.lines()), as_json)


def _balance_column(
    engine: sa.Engine, given: str | None, user_key: str
) -> _old_log.BalanceColumn | None:
    if given is None:
        return _old_log.find_balance_column(engine)
    if given == "none":
        return None
    table, _, column = given.rpartition(".")
    if not table or not column:
        raise click.UsageError(f"--balance is TABLE.COLUMN, such as users.coins, not {given!r}.")
    return _old_log.BalanceColumn(table, user_key, column)


@coins_cli.command("doctor")
@as_json_option
def doctor_command(as_json: bool) -> None:
    """Check how the app is set up, and say what to do. Status 1 if there is a fault."""
    checks = list(_doctor.examine(current_app))
    rows = [{"name": it.name, "ok": not it.faults, "faults": it.faults} for it in checks]
    lines = [line for check in checks for line in _diagnosis(check)]
    ill = any(check.faults for check in checks)
    show({"ok": not ill, "checks": rows}, "\n".join(lines), as_json, failed=ill)


def _diagnosis(check: _doctor.Check) -> list[str]:
    if not check.faults:
        return [f"ok     {check.name:<10} {check.claim}"]
    return [f"FAULT  {check.name:<10} {fault}" for fault in check.faults]
