"""A key ring is taken from its source only as it should be there: private, whole, and never shown."""

import os
import shlex
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from orgserver.config import read_settings
from orgserver.model.errors import ConfigError, KeyProblem
from orgserver.vault.keys import Context, Key, Unsealable
from orgserver.vault.ring import Vault, read_ring, write_ring
from orgserver.vault.sources import CommandRing, FileRing, folder_risk, open_vault

WHERE = Context("a", "b", "c")


def opened(home: Path, *, create: bool = False, command_seconds: float = 20, **environ: str) -> Vault:
    names = {"ORGSERVER_HOME": str(home)} | {f"ORGSERVER_{name}": value for name, value in environ.items()}
    return open_vault(read_settings(environ=names), create=create, command_seconds=command_seconds)


def ring_file(path: Path, *keys: Key, text: str | bytes | None = None, mode: int = 0o600) -> Path:
    content = write_ring(keys) + "\n" if text is None else text
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    path.chmod(mode)
    return path


def python(code: str) -> str:
    return shlex.join([sys.executable, "-c", code])


def ids(*keys: Key) -> list[bytes]:
    return [key.id for key in keys]


# -- files


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700])
def test_a_file_that_only_its_owner_can_use_is_read(tmp_path: Path, mode: int) -> None:
    key = Key.new()

    vault = opened(tmp_path, MASTER_KEY_FILE=str(ring_file(tmp_path / "ring", key, mode=mode)))

    assert ids(*vault.ring) == [key.id]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610, 0o666, 0o777])
def test_a_file_that_others_can_use_is_refused_with_the_command_that_mends_it(tmp_path: Path, mode: int) -> None:
    file = ring_file(tmp_path / "ring", Key.new(), mode=mode)

    with pytest.raises(KeyProblem, match=f"mode {mode:o}") as caught:
        opened(tmp_path, MASTER_KEY_FILE=str(file))

    assert caught.value.hint == f"run: chmod 600 {shlex.quote(str(file))}"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_the_file_of_another_user_is_refused(tmp_path: Path) -> None:
    file = ring_file(tmp_path / "ring", Key.new())
    os.chown(file, 12_345, 12_345)

    with pytest.raises(KeyProblem, match="belongs to another user"):
        opened(tmp_path, MASTER_KEY_FILE=str(file))


def test_a_default_key_behind_a_symbolic_link_is_refused_and_not_made_anew(tmp_path: Path) -> None:
    elsewhere = ring_file(tmp_path / "elsewhere", Key.new())
    (tmp_path / "master.key").symlink_to(elsewhere)

    with pytest.raises(KeyProblem, match="symbolic link") as caught:
        opened(tmp_path, create=True)
    assert str(caught.value.hint).startswith("name the file itself")


def test_a_dangling_link_is_not_followed_to_make_a_key(tmp_path: Path) -> None:
    (tmp_path / "master.key").symlink_to(tmp_path / "nowhere")

    with pytest.raises(KeyProblem, match="symbolic link"):
        opened(tmp_path, create=True)
    assert not (tmp_path / "nowhere").exists()


def test_a_folder_is_no_key(tmp_path: Path) -> None:
    with pytest.raises(KeyProblem, match="not a regular file"):
        opened(tmp_path, MASTER_KEY_FILE=str(tmp_path))


def test_a_pipe_is_refused_at_once_instead_of_being_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)

    with pytest.raises(KeyProblem, match="not a regular file"):
        opened(tmp_path, MASTER_KEY_FILE=str(tmp_path / "pipe"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "is empty"),
        (b" \r\n", "is empty"),
        (b"junk", "not base64 of 32 bytes"),
        (bytes(range(256)), "not base64 of 32 bytes"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "not base64 of 32 bytes"),
        (b"A" * (64 * 1024 + 1), "too large"),
    ],
)
def test_what_is_no_ring_is_one_sentence_that_names_the_file(tmp_path: Path, text: bytes, said: str) -> None:
    file = ring_file(tmp_path / "ring", text=text)

    with pytest.raises(KeyProblem, match=said) as caught:
        opened(tmp_path, MASTER_KEY_FILE=str(file))

    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


