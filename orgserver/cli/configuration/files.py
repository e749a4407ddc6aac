"""The files of a configuration: one, all of a folder, or standard input; found, read whole and kept within bounds."""

from __future__ import annotations

import stat
import sys
from collections.abc import Iterator
from pathlib import Path

from orgserver.cli.configuration.reading import MAX_BYTES, Sections, read
from orgserver.model.errors import ConfigError

STDIN = "-"
_SUFFIXES = (".yaml", ".yml")
_MOST_FILES = 20_000
_MOST_BYTES = 256 * 1024 * 1024


def read_files(name: str) -> list[tuple[Sections, Path]]:
    """What each file says, by name, and the folder that it lies in."""
    if name == STDIN:
        return [(read(sys.stdin.buffer.read(MAX_BYTES + 1), "standard input"), Path())]
    root = Path(name)
    sections, total = [], 0
    for file in _files(root):
        data = _read(file, is_named=file == root)
        total += len(data)
        if total > _MOST_BYTES:
            raise ConfigError(f"{name} holds more than {_MOST_BYTES // 1024**2} MiB of YAML")
        place = root.name if file == root else file.relative_to(root).as_posix()
        sections.append((read(data, place or name), file.parent))
    return sections


def source_of(name: str) -> str:
    """What people call the file or folder."""
    return "standard input" if name == STDIN else Path(name).resolve().name or name


def _files(root: Path) -> Iterator[Path]:
    try:
        if not stat.S_ISDIR(root.stat().st_mode):
            yield root
            return
    except OSError as error:
        raise _unreadable(root, error) from None
    except ValueError:  # a NUL in its name
        raise ConfigError("that is no file name") from None
    files = sorted(_files_in(root))
    if not files:
        raise ConfigError(f"{root} holds no file of YAML", hint="their names end in .yaml or .yml")
    if len(files) > _MOST_FILES:
        raise ConfigError(f"{root} holds more than {_MOST_FILES} files of YAML")
    yield from files


def _files_in(folder: Path) -> Iterator[Path]:
    """Files of YAML in a folder and below it, but for what begins with a dot; no link to a folder is followed."""
    try:
        entries = list(folder.iterdir())
    except OSError as error:
        raise _unreadable(folder, error) from None
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir() and not entry.is_symlink():
            yield from _files_in(entry)
        elif entry.suffix.lower() in _SUFFIXES:
            yield entry


def _read(file: Path, *, is_named: bool) -> bytes:
    """A file's bytes; one that was named may be a pipe, as ``<(…)`` is, one that lies in a folder not."""
    try:
        if not is_named and not stat.S_ISREG(file.stat().st_mode):
            raise ConfigError(f"{file} is not a file")
        with file.open("rb") as reader:
            return reader.read(MAX_BYTES + 1)
    except OSError as error:
        raise _unreadable(file, error) from None


def _unreadable(path: Path, error: OSError) -> ConfigError:
    reason = (error.strerror or type(error).__name__).lower()
    return ConfigError(f"{path}: {reason}", hint="give a file of YAML, a folder of them, or - for standard input")
