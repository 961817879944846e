"""Mutants that no test can catch, by module and change, and why."""

EQUIVALENTS: dict[str, dict[str, str]] = {
    "windows": {},
    "_claims": {},
    "_ledger": {},
}
