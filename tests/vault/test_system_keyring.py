"""The ring in the system's keyring: made once, never lost by a keyring that fails, lies, hangs or is none."""

import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from keyring.backend import KeyringBackend
from keyring.backends import fail, null
from keyring.errors import KeyringLocked

from orgserver.config import read_settings
from orgserver.model.errors import KeyProblem
from orgserver.vault.keys import Key
from orgserver.vault.ring import Vault, read_ring, write_ring
from orgserver.vault.sources import open_vault
from orgserver.vault.system_keyring import SystemKeyring


class Keyring(KeyringBackend):
    """One in memory; ``before`` is called first of all, and ``keeps`` says whether it does its work."""

    priority = 5  # type: ignore[assignment]  # as the Secret Service has it

    def __init__(self, before: Callable[[], None] = lambda: None, *, keeps: bool = True) -> None:
        super().__init__()
        self.entries: dict[tuple[str, str], str] = {}
        self.before = before
        self.keeps = keeps

    def get_password(self, service: str, username: str) -> str | None:
        entry = self.entries.get((service, username))
        self.before()
        return entry

    def set_password(self, service: str, username: str, password: str) -> None:
        self.before()
        if self.keeps:
            self.entries[service, username] = password


def opened(home: Path, keyring: KeyringBackend | None, *, create: bool = False, seconds: float = 20.0) -> Vault:
    environ = {"ORGSERVER_HOME": str(home), "ORGSERVER_MASTER_KEY_COMMAND": "keyring"}
    return open_vault(read_settings(environ=environ), create=create, command_seconds=seconds, keyring=keyring)


def entry_of(keyring: Keyring, home: Path) -> list[Key]:
    return read_ring(keyring.entries["orgserver", str(home.resolve())], "test")


def ids(vault: Vault) -> list[str]:
    return [key.id.hex() for key in vault.ring]


def test_a_key_is_made_for_a_new_store_alone_and_each_home_has_its_own(tmp_path: Path) -> None:
    keyring = Keyring()

    with pytest.raises(KeyProblem, match="there is no master key in the system's keyring"):
        opened(tmp_path / "a", keyring)
    assert keyring.entries == {}
    first = opened(tmp_path / "a", keyring, create=True)

    assert ids(opened(tmp_path / "a", keyring)) == ids(opened(tmp_path / "a", keyring, create=True)) == ids(first)
    assert ids(opened(tmp_path / "b", keyring, create=True)) != ids(first)
    assert not list(tmp_path.rglob("master.key"))


def test_a_home_has_one_entry_whichever_way_leads_there(tmp_path: Path) -> None:
    keyring = Keyring()
    (tmp_path / "home").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "home")

    assert ids(opened(tmp_path / "link", keyring, create=True)) == ids(opened(tmp_path / "home", keyring))


def test_of_two_that_make_a_key_at_once_both_get_the_same(tmp_path: Path) -> None:
    """The second begins while the first has seen that there is none, and the first gives it time to overtake."""
    looking, overtaken = threading.Event(), threading.Event()

    def slow() -> None:
        if not looking.is_set():
            looking.set()
            overtaken.wait(0.5)

    keyring = Keyring(slow)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(opened, tmp_path, keyring, create=True)
        assert looking.wait(20)
        second = pool.submit(opened, tmp_path, keyring, create=True)
        second.add_done_callback(lambda _: overtaken.set())

    assert ids(first.result()) == ids(second.result()) == [key.id.hex() for key in entry_of(keyring, tmp_path)]


def test_rotations_at_once_lose_no_key(tmp_path: Path) -> None:
    keyring = Keyring(lambda: time.sleep(0.01))
    (old,) = opened(tmp_path, keyring, create=True).ring
    new = [Key.new() for _ in range(4)]

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(SystemKeyring(tmp_path, keyring).put_first, new))

    stored = [key.id for key in entry_of(keyring, tmp_path)]
    assert stored[-1] == old.id
    assert set(stored) == {old.id, *(key.id for key in new)}


