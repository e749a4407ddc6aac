"""``policy test``: what would be decided of a call, by the same path as a call, and nothing is sent for it."""

import json
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest

from orgserver.cli.main import cli
from orgserver.model.access.policies import Policy
from orgserver.model.access.policy_edits import PolicyEdit
from orgserver.model.access.principals import read_permissions, read_selector
from orgserver.model.audit import EntryFilter
from orgserver.model.orgs import OrgState
from orgserver.services.people.requests import GrantChanges, GrantRequest, PrincipalChanges

Try = Callable[..., Awaitable[tuple[int, dict[str, Any]]]]


@pytest.fixture
def try_(command) -> Try:
    """``policy test --json``: its exit code and what it prints."""

    async def run(*words: str) -> tuple[int, dict[str, Any]]:
        done = await command(cli, "policy", "test", *words, "--json")
        return done.exit_code, json.loads(done.stdout)

    return run


async def limit(app, caller, **facts: Any) -> None:
    await app.registry.update(caller, "acme", policy=PolicyEdit.replacing(Policy.read(facts)))


async def grant(app, caller, name: str, *grants: str, **changes: Any) -> None:
    requests = []
    for text in grants:
        selector, _, permissions = text.rpartition(":")
        requests.append(GrantRequest(read_selector(selector), read_permissions(permissions)))
    await app.people.principals.add(caller, name, PrincipalChanges(grants=GrantChanges(tuple(requests)), **changes))


CONTACT = "003000000000001AAA"
CASES: list[tuple[dict[str, Any], list[str], str | None, str]] = [
    ({}, ["--soql", "SELECT Id, Email FROM Contact"], "local user", "the user of this machine may do everything"),
    ({"read_only": True}, ["--tool", "salesforce_create_contact", "--arguments", '{"data": {"LastName": "X"}}'],
     "policy:read-only", "the policy of acme has read-only"),
    ({"read_only": True}, ["--soql", "SELECT Id FROM Contact"], None, ""),
    ({"hide_fields": ["Contact.Email"]}, ["--soql", "SELECT Id FROM Contact WHERE Email = 'a@b.c'"],
     "policy:hide-field Contact.Email", "the policy of acme has hide-field Contact.Email"),
    ({"hide_fields": ["Contact.Email"]}, ["--soql", "SELECT Id, Account.Name FROM Contact"], None, ""),
    ({"mask_fields": ["Contact.Email"]}, ["--soql", "SELECT Id FROM Contact ORDER BY Email"],
     "policy:mask-field Contact.Email", "the policy of acme has mask-field Contact.Email"),
    ({"deny_objects": ["Contact:delete"]},
     ["--tool", "salesforce_delete_contact", "--arguments", json.dumps({"contact_id": CONTACT})],
     "policy:deny-object Contact", "the policy of acme has deny-object Contact"),
    ({"allow_objects": ["Account", "Contact:read"]}, ["--soql", "SELECT Id FROM Lead"],
     "policy:allow-object", "the policy of acme has allow-object Account, Contact:read"),
    ({"allow_objects": ["Account"]}, ["--tool", "salesforce_limits"], None, ""),
    ({"hours": ["Mon 00:00-00:01 Pacific/Kiritimati", "Tue 00:00-00:01 UTC"]}, ["--soql", "SELECT Id FROM Contact"],
     "policy:hours", "the policy of acme has hours Mon 00:00-00:01 Pacific/Kiritimati, Tue 00:00-00:01 UTC"),
]  # fmt: skip


@pytest.mark.parametrize(("facts", "words", "rule", "why"), CASES)
async def test_the_rule_and_why(app, acme, caller, try_, facts, words, rule, why) -> None:
    await limit(app, caller, **facts)
    expected = rule or "local user"

    code, verdict = await try_("acme", *words)

    assert verdict["rule"] == expected
    assert why in verdict["why"]
    assert (code, verdict["allowed"]) == ((0, True) if expected == "local user" else (1, False))
    assert (verdict["error"] is None) is verdict["allowed"]
    assert all("/sobjects/" in seen.path or seen.path.endswith("/token") for seen in acme.requests)
    assert not any(seen.method == "DELETE" for seen in acme.requests)
    entries = [each async for each in app.audit_log.entries(EntryFilter())]
    assert {each.action for each in entries if each.principal == caller.principal.name} <= {
        "enrol",
        "policy",
        "describe",
    }


async def test_a_principal_is_judged_by_its_grants_and_its_own_limits(app, caller, try_) -> None:
    await grant(app, caller, "ada", "acme:read,write")
    await grant(app, caller, "ben", "globex:read")
    await grant(app, caller, "eve", "*:read", enabled=False)
    own = Policy.read({"hide_fields": ["Contact.Phone"]})
    await grant(app, caller, "kim", "ac*:read", limits=PolicyEdit.replacing(own))
    soql = ("acme", "--soql", "SELECT Id, Phone FROM Contact")
    delete = ("acme", "--tool", "salesforce_delete_contact", "--arguments", json.dumps({"contact_id": CONTACT}))

    allowed = await try_(*soql, "--principal", "ada")
    deleting = await try_(*delete, "--principal", "ada")
    nowhere = await try_(*soql, "--principal", "ben")
    disabled = await try_(*soql, "--principal", "eve")
    limited = await try_(*soql, "--principal", "kim")

    assert allowed[0] == 0
    assert allowed[1]["why"] == "ada is granted read, write on acme, and no limit stands against it"
    assert allowed[1]["grant"] | {"id": ""} == {
        "id": "", "holder": "ada", "selector": "acme", "permissions": ["read", "write"], "until": None,
    }  # fmt: skip
    assert allowed[1]["rule"] == f"grant:{allowed[1]['grant']['id']}"
    assert (deleting[0], deleting[1]["rule"], deleting[1]["error"]["category"]) == (1, "permission:delete", "forbidden")
    assert deleting[1]["why"] == "what ada is granted in acme does not include to delete"
    for verdict in (nowhere, disabled):
        assert (verdict[0], verdict[1]["rule"], verdict[1]["error"]["category"]) == (1, "no grant", "unknown_org")
    assert nowhere[1]["why"].startswith("nothing that counts now is granted to ben in acme")
    assert disabled[1]["why"] == "eve is disabled, so acme does not exist for it"
    assert (limited[0], limited[1]["rule"]) == (1, "principal:hide-field Contact.Phone")
    assert limited[1]["why"] == "kim's own limits have hide-field Contact.Phone"


