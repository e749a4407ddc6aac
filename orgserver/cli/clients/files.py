"""A client's file: read as it is, and replaced whole, with what it held before kept beside it."""

from __future__ import annotations

import codecs
import os
import stat
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from orgserver.model.errors import ConfigError
from orgserver.private_files import write_whole

_PRIVATE, _SHARED = 0o600, 0o666


@dataclass(frozen=True, slots=True)
class ClientFile:
    """What was read."""

    path: Path
    """As the client names it."""
    target: Path
    """Where it is: links are followed, for people keep such files elsewhere."""
    content: bytes | None
    """None where there is no file yet."""
    mode: int

    @property
    def text(self) -> str:
        """The text; ConfigError where it is none."""
        try:
            return (self.content or b"").removeprefix(codecs.BOM_UTF8).decode("utf-8")
        except UnicodeDecodeError:
            raise ConfigError(f"{self.path} is not UTF-8 text: nothing was written") from None


def read_file(path: Path, *, shared: bool = False, account: int | None = None) -> ClientFile:
    """Read a file, or see that there is none; ConfigError for what is no file of the account's own (ours, if not told).

    ``shared`` says what mode a new one gets: that of other files, or one that this account alone can read.
    """
    target = Path(os.path.realpath(path))
    try:
        status = target.stat()
    except (FileNotFoundError, NotADirectoryError):
        return ClientFile(path, target, None, _SHARED & ~_umask() if shared else _PRIVATE)
    if not stat.S_ISREG(status.st_mode):
        raise ConfigError(f"{path} is no file: nothing was written")
    if os.name == "posix" and status.st_uid != (os.geteuid() if account is None else account):
        raise ConfigError(f"{path} belongs to another user: nothing was written", hint="run this as that user")
    return ClientFile(path, target, target.read_bytes(), stat.S_IMODE(status.st_mode))


def replace_file(file: ClientFile, text: str) -> Path | None:
    """Write a text in place of what was read; the copy of that, which is kept beside the path."""
    try:
        content = text.encode("utf-8")
    except UnicodeEncodeError:
        raise ConfigError("a path of ours is no UTF-8 text, so it cannot stand in that file") from None
    if file.content is not None and file.content.startswith(codecs.BOM_UTF8):
        content = codecs.BOM_UTF8 + content
    backup = _backup(file) if file.content is not None else None
    file.target.parent.mkdir(parents=True, exist_ok=True)
    write_whole(file.target, content, replace=file.content is not None, mode=file.mode)
    return backup


def _backup(file: ClientFile) -> Path:
    """Never one that is there already, and for this account alone: it may hold the secrets of other servers."""
    stamp = datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
    for number in range(1, 1_000):
        more = "" if number == 1 else f"-{number}"
        path = file.path.with_name(f"{file.path.name}.orgserver-{stamp}{more}.bak")
        try:
            write_whole(path, file.content or b"", mode=file.mode & _PRIVATE)
        except FileExistsError:
            continue
        return path
    raise ConfigError(f"no name is left for a copy of {file.path}")


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
