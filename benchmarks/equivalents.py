"""Mutants that no test can catch, by module and change, and why."""

_SHORTCUT = "a shortcut: without it the same period is found one by one"

EQUIVALENTS: dict[str, dict[str, str]] = {
    "windows": {},
    "_claims": {
        "break -> return": "only a season has no next period, and its `ahead` is 0",
        (
            "late = sorted(row.at for row in paid if row.at >= period.start)[-self.limit :]"
            " -> late = sorted(row.at for row in paid if row.at > period.start)[-self.limit :]"
        ): "a payment at the very start leads to the period that it stands in already",
        (
            "late = sorted(row.at for row in paid if row.at >= period.start)[-self.limit :]"
            " -> late = sorted(row.at for row in paid if row.at >= period.start)[+self.limit :]"
        ): _SHORTCUT,
    },
    "_ledger": {},
    "_writes": {},
}
