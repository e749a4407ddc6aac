"""Principals, groups, grants and API keys, each command a process of its own."""

import asyncio
import json
import re
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta

from orgserver.app import App, open_app
from orgserver.cli.main import cli
from orgserver.config import read_settings
from orgserver.model.access.api_keys import is_api_key
from orgserver.model.access.principals import Principal
from orgserver.model.orgs import Caller
from orgserver.model.secret import Secret
from orgserver.sandbox.org import SandboxOrg
from orgserver.services.people.keys import KeyRefusal
from orgserver.services.people.requests import GroupChanges, PrincipalChanges
from tests.cli.shells import Command, Ran, Shell

Checked = Principal | KeyRefusal


async def check(shell: Shell, *keys: str) -> list[Checked]:
    """What a server would say to these keys now."""
    async with open_app(read_settings({"home": shell.home}, {})) as app:
        owners = [await app.people.api_keys.check(Secret(key)) for key in keys]
        return [owner if isinstance(owner, KeyRefusal) else owner.principal for owner in owners]


def key_id(ran: Ran) -> str:
    match = re.search(r"API key (\S+), shown this once:", ran.err)
    assert match is not None, ran.err
    return match[1]


async def test_a_key_is_alone_on_standard_output_rotates_with_an_overlap_and_is_nowhere_else(shell: Shell) -> None:
    added = await shell("add-principal", "ada", "--grant", "*:read")
    renewed = await shell("update-principal", "ada", "--new-key", "--key-until", "30d", "--kind", "service")
    first, second = added.out.strip(), renewed.out.strip()
    together = await check(shell, first, second)
    revoked = await shell("update-principal", "ada", "--revoke-key", key_id(added))
    after = await check(shell, first, second)
    shown, listed, log, export = [
        await shell(*words)
        for words in (
            ("show-principal", "ada"), ("list-principals", "--json"), ("audit", "list", "--json"),
            ("audit", "export", "--format", "events"),
        )
    ]  # fmt: skip

    assert (added.out, renewed.out) == (f"{first}\n", f"{second}\n")
    assert is_api_key(first)
    assert is_api_key(second)
    assert "ada: kind person → service" in renewed.lines
    assert together == [Principal("ada"), Principal("ada")]
    assert f"ada: key {key_id(added)} active → revoked" in revoked.out
    assert after == [KeyRefusal.REVOKED, Principal("ada")]
    assert f"{key_id(added)}: revoked" in shown.out
    assert [key["state"] for key in listed.json[0]["keys"]] == ["revoked", "active"]
    assert {(each["tool"], each["object"]) for each in log.json if each["action"] == "key"} == {
        ("add-principal", "ada"), ("update-principal", "ada"),
    }  # fmt: skip
    stored = b"".join(file.read_bytes() for file in shell.home.rglob("*") if file.is_file())
    for key in (first, second):
        assert not any(key in text for ran in (revoked, shown, listed, log, export) for text in (ran.out, ran.err))
        assert not any(key in ran.err for ran in (added, renewed))
        assert key.encode() not in stored


async def test_the_text_of_a_key_in_a_wrong_place_is_not_repeated_or_kept(shell: Shell) -> None:
    key = (await shell("add-principal", "ada")).out.strip()

    for words in (
        ("update-principal", "ada", "--revoke-key", key), ("update-principal", "ada", "--revoke-key", key[:-1]),
        ("show-principal", key), ("add-principal", key), ("add-group", "ops", "--member", key),
        ("update-group", key, "--no-claim"),
    ):  # fmt: skip
        refused = await shell(*words)
        assert refused.code == 1
        assert key[:-1] not in refused.out + refused.err
        assert "text" in refused.lines[0]
    stored = b"".join(file.read_bytes() for file in shell.home.rglob("*") if file.is_file())
    assert key[:-1].encode() not in stored


async def test_json_has_the_key_and_all_that_is_known(shell: Shell, acme: SandboxOrg) -> None:
    await shell.add(acme, "--tag", "eu")
    await shell("add-group", "emea", "--grant", "tag:eu:read,write")
    end = (datetime.now(UTC) + timedelta(days=3)).replace(microsecond=0)

    added = await shell(
        "add-principal", "bot", "--kind", "service", "--group", "emea", "--grant", "acme:delete", "--until",
        end.isoformat(), "--role", "auditor", "--subject", "https://id.example", "42", "--row-limit", "50", "--json",
    )  # fmt: skip

    facts = added.json
    assert await check(shell, facts["key"]) == [Principal("bot")]
    assert facts["key_id"] == facts["keys"][0]["id"]
    assert facts | {
        "name": "bot", "kind": "service", "enabled": True, "roles": ["auditor"], "groups": ["emea"],
        "subjects": [{"issuer": "https://id.example", "subject": "42"}], "limits": {"row_limit": 50},
    } == facts  # fmt: skip
    assert [(g["selector"], g["permissions"], g["until"], g["group"]) for g in facts["grants"]] == [
        ("acme", ["delete"], end.isoformat(), None),
        ("tag:eu", ["read", "write"], None, "emea"),
    ]


