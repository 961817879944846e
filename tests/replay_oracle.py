"""What the replay must pay, counted by brute force: from the file alone, by the documented rules.

It imports neither the package nor the app. A reward of a window is paid if nothing of its reason
was paid at or after the local start of the window, and its label (the local date, the ISO week)
was not paid before.
"""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

DAILY_GOALS = [(1, 15), (3, 25), (5, 40)]
WEEKLY_ANSWERS = 10


@dataclass(frozen=True)
class Payment:
    """A decision to pay; what is not in the list was refused."""

    actor: int
    at: datetime
    reason: str
    about: str
    amount: int


@dataclass
class Actor:
    """What one person has done and was paid for."""

    days: Counter[date] = field(default_factory=Counter)
    weeks: Counter[str] = field(default_factory=Counter)
    areas: Counter[str] = field(default_factory=Counter)
    paid: defaultdict[str, list[tuple[str, datetime]]] = field(
        default_factory=lambda: defaultdict(list)
    )

    def is_due(self, reason: str, label: str, start: datetime) -> bool:
        return all(label != paid and at < start for paid, at in self.paid[reason])


def payments(file: Path) -> list[Payment]:
    """Every payment that is due, in the order of time."""
    actors: defaultdict[int, Actor] = defaultdict(Actor)
    due = []
    with file.open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            number, at = int(row["actor"]), datetime.fromisoformat(row["at"])
            for reason, about, amount in _event(actors[number], number, at, row["area"]):
                due.append(Payment(number, at.astimezone(timezone.utc), reason, about, amount))
    return due


def _event(actor: Actor, number: int, at: datetime, area: str) -> list[tuple[str, str, int]]:
    midnight = at.replace(hour=0, minute=0, second=0, microsecond=0)
    monday = midnight - timedelta(days=at.weekday())
    day, week = at.date().isoformat(), at.strftime("%G-W%V")
    wanted, coins = DAILY_GOALS[number % 3]
    actor.days[at.date()] += 1
    actor.weeks[week] += 1
    actor.areas[area] += 1
    due = []

    def pay(reason: str, about: str, amount: int, label: str, start: datetime | None) -> None:
        key = f"{reason} {about}"
        if actor.is_due(key, label, start or datetime.max.replace(tzinfo=timezone.utc)):
            actor.paid[key].append((label, at))
            due.append((reason, about, amount))

    pay("daily_login", "", 10, day, midnight)
    if actor.areas[area] >= 3:
        pay("variant_clear", area, 30, "for ever", None)
    if actor.days[at.date()] >= wanted:
        pay("daily_goal", "", coins, day, midnight)
    if actor.weeks[week] >= WEEKLY_ANSWERS:
        pay("weekly_goal", "", 50, week, monday)
    return due
