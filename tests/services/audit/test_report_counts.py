"""A report counts the same on either store: by rule, as it was spelled, and calls for orgs that do not exist as one."""

from datetime import timedelta

import pytest

from orgserver.cli.audit.commands import print_entries
from orgserver.model.audit import Action, Completion, EntryFilter, Intent, Outcome, SalesforceUser
from orgserver.model.names import new_id
from orgserver.services.audit import report
from orgserver.services.audit.log_reader import AuditLogReader
from orgserver.store.session import Store
from orgserver.store.transaction import read_clock, to_datetime

pytestmark = pytest.mark.both_stores
SHARED = SalesforceUser("005000000000002AAA", "all@acme.example")
RULES = ("policy:hide-field Contact.Größe__c", 'policy:"quoted" \\', "rate")


async def test_a_report_counts_by_rule_and_by_org(store: Store) -> None:
    for org, rule in zip(("Nowhere", "elsewhere", "nowhere"), RULES, strict=True):
        act = Intent(new_id(), "local:me", "stdio", Action.READ, org=org, label="half \ud83d of a pair")
        await store.audit.record(act, Completion(Outcome.DENIED, decision=rule))
    done = Intent(new_id(), "local:me", "stdio", Action.CREATE, org="acme", org_id="00D000000000001AAA")
    await store.audit.record(done, Completion(Outcome.SUCCEEDED, record_ids=("003x",)))
    now = to_datetime(read_clock())

    counted = await report.report(store, now - timedelta(days=1), now + timedelta(days=1))
    policies = [entry async for entry in AuditLogReader(store).entries(EntryFilter(decision="POLICY:"))]

    assert {line.name: line.counts for line in counted.by["decision"]} == {rule: {"denied": 1} for rule in RULES}
    assert {line.name: line.total for line in counted.by["org"]} == {report.NO_ORG: 3, "acme": 1}
    assert (counted.total, counted.repeats, len(counted.failures)) == (4, 1, 1)
    assert [entry.decision for entry in policies] == [*RULES[:2]]


async def test_objects_are_those_of_salesforce_and_whose_login_was_used_is_listed(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    user = SalesforceUser("005000000000001AAA", "ada@acme.example")
    for action, about, identity in (
        (Action.ENROL, "ada", "own"),
        (Action.GRANT, "ops", None),
        (Action.READ, "Contact", "own"),
        (Action.READ, "Lead", "shared"),
    ):
        whose = {"salesforce_user": user if identity == "own" else SHARED, "identity": identity}
        act = Intent(new_id(), "ada", "http", action, org="acme", object=about, **whose)  # type: ignore[arg-type]
        await store.audit.record(act, Completion(Outcome.SUCCEEDED))
    now = to_datetime(read_clock())

    counted = await report.report(store, now - timedelta(days=1), now + timedelta(days=1))
    print_entries(await AuditLogReader(store).newest(EntryFilter(action="read"), 2), wide=True)

    assert {line.name: line.total for line in counted.by["object"]} == {"Contact": 1, "Lead": 1}
    titles, lead, contact = capsys.readouterr().out.splitlines()
    assert titles.split("  ")[0] == "time (UTC)"
    assert "Salesforce user" in titles
    assert "ada@acme.example" in contact
    assert "all@acme.example" not in lead
