"""Is an export of the audit log genuine? Answered from the file and the public key alone, away from the store.

An ``events`` export has one event a line (``sequence``, ``previous_hash``, ``hash``, ``mac``, ``canonical``), and the
newest checkpoint of its span last (``{"checkpoint": note}``). Hashes show that nothing was edited, removed, inserted
or reordered; the checkpoint's signature shows whose log it is and where it stood.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orgserver.model.errors import AuditBroken
from orgserver.services.audit.export_files import MAKE_ONE, read_text
from orgserver.store.audit import chain
from orgserver.store.audit.chain import INTENT
from orgserver.vault.signed_notes import BadNote, Checkpoint, Verifier, read_checkpoint

_STEP = 10_000


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check of an export came to."""

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
    notes: list[str] = field(default_factory=list)
    """One in an export, one at the end of each part where several follow each other."""
    hashes: dict[int, bytes] = field(default_factory=dict)
    """Of the sequences where checkpoints were made: as they are here, whatever the chain says of them."""
    external: dict[int, bytes] = field(default_factory=dict)
    """Of the sequences that checkpoints kept elsewhere name."""


def check(
    lines: Iterable[str],
    verifier: Verifier | None,
    *,
    external: Sequence[Checkpoint] = (),
    progress: Callable[[int], None] = lambda _events: None,
) -> Finding:
    """Check an export. NoExport if it is none; what is wrong with it is in the answer, with the first bad sequence."""
    state = _Export()
    sequences = {each.sequence for each in external}
    for number, line in enumerate(lines, 1):
        row = _read_line(line, number)
        if "checkpoint" in row:
            state.notes.append(str(row["checkpoint"]))
            continue
        problem = _take_event(state, row, sequences)
        if problem is not None:
            return _build_finding(state, verifier, *problem)
        if state.events % _STEP == 0:
            progress(state.events)
    if state.sequence is None:
        raise NoExport("this export holds no event")
    return _compare_with_checkpoints(state, verifier, external)


def check_file(path: Path, verifier: Verifier | None, *, external: Sequence[Checkpoint] = ()) -> Finding:
    """Check an export in a file."""
    with read_text(path) as lines:
        return check(lines, verifier, external=external)


def _read_line(line: str, number: int) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        row = None
    if not isinstance(row, dict) or not ("checkpoint" in row or {"sequence", "hash", "canonical"} <= row.keys()):
        raise NoExport(
            f"line {number} is no event: this is no export of the audit log's evidence",
            hint=MAKE_ONE,
        )
    return row


def _take_event(state: _Export, row: dict[str, Any], sequences: set[int]) -> tuple[int, str] | None:
    """Take one event in; its sequence and what is wrong with it, if anything is."""
    expected = None if state.sequence is None else state.sequence + 1
    try:
        sequence, canonical = int(row["sequence"]), str(row["canonical"]).encode("utf-8", "surrogatepass")
        previous, hash_ = bytes.fromhex(row["previous_hash"]), bytes.fromhex(row["hash"])
        linked = chain.link(previous, sequence, canonical)
    except (KeyError, ValueError, TypeError, OverflowError):
        return (expected or 1, f"entry {expected or 1} was edited")
    if expected is None:
        state.first, state.begins_with, state.hash = sequence, previous, previous
    elif sequence != expected:
        return (expected, f"entry {expected} was removed")
    kind = _read_kind(canonical)
    if previous != state.hash or linked != hash_ or kind is None:
        return (sequence, f"entry {sequence} was edited, inserted or reordered")
    if kind == chain.CHECKPOINT:  # it follows the event that it names
        state.hashes[sequence - 1] = previous
    state.sequence, state.hash = sequence, hash_
    state.events += 1
    state.entries += kind == INTENT
    if sequence in sequences:
        state.external[sequence] = hash_
    return None


def _read_kind(canonical: bytes) -> str | None:
    """What an event is; None if it is none: whoever wrote the file could hash anything."""
    try:
        event = json.loads(canonical)
    except (ValueError, RecursionError):
        return None
    return str(event.get("kind")) if isinstance(event, dict) else None


def _compare_with_checkpoints(state: _Export, verifier: Verifier | None, external: Sequence[Checkpoint]) -> Finding:
    """Compare with what is signed."""
    last = state.sequence or 0
    if not state.notes:
        return _build_finding(state, verifier, last, "its checkpoint was cut off: nothing in it is signed")
    signed_to: int | None = None
    for note in state.notes:
        try:
            checkpoint = verifier.checkpoint(note) if verifier is not None else read_checkpoint(note)
        except BadNote as error:
            return _build_finding(state, verifier, state.first, f"its checkpoint is not of this log: {error}")
        signed_to = checkpoint.sequence if verifier is not None else None
        problem = _find_contradiction(state, checkpoint, last)
        if problem is not None:
            return _build_finding(state, verifier, *problem, signed_to=signed_to)
    for each in external:
        if each.origin != checkpoint.origin:
            raise AuditBroken(
                f"a checkpoint cannot be compared with this export: it is of {each.origin}",
                hint=f"the export is of {checkpoint.origin}",
            )
    problem = _find_external_contradiction(state, external, last)
    return _build_finding(state, verifier, *(problem or (None, None)), signed_to=signed_to)


def _find_contradiction(state: _Export, checkpoint: Checkpoint, last: int) -> tuple[int, str] | None:
    if state.first == 1 and state.begins_with != chain.genesis(checkpoint.origin.removeprefix("orgserver/")):
        return 1, f"it does not begin as the log of {checkpoint.origin}"
    if not state.first <= checkpoint.sequence <= last:
        return last + 1, f"it was cut off: its checkpoint stands at entry {checkpoint.sequence}"
    here = state.hash if checkpoint.sequence == last else state.hashes.get(checkpoint.sequence)
    if here != checkpoint.hash:
        return checkpoint.sequence, f"entry {checkpoint.sequence} is not the one its checkpoint names"
    return None


def _find_external_contradiction(state: _Export, external: Sequence[Checkpoint], last: int) -> tuple[int, str] | None:
    for each in external:
        if state.first <= each.sequence <= last and state.external.get(each.sequence) != each.hash:
            return each.sequence, f"a checkpoint says that entry {each.sequence} was another"
    return None


def _build_finding(
    state: _Export,
    verifier: Verifier | None,
    first_bad: int | None = None,
    problem: str | None = None,
    *,
    signed_to: int | None = None,
) -> Finding:
    checks = ("sequence", "chain", *(("checkpoint",) if verifier is not None else ()))
    return Finding(state.first, state.events, state.entries, checks, signed_to, first_bad, problem)
