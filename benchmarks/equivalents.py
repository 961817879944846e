"""Mutants that no test can catch, by module and change, and why."""

_FALSE = "None is as false as False"
_STEP = "a step that leads into the next period all the same"
_FIELD = "default_factory=dict, init=False, repr=False, compare=False"
_ONCE_MORE = "asks once more for names that are known, or that a window does not have"
_SHORTCUT = "a shortcut: without it the same period is found one by one"
_NO_ZERO = "no movement is of zero coins"
_NO_ID = "no row has been read that this one could be mistaken for, and its id is not told"
_KNOWN = "after a payment the next period that pays is one of those whose names were looked at"
_OUTSIDE = "what stands in no function is changed with SQLite alone; caught on MariaDB by tests/test_ledger_details.py::test_a_call_asks_no_more_than_it_needs"
_AGAIN = "reads once more what has been seen: it has the same ids, or is asked for by none"
_NO_ROW = (
    "who has no row has no coins, and of what is found only the balance and what is held are told"
)
_LOCKS = "takes a lock that nobody waits for: no entry changes, but by an erasure, which takes the balance's first"
_LOOKS_FIRST = "MariaDB always looks before it locks; elsewhere nobody asks"
_ANY_KEY = "a key of session.info: another does as well"
_AS_MANY = "both are as long by construction"

