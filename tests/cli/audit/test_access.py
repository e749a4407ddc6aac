"""``access-report``: who may do what where, on the terminal, as JSON and on one page that needs nothing from elsewhere."""

import asyncio
import sqlite3
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from orgserver.app import App, open_app
from orgserver.config import read_settings
from orgserver.model.access.policies import Policy
from orgserver.model.access.policy_edits import PolicyEdit
from orgserver.model.access.principals import Principal
from orgserver.model.audit import Action, Completion, Intent, Outcome
from orgserver.model.names import Alias, new_id
from orgserver.model.orgs import Caller
from orgserver.services.people.requests import GrantChanges, GroupChanges, PrincipalChanges, read_grants
from orgserver.store.transaction import Transaction
from tests.bench.stores import made_up
from tests.cli.audit.test_report import Page
from tests.cli.shells import Shell

OPERATOR = Caller(Principal("local:operator"), "cli")
STRANGER = "<script>alert('x')</script>&\u202e\x1b[2J"
LIMITS = Policy(read_only=True, hide_fields=("Contact.Email",))


@asynccontextmanager
async def opened(home: Path) -> AsyncIterator[App]:
    async with open_app(read_settings({"home": home, "log_level": "error"}, {})) as app:
        yield app


async def add_orgs(app: App, *aliases: str, policy: Policy = Policy(), tags: tuple[str, ...] = ()) -> None:  # noqa: B008  # a frozen value
    def change(tx: Transaction) -> None:
        for number, alias in enumerate(aliases):
            org, credential, access = made_up(number)
            org = replace(org, alias=Alias(alias), policy=policy, tags=tags)
            app.store.orgs.add_in(tx, org, credential, access)

    await app.store.database.write(change)
    await app.access.reload()


def granted(*texts: str, until: datetime | None = None) -> GrantChanges:
    return GrantChanges(read_grants(texts), until)


async def use(app: App, principal: str, org: str, outcome: Outcome = Outcome.SUCCEEDED, **details: Any) -> None:
    facts: dict[str, Any] = {"action": Action.QUERY, "tool": "salesforce_query"} | details
    await app.store.audit.record(Intent(new_id(), principal, "stdio", org=org, **facts), Completion(outcome))


async def fill(home: Path) -> None:
    """Orgs, one of them limited; people with own grants and a group's, of whom some may do nothing."""
    soon = datetime.now(UTC) + timedelta(days=30)
    async with opened(home) as app:
        await add_orgs(app, "emea-north", "emea-south", tags=("pilot",))
        await add_orgs(app, "acme", policy=LIMITS)
        people = app.people
        add = people.principals.add
        await people.groups.add(OPERATOR, "support", GroupChanges(grants=granted("emea-*:read,write")))
        await add(
            OPERATOR,
            "maria.keller@example.com",
            PrincipalChanges(
                groups=("support",), roles=("auditor",), grants=granted("acme:read,write,delete", until=soon)
            ),
        )
        await add(
            OPERATOR,
            "nightly-sync",
            PrincipalChanges(
                kind="service",
                grants=granted("tag:pilot:read", "acme:read"),
                limits=PolicyEdit({"row_limit": 500}),
            ),
        )
        await add(OPERATOR, "former", PrincipalChanges(groups=("support",), enabled=False, grants=granted("acme:read")))
        await add(OPERATOR, "newcomer", PrincipalChanges())
        await add(OPERATOR, "lost", PrincipalChanges(grants=granted("apac-*:read")))
        await use(app, "maria.keller@example.com", "emea-south")
        await use(app, "MARIA.keller@example.com", "acme", Outcome.DENIED)
        await use(app, "nightly-sync", "acme", action=Action.REFRESH)
        await use(app, "local:operator", "acme")


