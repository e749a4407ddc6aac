"""Env files: names that are almost right, lines that are none, and who else can read them."""

import sys
from pathlib import Path

import pytest

from orgserver.cli.login import env_file
from orgserver.cli.login.credentials import CredentialParts, complete
from orgserver.model.errors import ConfigError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / ".env"
    path.touch(0o600)
    return path


def parts_of(path: Path, *lines: str) -> CredentialParts:
    path.write_text("\n".join(lines), "utf-8")
    return env_file.read(path)


def test_a_byte_order_mark_begins_no_name(path: Path) -> None:
    parts = parts_of(path, "\ufeffSALESFORCE_CLIENT_ID=3MVG9", "export SALESFORCE_REFRESH_TOKEN='5Aep CANARY'  # ours")

    assert parts.values == {"client_id": "3MVG9", "refresh_token": "5Aep CANARY"}
    assert parts.origin("client_id") == f"SALESFORCE_CLIENT_ID from {path}"


@pytest.mark.parametrize("name", ["SALESFORCE_REFRESHTOKEN", "Salesforce_Refresh_Tokn", "REFRESH_TOKEN"])
def test_a_name_that_is_almost_right_is_named_where_its_part_is_missing(name: str, path: Path) -> None:
    parts = parts_of(path, "SALESFORCE_CLIENT_ID=3MVG9", "SALESFORCE_CLIENT_SECRET=x", f"{name}=5AepCANARY")

    with pytest.raises(ConfigError) as error:
        complete(parts, "refresh-token")

    assert str(error.value) == f"no refresh token was given: {name} in {path} is no name that is read"
    assert error.value.hint == "did you mean SALESFORCE_REFRESH_TOKEN?"


def test_a_name_that_is_almost_right_is_warned_of_where_nothing_is_missing(
    path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    lines = ("SALESFORCE_CLIENT_ID=3MVG9", "SALESFORCE_CLIENT_SECRET=x", "SALESFORCE_REFRESH_TOKEN=5AepCANARY")
    parts = parts_of(path, *lines, "SALESFORCE_INSTANCEURL=CANARY", "SALESFORCE_USERNAME=CANARY", "DATABASE_URL=CANARY")

    complete(parts, "refresh-token")

    (warning,) = [line for line in capfd.readouterr().err.splitlines() if "warning" in line]
    assert warning == (
        f"orgserver: warning: SALESFORCE_INSTANCEURL in {path} is no name that is read; "
        "did you mean SALESFORCE_INSTANCE_URL?"
    )


def test_a_line_that_is_none_is_named_by_its_number(
    path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    parts = parts_of(path, "SALESFORCE_CLIENT_ID=3MVG9", "", "!! CANARY", "SALESFORCE_LOGIN_URL=https://x.example")

    assert parts.values["login_url"] == "https://x.example"
    assert capfd.readouterr().err == f"orgserver: warning: {path}, line 3: not NAME=value, so it is left out\n"
    assert caplog.text == ""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
@pytest.mark.parametrize(
    ("name", "mode", "warns"),
    [
        ("SALESFORCE_REFRESH_TOKEN", 0o644, True),
        ("SALESFORCE_CLIENT_SECRET", 0o640, True),
        ("SALESFORCE_REFRESH_TOKEN", 0o600, False),
        ("SALESFORCE_CLIENT_ID", 0o644, False),
    ],
)
def test_a_file_with_secrets_that_others_can_read_is_warned_of(
    name: str, mode: int, warns: bool, path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path.chmod(mode)

    parts_of(path, f"{name}=CANARY")

    warning = f"orgserver: warning: {path} holds secrets and can be read by other users of this machine"
    assert (warning in capfd.readouterr().err) is warns


def test_a_file_that_is_not_there_says_what_it_should_be(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file or directory") as error:
        env_file.read(tmp_path / "none.env")

    assert error.value.hint == "give the path of a file with names such as SALESFORCE_CLIENT_ID"
