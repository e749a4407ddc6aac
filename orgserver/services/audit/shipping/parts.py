"""The parts of a shipped log: how they are called, what is in one, and whether one is still what it was.

A part holds the events from one signed checkpoint to the next as an ``events`` export, with that checkpoint last. Where
it ends is decided by the log and by nothing else, neither by a clock nor by who ships: so two who ship at once make
the same part under the same name.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from orgserver.model.errors import AuditBroken
from orgserver.services.audit import evidence
from orgserver.services.audit.export import event_line
from orgserver.services.audit.shipping.targets import Listed
from orgserver.vault.signed_notes import BadNote, Signer, Verifier

LOG_FILE = "log.note"
"""Says whose log it is, how its signatures are checked, and from which event on it lies here; signed."""
MAX_BYTES = 1 << 30
"""Of a part, unpacked: one that says it is larger is none of ours."""
_NAME = re.compile(r"events-(\d{16})-(\d{16})\.jsonl\.gz")
_BEGINS = re.compile(r"orgserver/[^\n]+\n[^\n]+\nbegins (\d{1,16})\n")
_PACKED = 16 + zlib.MAX_WBITS


@dataclass(frozen=True, slots=True, order=True)
class Part:
    """A part that is there, by its name alone."""

    first: int
    last: int
    file: Listed


def name_part(first: int, last: int) -> str:
    """How the part with these events is called: names stand in the order of the log."""
    return f"events-{first:016d}-{last:016d}.jsonl.gz"


def read_parts(files: Iterable[Listed]) -> list[Part]:
    """The parts among files, in the order of the log; other files are nobody's business."""
    matches = ((_NAME.fullmatch(file.name), file) for file in files)
    return sorted(Part(int(match[1]), int(match[2]), file) for match, file in matches if match is not None)


def pack(events: Iterable[dict[str, Any]], note: str) -> bytes:
    """The content of a part. In a thread, please."""
    lines = [*map(event_line, events), event_line({"checkpoint": note})]
    return gzip.compress("".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace"), mtime=0)


def unpack(content: bytes) -> str | None:
    """The text of a part; None where it is none, or more than a part can be."""
    unpacker = zlib.decompressobj(_PACKED)
    try:
        text = unpacker.decompress(content, MAX_BYTES)
        whole = unpacker.eof and not unpacker.unused_data
        return text.decode("utf-8") if whole else None
    except (zlib.error, UnicodeDecodeError):
        return None


def describe_log(signer: Signer, first: int) -> bytes:
    """The content of the file that says whose log it is."""
    return signer.sign(f"{signer.origin}\n{signer.verifier}\nbegins {first}\n").encode()


def read_beginning(content: bytes, verifier: Verifier) -> int:
    """From which event on the log lies there; BadNote where the file is not of this log, or was altered."""
    text = verifier.check(content.decode("utf-8", "replace"))
    match = _BEGINS.fullmatch(text)
    if match is None:
        raise BadNote("it does not say where the log begins")
    return int(match[1])


def find_owner(content: bytes, verifier: Verifier) -> Literal["this", "other", "unknown"]:
    """Whose a description is that is not as this log wrote it: this store's id or another's signature tells."""
    note = content.decode("utf-8", "replace")
    if verifier.origin in note:
        return "this"
    try:
        Verifier.read("".join(note.split("\n")[1:2])).check(note)
    except BadNote:
        return "unknown"
    return "other"


@dataclass(frozen=True, slots=True)
class Content:
    """What a part turned out to hold: the hash of its last event, or what is wrong with it."""

    last_hash: bytes = b""
    problem: str | None = None


def check(part: Part, content: bytes | None, verifier: Verifier) -> Content:
    """Whether a part is whole, and signed by this log at its last event. In a thread, please."""
    text = unpack(content) if content is not None else None
    if text is None:
        return Content(problem="it is damaged")
    lines = text.removesuffix("\n").split("\n")  # and nowhere else: texts may hold other ends of lines
    try:
        finding = evidence.check(lines, verifier)
        checkpoint = verifier.checkpoint(json.loads(lines[-1])["checkpoint"])
    except (AuditBroken, BadNote, ValueError, KeyError, TypeError, IndexError):
        return Content(problem="it is no part of this log")
    if finding.problem is not None:
        return Content(problem=finding.problem)
    last = finding.first + finding.events - 1
    if (finding.first, last) != (part.first, part.last) or checkpoint.sequence != last:
        return Content(problem=f"it holds the events from {finding.first:,} to {last:,}")
    return Content(checkpoint.hash)
