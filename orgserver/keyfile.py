"""Where the master key comes from: environment, file, command, or ``master.key`` in home, made on first use."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Sequence
from pathlib import Path

from orgserver.config import Settings
from orgserver.durable import write_whole
from orgserver.model.errors import KeyProblem
from orgserver.vault import Key, Vault, read_ring, write_ring

_COMMAND_SECONDS = 60
_MAX_BYTES = 64 * 1024
_POSIX = os.name == "posix"


def open_vault(settings: Settings, *, create: bool) -> Vault:
    """Open the key ring from the first source that is set.

    ``create`` says whether the default file may be made: only beside a store that does not exist yet,
    or a lost key would look like a wrong one.
    """
    given = settings.take_master_key()
    if given is not None:
        return Vault(read_ring(given.reveal(), "ORGSERVER_MASTER_KEY"))
    if settings.master_key_file is not None:
        path = settings.master_key_file
        return Vault(_from_file(path), lambda: _from_file(path))
    if settings.master_key_command:
        command = settings.master_key_command
        return Vault(_from_command(command), lambda: _from_command(command))
    path = settings.home / "master.key"
    if create and not path.is_symlink() and not path.exists():
        _make(path)
    return Vault(_from_file(path), lambda: _from_file(path))


def _from_file(path: Path) -> list[Key]:
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    except FileNotFoundError:
        raise KeyProblem(
            f"there is no master key at {path}", hint="restore the key file; without it the store cannot be opened"
        ) from None
    except OSError as error:
        reason = "it is a symbolic link" if path.is_symlink() else (error.strerror or type(error).__name__)
        raise KeyProblem(f"the master key {path} cannot be read: {reason}") from None
    try:
        _check_owner(path, os.fstat(descriptor))
        content = os.read(descriptor, _MAX_BYTES)
    finally:
        os.close(descriptor)
    return read_ring(content.decode("ascii", "replace"), str(path))


def _check_owner(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise KeyProblem(f"the master key {path} is not a regular file")
    if not _POSIX:
        return
    if status.st_mode & 0o077:
        raise KeyProblem(
            f"the master key {path} can be read or changed by others (mode {stat.S_IMODE(status.st_mode):o})",
            hint=f"run: chmod 600 '{path}'",
        )
    if status.st_uid not in (os.geteuid(), 0):
        raise KeyProblem(f"the master key {path} belongs to another user")


def _from_command(command: Sequence[str]) -> list[Key]:
    name = Path(command[0]).name
    try:
        done = subprocess.run(  # noqa: S603  # the operator's own program, as an argument list, no shell
            command, capture_output=True, check=True, timeout=_COMMAND_SECONDS, stdin=subprocess.DEVNULL
        )
    except FileNotFoundError:
        raise KeyProblem(f"the master key command {name} was not found") from None
    except subprocess.TimeoutExpired:
        raise KeyProblem(f"the master key command {name} did not answer in {_COMMAND_SECONDS} s") from None
    except (subprocess.CalledProcessError, OSError) as error:
        code = getattr(error, "returncode", type(error).__name__)
        raise KeyProblem(f"the master key command {name} failed ({code})") from None
    return read_ring(done.stdout.decode("ascii", "replace"), f"command {name}")


def _make(path: Path) -> None:
    """Write a new key so that it is whole and on the disk before anybody sees it or seals with it."""
    try:
        write_whole(path, (write_ring([Key.new()]) + "\n").encode("ascii"))
    except FileExistsError:
        return  # another process was first; its key is the one to read
    except OSError as error:
        raise KeyProblem(f"the master key {path} cannot be written: {error.strerror}") from None