def test_a_file_from_windows_is_read(tmp_path: Path) -> None:
    keys = [Key.new(), Key.new()]
    text = "\ufeff" + ",\r\n".join(write_ring([key]) for key in keys) + "\r\n"

    vault = opened(tmp_path, MASTER_KEY_FILE=str(ring_file(tmp_path / "ring", text=text)))

    assert ids(*vault.ring) == ids(*keys)


def test_a_key_that_stands_twice_is_said(tmp_path: Path) -> None:
    key, other = Key.new(), Key.new()

    with pytest.raises(KeyProblem, match=f"holds key {key.id.hex()} twice"):
        opened(tmp_path, MASTER_KEY_FILE=str(ring_file(tmp_path / "ring", key, other, key)))


def test_a_file_that_was_replaced_is_noticed_without_a_start(tmp_path: Path) -> None:
    old, new = Key.new(), Key.new()
    file = ring_file(tmp_path / "ring", old)
    vault = opened(tmp_path, MASTER_KEY_FILE=str(file))
    FileRing(file).put_first(new)

    assert vault.open(Vault([new]).seal(b"x", WHERE), WHERE) == b"x"
    assert vault.seal(b"y", WHERE)[1:9] == new.id


def test_a_file_that_became_public_is_not_read_again(tmp_path: Path) -> None:
    file = ring_file(tmp_path / "ring", Key.new())
    vault = opened(tmp_path, MASTER_KEY_FILE=str(file))
    sealed = vault.seal(b"x", WHERE)
    file.chmod(0o644)

    with pytest.raises(KeyProblem, match="read or changed by others"):
        vault.new_data_key("row", "org")
    assert vault.open(sealed, WHERE) == b"x", "what is open stays open"


# -- a new key in the file


def test_a_new_key_stands_first_and_the_file_keeps_its_privacy(tmp_path: Path) -> None:
    old, new = Key.new(), Key.new()
    file = ring_file(tmp_path / "ring", old)

    FileRing(file).put_first(new)

    assert ids(*read_ring(file.read_text(), "")) == ids(new, old)
    assert file.stat().st_mode & 0o777 == 0o600
    assert sorted(os.listdir(tmp_path)) == ["ring", "ring.lock"]


def test_two_stores_that_share_a_ring_lose_no_key(tmp_path: Path) -> None:
    old, news = Key.new(), [Key.new() for _ in range(8)]
    file = ring_file(tmp_path / "ring", old)
    together = threading.Barrier(len(news))

    def put(key: Key) -> None:
        together.wait()
        FileRing(file).put_first(key)

    threads = [threading.Thread(target=put, args=(key,)) for key in news]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    ring = ids(*read_ring(file.read_text(), ""))
    assert ring[-1] == old.id
    assert set(ring) == set(ids(old, *news))


def test_a_file_that_is_read_only_is_left_to_its_owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = ring_file(tmp_path / "ring", Key.new(), mode=0o400)
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write everything
    before = file.read_bytes()

    with pytest.raises(KeyProblem, match="read-only"):
        FileRing(file).put_first(Key.new())
    assert file.read_bytes() == before


# -- the folder


@pytest.mark.parametrize(
    ("mode", "risky"), [(0o700, False), (0o755, False), (0o770, True), (0o707, True), (0o1777, False)]
)
def test_a_folder_that_others_can_change_is_a_risk(tmp_path: Path, mode: int, risky: bool) -> None:
    folder = tmp_path / "keys"
    folder.mkdir()
    folder.chmod(mode)

    assert (folder_risk(folder / "ring") is not None) is risky


# -- the environment


@pytest.mark.parametrize("text", ["", " ", "\n"])
def test_an_empty_variable_is_said_rather_than_passed_over(tmp_path: Path, text: str) -> None:
    with pytest.raises(KeyProblem) as caught:
        opened(tmp_path, create=True, MASTER_KEY=text)

    assert "ORGSERVER_MASTER_KEY" in str(caught.value)
    assert not (tmp_path / "master.key").exists()


def test_a_ring_of_the_environment_says_that_it_is_read_only_at_the_start(tmp_path: Path) -> None:
    vault = opened(tmp_path, MASTER_KEY=write_ring([Key.new()]))

    with pytest.raises(Unsealable) as caught:
        vault.open(Vault([Key.new()]).seal(b"x", WHERE), WHERE)

    assert "read once" in (caught.value.hint or "")
    assert "start again" in (caught.value.hint or "")