def by_grant(lines: list[dict[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(line["principal"], line["selector"]): line for line in lines}


@pytest.fixture
async def filled(shell: Shell) -> Shell:
    await fill(shell.home)
    return shell


async def test_each_grant_is_a_line_and_says_how_many_orgs_it_selects(filled: Shell) -> None:
    report = (await filled("access-report", "--json")).json
    lines = by_grant(report["access"])

    assert (report["orgs"], report["principals"]) == (3, 5)
    assert {key for key in lines if not key[0].startswith("local:")} == {
        ("maria.keller@example.com", "acme"),
        ("maria.keller@example.com", "emea-*"),
        ("nightly-sync", "acme"),
        ("nightly-sync", "tag:pilot"),
    }
    own, of_group = lines["maria.keller@example.com", "acme"], lines["maria.keller@example.com", "emea-*"]
    assert (own["through"], own["org"], own["permissions"]) == ("own grant", "acme", ["read", "write", "delete"])
    assert own["until"] is not None
    assert (of_group["through"], of_group["orgs"], of_group["org"]) == ("group support", 2, None)
    assert of_group["granted_by"] == "local:operator"
    assert of_group["roles"] == ["auditor"]
    assert lines["nightly-sync", "acme"]["limits"] == ["read-only", "hide-field Contact.Email", "row-limit 500"]
    assert lines["nightly-sync", "tag:pilot"]["limits"] == ["row-limit 500"]


async def test_what_has_no_effect_stands_apart_with_the_reason(filled: Shell) -> None:
    async with opened(filled.home) as app:
        past = int((datetime.now(UTC) - timedelta(days=1)).timestamp() * 1_000_000)

        def end(tx: Transaction) -> None:
            connection = tx.connection.connection.driver_connection
            assert connection is not None
            connection.execute("UPDATE grants SET until = ? WHERE selector = 'tag:pilot'", (past,))

        await app.store.database.write(end)
    report = (await filled("access-report", "--json")).json

    assert {(line["principal"], line["selector"]): line["without_effect"] for line in report["without_effect"]} == {
        ("former", "acme"): "disabled",
        ("former", "emea-*"): "disabled",
        ("lost", "apac-*"): "selects no org",
        ("newcomer", None): "no grant",
        ("nightly-sync", "tag:pilot"): "ended",
    }
    assert ("nightly-sync", "tag:pilot") not in by_grant(report["access"])


async def test_the_last_use_is_the_last_call_in_those_orgs_that_was_not_denied(filled: Shell) -> None:
    lines = by_grant((await filled("access-report", "--json")).json["access"])
    unused = (await filled("access-report", "--unused", "1", "--json")).json

    assert lines["maria.keller@example.com", "emea-*"]["unused_days"] == 0
    assert lines["maria.keller@example.com", "acme"]["last_use"] is None
    assert lines["nightly-sync", "acme"]["last_use"] is None
    assert lines["local:operator", "*"]["unused_days"] == 0
    assert [line["principal"] for line in unused["access"] if not line["principal"].startswith("local:")] == []


async def test_what_was_granted_long_ago_and_not_used_since_is_found(filled: Shell) -> None:
    with closing(sqlite3.connect(filled.home / "orgserver.db")) as db:
        db.execute("UPDATE grants SET created_at = created_at - 40 * 86400000000")
        db.execute("UPDATE principals SET created_at = created_at - 40 * 86400000000")
        db.execute("UPDATE orgs SET created_at = created_at - 40 * 86400000000")
        db.commit()
    report = (await filled("access-report", "--unused", "30", "--json")).json

    assert {key for key in by_grant(report["access"]) if not key[0].startswith("local:")} == {
        ("maria.keller@example.com", "acme"),
        ("nightly-sync", "acme"),
        ("nightly-sync", "tag:pilot"),
    }
    assert report["unused_days"] == 30


async def test_one_org_or_one_principal_is_asked_about(filled: Shell) -> None:
    of_org = (await filled("access-report", "--org", "EMEA-south", "--json")).json
    of_principal = (await filled("access-report", "--principal", "Nightly-Sync", "--json")).json
    local = (await filled("access-report", "--principal", "local:operator", "--json")).json
    no_org, no_principal, group = await asyncio.gather(
        filled("access-report", "--org", "acne"),
        filled("access-report", "--principal", "nightly-sink"),
        filled("access-report", "--principal", "support"),
    )

    lines = by_grant([line for line in of_org["access"] if line["kind"] != "local"])
    assert {key: line["org"] for key, line in lines.items()} == {
        ("maria.keller@example.com", "emea-*"): "emea-south",
        ("nightly-sync", "tag:pilot"): "emea-south",
    }
    assert [line["principal"] for line in of_org["without_effect"]] == ["former"]
    assert {line["principal"] for line in of_principal["access"]} == {"nightly-sync"}
    assert [(line["principal"], line["orgs"]) for line in local["access"]] == [("local:operator", 3)]
    assert "did you mean acme?" in no_org.err
    assert "did you mean nightly-sync?" in no_principal.err
    assert "support is a group" in group.err
    assert {no_org.code, no_principal.code, group.code} == {1}


async def test_use_follows_an_org_through_its_renames_and_not_an_alias_to_another_org(filled: Shell) -> None:
    async with opened(filled.home) as app:
        await use(app, "nightly-sync", "acme")
        await app.registry.update(OPERATOR, "acme", rename=Alias("acme-old"))
        await add_orgs(app, "acme")
        await app.people.principals.update(OPERATOR, "newcomer", PrincipalChanges(grants=granted("acme*:read")))
        await app.people.principals.update(OPERATOR, "nightly-sync", PrincipalChanges(grants=granted("acme:read")))
    lines = by_grant((await filled("access-report", "--json")).json["access"])

    assert lines["nightly-sync", "acme-old"]["unused_days"] == 0
    assert lines["nightly-sync", "acme"]["last_use"] is None


async def test_people_read_a_table_and_the_report_is_on_record(filled: Shell) -> None:
    shown = await filled("access-report", "--wide")
    (entry,) = (await filled("audit", "list", "--action", "export", "--json")).json

    assert "holds every permission on every org" in shown.out
    assert "emea-* (2 orgs)" in shown.out
    assert "group support" in shown.out
    assert shown.out.index("nightly-sync") < shown.out.index("Without effect") < shown.out.index("newcomer")
    assert (entry["tool"], entry["row_count"]) == ("access-report", 10)


async def test_the_page_needs_nothing_from_elsewhere_and_strangers_write_only_text(
    filled: Shell, tmp_path: Path
) -> None:
    with closing(sqlite3.connect(filled.home / "orgserver.db")) as db:
        db.execute("UPDATE grants SET created_by = ?", (STRANGER,))
        db.execute("UPDATE principals SET name = ? WHERE name = 'newcomer'", (STRANGER,))
        db.execute("UPDATE store SET catalog_version = catalog_version + 1")
        db.commit()
    path = tmp_path / "access.html"
    written = await filled("access-report", "--html", str(path))
    again = await filled("access-report", "--html", str(path))
    shown, told = await filled("access-report", "--wide"), await filled("access-report", "--json")
    text = path.read_text("utf-8")
    page = Page(text)

    assert written.code == 0, written.err
    assert again.code == 1
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not {"script", "link", "img", "iframe", "object"} & {*page.tags}
    assert page.links == []
    assert "url(" not in text
    assert "&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt;&amp;\\u202e\\x1b[2J" in text
    assert "maria.keller@example.com" in text
    assert not {"\u202e", "\x1b"} & set(text + shown.out + told.out)
    assert STRANGER in {line["granted_by"] for line in told.json["access"]}
