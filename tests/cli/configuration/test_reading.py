"""Files of a configuration: each fault is one line with its place, and no secret is repeated."""

import os
from pathlib import Path

import pytest

from orgserver.cli.configuration.conversion import convert
from orgserver.cli.configuration.files import read_files
from orgserver.model.errors import ConfigError
from orgserver.services.configuration.declarations import Configuration

SECRET = "5Aep861SECRETSECRETSECRETSECRETSECRETSECRETSECRETSECRETSECRETSECRETSECRET"


def read(folder: Path, **texts: str | bytes) -> Configuration:
    for name, text in texts.items():
        (folder / f"{name}.yaml").write_bytes(text.encode() if isinstance(text, str) else text)
    return convert(folder.name, read_files(str(folder)))


def refusal(folder: Path, **texts: str | bytes) -> str:
    with pytest.raises(ConfigError) as refused:
        read(folder, **texts)
    line = str(refused.value)
    assert "\n" not in line
    assert "SECRET" not in line + str(refused.value.hint)
    return line


ORG, ADA = "orgs:\n  acme:\n    ", "principals:\n  ada:\n    "
FAULTS = [
    ("", 1, "it says nothing; there are policies, orgs"),
    ("- acme", 1, "it has sections: policies, orgs"),
    ("org: {}", 1, "org is no section; did you mean orgs?"),
    ("groups:", 1, "groups has no value; write groups: {} if there is none"),
    ("orgs:\n- acme", 1, "orgs is names, each with its keys"),
    ("orgs:\n  ACME: {}", 2, "ACME: an alias is 1 to 63"),
    (f"{ORG}tag: [eu]", 3, "tag is no key of an org; did you mean tags?"),
    (f"{ORG}read_only: true", 3, "read_only is a limit: it belongs under policy"),
    (f"{ADA}row-limit: 5", 3, "row_limit is a limit: it belongs under limits"),
    (f"{ORG}password: {SECRET}", 3, "password is no key of an org; no secret is in a file"),
    (f"{ORG}{SECRET}: x", 3, "this is no key of an org; there are enabled, tags"),
    (f"{ORG}refresh_token: {SECRET}", 3, "acme: refresh_token is a reference (env:NAME"),
    (f"{ORG}client_secret: vault:{SECRET}", 3, "acme: client_secret is a reference (env:NAME"),
    (f"{ORG}client_secret: env:no name", 3, "acme: client_secret: env: is followed by the name of a variable"),
    (f"{ORG}client_secret: env:ORGSERVER_MASTER_KEY", 3, "acme: client_secret: that variable holds a secret of orgs"),
    (f"{ORG}client_secret: env:ORGSERVER_DATABASE_PASSWORD", 3, "acme: client_secret: that variable holds"),
    (f"{ORG}auth: password", 3, "acme: auth is 'web', 'refresh-token', 'jwt' or 'client-credentials'"),
    (f"{ORG}auth: web\n    username: a@b.c", 4, "username goes with auth jwt, not web"),
    (f"{ORG}enabled: 'yes'", 3, "acme: enabled is true or false"),
    (f"{ORG}api_version: 66.0", 3, "acme: api_version is a text; a number or a date needs quotes"),
    (f"{ORG}client_id: .nan", 3, "acme: client_id is a text; a number"),
    (f"{ORG}client_id:", 3, "client_id has no value; leave the line out"),
    (f"{ORG}client_id: a b", 3, "acme: client_id has a space"),
    (f"{ORG}tags: eu", 3, "acme: tags is a list, each item on a line"),
    (f"{ORG}tags: [2027]", 3, "acme: tags is a text; a number or a date needs quotes"),
    (f"{ORG}tags:\n    - eu\n    - eu", 5, "eu is there already, in one.yaml, line 4"),
    (f"{ORG}login_url: http://login.salesforce.com", 3, "login_url: login.salesforce.com must be reached by https"),
    (f"{ORG}login_url: https://sf.example", 3, "login_url: sf.example is not one of Salesforce's own hosts; trust_"),
    (f"{ORG}policy: careful", 3, "no file has careful under policies"),
    (f"policies:\n  careful: {{}}\n{ORG}policy: carefull", 5, "no file has carefull under policies; did you mean care"),
    (f"{ORG}policy:\n      row-limits: 5", 4, "row-limits is no limit; did you mean row-limit?"),
    ("policies:\n  careful:\n    row-limit: .nan", 3, "row-limit is a whole number from 0"),
    ("policies:\n  careful: 5", 2, "careful is limits with their values"),
    (f"{ORG}tags: []\n  acme: {{}}", 4, "acme is there already, in line 2"),
    (f"{ORG}login-url: https://a.my.salesforce.com\n    login_url: https://a.my.salesforce.com", 4, "login_url is there"),
    (f"{ADA}groups: [ops]", 3, "groups is no key of a principal; it is in the groups that have it under members"),
    (f"{ADA}kind: robot", 3, "ada: kind is 'person' or 'service'"),
    (f"{ADA}subjects: [{{issuer: a}}]", 3, "ada: subject is missing"),
    (f"{ADA}grants: [acme:read,write]", 3, "write is a permission; in brackets write 'acme:read,write' in quotes"),
    (f"{ADA}grants: [*:read]", 3, "anchors and aliases are not taken (a text that begins with * or & needs quotes)"),
    (f"{ADA}grants: ['acme:fly']", 3, "fly is no permission"),
    (f"{ADA}grants:\n    - acme:read\n    - acme:write", 5, "ada's grant on acme is there already, in one.yaml, line 4"),
    (f"{ADA}grants: ['acme:read until 90d']", 3, "a grant ends at a time of ISO 8601"),
    (f"{ADA}grants: ['acme:read until 0001-01-01T00:00+14:00']", 3, "that end is beyond all calendars"),
    ("groups:\n  ops:\n    claim: x\n    members: []", 4, "ops is filled by a claim, so it has no members by hand"),
    ("principals:\n  local:ada: {}", 2, "this: names that begin with local:"),
    ("orgs: &a {acme: {}}\ngroups: *a", 1, "anchors and aliases are not taken"),
    ("orgs: !!python/object/apply:os.system [id]", 1, "tags are not taken"),
    ("orgs: {}\n---\norgs: {}", 2, "not YAML: "),
    ("orgs: " + "[" * 10 + "]" * 10, 1, "lists within lists are not taken"),
    ("orgs: " + "[" * 100_000, 1, "not YAML: "),
    ("orgs: {acme: {tags: [a}", 1, "not YAML: "),
    ("orgs:\n<<<<<<< HEAD\n  acme: {}\n=======\n  b: {}\n>>>>>>> x", 2, "not YAML: a conflict that git left here"),
    (b"orgs: {}\n\xff", 2, "not UTF-8"),
    (b"orgs: {}\n\x00", 2, "not YAML: "),
]  # fmt: skip


