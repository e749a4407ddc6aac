"""The files of one kind in a folder: what they should hold, written anew or compared with what is there."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path


def renew(folder: Path, texts: Mapping[str, str]) -> list[str]:
    """Write each file that differs, remove those that are gone, and say what was done."""
    folder.mkdir(parents=True, exist_ok=True)
    gone = [path for path in folder.iterdir() if path.name not in texts]
    for path in gone:
        path.unlink()
    changed = [name for name, text in texts.items() if _text(folder / name) != text]
    for name in changed:
        (folder / name).write_bytes(texts[name].encode())
    return [*(f"removed {path.name}" for path in gone), *(f"wrote {name}" for name in changed)]


def differences(folder: Path, texts: Mapping[str, str]) -> str:
    """A unified diff from the files to what they should hold; empty where they are the same."""
    names = sorted({path.name for path in folder.iterdir()} | texts.keys())
    lines = [
        line
        for name in names
        for line in difflib.unified_diff(
            _text(folder / name).splitlines(keepends=True),
            texts.get(name, "").splitlines(keepends=True),
            f"{folder.name}/{name}",
            "now",
        )
    ]
    return "".join(lines)


def _text(path: Path) -> str:
    return path.read_bytes().decode() if path.exists() else ""
