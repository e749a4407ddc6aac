"""The master key in the system's keyring: Secret Service, KWallet, macOS' Keychain or Windows' Credential Locker.

``ORGSERVER_MASTER_KEY_COMMAND=keyring``, that one word, means this; a program called ``keyring`` is meant by its path
or with arguments. The library (``orgserver[keyring]``) is imported here alone, and only where it is used. A home has
an entry of its own: service ``orgserver``, name the folder's path, content the ring as a key file has it.
"""

from __future__ import annotations

import os
import queue
import shlex
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote

from orgserver.model.errors import KeyProblem
from orgserver.private_files import hold_alone
from orgserver.vault.keys import Key
from orgserver.vault.ring import read_ring, write_ring

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

T = TypeVar("T")

COMMAND = ("keyring",)
SERVICE = "orgserver"
SECONDS = 60.0
"""For each question to the keyring: a locked one waits for a person's password, for ever if nobody is there."""
_LOCK_NAME = "keyring.lock"
_BUS = "DBUS_SESSION_BUS_ADDRESS"
_ELSEWHERE = "give the key by ORGSERVER_MASTER_KEY_FILE, or by a program of yours"


@dataclass(frozen=True, slots=True)
class SystemKeyring:
    """The ring of one home in the system's keyring; every question blocks, ``seconds`` at most."""

    home: Path
    backend: KeyringBackend | None = None
    """Which keyring; without one, the one that the library finds."""
    seconds: float = SECONDS
    slow = True

    @property
    def account(self) -> str:
        """The name of the entry."""
        return str(self.home.resolve())

    @property
    def name(self) -> str:
        """Which entry of which service."""
        return f"the system's keyring ({SERVICE}, {self.account})"

    @property
    def advice(self) -> str:
        """Where the missing key belongs."""
        return f"write the whole ring anew, the missing key behind the first and commas between: {self._set_command}"

    def changed(self) -> bool:
        """Only asking it would tell."""
        return True

    def read(self) -> list[Key]:
        """Read the ring; KeyProblem when there is none, or the keyring does not give it."""
        ring = self._stored()
        if ring is None:
            raise KeyProblem(f"there is no master key in {self.name}", hint=self._missing)
        return ring

    def make(self) -> None:
        """Put a new key there, unless there is one: for a store that holds nothing yet."""
        with self._alone():
            if self._stored() is None:
                self._store([Key.new()])

    def put_first(self, key: Key) -> None:
        """Put a new key before the others."""
        with self._alone():
            self._store([key, *self.read()])

    @property
    def _set_command(self) -> str:
        return f"keyring set {SERVICE} {shlex.quote(self.account)}"

    @property
    def _missing(self) -> str:
        file = self.home / "master.key"
        if file.is_file():
            return f"move it there: {self._set_command} < {shlex.quote(str(file))}; then take that file away"
        return f"put it back: {self._set_command}, which asks for it; without it the store cannot be opened"

    def _stored(self) -> list[Key] | None:
        text = self._asked(lambda backend: backend.get_password(SERVICE, self.account))
        return None if text is None else read_ring(text, self.name)

    def _store(self, ring: Sequence[Key]) -> None:
        """Write the ring, and believe the keyring only when it gives the same back: nothing is sealed before that."""
        text = write_ring(ring)
        self._asked(lambda backend: backend.set_password(SERVICE, self.account, text))
        stored = self._stored()
        if stored is None or [key.id for key in stored] != [key.id for key in ring]:
            raise KeyProblem(f"{self.name} took the master key and does not give it back", hint=_ELSEWHERE)

    def _asked(self, question: Callable[[KeyringBackend], T]) -> T:
        """Ask the keyring. What it says of a failure is never shown: it may quote what it holds."""
        try:
            return _within(self.seconds, lambda: question(_strong(self.backend or _system())))
        except KeyProblem:
            raise
        except TimeoutError:
            raise KeyProblem(f"{self.name} did not answer in {self.seconds:g} s", hint=_UNLOCK) from None
        except Exception as error:  # noqa: BLE001  # each keyring raises errors of its own, of no common class
            raise KeyProblem(f"{self.name} cannot be used: {type(error).__name__}", hint=_UNLOCK) from None

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the home's lock: two that read and then write would lose a key."""
        try:
            self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
            with hold_alone(self.home / _LOCK_NAME):
                yield
        except OSError as error:
            raise KeyProblem(f"{self.home / _LOCK_NAME} cannot be locked: {error.strerror}") from None


_UNLOCK = f"unlock the keyring (log in at the desktop, or answer its question), or {_ELSEWHERE}"


def _system() -> KeyringBackend:
    """The keyring that the library finds, or that its own settings name."""
    _find_session_bus()
    try:
        import keyring  # noqa: PLC0415  # an extra, and only for those who chose it
    except ImportError:
        raise KeyProblem(
            "ORGSERVER_MASTER_KEY_COMMAND=keyring needs the keyring library, which is not installed",
            hint="install it beside orgserver: pip install 'orgserver[keyring]'",
        ) from None
    return keyring.get_keyring()


def _strong(backend: KeyringBackend) -> KeyringBackend:
    """Refuse what keeps nothing, or keeps it in a plain file: the library itself recommends none of those."""
    from keyring.core import recommended  # noqa: PLC0415  # see above

    if not recommended(backend):
        raise KeyProblem(
            f"there is no keyring of the system that can be used here (the library found {type(backend).__module__})",
            hint=f"it takes a desktop's session bus ({_BUS}) on Linux, a login session on macOS or Windows; "
            f"elsewhere {_ELSEWHERE}",
        )
    return backend


def _find_session_bus() -> None:
    """Take the bus where systemd has it: many MCP clients start servers without the variable that names it."""
    if sys.platform != "linux" or os.environ.get(_BUS):
        return
    bus = Path(os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}") / "bus"
    if bus.is_socket() and bus.stat().st_uid == os.getuid():
        os.environ[_BUS] = f"unix:path={quote(str(bus))}"


def _within(seconds: float, act: Callable[[], T]) -> T:
    """Do it in a thread that nobody waits for when it hangs; TimeoutError then."""
    ended: queue.SimpleQueue[tuple[T, None] | tuple[None, BaseException]] = queue.SimpleQueue()

    def run() -> None:
        try:
            ended.put((act(), None))
        except BaseException as error:  # noqa: BLE001  # it is raised again where it is waited for
            ended.put((None, error))

    threading.Thread(target=run, name="keyring", daemon=True).start()
    try:
        value, error = ended.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError from None
    if error is not None:
        raise error
    return value  # type: ignore[return-value]  # mypy does not tell the pairs apart