def test_a_new_key_is_first_and_the_old_one_opens_still(tmp_path: Path) -> None:
    keyring = Keyring()
    vault = opened(tmp_path, keyring, create=True)
    before = ids(vault)

    vault.renew()

    assert ids(vault) == ids(opened(tmp_path, keyring))
    assert ids(vault)[1:] == before


@pytest.mark.parametrize("create", [True, False])
def test_a_keyring_that_forgets_is_not_trusted_with_a_key(tmp_path: Path, create: bool) -> None:
    with pytest.raises(KeyProblem, match="does not give it back" if create else "no master key"):
        opened(tmp_path, Keyring(keeps=False), create=create)


@pytest.mark.parametrize("keyring", [fail.Keyring, null.Keyring])
def test_a_keyring_that_is_none_is_said_before_a_key_is_made(tmp_path: Path, keyring: type[KeyringBackend]) -> None:
    with pytest.raises(KeyProblem, match=f"no keyring of the system.*{keyring.__module__}") as caught:
        opened(tmp_path, keyring(), create=True)

    assert "ORGSERVER_MASTER_KEY_FILE" in (caught.value.hint or "")


def test_a_locked_keyring_is_one_sentence_without_what_it_says(tmp_path: Path) -> None:
    key = write_ring([Key.new()])

    def locked() -> None:
        raise KeyringLocked(f"cannot unlock {key}")

    with pytest.raises(KeyProblem, match="cannot be used: KeyringLocked") as caught:
        opened(tmp_path, Keyring(locked), create=True)

    assert "unlock" in (caught.value.hint or "")
    assert key not in str(caught.value) + (caught.value.hint or "")
    assert caught.value.__cause__ is None


def test_a_keyring_that_waits_for_a_person_is_given_up(tmp_path: Path) -> None:
    person = threading.Event()

    def wait() -> None:
        person.wait(20)

    with pytest.raises(KeyProblem, match=r"did not answer in 0\.2 s"):
        opened(tmp_path, Keyring(wait), seconds=0.2)
    person.set()


def test_what_is_no_ring_is_refused_and_not_replaced(tmp_path: Path) -> None:
    keyring = Keyring()
    keyring.entries["orgserver", str(tmp_path.resolve())] = "hunter2"

    with pytest.raises(KeyProblem, match="not base64 of 32 bytes") as caught:
        opened(tmp_path, keyring, create=True)

    assert "hunter2" not in str(caught.value) + (caught.value.hint or "")
    assert list(keyring.entries.values()) == ["hunter2"]


def test_without_the_library_its_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)  # as Python has it for what cannot be imported

    with pytest.raises(KeyProblem, match="not installed") as caught:
        opened(tmp_path, None, create=True)

    assert "orgserver[keyring]" in (caught.value.hint or "")


def test_a_program_called_keyring_is_meant_by_its_path_or_with_arguments(tmp_path: Path) -> None:
    """The one word is the library; everything else that was a command before is one still."""
    program = tmp_path / "keyring"
    key = Key.new()
    program.write_text(f"#!/bin/sh\necho {write_ring([key])}\n")
    program.chmod(0o700)

    for command in (str(program), f"{program} get orgserver master-key"):
        environ = {"ORGSERVER_HOME": str(tmp_path), "ORGSERVER_MASTER_KEY_COMMAND": command}
        vault = open_vault(read_settings(environ=environ), create=False, keyring=Keyring())
        assert ids(vault) == [key.id.hex()]


def test_nothing_shows_the_ring(tmp_path: Path) -> None:
    keyring = Keyring()
    vault = opened(tmp_path, keyring, create=True)

    shown = repr([vault, SystemKeyring(tmp_path, keyring), SystemKeyring(tmp_path, keyring).read()])

    assert write_ring(vault.ring) not in shown
