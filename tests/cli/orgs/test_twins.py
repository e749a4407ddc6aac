"""Commands name the other aliases of an org, and what limits it whatever it is called."""

import json
from typing import Any

from orgserver.sandbox.org import SandboxOrg
from tests.cli.orgs.sheets import planned, row, sheet
from tests.cli.shells import Ran, Shell, credential

STRICT = ("--read-only", "--confirm-deletes")


async def add(shell: Shell, secrets: set[str], org: SandboxOrg, alias: str, *options: str) -> Ran:
    """Register an org under an alias, with a login of its own."""
    token = org.logins.begin(org.client_id, org.logins.seeded.scope).refresh_token or ""
    secrets.add(token)
    given = credential(org, refresh_token=token)
    return await shell("add-org", alias, "--credentials-stdin", *options, stdin=given)


async def test_add_org_says_that_an_org_is_known_and_what_limits_it(
    shell: Shell, secrets: set[str], acme: SandboxOrg
) -> None:
    shell.let_run_unattended()
    await add(shell, secrets, acme, "acme", *STRICT)

    twin = await add(shell, secrets, acme, "twin", "--json")
    removed = [await shell("remove-org", name, "--yes") for name in ("acme", "twin")]
    again = await add(shell, secrets, acme, "again")

    assert twin.code == again.code == 0, twin.err + again.err
    assert [each.code for each in removed] == [0, 0]
    told = "this org is known: its limits read-only, confirm-deletes apply"
    assert told in twin.err
    assert "the same org is also registered as acme" in twin.err
    assert (twin.json["read_only"], twin.json["known_limits"]) == (True, ["read-only", "confirm-deletes"])
    assert told in again.err
    assert "read-only, confirm-deletes" in again.out
    assert "also registered" not in again.err


async def test_add_org_says_nothing_of_an_org_that_is_new(
    shell: Shell, secrets: set[str], acme: SandboxOrg, globex: SandboxOrg
) -> None:
    await add(shell, secrets, acme, "acme", *STRICT)

    other = await add(shell, secrets, globex, "globex")

    assert other.code == 0
    assert "known" not in other.err
    assert "also registered" not in other.err


async def test_update_org_names_the_aliases_whose_limits_change_with_it(
    shell: Shell, secrets: set[str], acme: SandboxOrg
) -> None:
    shell.let_run_unattended()
    await add(shell, secrets, acme, "acme", "--read-only")
    await add(shell, secrets, acme, "twin")

    loosened = await shell("update-org", "twin", "--no-read-only", "--keep-values", "--json")
    renamed = await shell("update-org", "twin", "--rename", "other")
    shown = await shell("show-org", "acme", "--json")
    entries = (await shell("audit", "list", "--action", "policy", "--json")).json

    assert "acme: the same org, so the same limits from now on" in loosened.err
    assert loosened.json["also_known_as"] == ["acme"]
    assert "the same limits" not in renamed.err
    assert (shown.json["read_only"], shown.json["keep_values"]) == (False, True)
    assert sorted((e["org"], e["tool"], e["fields"]) for e in entries) == [
        ("acme", "update-org", ["no_read_only", "keep_values"]),
        ("twin", "update-org", ["no_read_only", "keep_values"]),
    ]


async def test_an_import_names_the_aliases_that_its_limits_bind_too(
    shell: Shell, secrets: set[str], acme: SandboxOrg, globex: SandboxOrg
) -> None:
    await add(shell, secrets, acme, "live")
    token = acme.logins.begin(acme.client_id, acme.logins.seeded.scope).refresh_token or ""
    secrets.add(token)
    text = sheet(row(acme, alias="watch", refresh_token=token, read_only="yes"), row(globex, read_only="yes"))

    asked = await shell("import-orgs", "--csv", "-", stdin=text)
    done = await shell("import-orgs", "--csv", "-", "--yes", stdin=text)
    shown = await shell("show-org", "live", "--json")
    entries = (await shell("audit", "list", "--json")).json

    bound = "live: the same org, so the same limits from now on: read-only"
    assert [(line[0], line[-1]) for line in planned(asked)[1:]] == [("watch", f"new ({bound})"), ("globex", "new")]
    (line,) = [line for line in done.out.splitlines() if line.startswith("watch: imported")]
    assert line.endswith(f"which is also live; {bound}")
    assert shown.json["read_only"] is True
    assert sorted((e["org"], e["action"], e["tool"], e["fields"]) for e in entries) == [
        ("globex", "enrol", "import-orgs", ["read_only"]),
        ("live", "enrol", "add-org", []),
        ("live", "policy", "import-orgs", ["read_only"]),
        ("watch", "enrol", "import-orgs", ["read_only"]),
    ]


async def test_doctor_names_twins_and_their_limits(
    shell: Shell, secrets: set[str], acme: SandboxOrg, globex: SandboxOrg
) -> None:
    await add(shell, secrets, acme, "acme", *STRICT)
    await add(shell, secrets, acme, "twin")
    await add(shell, secrets, globex, "globex")

    examined = await shell("doctor", "--offline", "--json")

    found: list[dict[str, Any]] = json.loads(examined.out)
    (twins,) = [each for each in found if "aliases" in each["text"]]
    assert (twins["name"], twins["level"]) == ("org acme, twin", "note")
    assert f"one org ({acme.org_id}) under 2 aliases, with the same limits: read-only, confirm-deletes" == twins["text"]


async def test_an_alias_that_was_never_proven_is_bound_when_its_org_answers(
    shell: Shell, secrets: set[str], acme: SandboxOrg
) -> None:
    await add(shell, secrets, acme, "acme", "--read-only")
    unproven = await add(shell, secrets, acme, "unproven", "--no-verify", "--json")

    checked = await shell("check-org", "unproven")
    shown = await shell("show-org", "unproven", "--json")

    assert (unproven.json["read_only"], unproven.json["known_limits"]) == (False, [])
    assert checked.code == 0
    assert (shown.json["read_only"], shown.json["org_id"]) == (True, acme.org_id)
