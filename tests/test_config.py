"""Settings come from the environment over the file over defaults, and keys from the first source that is set."""

import base64
import os
import sys
from pathlib import Path

import pytest

from orgserver.config import read_settings, unknown_variables
from orgserver.model.errors import ConfigError, KeyProblem
from orgserver.salesforce.client import TOKEN_SECONDS
from orgserver.services.tokens.cache import LEASE_SECONDS
from orgserver.vault.keys import Context, Key
from orgserver.vault.ring import Vault, write_ring
from orgserver.vault.sources import open_vault

KEY = base64.b64encode(b"k" * 32).decode()
WHERE = Context("a", "b", "c")


def settings(home: Path, **environ: str):
    return read_settings(environ={"ORGSERVER_HOME": str(home), **{f"ORGSERVER_{k}": v for k, v in environ.items()}})


def test_the_deadlines_of_a_refresh_have_the_same_defaults_as_settings_and_without_any(tmp_path: Path) -> None:
    read = settings(tmp_path)

    assert (read.lease_seconds, read.token_seconds) == (LEASE_SECONDS, TOKEN_SECONDS)


def test_the_environment_wins_over_the_file_and_the_file_over_defaults(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("org_concurrency = 3\norg_queue = 7\n")

    read = settings(tmp_path, ORG_QUEUE="9")

    assert (read.org_concurrency, read.org_queue, read.call_timeout) == (3, 9, 50.0)


def test_flags_win_over_everything(tmp_path: Path) -> None:
    environ = {"ORGSERVER_HOME": str(tmp_path), "ORGSERVER_LOG_LEVEL": "error"}

    read = read_settings({"log_level": "debug"}, environ)

    assert read.log_level == "debug"


def test_lists_are_texts_with_commas_or_lists_and_an_empty_text_is_none(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(
        'toolsets = ["contacts", "query"]\norgs = "acme, globex,acme"\nread_only = true\n'
    )

    read = settings(tmp_path, TOOLS="a,b,", EXCLUDE_TOOLS="", READ_ONLY="")

    assert (read.toolsets, read.orgs) == (("contacts", "query"), ("acme", "globex"))
    assert (read.tools, read.exclude_tools, read.read_only) == (("a", "b"), (), False)


@pytest.mark.parametrize(
    ("name", "value"), [("ORGS", "Acme"), ("ORGS", ","), ("TOOLS", " , "), ("READ_ONLY", "perhaps")]
)
def test_a_list_that_names_nothing_or_no_alias_is_refused(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=f"ORGSERVER_{name}"):
        settings(tmp_path, **{name: value})


@pytest.mark.parametrize("name", ["master_key", "client_secret", "refresh_token", "signin_client_secret"])
def test_a_secret_in_the_file_is_refused_and_not_shown(tmp_path: Path, name: str) -> None:
    (tmp_path / "config.toml").write_text(f'{name} = "hunter2"\n')

    with pytest.raises(ConfigError) as caught:
        settings(tmp_path)

    assert name in str(caught.value)
    assert "hunter2" not in str(caught.value) + str(caught.value.hint)


@pytest.mark.parametrize(
    ("name", "value"),
    [("ORG_CONCURRENCY", "0"), ("CALL_TIMEOUT", "soon"), ("LOG_LEVEL", "loud"), ("LOG_FORMAT", "xml")],
)
def test_a_wrong_setting_is_named_without_its_value(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=f"ORGSERVER_{name}"):
        settings(tmp_path, **{name: value})


@pytest.mark.parametrize(
    ("file", "environ", "message", "mend"),
    [
        ('call_timeout = "x"', {}, "setting call_timeout in config.toml: ", "correct it in {path}, or take it out"),
        ("call_timeout = 1", {"CALL_TIMEOUT": "x"}, "setting ORGSERVER_CALL_TIMEOUT: ", "correct the variable, or unset it"),
        ("orgs = [7]", {}, "setting orgs.0 in config.toml: ", "correct it in {path}, or take it out"),
        ("unattended = 1", {}, "setting unattended in config.toml: ", "correct it in {path}, or take it out"),
        ("lease_seconds = 1", {}, "ORGSERVER_LEASE_SECONDS must be longer", None),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_named_as_where_it_stands(
    tmp_path: Path, file: str, environ: dict[str, str], message: str, mend: str | None
) -> None:
    path = tmp_path / "config.toml"
    path.write_text(file)

    with pytest.raises(ConfigError) as caught:
        settings(tmp_path, **environ)

    assert str(caught.value).startswith(message)
    assert caught.value.hint == (mend.format(path=path) if mend else None)


@pytest.mark.parametrize(("present", "missing"), [("ISSUER", "CLIENT_ID"), ("CLIENT_ID", "ISSUER")])
def test_half_a_sign_in_is_told_what_is_missing(tmp_path: Path, present: str, missing: str) -> None:
    text = f"ORGSERVER_SIGNIN_ISSUER and ORGSERVER_SIGNIN_CLIENT_ID go together: ORGSERVER_SIGNIN_{missing} is not set"
    with pytest.raises(ConfigError, match=f"^{text}$"):
        settings(tmp_path, **{f"SIGNIN_{present}": "https://idp.example.com"})


def test_each_wrong_setting_is_named_with_what_mends_it(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("org_queue = -1\ncall_timeout = 0\n")

    with pytest.raises(ConfigError) as caught:
        settings(tmp_path, LOG_LEVEL="loud")

    assert "setting org_queue in config.toml: " in str(caught.value)
    assert "setting call_timeout in config.toml: " in str(caught.value)
    assert "setting ORGSERVER_LOG_LEVEL: " in str(caught.value)
    assert str(caught.value.hint).count("correct it in ") == 1
    assert "correct the variable, or unset it" in str(caught.value.hint)


def test_a_file_that_begins_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("org_queue = 7\n", encoding="utf-8-sig")

    assert settings(tmp_path).org_queue == 7


def test_an_unknown_setting_in_the_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("colour = 1\n")

    with pytest.raises(ConfigError, match="colour in .*config.toml is no setting"):
        settings(tmp_path)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("log_levle", "is no setting; did you mean log_level?"),
        ("Keep_Alive_Days", "is no setting; did you mean keep_alive_days?"),
        ("client_id", "is no setting"),
    ],
)
def test_the_nearest_name_of_an_unknown_key_is_told(tmp_path: Path, name: str, told: str) -> None:
    (tmp_path / "config.toml").write_text(f'{name} = "hunter2"\n')
    unknown: list[str] = []

    with pytest.raises(ConfigError) as caught:
        settings(tmp_path)
    read_settings({"home": tmp_path}, {}, unknown=unknown)

    assert told in str(caught.value)
    assert unknown == [str(caught.value)]
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("ORGSERVER_HOEM", "ORGSERVER_HOEM in the environment is no setting; did you mean ORGSERVER_HOME?"),
        ("ORGSERVER_home", "ORGSERVER_home in the environment is no setting; did you mean ORGSERVER_HOME?"),
        ("ORGSERVER_REFRESH_TOKN", "ORGSERVER_REFRESH_TOKN in the environment is no setting; did you mean ORGSERVER_REFRESH_TOKEN?"),
        ("ORGSERVER_XYZZY", "ORGSERVER_XYZZY in the environment is no setting"),
    ],
)  # fmt: skip
def test_the_nearest_name_of_an_unknown_variable_is_told(name: str, told: str) -> None:
    assert unknown_variables({name: "hunter2"}) == [told]


@pytest.mark.parametrize(
    "name",
    [
        "ORGSERVER_HOME", "ORGSERVER_MASTER_KEY", "ORGSERVER_CLIENT_ID", "ORGSERVER_CLIENT_SECRET",
        "_ORGSERVER_COMPLETE", "OTHER_HOEM", "ORGSERVER_SERVICE_HOST", "ORGSERVER_SERVICE_PORT_HTTP",
        "ORGSERVER_PORT", "ORGSERVER_PORT_8080_TCP_ADDR",
    ],
)  # fmt: skip
def test_nothing_is_said_of_settings_and_of_what_others_set(name: str) -> None:
    assert unknown_variables({name: "x"}) == []


def test_a_file_that_is_not_toml_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("= what\n")

    with pytest.raises(ConfigError, match="not TOML"):
        settings(tmp_path)


def test_the_master_key_leaves_the_environment_and_is_not_shown(tmp_path: Path) -> None:
    environ = {"ORGSERVER_HOME": str(tmp_path), "ORGSERVER_MASTER_KEY": KEY}

    read = read_settings(environ=environ)

    assert "ORGSERVER_MASTER_KEY" not in environ
    assert KEY not in repr(read) + str(read)
    assert open_vault(read, create=False).open(Vault([Key(b"k" * 32)]).seal(b"x", WHERE), WHERE) == b"x"


def test_the_secret_at_the_identity_provider_leaves_the_environment_and_is_not_shown(tmp_path: Path) -> None:
    environ = {
        "ORGSERVER_HOME": str(tmp_path),
        "ORGSERVER_SIGNIN_ISSUER": "https://idp.example.com",
        "ORGSERVER_SIGNIN_CLIENT_ID": "orgs",
        "ORGSERVER_SIGNIN_CLIENT_SECRET": "canary-of-the-provider",
    }

    read = read_settings(environ=environ)
    secret = read.take_signin_secret()

    assert "canary-of-the-provider" not in " ".join([*environ.values(), repr(read), str(read), repr(secret)])
    assert secret is not None
    assert secret.reveal() == "canary-of-the-provider"


def test_a_wrong_setting_of_sign_in_shows_no_secret(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        settings(tmp_path, SIGNIN_CLIENT_ID="orgs", SIGNIN_CLIENT_SECRET="canary-of-the-provider")

    assert "ORGSERVER_SIGNIN_ISSUER" in str(caught.value)
    assert "canary" not in f"{caught.value!r} {caught.value} {caught.value.hint}"


def test_a_database_url_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="ORGSERVER_DATABASE_URL"):
        _ = settings(tmp_path, DATABASE_URL="mysql://x/y").database_file


def test_the_default_key_is_made_once_with_mode_0600(tmp_path: Path) -> None:
    read = settings(tmp_path)

    sealed = open_vault(read, create=True).seal(b"x", WHERE)

    assert (tmp_path / "master.key").stat().st_mode & 0o777 == 0o600
    assert open_vault(read, create=True).open(sealed, WHERE) == b"x"
    assert [path.name for path in tmp_path.iterdir()] == ["master.key"]


def test_a_lost_key_is_not_replaced(tmp_path: Path) -> None:
    with pytest.raises(KeyProblem, match="no master key"):
        open_vault(settings(tmp_path), create=False)
    assert not (tmp_path / "master.key").exists()


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "ring"
    file.write_text(KEY)
    file.chmod(0o644)

    with pytest.raises(KeyProblem, match="read or changed by others"):
        open_vault(settings(tmp_path, MASTER_KEY_FILE=str(file)), create=False)


def test_a_key_behind_a_symbolic_link_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "ring"
    file.write_text(KEY)
    file.chmod(0o600)
    link = tmp_path / "link"
    link.symlink_to(file)

    with pytest.raises(KeyProblem, match="symbolic link"):
        open_vault(settings(tmp_path, MASTER_KEY_FILE=str(link)), create=False)


def test_the_environment_is_asked_before_file_and_command(tmp_path: Path) -> None:
    read = settings(tmp_path, MASTER_KEY=KEY, MASTER_KEY_FILE=str(tmp_path / "none"), MASTER_KEY_COMMAND="false")

    assert open_vault(read, create=False)


def test_a_command_prints_the_ring_and_no_shell_sees_it(tmp_path: Path) -> None:
    key = Key.new()
    program = f"{sys.executable} -c \"print('{write_ring([key])}')\""

    vault = open_vault(settings(tmp_path, MASTER_KEY_COMMAND=program), create=False)

    assert vault.open(Vault([key]).seal(b"x", WHERE), WHERE) == b"x"


@pytest.mark.parametrize("command", ["/nonexistent/program", "false", f"{sys.executable} -c 'print(1)'"])
def test_a_command_that_fails_is_one_sentence(tmp_path: Path, command: str) -> None:
    with pytest.raises(KeyProblem) as caught:
        open_vault(settings(tmp_path, MASTER_KEY_COMMAND=command), create=False)

    assert "\n" not in str(caught.value)


def test_two_processes_that_start_at_once_agree_on_one_key(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    read = settings(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        vaults = list(pool.map(lambda _: repr(open_vault(read, create=True)), range(8)))

    assert len(set(vaults)) == 1
    assert os.listdir(tmp_path) == ["master.key"]
