"""Is an export of the audit log genuine? Answered from the file and the public key alone, away from the store.

An ``events`` export has one event a line (``sequence``, ``previous_hash``, ``hash``, ``mac``, ``canonical``), and the
newest checkpoint of its span last (``{"checkpoint": note}``). Hashes show that nothing was edited, removed, inserted
or reordered; the checkpoint's signature shows whose log it is and where it stood.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from orgserver.model.errors import AuditBroken
from orgserver.store.audit import chain
from orgserver.store.audit.chain import INTENT
from orgserver.vault.signed_notes import BadNote, Checkpoint, Verifier, read_checkpoint

_STEP = 10_000


@dataclass(frozen=True, slots=True)
class Proven:
    """What a check of an export found."""

    first: int
    events: int
    entries: int
    checks: tuple[str, ...]
    signed_to: int | None = None
    """The sequence of the checkpoint whose signature was checked."""
    first_bad: int | None = None
    problem: str | None = None


class NoExport(AuditBroken):
    """The file is no ``events`` export."""


@dataclass(slots=True)
class _Export:
    """How far the check of a file has come."""

    sequence: int | None = None
    hash: bytes = b""
    first: int = 0
    begins_with: bytes = b""
    events: int = 0
    entries: int = 0
    note: str | None = None
    hashes: dict[int, bytes] = field(default_factory=dict)
    """Of the sequences where checkpoints were made: as they are here, whatever the chain says of them."""
    kept: dict[int, bytes] = field(default_factory=dict)
    """Of the sequences that checkpoints kept elsewhere name."""


def check(
    lines: Iterable[str],
    verifier: Verifier | None,
    *,
    kept: Sequence[Checkpoint] = (),
    progress: Callable[[int], None] = lambda _events: None,
) -> Proven:
    """Check an export. NoExport if it is none; what is wrong with it is in the answer, with the first bad sequence."""
    state = _Export()
    wanted = {each.sequence for each in kept}
    for number, line in enumerate(lines, 1):
        told = _read(line, number)
        if "checkpoint" in told:
            state.note = str(told["checkpoint"])
            continue
        bad = _next(state, told, wanted)
        if bad is not None:
            return _proven(state, verifier, *bad)
        if state.events % _STEP == 0:
            progress(state.events)
    if state.sequence is None:
        raise NoExport("this export holds no event")
    return _anchored(state, verifier, kept)


def _read(line: str, number: int) -> dict[str, Any]:
    try:
        told = json.loads(line)
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict) or not ("checkpoint" in told or {"sequence", "hash", "canonical"} <= told.keys()):
        raise NoExport(
            f"line {number} is no event: this is no export of the audit log's evidence",
            hint="make one with: orgserver audit export --format events --output FILE",
        )
    return told


def _next(state: _Export, told: dict[str, Any], wanted: set[int]) -> tuple[int, str] | None:
    """Take one event in; its sequence and what is wrong with it, if anything is."""
    expected = None if state.sequence is None else state.sequence + 1
    try:
        sequence, canonical = int(told["sequence"]), str(told["canonical"]).encode("utf-8", "surrogatepass")
        previous, hash_ = bytes.fromhex(told["previous_hash"]), bytes.fromhex(told["hash"])
        linked = chain.link(previous, sequence, canonical)
    except (KeyError, ValueError, TypeError, OverflowError):
        return (expected or 1, f"entry {expected or 1} was edited")
    if expected is None:
        state.first, state.begins_with, state.hash = sequence, previous, previous
    elif sequence != expected:
        return (expected, f"entry {expected} was removed")
    kind = _kind(canonical)
    if previous != state.hash or linked != hash_ or kind is None:
        return (sequence, f"entry {sequence} was edited, inserted or reordered")
    if kind == chain.CHECKPOINT:  # it follows the event that it names
        state.hashes[sequence - 1] = previous
    state.sequence, state.hash = sequence, hash_
    state.events += 1
    state.entries += kind == INTENT
    if sequence in wanted:
        state.kept[sequence] = hash_
    return None


def _kind(canonical: bytes) -> str | None:
    """What an event is; None if it is none: whoever wrote the file could hash anything."""
    try:
        event = json.loads(canonical)
    except (ValueError, RecursionError):
        return None
    return str(event.get("kind")) if isinstance(event, dict) else None


def _anchored(state: _Export, verifier: Verifier | None, kept: Sequence[Checkpoint]) -> Proven:
    """Compare with what is signed."""
    last = state.sequence or 0
    if state.note is None:
        return _proven(state, verifier, last, "its checkpoint was cut off: nothing in it is signed")
    try:
        told = verifier.checkpoint(state.note) if verifier is not None else read_checkpoint(state.note)
    except BadNote as error:
        return _proven(state, verifier, state.first, f"its checkpoint is not of this log: {error}")
    for each in kept:
        if each.origin != told.origin:
            raise AuditBroken(
                f"a checkpoint cannot be compared with this export: it is of {each.origin}",
                hint=f"the export is of {told.origin}",
            )
    bad = _contradiction(state, told, last) or _kept_contradiction(state, kept, last)
    return _proven(state, verifier, *(bad or (None, None)), signed_to=told.sequence if verifier is not None else None)


def _contradiction(state: _Export, told: Checkpoint, last: int) -> tuple[int, str] | None:
    if state.first == 1 and state.begins_with != chain.genesis(told.origin.removeprefix("orgserver/")):
        return 1, f"it does not begin as the log of {told.origin}"
    if not state.first <= told.sequence <= last:
        return last + 1, f"it was cut off: its checkpoint stands at entry {told.sequence}"
    here = state.hash if told.sequence == last else state.hashes.get(told.sequence)
    if here != told.hash:
        return told.sequence, f"entry {told.sequence} is not the one its checkpoint names"
    return None


def _kept_contradiction(state: _Export, kept: Sequence[Checkpoint], last: int) -> tuple[int, str] | None:
    for each in kept:
        if state.first <= each.sequence <= last and state.kept.get(each.sequence) != each.hash:
            return each.sequence, f"a checkpoint says that entry {each.sequence} was another"
    return None


def _proven(
    state: _Export,
    verifier: Verifier | None,
    first_bad: int | None = None,
    problem: str | None = None,
    *,
    signed_to: int | None = None,
) -> Proven:
    checks = ("sequence", "chain", *(("checkpoint",) if verifier is not None else ()))
    return Proven(state.first, state.events, state.entries, checks, signed_to, first_bad, problem)
