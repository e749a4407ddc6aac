"""Where the master key comes from: environment, file, the system's keyring, command, or ``master.key`` in home."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from orgserver import ownership
from orgserver.config import Settings
from orgserver.model.errors import KeyProblem
from orgserver.model.secret import Secret
from orgserver.private_files import hold_alone, write_whole
from orgserver.vault import system_keyring
from orgserver.vault.keys import Key
from orgserver.vault.ring import MAKE_ONE, Vault, read_ring, write_ring
from orgserver.vault.system_keyring import SystemKeyring

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

COMMAND_SECONDS = 60.0
_MAX_BYTES = 64 * 1024
_ENVIRONMENT = "ORGSERVER_MASTER_KEY"
_TRY_COMMAND = "run the program by itself in a terminal: it must print the key ring, nothing else, and exit with 0"


def open_vault(
    settings: Settings,
    *,
    create: bool,
    command_seconds: float = COMMAND_SECONDS,
    keyring: KeyringBackend | None = None,
) -> Vault:
    """Open the key ring from the first source that is set; ``keyring`` is the system's, if it is not to be looked for.

    ``create`` says whether the default file, or the entry in the keyring, may be made: only beside a store that does
    not exist yet, or a lost key would look like a wrong one.
    """
    if settings.master_key is not None:
        source = EnvironmentRing(settings.take_master_key)
        return Vault(source.read(), source)
    if settings.master_key_file is not None:
        file = FileRing(settings.master_key_file)
        return Vault(file.read(), file)
    if settings.master_key_command == system_keyring.COMMAND:
        entry = SystemKeyring(settings.home, keyring, command_seconds)
        if create:
            entry.make()
        return Vault(entry.read(), entry)
    if settings.master_key_command is not None:
        command = CommandRing(settings.master_key_command, command_seconds)
        return Vault(command.read(), command)
    path = settings.home / "master.key"
    if create and not path.is_symlink() and not path.exists():
        _make(path)
    default = FileRing(path)
    return Vault(default.read(), default)


@dataclass(frozen=True, slots=True)
class EnvironmentRing:
    """A ring that the environment held when the process began: it stays as it is."""

    source: Callable[[], Secret | None]
    name = _ENVIRONMENT
    slow = False
    advice = (
        f"{_ENVIRONMENT} is read once, when a process begins: put the missing key into it, behind the first, "
        "and start again"
    )

    def changed(self) -> bool:
        """Never."""
        return False

    def read(self) -> list[Key]:
        """Read what was given."""
        try:
            secret = self.source()
        except ValueError:
            secret = None
        if secret is None:
            raise KeyProblem(f"{_ENVIRONMENT} is set but empty", hint=f"take it away, or {MAKE_ONE}")
        return read_ring(secret.reveal(), self.name)

    def put_first(self, key: Key) -> None:
        """Only the operator can."""
        del key
        raise _only_you(self.name)


@dataclass(frozen=True, slots=True)
class CommandRing:
    """A ring that a program of the operator's prints: a keyring, a KMS or a password manager."""

    command: Sequence[str]
    seconds: float = COMMAND_SECONDS
    slow = True

    @property
    def name(self) -> str:
        """The program, without its arguments."""
        return f"command {Path(self.command[0]).name}" if self.command else "an empty command"

    @property
    def advice(self) -> str:
        """Where the missing key belongs."""
        return f"let {self.name} print the missing key too, behind the first"

    def changed(self) -> bool:
        """Only running it would tell."""
        return True

    def read(self) -> list[Key]:
        """Run it. What it says on standard error is never shown: it may hold secrets."""
        printed = self._printed()
        if not printed.strip():
            raise KeyProblem(f"the master key {self.name} printed nothing", hint=_TRY_COMMAND)
        if len(printed) > _MAX_BYTES:
            raise KeyProblem(f"the master key {self.name} printed more than a key ring", hint=_TRY_COMMAND)
        return read_ring(printed.decode("utf-8", "replace"), self.name)

    def put_first(self, key: Key) -> None:
        """Only the operator can."""
        del key
        raise _only_you(self.name)

    def _printed(self) -> bytes:
        if not self.command:
            raise KeyProblem("ORGSERVER_MASTER_KEY_COMMAND is set but empty")
        try:
            done = subprocess.run(  # noqa: S603  # the operator's own program, as an argument list, no shell
                self.command, capture_output=True, check=True, timeout=self.seconds, stdin=subprocess.DEVNULL
            )
        except FileNotFoundError:
            raise KeyProblem(
                f"the master key {self.name} was not found",
                hint="ORGSERVER_MASTER_KEY_COMMAND names a program on the PATH, or by its full path",
            ) from None
        except subprocess.TimeoutExpired:
            raise KeyProblem(
                f"the master key {self.name} did not answer in {self.seconds:g} s", hint=_TRY_COMMAND
            ) from None
        except (subprocess.CalledProcessError, OSError, ValueError) as error:
            code = getattr(error, "returncode", type(error).__name__)
            raise KeyProblem(f"the master key {self.name} failed ({code})", hint=_TRY_COMMAND) from None
        return done.stdout


