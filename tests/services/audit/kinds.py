"""Every kind of entry there is: each action and outcome, with and without what an entry may lack."""

import itertools

from msgspec import structs

from orgserver.app import App
from orgserver.model.audit import Action, Completion, Intent, Outcome, SalesforceUser
from orgserver.model.names import new_id

FULL = Intent(
    id="",
    principal="agent:7",
    transport="stdio",
    action="",
    tool="salesforce_x",
    client="claude/1.2",
    request_id="17",
    label="night run",
    org="acme",
    org_id="00D000000000001AAA",
    object="Contact",
    record_ids=("003000000000001AAA", "003000000000002AAA"),
    fields=("LastName", "Größe__c"),
    undoes="01a20d8b-0000-7000-8000-000000000000",
    salesforce_user=SalesforceUser("005000000000001AAA", "ada@example.com"),
    identity="own",
)
ENDED = Completion(
    Outcome.SUCCEEDED,
    http_status=201,
    api_calls=2,
    attempts=3,
    salesforce_request_id="TID:1",
    record_ids=("003000000000003AAA",),
    row_count=1,
    duration_us=1_234_567,
)
LACKING = (
    "tool", "client", "request_id", "label", "org", "org_id", "object", "record_ids", "fields", "undoes",
    "salesforce_user", "identity",
)  # fmt: skip
_EMPTY = {field.name: field.default for field in structs.fields(Intent)}


def without(act: Intent, *names: str) -> Intent:
    return structs.replace(act, **{name: _EMPTY[name] for name in names})


def acts() -> list[tuple[Intent, Completion | None]]:
    """An act of each kind with its ending; None where it has none yet."""
    bare = without(FULL, *LACKING)
    failed = Completion(Outcome.REJECTED, error_code="REQUIRED_FIELD_MISSING", http_status=400)
    refused = Completion(Outcome.DENIED, error_code="FIELD_NOT_ALLOWED", decision="policy:hide-field Contact.Größe__c")
    every = [
        (structs.replace(act, action=action), structs.replace(ending, outcome=outcome))
        for action, outcome in itertools.product(Action, (each for each in Outcome if each is not Outcome.PENDING))
        for act, ending in ((FULL, ENDED), (bare, Completion(outcome)), (without(FULL, "record_ids"), failed))
    ]
    lacking = [
        (structs.replace(without(FULL, name), action="read"), structs.replace(ENDED, record_ids=())) for name in LACKING
    ]
    pending = [(structs.replace(act, action=action), None) for action in Action for act in (FULL, bare)]
    denied = [(structs.replace(FULL, action="query"), refused)]
    return [(structs.replace(act, id=new_id()), ending) for act, ending in (*every, *lacking, *pending, *denied)]


async def fill(app: App) -> int:
    """Put them all on record; how many they are."""
    every = acts()
    version = (await app.access.catalog()).version
    for act, ending in every:
        if ending is None:
            await app.store.audit.begin(act, deadline=2**60, catalog_version=version)
        else:
            await app.store.audit.record(act, ending)
    return len(every)
