"""Texts of orgs and clients made safe to show to agents and on terminals: the one set of unsafe characters.

What orgs and clients call things (error texts, labels, names of orgs and users) passes through here on its way out.
Field values inside records do not: they are data, and must come back as they were read. There a zero-width joiner is
part of an emoji or of a Persian word; in a label or an error text it is only a place to hide something.
"""

from __future__ import annotations

import json
import re

MAX_MESSAGE = 500
"""The most characters of a stranger's text that an error or a hint repeats."""

_UNSAFE = (
    "\x00-\x1f\x7f-\x9f"  # C0 and C1 controls, and DEL
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"  # soft hyphen, joiners, fillers, Arabic letter mark
    "\u200b-\u200f\u2028-\u202e\u2060-\u206f"  # zero width, line and paragraph separators, direction of writing
    "\u3164\uffa0\ufeff\ufff0-\ufffb\ufffe\uffff"  # fillers, byte order mark, annotations, no characters
    "\ud800-\udfff\ue000-\uf8ff\ufdd0-\ufdef"  # halves of surrogate pairs, private use, no characters
    "\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"  # of hieroglyphs, shorthand and music
    "\U000e0000-\U000e0fff\U000f0000-\U0010ffff"  # tags, variation selectors that spell hidden text, private use
)
_CHARACTER = re.compile(f"[{_UNSAFE}]")
# One variation selector makes a sign an emoji; a row of them spells a hidden text.
_RUN = re.compile(rf"(?:\x1b\[[0-?]{{0,64}}[ -/]{{0,16}}[@-~]|[{_UNSAFE}]|[\ufe00-\ufe0f]{{2,}})+")
_ERROR_CODE = re.compile(r"[A-Z][A-Z0-9_]{0,79}")


def _is_plain(text: str) -> bool:
    """Whether nothing in a text can be unsafe, as in nearly all: that is seen much sooner than it is looked for."""
    return text.isascii() and text.isprintable()


def clean_text(text: str, limit: int = MAX_MESSAGE) -> str:
    """A text on one line for agents: a blank for each run of unsafe characters, and at most ``limit`` long.

    Escape sequences of terminals go as a whole. Printable text is unchanged.
    """
    if len(text) <= limit and _is_plain(text):
        return text.strip()
    clean = _RUN.sub(" ", text[: 4 * limit]).strip()
    return clean if len(clean) <= limit else f"{clean[: limit - 1].rstrip()}…"


def clean_word(value: object, limit: int = MAX_MESSAGE) -> str:
    """The same for a part of a reply that should be a text; empty for anything else."""
    return clean_text(value, limit) if isinstance(value, str) else ""


def error_code(value: object) -> str | None:
    """An errorCode such as ``DUPLICATE_VALUE``; None for what has not the form of one."""
    return value if isinstance(value, str) and _ERROR_CODE.fullmatch(value) else None


def replace_unsafe(text: str) -> str:
    """The same text with U+FFFD for each unsafe character, so that its length and place can be seen."""
    return text if _is_plain(text) else _CHARACTER.sub("\N{REPLACEMENT CHARACTER}", text)


def escape_text(text: str) -> str:
    """A text on one line for terminals and logs: unsafe characters are written as escapes (a backslash and a code)."""
    return (
        text
        if _is_plain(text)
        else _CHARACTER.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)
    )


def escape_json(text: str) -> str:
    """JSON of the same meaning in which nothing can drive a terminal; its own line ends stay."""
    return text if _is_plain(text) else "\n".join(_CHARACTER.sub(_json_escape, line) for line in text.split("\n"))


def _json_escape(match: re.Match[str]) -> str:
    return json.dumps(match[0])[1:-1]


def is_blank(text: str) -> bool:
    """Tell whether a text shows nothing: it is empty, or has only blanks and characters that nobody sees."""
    return not _RUN.sub("", text).strip()


def count_of(number: int, noun: str) -> str:
    """How many things there are, as a person says it."""
    if number == 1:
        return f"1 {noun}"
    return f"{number:,} {noun.removesuffix('y')}ies" if noun.endswith("y") else f"{number:,} {noun}s"
