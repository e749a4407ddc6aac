"""The password of the store's server from a file or a program: read at each connection, never shown."""

import sys
from pathlib import Path

import pytest

from orgserver.config import read_settings
from orgserver.model.errors import OrgserverError
from orgserver.vault.database_password import password_source

PASSWORD = "canary pass"


def read(home: Path, **settings: str) -> str:
    source = password_source(
        read_settings({"home": home}, {f"ORGSERVER_{key}": each for key, each in settings.items()})
    )
    assert source is not None
    return source()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.touch(mode=0o600)
    path.write_text(f"{PASSWORD}\r\n")
    return path


def test_a_file_is_read_each_time(tmp_path: Path, file: Path) -> None:
    source = password_source(read_settings({"home": tmp_path}, {"ORGSERVER_DATABASE_PASSWORD_FILE": str(file)}))
    assert source is not None
    assert source() == PASSWORD
    file.write_text("another\n")
    assert source() == "another"


def test_a_program_prints_it(tmp_path: Path, file: Path) -> None:
    assert read(tmp_path, DATABASE_PASSWORD_COMMAND=f"cat '{file}'") == PASSWORD


def test_without_any_there_is_none(tmp_path: Path) -> None:
    assert password_source(read_settings({"home": tmp_path}, {})) is None


@pytest.mark.parametrize("content", [b"", b"\n", b"canary\nline\n", b"\xff\xfecanary", b"canary" * 1_000, b"can\0ary"])
def test_a_file_that_holds_no_password_is_refused(tmp_path: Path, file: Path, content: bytes) -> None:
    file.write_bytes(content)

    with pytest.raises(OrgserverError, match="ORGSERVER_DATABASE_PASSWORD_FILE") as raised:
        read(tmp_path, DATABASE_PASSWORD_FILE=str(file))

    assert "canary" not in repr(raised.value)


def test_a_file_that_others_may_read_or_that_is_elsewhere_is_refused(tmp_path: Path, file: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(file)
    for path, reason in (
        (link, "symbolic link"),
        (tmp_path / "none", "no such file"),
        (tmp_path, "not a regular file"),
    ):
        with pytest.raises(OrgserverError, match=reason):
            read(tmp_path, DATABASE_PASSWORD_FILE=str(path))
    file.chmod(0o644)
    with pytest.raises(OrgserverError, match="mode 644"):
        read(tmp_path, DATABASE_PASSWORD_FILE=str(file))


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("no-such-program-of-ours", "was not found"),
        (f"{sys.executable} -c 'import sys; sys.exit(\"canary\")'", r"failed \(1\)"),
        ("true", "holds no password"),
    ],
)
def test_a_program_that_fails_is_named_without_its_words(tmp_path: Path, program: str, reason: str) -> None:
    with pytest.raises(OrgserverError, match=reason) as raised:
        read(tmp_path, DATABASE_PASSWORD_COMMAND=program)

    assert "canary" not in f"{raised.value!r} {raised.value.hint}"
