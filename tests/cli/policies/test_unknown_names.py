"""Objects and fields that an org does not have are said, wherever a policy that names them is given."""

from pathlib import Path

from orgserver.sandbox.org import SandboxOrg
from tests.cli.orgs.sheets import row, sheet
from tests.cli.shells import Ran, Shell

EMIAL = "acme: Contact has no field Emial that its user sees, so hide-field Contact.Emial limits nothing"
CONTCAT = "acme: it has no object Contcat that its user sees, so deny-object Contcat limits nothing"


def warnings(ran: Ran) -> list[str]:
    return [
        line.removeprefix("orgserver: warning: ")
        for line in ran.lines
        if "limits nothing" in line or "looked up" in line
    ]


async def test_each_way_to_set_a_policy_says_what_the_org_lacks(shell: Shell, acme: SandboxOrg, tmp_path: Path) -> None:
    file = tmp_path / "acme.yaml"
    file.write_text("hide-fields: [contact.Email, Contact.Emial]\ndeny-objects: [Contcat, lead]\n")

    added = await shell.add(acme, "--hide-field", "Contact.Email", "--hide-field", "Contact.Emial")
    unrelated = await shell("update-org", "acme", "--row-limit", "5")
    updated = await shell("update-org", "acme", "--deny-object", "Contcat", "--allow-object", "Contact")
    different = await shell("policy", "diff", "acme", str(file))

    assert added.code == updated.code == 0
    assert warnings(added) == [EMIAL]
    assert warnings(unrelated) == []
    assert warnings(updated) == [CONTCAT]
    assert different.code == 1
    assert sorted(warnings(different)) == [EMIAL, CONTCAT]


async def test_an_import_says_it_of_each_org(
    shell: Shell, acme: SandboxOrg, globex: SandboxOrg, secrets: set[str]
) -> None:
    text = sheet(row(acme, mask_field="Contact.Phone Contact.Fone"), row(globex))

    done = await shell("import-orgs", "--csv", "-", "--yes", "--deny-object", "Contcat", stdin=text)

    assert done.code == 0, done.err
    assert sorted(warnings(done)) == [
        "acme: Contact has no field Fone that its user sees, so mask-field Contact.Fone limits nothing",
        CONTCAT,
        CONTCAT.replace("acme", "globex"),
    ]


async def test_what_cannot_be_looked_up_is_said_too(shell: Shell, acme: SandboxOrg) -> None:
    await shell.add(acme)
    acme.fault("status", path=".*/sobjects.*", times=50)

    updated = await shell("update-org", "acme", "--hide-field", "Contact.Email")

    assert updated.code == 0
    (line,) = warnings(updated)
    assert line.startswith("acme: whether it has what the policy names could not be looked up: ")
