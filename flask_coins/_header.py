"""The ``Coins-Awarded`` response header: a List of RFC 9651, one item per movement."""

from __future__ import annotations

import re

from flask import Response

from .results import Outcome, Receipt

NAME = "Coins-Awarded"
LONGEST = 2000
"""In characters. Servers in front refuse an answer whose headers are too long, many above 4,096."""
_FIRST = re.compile(r'(?:"(?:[^"\\]|\\.)*"|[^",])*, ')
_TOKEN = re.compile(r"[A-Za-z*][A-Za-z0-9!#$%&'*+.^_`|~:/-]*")


def _bare(text: str) -> str:
    """``text`` as a Token where its characters allow, else a String or a Display String."""
    if _TOKEN.fullmatch(text):
        return text
    if text.isascii():
        escaped = text.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    # Section 3.3.8: lower-case percent-encoding of the UTF-8 octets outside printable ASCII.
    octets = (
        chr(octet) if 0x20 <= octet < 0x7F and octet not in b'%"' else f"%{octet:02x}"
        for octet in text.encode()
    )
    return f'%"{"".join(octets)}"'


def item(receipt: Receipt) -> str:
    """``daily_goal;amount=15;balance=40``; what is no plain award also names its outcome."""
    parts = [_bare(receipt.reason), f"amount={receipt.amount}", f"balance={receipt.balance}"]
    if receipt.currency != "coins":
        parts.append(f"currency={_bare(receipt.currency)}")
    if receipt.outcome is not Outcome.AWARDED:
        parts.append(f"outcome={receipt.outcome}")
    return ";".join(parts)


def add_to_header(response: Response, receipt: Receipt) -> Response:
    """Append ``receipt`` to the header of ``response``; for the last there is room, not for all."""
    before = response.headers.get(NAME)
    shown = f"{before}, {item(receipt)}" if before else item(receipt)
    while len(shown) > LONGEST and (first := _FIRST.match(shown)):
        shown = shown[first.end() :]
    response.headers[NAME] = shown
    return response