@pytest.mark.parametrize(("text", "line", "reason"), FAULTS)
def test_a_fault_is_one_line_with_its_place(tmp_path: Path, text: str | bytes, line: int, reason: str) -> None:
    assert refusal(tmp_path, one=text).startswith(f"one.yaml, line {line}: {reason}")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("orgs: {acme: {}}", "b.yaml, line 1: the org acme is there already, in a.yaml, line 1"),
        ("groups: {ops: {}}", "b.yaml, line 1: the group ops is there already, in a.yaml, line 1"),
        ("principals: {ada: {}}", "b.yaml, line 1: the principal ada is there already, in a.yaml, line 1"),
        ("policies: {careful: {}}", "b.yaml, line 1: the policy careful is there already, in a.yaml, line 1"),
    ],
)
def test_what_stands_in_two_files_names_both(tmp_path: Path, text: str, reason: str) -> None:
    assert refusal(tmp_path, a=text, b=text) == reason


def test_a_subject_is_one_principal_s(tmp_path: Path) -> None:
    text = "principals: {%s: {subjects: [{issuer: https://i.example, subject: s-1}]}}"
    assert refusal(tmp_path, a=text % "ada", b=text % "bob") == (
        "b.yaml, line 1: s-1 of https://i.example is there already, in a.yaml, line 1"
    )


def test_files_of_a_folder_are_one_configuration(tmp_path: Path) -> None:
    (tmp_path / "teams").mkdir()
    (tmp_path / "teams" / "emea.yml").write_text("groups:\n  emea:\n    members: [ada]\n")
    (tmp_path / ".hidden.yaml").write_text("nonsense")
    (tmp_path / "notes.txt").write_text("nonsense")

    configuration = read(tmp_path, limits="policies: {careful: {row-limit: 5}}", orgs="orgs: {on: {policy: careful}}")

    assert [org.policy.row_limit for org in configuration.orgs.values() if org.policy] == [5]
    assert str(configuration.groups["emea"].place) == "teams/emea.yml, line 2"
    assert configuration.sections == {"orgs", "groups"}


def test_what_is_no_file_of_yaml_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "pipes").mkdir()
    os.mkfifo(tmp_path / "pipes" / "pipe.yaml")
    for name, reason in (
        (tmp_path / "absent.yaml", "no such file or directory"),
        (tmp_path / "pipes", "pipe.yaml is not a file"),
        (Path("/dev/zero"), "zero, line 1: a file has at most 32 MiB"),
        (Path("/dev/null"), "null, line 1: it says nothing"),
    ):
        with pytest.raises(ConfigError) as refused:
            read_files(str(name))
        assert reason in str(refused.value)
    (tmp_path / "pipes" / "pipe.yaml").unlink()
    with pytest.raises(ConfigError, match="holds no file of YAML"):
        read_files(str(tmp_path))
    (tmp_path / "large.yaml").write_bytes(b"#" * (33 * 1024 * 1024))
    assert refusal(tmp_path) == "large.yaml, line 1: a file has at most 32 MiB"
