"""Policy options, as people give them: tightening is silent, loosening asks a person, and the log says both."""

from typing import Any

from orgserver.sandbox.org import SandboxOrg
from tests.cli.orgs.sheets import row, sheet
from tests.cli.orgs.test_twins import add
from tests.cli.shells import Shell

EVERYTHING = (
    "--read-only", "--confirm-deletes", "--keep-values",
    "--allow-object", "Contact:read,create", "--allow-object", "Account",
    "--deny-object", "Account:delete", "--hide-field", "Contact.Email", "--mask-field", "Contact.Phone",
    "--row-limit", "500", "--confirm-above", "20", "--api-budget", "1000",
    "--hours", "Mon-Fri 08:00-18:00 Europe/Berlin",
)  # fmt: skip
FACTS = {
    "read_only": True,
    "confirm_deletes": True,
    "keep_values": True,
    "allow_objects": ["Account", "Contact:read,create"],
    "deny_objects": ["Account:delete"],
    "hide_fields": ["Contact.Email"],
    "mask_fields": ["Contact.Phone"],
    "row_limit": 500,
    "confirm_above": 20,
    "api_budget": 1000,
    "hours": ["Mon-Fri 08:00-18:00 Europe/Berlin"],
}


async def policy_of(shell: Shell, alias: str = "acme") -> dict[str, Any]:
    return (await shell("show-org", alias, "--json")).json["policy"]


async def policy_entries(shell: Shell) -> list[tuple[str, list[str]]]:
    entries = (await shell("audit", "list", "--action", "policy", "--json")).json
    return [(each["org"], each["fields"]) for each in entries[::-1]]


async def test_every_limit_is_set_by_add_org_and_taken_away_by_update_org(shell: Shell, acme: SandboxOrg) -> None:
    added = await shell.add(acme, *EVERYTHING)
    assert added.code == 0, added.err
    assert await policy_of(shell) == FACTS

    shell.let_run_unattended()
    words = [option for option in EVERYTHING if option.startswith("--")]
    freed = await shell("update-org", "acme", *dict.fromkeys(f"--no-{word[2:]}" for word in words))

    assert freed.code == 0, freed.err
    assert await policy_of(shell) == {}


async def test_tightening_is_silent_and_says_what_was_and_what_is(shell: Shell, acme: SandboxOrg) -> None:
    await shell.add(acme, "--row-limit", "500", "--allow-object", "Contact")

    done = await shell(
        "update-org", "acme", "--row-limit", "50", "--allow-object", "Contact:read", "--hide-field", "Contact.Email"
    )

    assert done.code == 0, done.err
    assert done.out.splitlines() == [
        "acme: allow-object Contact → Contact:read",
        "acme: hide-field none → Contact.Email",
        "acme: row-limit 500 → 50",
    ]
    assert await policy_entries(shell) == [
        ("acme", ["allow_objects:Contact->Contact:read", "hide_fields:none->Contact.Email", "row_limit:500->50"])
    ]


async def test_what_loosens_has_no_silent_form(shell: Shell, acme: SandboxOrg) -> None:
    limits = (
        "--allow-object",
        "Contact:read",
        "--hide-field",
        "Contact.Email",
        "--row-limit",
        "50",
        "--hours",
        "Mon-Fri 08:00-18:00 UTC",
    )
    await shell.add(acme, *limits)
    before = await policy_of(shell)

    for words in (
        "--allow-object Contact", "--allow-object Account", "--no-allow-object", "--no-hide-field Contact.Email",
        "--no-hide-field --hide-field Contact.Fax", "--row-limit 51", "--no-row-limit", "--confirm-above 201", "--no-hours",
    ):  # fmt: skip
        refused = await shell("update-org", "acme", *words.split())
        assert refused.code == 1, words
        assert refused.lines[-2] == "orgserver: error: acme was not changed: nobody is here to confirm it"

    assert await policy_of(shell) == before
    assert await policy_entries(shell) == []


