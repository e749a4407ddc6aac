"""Is a folder of parts genuine, away from the store? As an export that is cut into files, from its beginning on."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from orgserver.model.errors import ConfigError
from orgserver.services.audit import evidence
from orgserver.services.audit.evidence import Finding, NoExport
from orgserver.services.audit.export_files import read_text
from orgserver.services.audit.shipping.folder import read_regular
from orgserver.services.audit.shipping.parts import LOG_FILE, Part, read_beginning, read_parts
from orgserver.services.audit.shipping.targets import Listed
from orgserver.vault.signed_notes import BadNote, Checkpoint, Verifier

_SHIP_AGAIN = (
    "move the damaged part away: orgserver audit ship --to FOLDER ships it again while the store has its events"
)


def check_folder(path: Path, verifier: Verifier | None, *, external: Sequence[Checkpoint] = ()) -> Finding:
    """Check every part that lies in a folder, one after the other."""
    parts = _list_parts(path)
    try:
        finding = evidence.check(_read_lines(path, parts), verifier, external=external)
    except NoExport as error:
        raise NoExport(str(error), hint=_SHIP_AGAIN) from None
    note = read_regular(path / LOG_FILE) if (path / LOG_FILE).exists() else None
    if finding.problem is not None or verifier is None or note is None:
        return finding
    try:
        begin = read_beginning(note, verifier)
    except BadNote as bad:
        return replace(finding, first_bad=finding.first, problem=f"{LOG_FILE} is not of this log: {bad}")
    if begin == finding.first:
        return finding
    return replace(finding, first_bad=begin, problem=f"entry {begin} was removed")


def read_notes(path: Path) -> list[str]:
    """The signed checkpoints of the parts in a folder."""
    rows = (json.loads(line) for line in _read_lines(path, _list_parts(path)) if line.startswith('{"checkpoint":'))
    return [str(row["checkpoint"]) for row in rows]


def _list_parts(path: Path) -> list[Part]:
    """By name alone; an empty file is a name that was taken, and whoever took it was killed."""
    parts = read_parts(Listed(file.name, file.stat().st_size, 0.0) for file in path.iterdir() if file.is_file())
    parts = [part for part in parts if part.file.size]
    if not parts:
        raise ConfigError(f"{path} holds no part of a shipped log", hint="orgserver audit ship --to FOLDER makes them")
    return parts


def _read_lines(path: Path, parts: Sequence[Part]) -> Iterator[str]:
    for part in parts:
        with read_text(path / part.file.name, _SHIP_AGAIN) as lines:
            yield from lines