async def test_an_update_says_what_was_and_what_is(shell: Shell, acme: SandboxOrg) -> None:
    await shell.add(acme)
    await shell("add-group", "ops", "--grant", "*:read")
    await shell("add-principal", "ada", "--no-key", "--grant", "acme:read", "--grant", "acme:write")

    changed = await shell(
        "update-principal", "ada", "--grant", "acme:delete", "--group", "ops", "--disable", "--hide-field",
        "Contact.Email",
    )  # fmt: skip
    again = await shell("update-principal", "ada", "--disable", "--grant", "acme:delete")
    as_json = await shell("update-principal", "ada", "--enable", "--revoke", "acme", "--json")
    group = await shell("update-group", "ops", "--no-member", "ada", "--revoke", "*", "--claim", "Ops")

    assert changed.out.splitlines() == [
        "ada: state enabled → disabled",
        "ada: groups none → ops",
        "ada: limits none → hide-field Contact.Email",
        "ada: grant acme read,write → delete",
    ]
    assert again.out == "ada: nothing changed, it is so already\n"
    assert as_json.json["changed"] == [
        {"field": "state", "from": "disabled", "to": "enabled"},
        {"field": "grant acme", "from": "delete", "to": "none"},
    ]
    assert group.out.splitlines() == ["ops: claim none → Ops", "ops: members ada → none", "ops: grant * read → none"]


BAD_INPUT = [
    ("add-principal a\x1bda", 1, "a name has 1 to 127 letters"),
    ("add-principal local:ada", 1, "are those of this machine's own users"),
    ("add-principal ada", 1, "there is a principal ada already"),
    ("add-group Ada", 1, "there is a principal ada already"),
    ("add-principal bob --grant acne:read", 1, "no org is registered as acne, so nothing can be granted on it"),
    ("add-principal bob --grant acme:rad", 2, "rad is no permission"),
    ("add-principal bob --grant acme", 2, "a grant is SELECTOR:read,write,delete"),
    ("add-principal bob --grant *:read --until 2020-01-01", 1, "is in the past"),
    ("add-principal bob --key-until 2020-01-01", 1, "is in the past"),
    ("add-principal bob --until 3d", 2, "--until is the end of what --grant grants"),
    ("add-principal bob --grant *:read --until soon", 2, "give ISO 8601"),
    ("add-principal bob --no-key --key-until 3d", 2, "--key-until and --no-key at once"),
    ("add-principal bob --group nope", 1, "there is no group nope"),
    ("add-principal bob --group ada", 1, "ada is a principal, not a group"),
    ("add-group ops --member staff", 1, "staff is a group, and groups hold principals only"),
    ("add-group ops --member adda", 1, "there is no principal adda"),
    ("add-group ops --claim Ops --member ada", 1, "a group that a claim fills has no members by hand"),
    ("update-principal ada", 2, "nothing to change"),
    ("update-principal ada --grant x*:read --revoke x*", 2, "--grant and --revoke at once for x*"),
    ("update-principal ada --revoke x*", 1, "ada has no grant on x*"),
    ("update-principal ada --key-until 3d", 2, "--key-until is the end of the key that --new-key makes"),
    ("update-principal ada --revoke-key 01", 1, "ada has no key 01"),
    ("update-principal ada --role auditor --no-role auditor", 2, "--role and --no-role at once for auditor"),
    ("update-principal staff --disable", 1, "staff is a group, not a principal"),
    ("update-group ada --no-claim", 1, "ada is a principal, not a group"),
    ("update-group staff --claim A --no-claim", 2, "--claim and --no-claim at once"),
    ("remove-group ops --yes", 1, "there is no group ops"),
    ("show-principal adda", 1, "there is no principal adda"),
]