async def test_a_person_sees_what_is_loosened_and_only_that(shell: Shell, acme: SandboxOrg, secrets: set[str]) -> None:
    await shell.add(acme, "--hide-field", "Contact.Email", "--hide-field", "Contact.Phone", "--row-limit", "50")
    await add(shell, secrets, acme, "twin")

    words = ("--no-hide-field", "Contact.Phone", "--row-limit", "90", "--mask-field", "Contact.Phone")
    async with shell.at_terminal("update-org", "acme", *words) as terminal:
        question = await terminal.answer("[y/N]", "y")
        assert await terminal.end() == 0

    assert "Loosen the limits of acme, twin (" in question
    assert ": hide-field Contact.Phone → none; row-limit 50 → 90? [y/N]" in question
    assert await policy_of(shell, "twin") == {
        "hide_fields": ["Contact.Email"],
        "mask_fields": ["Contact.Phone"],
        "row_limit": 90,
    }
    change = ["hide_fields:Contact.Phone->none", "mask_fields:none->Contact.Phone", "row_limit:50->90"]
    assert sorted((await policy_entries(shell))[-2:]) == [("acme", change), ("twin", change)]


async def test_what_is_not_there_to_be_taken_away_is_said(shell: Shell, acme: SandboxOrg) -> None:
    await shell.add(acme, "--hide-field", "Contact.Email")

    done = await shell("update-org", "acme", "--no-hide-field", "Contact.Emial", "--no-allow-object", "Lead")

    assert done.code == 0
    assert "acme: hide-field does not name Contact.Emial, so nothing is taken away there" in done.err
    assert "acme: allow-object does not name Lead, so nothing is taken away there" in done.err
    assert "nothing changed" in done.out
    assert await policy_of(shell) == {"hide_fields": ["Contact.Email"]}


async def test_more_than_is_usual_without_a_person_needs_one_also_for_a_new_org(shell: Shell, acme: SandboxOrg) -> None:
    refused = await shell.add(acme, "--confirm-above", "500")

    assert refused.code == 1
    assert "acme was not registered: nobody is here to confirm it" in refused.err
    assert acme.requests == []
    shell.let_run_unattended()
    assert (await shell.add(acme, "--confirm-above", "500")).code == 0
    assert await policy_of(shell) == {"confirm_above": 500}


async def test_a_new_login_changes_no_limit(shell: Shell, acme: SandboxOrg) -> None:
    shell.let_run_unattended()
    await shell.add(acme, "--confirm-above", "500", "--hide-field", "Contact.Email")
    before = await policy_of(shell)

    again = await shell.add(acme, "--replace")

    assert again.code == 0, again.err
    assert await policy_of(shell) == before


async def test_an_import_takes_limits_from_options_and_columns(
    shell: Shell, acme: SandboxOrg, secrets: set[str]
) -> None:
    text = sheet(
        row(
            acme, read_only="", keep_values="yes", allow_objects="Contact:read,create Account", hide_field="Contact.Email",
            row_limit="500", confirm_above="20", hours="Mon-Fri 08:00-18:00 Europe/Berlin; Mon-Sun 06:00-22:00 UTC",
        )
    )  # fmt: skip
    words = ("--hide-field", "Contact.Phone", "--row-limit", "50", "--deny-object", "Lead")

    done = await shell("import-orgs", "--csv", "-", "--yes", *words, stdin=text)

    assert done.code == 0, done.err
    assert await policy_of(shell) == {
        "keep_values": True,
        "allow_objects": ["Account", "Contact:read,create"],
        "deny_objects": ["Lead"],
        "hide_fields": ["Contact.Email", "Contact.Phone"],
        "row_limit": 50,
        "confirm_above": 20,
        "hours": ["Mon-Fri 08:00-18:00 Europe/Berlin", "Mon-Sun 06:00-22:00 UTC"],
    }
