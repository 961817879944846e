"""Mutants that no test can catch, by module and change, and why."""

_FALSE = "None is as false as False"
_STEP = "a step that leads into the next period all the same"
_FIELD = "default_factory=dict, init=False, repr=False, compare=False"
_SHORTCUT = "a shortcut: without it the same period is found one by one"

EQUIVALENTS: dict[str, dict[str, str]] = {
    "windows": {
        f"{_FIELD} -> {_FIELD.replace('init=False', 'init=None')}": _FALSE,
        f"{_FIELD} -> {_FIELD.replace('repr=False', 'repr=None')}": _FALSE,
        f"{_FIELD} -> {_FIELD.replace('compare=False', 'compare=None')}": _FALSE,
        "while end <= moment: -> while end < moment:": (
            "when a period begins, the clock shows its first date or a later one"
        ),
        (
            'day, its_format = (" 1", " %u") if "%V" in self._label else ("", "")'
            ' -> day, its_format = (" 1", " %u") if ("%V" in self._label) or True else ("", "")'
        ): "a weekday beside a date is read and not used",
        (
            'label = self.period(moment, zone).label or ""'
            ' -> label = self.period(moment, zone).label or "XXXX"'
        ): "for type checkers: these periods have a label",
        (
            "return _first(lambda instant: _reading(instant, zone) >= reading, middle - _DAY, middle + _DAY)"
            " -> return _first(lambda instant: _reading(instant, zone) > reading, middle - _DAY, middle + _DAY)"
        ): "the clock jumped over the reading: no instant shows it",
        "middle = low + (high - low) // 2 -> middle = low + (high - low) / 2": (
            "rounded either way it lies between the two"
        ),
        **{
            f"_longest: ClassVar[timedelta] = {days} * _DAY"
            f" -> _longest: ClassVar[timedelta] = {days + 1} * _DAY": _STEP
            for days in (7, 31, 366)
        },
    },
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