async def test_bad_input_is_one_line_and_changes_nothing(command: Command, app: App, caller: Caller) -> None:
    await app.people.principals.add(caller, "ada", PrincipalChanges())
    await app.people.groups.add(caller, "staff", GroupChanges())
    before = await app.people.principals.all(), await app.people.groups.all()

    for words, code, line in BAD_INPUT:
        refused = await command(cli, *words.split(" "))
        assert (refused.exit_code, refused.stdout) == (code, ""), words
        assert line in refused.stderr.splitlines()[0], words

    assert (await app.people.principals.all(), await app.people.groups.all()) == before


async def test_a_selector_that_matches_nothing_is_a_warning(shell: Shell) -> None:
    added = await shell("add-principal", "ada", "--no-key", "--grant", "emea-*:read")

    assert added.code == 0
    assert (
        "orgserver: warning: emea-* matches no org so far; those that it matches later are granted then" in added.lines
    )


async def test_removing_asks_where_nobody_said_yes(shell: Shell) -> None:
    await shell("add-principal", "ada", "--grant", "*:read")
    await shell("add-group", "ops", "--member", "ada")
    questions: list[str] = []

    for command, name in (("remove-group", "ops"), ("remove-principal", "ada")):
        silent = await shell(command, name)
        assert silent.code == 1
        assert silent.err.startswith(f"orgserver: error: {name} was not removed: nobody is here to confirm it")
        async with shell.at_terminal(command, name) as terminal:
            questions.append(await terminal.answer("[y/N]", "n"))
            assert await terminal.end() == 1
        assert f"{name} was not removed" in terminal.shown
        async with shell.at_terminal(command, name) as terminal:
            await terminal.answer("[y/N]", "y")
            assert await terminal.end() == 0
        assert f"{name}: removed" in terminal.shown
    assert "Remove ada (1 grant, 1 key)?" in questions[1]
    with closing(sqlite3.connect(shell.home / "orgserver.db")) as database:
        for table in ("principals", "groups", "group_members", "grants", "api_keys"):
            assert database.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)


async def test_limits_of_a_principal_are_shown_in_the_words_of_their_options(shell: Shell) -> None:
    await shell("add-principal", "ada", "--no-key", "--read-only", "--hide-field", "Contact.Fax", "--row-limit", "10")

    shown = await shell("show-principal", "ada")

    assert "limits      read-only, hide-field Contact.Fax, row-limit 10\n" in shown.out


async def test_taking_a_limit_of_a_principal_away_needs_a_person(shell: Shell) -> None:
    await shell("add-principal", "ada", "--no-key", "--read-only", "--row-limit", "10")

    silent = await shell("update-principal", "ada", "--no-read-only", "--kind", "service")
    stricter = await shell("update-principal", "ada", "--row-limit", "5")
    async with shell.at_terminal("update-principal", "ada", "--no-read-only") as terminal:
        asked = await terminal.answer("[y/N]", "y")
        assert await terminal.end() == 0
    shown = await shell("show-principal", "ada", "--json")

    assert silent.code == 1
    assert "ada was not changed: nobody is here to confirm it" in silent.err
    assert stricter.code == 0, stricter.err
    assert "Loosen the limits of ada: read-only yes → no?" in asked
    assert (shown.json["kind"], shown.json["limits"]) == ("person", {"row_limit": 5})


async def test_tags_are_set_and_cleared_and_orgs_found_by_them(shell: Shell, acme: SandboxOrg) -> None:
    await shell.add(acme)
    await shell("add-principal", "ada", "--no-key", "--grant", "tag:emea:read")
    matches, tags = [], []

    for options in (("--tag", "emea", "--tag", "pilot"), ("--tag", "us"), ("--no-tags",)):
        await shell("update-org", "acme", *options)
        (org,) = (await shell("list-orgs", "--json")).json
        tags.append(org["tags"])
        matches.append([each["alias"] for each in (await shell("list-orgs", "--match", "emea", "--json")).json])

    assert tags == [["emea", "pilot"], ["us"], []]
    assert matches == [["acme"], [], []]


async def test_commands_at_the_same_time_do_not_take_each_others_changes_back(shell: Shell) -> None:
    await shell("add-principal", "ada", "--no-key")

    rans = await asyncio.gather(
        *(shell("update-principal", "ada", "--grant", f"{letter}*:read", "--new-key", "--json") for letter in "abcd")
    )

    record = (await shell("show-principal", "ada", "--json")).json
    assert [ran.code for ran in rans] == [0] * 4
    assert [grant["selector"] for grant in record["grants"]] == ["a*", "b*", "c*", "d*"]
    assert await check(shell, *(json.loads(ran.out)["key"] for ran in rans)) == [Principal("ada")] * 4