class FileRing:
    """A ring in a file of ours, which a rotation writes anew while servers run."""

    slow = False

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: tuple[int, ...] | None = None

    @property
    def name(self) -> str:
        """Its path."""
        return str(self.path)

    @property
    def advice(self) -> str:
        """Where the missing key belongs."""
        return f"put the missing key back into {self.path}, behind the first, or restore that file from a backup"

    def changed(self) -> bool:
        """Tell whether another file, or other content, is there now."""
        try:
            return _signature(self.path.lstat()) != self._seen
        except OSError:
            return True

    def read(self) -> list[Key]:
        """Read it, if nobody else can read or change it."""
        descriptor = _opened(self.path)
        try:
            status = os.fstat(descriptor)
            _check(self.path, status)
            content = os.read(descriptor, _MAX_BYTES + 1)
        finally:
            os.close(descriptor)
        if not content.strip():
            raise KeyProblem(f"the master key {self.path} is empty", hint="restore the key file from a backup")
        if len(content) > _MAX_BYTES:
            raise KeyProblem(f"the master key {self.path} is too large for a key ring")
        ring = read_ring(content.decode("utf-8", "replace"), self.name)
        self._seen = _signature(status)
        return ring

    def put_first(self, key: Key) -> None:
        """Write the ring anew with this key before the others: whole and on the disk, or not at all."""
        try:
            with hold_alone(self.path.with_name(self.path.name + ".lock")):
                ring = self.read()  # within the lock: another store with the same ring may rotate too
                self._check_writable()
                write_whole(self.path, (write_ring([key, *ring]) + "\n").encode("ascii"), replace=True)
        except OSError as error:
            raise KeyProblem(f"the master key {self.path} cannot be written anew: {error.strerror}") from None

    def _check_writable(self) -> None:
        if ownership.POSIX and self.path.stat().st_uid != os.geteuid():
            raise KeyProblem(
                f"the master key {self.path} belongs to another user, who must write it anew",
                hint=f"put a new key before the others there, then run this again; {MAKE_ONE}",
            )
        if not os.access(self.path, os.W_OK) or not os.access(self.path.parent, os.W_OK | os.X_OK):
            raise KeyProblem(
                f"the master key {self.path} cannot be written anew: it or its folder is read-only",
                hint="let its owner write it (chmod 600), or put a new key before the others there and run this again",
            )


def folder_risk(path: Path) -> ownership.Risk | None:
    """Why the folder of a key file is no safe place: whoever may write there can put another file in its place."""
    try:
        status = path.parent.stat()
    except OSError as error:
        reason = f"{path.parent} cannot be looked at: {(error.strerror or type(error).__name__).lower()}"
        return ownership.Risk(reason, "let the account that runs orgserver look into it")
    return ownership.risk(path.parent, status, sticky=True)


def _only_you(source: str) -> KeyProblem:
    return KeyProblem(
        f"every value is under the first key of {source}, and only you can put a new one there",
        hint=f"put a new key before the others, for every process, and run this again; {MAKE_ONE}",
    )


def _opened(path: Path) -> int:
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)  # a FIFO would make us wait
    try:
        return os.open(path, flags)
    except FileNotFoundError:
        raise KeyProblem(
            f"there is no master key at {path}", hint="restore the key file; without it the store cannot be opened"
        ) from None
    except OSError as error:
        if path.is_symlink():
            hint = "name the file itself; a secret that is mounted as a link: ORGSERVER_MASTER_KEY_COMMAND='cat PATH'"
            raise KeyProblem(f"the master key {path} cannot be read: it is a symbolic link", hint=hint) from None
        reason = error.strerror or type(error).__name__
        raise KeyProblem(f"the master key {path} cannot be read: {reason}") from None


def _check(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise KeyProblem(f"the master key {path} is not a regular file")
    risk = ownership.risk(path, status, private=True)
    if risk is not None:
        raise KeyProblem(f"the master key {risk.reason}", hint=risk.mend)
    around = folder_risk(path)
    if around is not None:
        raise KeyProblem(f"the folder of the master key is no safe place: {around.reason}", hint=around.mend)


def _signature(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _make(path: Path) -> None:
    """Write a new key so that it is whole and on the disk before anybody sees it or seals with it."""
    try:
        write_whole(path, (write_ring([Key.new()]) + "\n").encode("ascii"))
    except FileExistsError:
        return  # another process was first; its key is the one to read
    except OSError as error:
        raise KeyProblem(f"the master key {path} cannot be written: {error.strerror}") from None
