"""The rule that denied a call: in the entry, in every form in which entries leave, and as a filter."""

import csv
import io
import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import pytest

from orgserver.app import open_app
from orgserver.config import read_settings
from orgserver.model.audit import Action, Completion, Intent, Outcome
from orgserver.model.errors import PolicyDenied
from orgserver.model.names import new_id
from tests.cli.shells import Ran, Shell

RULES = (
    "no grant",
    "permission:delete",
    "policy:hide-field Contact.Email",
    "policy:hide-field Contact.Größe__c",
    "policy:deny-object A%_B",
    'hostile:"\\\x1b[2J\u202e,=1',
    "policy:api-budget",
)


def _denial(rule: str) -> Completion:
    return Completion(Outcome.NOT_SENT if rule.endswith("budget") else Outcome.DENIED, "X", decision=rule)


@pytest.fixture
async def denied(shell: Shell) -> Shell:
    """A log with a denial by each rule, one by none, and a call that says in its label what a decision looks like."""
    async with open_app(read_settings({"home": shell.home}, {})) as app:
        for completion in (
            *map(_denial, RULES),
            Completion(Outcome.DENIED, "UNKNOWN_ORG"),
            Completion(Outcome.REJECTED),
        ):
            act = Intent(new_id(), "nightly", "stdio", Action.QUERY, label='"decision":"policy:', org="acme")
            await app.store.audit.record(act, completion)
    return shell


def _rules(entries: Sequence[dict[str, object]]) -> list[object]:
    return [entry["decision"] for entry in entries]


async def _listed(shell: Shell, rule: str) -> list[object]:
    return _rules((await shell("audit", "list", "--json", "--decision", rule)).json)


async def test_entries_are_found_by_the_rule_that_denied_and_by_its_beginning(denied: Shell) -> None:
    assert await _listed(denied, "policy:") == [RULES[6], *RULES[4:1:-1]]
    assert await _listed(denied, "POLICY:hide-field contact.") == [RULES[3], RULES[2]]
    assert await _listed(denied, RULES[4]) == [RULES[4]]
    assert await _listed(denied, "policy:deny-object A_") == []
    assert await _listed(denied, RULES[5]) == [RULES[5]]
    assert await _listed(denied, "Contact.Email") == []
    assert await _listed(denied, "") == [*reversed(RULES)]


async def test_the_entry_of_a_refused_call_has_the_rule_of_its_error(shell: Shell) -> None:
    error = PolicyDenied("this org is read-only")
    error.rule = "policy:read-only"
    async with open_app(read_settings({"home": shell.home}, {})) as app:
        intent = Intent(new_id(), "nightly", "stdio", Action.DELETE, org="acme")
        await app.services.executor.log.refuse(intent, error)

    assert await _listed(shell, "policy:read-only") == ["policy:read-only"]


async def test_every_form_of_an_entry_says_the_rule(denied: Shell) -> None:
    lines: dict[str, Ran] = {
        name: await denied("audit", "export", "--format", name, "--decision", "policy:hide")
        for name in ("jsonl", "csv", "ocsf")
    }
    (first, second) = RULES[2:4]

    assert _rules([json.loads(line) for line in lines["jsonl"].out.splitlines()]) == [first, second]
    assert _rules(list(csv.DictReader(io.StringIO(lines["csv"].out)))) == [first, second]
    assert [json.loads(line)["actor"]["authorizations"] for line in lines["ocsf"].out.splitlines()] == [
        [{"decision": "denied", "policy": {"name": rule}}] for rule in (first, second)
    ]


async def test_people_read_the_rule_in_lists_and_nothing_in_it_drives_their_terminal(denied: Shell) -> None:
    listed = await denied("audit", "list", "--wide")
    (entry,) = (await denied("audit", "list", "--json", "--decision", "hostile")).json
    shown = await denied("audit", "show", entry["id"])
    tail = await denied("audit", "tail")
    plain = await denied("audit", "list", "--wide", "--outcome", "rejected")

    assert "decision" in listed.out.splitlines()[0]
    assert RULES[2] in listed.out
    assert RULES[2] in tail.out
    assert "decision" in shown.out
    assert "decision" not in plain.out.splitlines()[0]
    assert not {"\x1b", "\u202e"} & set(listed.out + shown.out + tail.out)


async def test_a_log_with_decisions_verifies_and_an_edited_one_does_not(denied: Shell) -> None:
    whole = await denied("audit", "verify", "--json")
    with sqlite3.connect(denied.home / "orgserver.db") as connection:
        connection.execute(
            "UPDATE audit_events SET canonical = CAST(replace(CAST(canonical AS TEXT), 'no grant', 'or grant') AS BLOB) "
            "WHERE kind = 'outcome'"
        )
    connection.close()
    edited = await denied("audit", "verify", "--json")

    assert whole.json["ok"] is True
    assert (edited.code, edited.json["first_bad"]) == (1, 2)


async def test_the_tail_shows_what_a_rule_denied(denied: Shell) -> None:
    lines = (await denied("audit", "tail", "--json", "--decision", "policy:hide")).out.splitlines()
    nobody = await denied("audit", "tail", "--principal", "somebody", "--org", "acme")

    assert _rules([json.loads(line) for line in lines]) == [RULES[2], RULES[3]]
    assert nobody.out == ""


async def test_a_report_counts_denials_by_rule_and_may_be_about_some_of_them(denied: Shell, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    whole = (await denied("audit", "report", "--json")).json
    some = await denied("audit", "report", "--decision", "policy:", "--principal", "NIGHTLY", "--org", "acme", "--json")
    printed = await denied("audit", "report", "--decision", "policy:hide")
    await denied("audit", "report", "--html", str(page))
    none = await denied("audit", "report", "--decision", "grant:", "--json")

    assert {line["name"]: line["counts"] for line in whole["by"]["decision"]} == {
        rule: {"not_sent" if rule.endswith("budget") else "denied": 1} for rule in RULES
    }
    assert "only" not in whole
    assert [line["name"] for line in some.json["by"]["decision"]] == sorted([*RULES[2:5], RULES[6]])
    assert some.json["total"] == 4
    assert some.json["only"] == {"org": "acme", "principal": "NIGHTLY", "decision": "policy:"}
    assert "2 entries, decision policy:hide" in printed.out
    assert "By decision" in printed.out
    assert "<h2>By decision</h2>" in page.read_text()
    assert not {"\x1b", "\u202e"} & set(page.read_text())
    assert none.json["total"] == 0