@pytest.mark.parametrize("source", ["MASTER_KEY", "MASTER_KEY_COMMAND"])
def test_where_only_the_operator_can_put_a_key_that_is_said_with_how_to_make_one(tmp_path: Path, source: str) -> None:
    text = write_ring([Key.new()])
    options: dict[str, Any] = {source: text if source == "MASTER_KEY" else python(f"print({text!r})")}
    vault = opened(tmp_path, **options)

    with pytest.raises(KeyProblem, match="only you") as caught:
        vault.renew()

    assert "os.urandom(32)" in (caught.value.hint or "")
    assert text not in str(caught.value) + (caught.value.hint or "") + repr(vault)


# -- the command


def test_a_command_keeps_its_quotes_and_meets_no_shell(tmp_path: Path) -> None:
    key = Key.new()
    code = "import sys; print(sys.argv[1] if sys.argv[2:] == ['a b', '$HOME;`id`'] else '')"
    command = f"{python(code)} {shlex.quote(write_ring([key]))} 'a b' '$HOME;`id`'"

    assert ids(*opened(tmp_path, MASTER_KEY_COMMAND=command).ring) == [key.id]


def test_a_command_inherits_no_key(tmp_path: Path) -> None:
    key = Key.new()
    code = f"import os; print('' if any('MASTER_KEY' in n and n[-1] == 'Y' for n in os.environ) else {write_ring([key])!r})"

    assert ids(*opened(tmp_path, MASTER_KEY_COMMAND=python(code)).ring) == [key.id]


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("pass", "printed nothing"),
        ("print(' ')", "printed nothing"),
        ("import sys; sys.exit(3)", r"failed \(3\)"),
        ("import os; os.kill(os.getpid(), 9)", r"failed \(-9\)"),
        ("print('x' * 70000)", "more than a key ring"),
        ("import os; os.write(1, bytes(range(256)))", "not base64 of 32 bytes"),
        ("import sys; print('hunter2hunter2', file=sys.stderr); sys.exit(1)", "failed"),
        ("print('hunter2hunter2')", "not base64 of 32 bytes"),
    ],
)
def test_a_command_that_gives_no_ring_is_one_sentence_without_what_it_printed(
    tmp_path: Path, code: str, said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(KeyProblem, match=said) as caught:
        opened(tmp_path, MASTER_KEY_COMMAND=python(code))

    told = "".join((str(caught.value), caught.value.hint or "", *capfd.readouterr()))
    assert Path(sys.executable).name in str(caught.value)
    assert "hunter2" not in told
    assert "-c" not in str(caught.value), "arguments may hold secrets"
    assert caught.value.hint


def test_a_command_that_is_not_there_says_what_one_is(tmp_path: Path) -> None:
    with pytest.raises(KeyProblem, match="the master key command nowhere was not found") as caught:
        opened(tmp_path, MASTER_KEY_COMMAND="nowhere --at-all")

    assert str(caught.value.hint).startswith("ORGSERVER_MASTER_KEY_COMMAND names a program")


def test_a_command_that_hangs_is_given_up(tmp_path: Path) -> None:
    with pytest.raises(KeyProblem, match=r"did not answer in 0\.2 s"):
        opened(tmp_path, command_seconds=0.2, MASTER_KEY_COMMAND=python("import time; time.sleep(60)"))


@pytest.mark.parametrize(("command", "error"), [("", KeyProblem), ("  ", KeyProblem), ("keyring 'get", ConfigError)])
def test_a_command_that_is_none_is_said_rather_than_passed_over(
    tmp_path: Path, command: str, error: type[Exception]
) -> None:
    with pytest.raises(error, match="ORGSERVER_MASTER_KEY_COMMAND"):
        opened(tmp_path, create=True, MASTER_KEY_COMMAND=command)
    assert not (tmp_path / "master.key").exists()


def test_nothing_shows_a_key(tmp_path: Path) -> None:
    key = Key.new()
    file = FileRing(ring_file(tmp_path / "ring", key))
    command = CommandRing(["cat", str(tmp_path / "ring")])

    shown = repr(
        [file, file.read(), command, command.read(), Vault([key], file), opened(tmp_path, MASTER_KEY_FILE=file.name)]
    )

    assert write_ring([key]) not in shown
    assert repr(key.material()) not in shown
