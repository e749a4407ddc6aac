"""Outputs without what differs from run to run: ids, hashes, times, durations, addresses and what the machine is.

Each rule is as narrow as it can be, so that another word, column, number or order still shows. Times that a script
names itself are of the last century, and so stay.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import orgserver

_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_MACHINE = "orgserver|Python|MCP SDK|SQLite|file system|disk|size"
_RULES = [
    (r"\b[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}[-0-9a-f]*", "<short id>"),
    (r'("(?:next_)?cursor": )"[^"]{20,}"', r'\1"<cursor>"'),
    (r"orgserver/(<id \d+>)\+[0-9a-f]{8}\+[A-Za-z0-9+/]{44}", r"orgserver/\1+<key>"),
    (r"\b[0-9a-f]{64}\b", "<hash>"),
    (r"\bosk_[0-9A-Za-z]{49}\b", "<API key>"),
    (r"(?:(?<=\\n)|(?<![\w/\\]))[A-Za-z0-9+/]{43,}={0,2}(?!\w)", "<base64>"),
    (r"(3MVG9)[0-9a-f]{32}", r"\1<hex>"),
    (r"\b[0-9a-f]{32}\b", "<request id>"),
    (r"\b[0-9a-f]{16}\b(?!-)", "<key id>"),
    (r"\b20\d\d-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?", "<time>"),
    (r"\b20\d\d-\d\d-\d\d\b", "<date>"),
    (r"\d{8}-\d{6}(-\d+)?(?=\.bak)", "<time>"),
    (r"\b1\d{12}\b", "<milliseconds>"),
    (r'("duration(_ms|_us)?\\?": ?)[\d.]+', r"\1<duration>"),
    (r"(?m)^(duration ms +)[\d.]+$", r"\1<duration>"),
    (r"(?m)(?<=  )[\d.,]+(?=  <id \d+>$)", "<duration>"),
    (r"(<time>,)[\d.]+(?=,)", r"\1<duration>"),
    (r"\bin [\d.]+ s\b", "in <duration>"),
    (r'("seconds": )[\d.]+', r"\1<duration>"),
    (r"\b[\d.]+ MiB\b", "<size>"),
    (r'("size": )\d+', r"\1<size>"),
    (rf"(?m)^[✓·!✗] ({_MACHINE})  .*$", r"<this machine's> \1"),
    (rf'"name": "({_MACHINE})",\n *"level": .*\n *"text": .*\n *"todo": .*', r'"name": "\1", <of this machine>'),
    (rf'(\bversion(?:": ?"| )){re.escape(orgserver.__version__)}\b', r"\1<version>"),
]
_COMPILED = [(re.compile(pattern), replacement) for pattern, replacement in _RULES]


def stable(text: str, names: Mapping[str, str]) -> str:
    """The text with the ``names`` of places in place of these, then by the rules; ids by their first appearance."""
    for place, name in names.items():
        text = text.replace(place, name)
    numbers: dict[str, int] = {}
    text = re.sub(_UUID, lambda id_: f"<id {numbers.setdefault(id_[0], len(numbers) + 1)}>", text)
    text = re.sub(r"(?<=\S) {2,}", "  ", text)  # a column is as wide as what was in it
    text = re.sub(r"(?m) +$", "", text)
    for pattern, replacement in _COMPILED:
        text = pattern.sub(replacement, text)
    return text