async def test_what_would_be_left_out_masked_or_asked_for_is_said(app, caller, try_, command) -> None:
    await limit(
        app, caller, hide_fields=["Contact.Phone", "Account.Phone"], mask_fields=["Contact.Email"], confirm_deletes=True
    )  # fmt: skip
    read = ("acme", "--tool", "salesforce_get_contact", "--arguments", json.dumps({"contact_id": CONTACT}))
    delete = ("acme", "--tool", "salesforce_delete_contact", "--arguments", json.dumps({"contact_id": CONTACT}))

    masked = (await try_("acme", "--soql", "SELECT Id, Email FROM Contact"))[1]
    reading = (await try_(*read))[1]
    deleting = (await try_(*delete))[1]
    shown = await command(cli, "policy", "test", "acme", "--soql", "SELECT Id, Email FROM Contact")

    assert (masked["allowed"], masked["hidden"], masked["masked"]) == (True, [], ["Contact.Email"])
    assert reading["allowed"]
    assert reading["masked"] == ["Contact.Email"]
    assert (deleting["allowed"], deleting["asks_person"]) == (True, True)
    assert shown.stdout.splitlines()[0].startswith("allowed: salesforce_query in acme by local:")
    assert shown.stdout.splitlines()[-1].split() == ["masked", "Contact.Email"]


async def test_how_many_rows_are_given_at_most_is_said(app, caller, command) -> None:
    await limit(app, caller, row_limit=2)

    shown = await command(cli, "policy", "test", "acme", "--soql", "SELECT Id FROM Contact LIMIT 500")

    assert shown.stdout.splitlines()[-1].split(maxsplit=1) == ["rows", "at most 2 of a query, over all its pages"]


async def test_an_org_that_takes_no_calls_is_told(app, caller, try_, command) -> None:
    org = await app.registry.update(caller, "acme", enabled=False)
    soql = ("acme", "--soql", "SELECT Id FROM Contact")
    code, disabled = await try_(*soql)
    await app.registry.update(caller, "acme", enabled=True)
    mark = partial(
        app.store.orgs.mark_in, login=org.login, state=OrgState.NEEDS_LOGIN, cause="invalid_grant", problem=None
    )
    await app.store.database.write(mark)

    shown = await command(cli, "policy", "test", *soql)

    assert (code, disabled["rule"], disabled["state"]) == (1, "org:disabled", "disabled")
    assert disabled["why"].startswith("an operator has disabled acme")
    assert shown.exit_code == 0
    assert shown.stdout.splitlines()[-1] == "but now  no call passes: acme is needs_login"


async def test_a_wrong_call_in_an_org_that_is_not_granted_is_refused_for_that(app, caller, try_) -> None:
    await grant(app, caller, "ben", "globex:read")
    wrong = ("acme", "--tool", "salesforce_get_contact", "--arguments", '{"contact_id": "x"}', "--principal", "ben")

    code, verdict = await try_(*wrong)

    assert (code, verdict["rule"]) == (1, "no grant")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["acme"], "give either --soql TEXT or --tool NAME"),
        (["acme", "--soql", "x", "--tool", "y"], "give either --soql TEXT or --tool NAME"),
        (["acme", "--tool", "salesforce_query", "--arguments", "{"], "--arguments is not JSON"),
        (["acme", "--tool", "salesforce_query", "--arguments", "[]"], "--arguments is a JSON object"),
        (["acme", "--tool", "salesforce_query", "--arguments", '{"org": "globex"}'], "--arguments name another org"),
        (["acme", "--tool", "salesforce_query", "--arguments", '{"soql": "SELECT Id FROM Contact", "cursor": "x"}'],
         "each page is judged as the first one is"),
        (["acme", "--tool", "salesforce_query"], "soql is required"),
        (["acme", "--tool", "nope"], "there is no tool nope"),
        (["acme", "--tool", "salesforce_list_orgs"], "salesforce_list_orgs touches no org"),
        (["acme", "--tool", "salesforce_query_orgs"], "salesforce_query_orgs asks each org as salesforce_query does"),
        (["acne", "--soql", "SELECT Id FROM Contact"], "no org is registered as acne"),
        (["acme", "--principal", "nobody", "--soql", "SELECT Id FROM Contact"], "no principal is called nobody"),
    ],
)  # fmt: skip
async def test_what_cannot_be_told_is_one_line_and_2(app, caller, command, words, message) -> None:
    await limit(app, caller, hide_fields=["Contact.Phone"])

    done = await command(cli, "policy", "test", *words)

    assert done.exit_code == 2
    assert done.stdout == ""
    assert message in done.stderr
    assert "Traceback" not in done.stderr