EQUIVALENTS: dict[str, dict[str, str]] = {
    "windows": {
        f"{_FIELD} -> {_FIELD.replace('init=False', 'init=None')}": _FALSE,
        f"{_FIELD} -> {_FIELD.replace('repr=False', 'repr=None')}": _FALSE,
        f"{_FIELD} -> {_FIELD.replace('compare=False', 'compare=None')}": _FALSE,
        (
            "while self.start(self.following(first), zone) <= moment:"
            " -> while self.start(self.following(first), zone) < moment:"
        ): "when a period begins, the clock shows its first date or a later one",
        (
            'kind, _, name = label.partition(":") -> kind, _, name = label.rpartition(":")'
        ): "a label with two colons is no date's, wherever it is cut",
        (
            'if kind != self._label.partition(":")[0]: -> if kind != self._label.rpartition(":")[0]:'
        ): "there is one colon in it",
        **{
            f"_longest: ClassVar[timedelta] = {days} * DAY"
            f" -> _longest: ClassVar[timedelta] = {days + 1} * DAY": _STEP
            for days in (7, 31, 366)
        },
    },
    "_zones": {
        (
            "return onset(lambda instant: local_time(instant, zone) >= reading, middle - DAY, middle + DAY)"
            " -> return onset(lambda instant: local_time(instant, zone) > reading, middle - DAY, middle + DAY)"
        ): "the clock jumped over the reading: no instant shows it",
        "middle = low + (high - low) // 2 -> middle = low + (high - low) / 2": (
            "rounded either way it lies between the two"
        ),
    },
    "_claims": {
        "if opens_at is None or not self.window.ahead or opens_at < self.known_periods[-1].end: -> if opens_at is None and not self.window.ahead or opens_at < self.known_periods[-1].end:": _ONCE_MORE,
        "if opens_at is None or not self.window.ahead or opens_at < self.known_periods[-1].end: -> if opens_at is None or not self.window.ahead or opens_at <= self.known_periods[-1].end:": _ONCE_MORE,
        "if opens_at is None or not self.window.ahead or opens_at < self.known_periods[-1].end: -> if opens_at is None or not self.window.ahead or opens_at < self.known_periods[+1].end:": _ONCE_MORE,
        "if opens_at is None or not self.window.ahead or opens_at < self.known_periods[-1].end: -> if opens_at is None or not self.window.ahead or opens_at < self.known_periods[-2].end:": _ONCE_MORE,
        "return replace(self, period=period) if period else None -> return replace(self, period=period) if (period) or True else None": "only after the year 9999 a moment has no day",
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
    "_ledger": {
        'amount: int | None = None -> amount: int | None = ""': "every Undo names its amount",
        "return self.movement._replace(amount=amount if self.movement.amount > 0 else -amount) -> return self.movement._replace(amount=amount if self.movement.amount >= 0 else -amount)": _NO_ZERO,
        "gives = write.movement.amount > 0 -> gives = write.movement.amount >= 0": _NO_ZERO,
        "account = write.earn(claim.free_name(paid)) -> account = write.earn(None)": "caught on PostgreSQL by tests/test_plans.py::test_a_payment_is_a_look_and_two_writes",
        "account = write.earn(claim.free_name(paid)) -> account = write.earn(claim.free_name(None))": "caught on PostgreSQL by tests/test_once.py::test_a_limit_pays_so_often_and_names_each",
        "paid = write.look_again(claim, paid) -> paid = write.look_again(claim, None)": "caught on MariaDB by tests/test_ledger.py::test_a_window_paid_between_look_and_lock_is_not_paid_again",
        "mine = Paid(0, movement.now, claim.free_name(paid)) -> mine = Paid(None, movement.now, claim.free_name(paid))": _NO_ID,
        "mine = Paid(0, movement.now, claim.free_name(paid)) -> mine = Paid(1, movement.now, claim.free_name(paid))": _NO_ID,
        "next_at = claim.opens_at([*paid, mine], movement.now, write.named) -> next_at = claim.opens_at([*paid, mine], movement.now, None)": _KNOWN,
        "next_at = claim.opens_at([*paid, mine], movement.now, write.named) -> next_at = claim.opens_at([*paid, mine], movement.now, )": _KNOWN,
        "take.first_of_key() -> pass": "caught on MariaDB by tests/test_ledger_details.py::test_after_a_transfer_nobody_s_payments_need_be_locked",
        'earned: Account | None = None -> earned: Account | None = ""': _FALSE,
        "theirs = earned.balance if earned else take.connection.scalar(sql.ACCOUNT, take.params) -> theirs = earned.balance if (earned) and False else take.connection.scalar(sql.ACCOUNT, take.params)": "the transaction reads the same from the row that it has changed",
        "if give.owner < take.owner: -> if give.owner <= take.owner:": "nobody transfers to himself",
        "next_at = claim.opens_at(paid, write.movement.now, write.named) -> next_at = claim.opens_at(paid, None, write.named)": "a window that refuses does not open at this moment",
        "for write, balance in zip(writes[1:], balances[1:], strict=True): -> for write, balance in zip(writes[1:], balances[1:], strict=None):": _AS_MANY,
        "for write, balance in zip(writes[1:], balances[1:], strict=True): -> for write, balance in zip(writes[1:], balances[1:], ):": _AS_MANY,
        "for write, balance in zip(writes[1:], balances[1:], strict=True): -> for write, balance in zip(writes[1:], balances[1:], strict=False):": _AS_MANY,
        "if not all(write.is_theirs(each.entry) for write, each in zip(writes, undos, strict=True)): -> if not all(write.is_theirs(each.entry) for write, each in zip(writes, undos, strict=None)):": _AS_MANY,
        "if not all(write.is_theirs(each.entry) for write, each in zip(writes, undos, strict=True)): -> if not all(write.is_theirs(each.entry) for write, each in zip(writes, undos, )):": _AS_MANY,
        "if not all(write.is_theirs(each.entry) for write, each in zip(writes, undos, strict=True)): -> if not all(write.is_theirs(each.entry) for write, each in zip(writes, undos, strict=False)):": _AS_MANY,
        "for write, each in zip(writes, undos, strict=True): -> for write, each in zip(writes, undos, strict=None):": _AS_MANY,
        "for write, each in zip(writes, undos, strict=True): -> for write, each in zip(writes, undos, ):": _AS_MANY,
        "for write, each in zip(writes, undos, strict=True): -> for write, each in zip(writes, undos, strict=False):": _AS_MANY,
    },
    "_writes": {
        '_UNSEEN = "flask_coins.unseen" -> _UNSEEN = None': _ANY_KEY,
        '_UNSEEN = "flask_coins.unseen" -> _UNSEEN = "XXflask_coins.unseenXX"': _ANY_KEY,
        "caps: tuple[Cap, ...] = () -> caps: tuple[Cap, ...] = None": "no caps either way",
        "balance: int = 0 -> balance: int = 1": _OUTSIDE,
        "self.before, self.looked = Account(), False -> self.before, self.looked = Account(), True": "an account that was not looked at is taken for an empty one, which has moved by the time that it is not",
        "self.seen = 0 -> self.seen = None": _LOOKS_FIRST,
        "self.seen = 0 -> self.seen = 1": _LOOKS_FIRST,
        "self.before, self.seen, self.looked = Account(*figures), newest or 0, True -> self.before, self.seen, self.looked = Account(*figures), newest and 0, True": _AGAIN,
        "look = sql.look(len(claim.known_names), self.mysql) -> look = sql.look(len(claim.known_names), None)": _AGAIN,
        "account = sql.account(self.mysql) -> account = sql.account(None)": _AGAIN,
        "account = self._locked(sql.SPEND, self._update_returns) -> account = self._locked(sql.SPEND, None)": "asks for the row in a second statement, as engines do that return none",
        "if self.found.balance >= amount: -> if self.found.balance > amount:": "only processes that race could show that the row was not locked",
        "return False -> return None": _FALSE,
        "refusal = self._limits.refusal(again=True) if self.moved else None -> refusal = self._limits.refusal(again=True) if (self.moved) or True else None": _AGAIN,
        "sql.UNEARN if self.movement.amount > 0 else sql.UNSPEND, self.params -> sql.UNEARN if self.movement.amount >= 0 else sql.UNSPEND, self.params": _NO_ZERO,
        "now = sql.ACCOUNT_NOW if self.mysql else sql.ACCOUNT_AND_HELD -> now = sql.ACCOUNT_NOW if (self.mysql) or True else sql.ACCOUNT_AND_HELD": "locks a row that the next statement would lock",
        'rows = connection.execute(holding.OPEN_NOW, {"ids": list(holds)}).all() if holds else [] -> rows = connection.execute(holding.OPEN_NOW, {"ids": list(holds)}).all() if (holds) or True else []': "of no ids there are no rows",
        "return sql.entry_of(row) if row else None -> return sql.entry_of(row) if (row) or True else None": "the entry is there: none is ever deleted",
        "*figures, self.held = row or (0, 0, 0, 0) -> *figures, self.held = row or (0, 1, 0, 0)": _NO_ROW,
        "*figures, self.held = row or (0, 0, 0, 0) -> *figures, self.held = row or (0, 0, 0, 1)": _NO_ROW,
        "*figures, self.held = row or (0, 0, 0, 0) -> *figures, self.held = row or (1, 0, 0, 0)": _NO_ROW,
        "*figures, self.held = row or (0, 0, 0, 0) -> *figures, self.held = row or (0, 0, 1, 0)": _NO_ROW,
        "statement = sql.BY_ID.with_for_update(read=True) if self.mysql else sql.BY_ID -> statement = sql.BY_ID.with_for_update(read=True) if (self.mysql) or True else sql.BY_ID": _LOCKS,
        "statement = sql.BY_ID.with_for_update(read=True) if self.mysql else sql.BY_ID -> statement = sql.BY_ID.with_for_update(read=False) if self.mysql else sql.BY_ID": _LOCKS,
        "statement = sql.BY_ID.with_for_update(read=True) if self.mysql else sql.BY_ID -> statement = sql.BY_ID.with_for_update(read=None) if self.mysql else sql.BY_ID": _LOCKS,
        "statement = sql.RECEIVED.with_for_update(read=True) if self.mysql else sql.RECEIVED -> statement = sql.RECEIVED.with_for_update(read=True) if (self.mysql) or True else sql.RECEIVED": _LOCKS,
        "statement = sql.RECEIVED.with_for_update(read=True) if self.mysql else sql.RECEIVED -> statement = sql.RECEIVED.with_for_update(read=False) if self.mysql else sql.RECEIVED": _LOCKS,
        "statement = sql.RECEIVED.with_for_update(read=True) if self.mysql else sql.RECEIVED -> statement = sql.RECEIVED.with_for_update(read=None) if self.mysql else sql.RECEIVED": _LOCKS,
    },
}
