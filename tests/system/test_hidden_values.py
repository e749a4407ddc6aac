"""No value that a policy hides is seen in anything that comes back or is kept in readable form, whatever tool asks.

Every tool of every toolset is asked many times over an org whose hidden and masked fields hold canaries: once by an
agent that never names what is hidden, which may not learn the names either, and once by one that tries.
"""

import asyncio
import json
import logging
import re
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Self

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mcp.client.client import Client
from mcp_types import PromptReference

from orgserver.app import App, open_app
from orgserver.cli.process import operator
from orgserver.config import read_settings
from orgserver.model import names
from orgserver.model.access.policies import Policy
from orgserver.model.access.principals import Principal
from orgserver.model.audit import EntryFilter
from orgserver.model.names import to_18
from orgserver.model.orgs import Scope
from orgserver.model.secret import Secret
from orgserver.sandbox.org import SandboxOrg
from orgserver.sandbox.server import Sandbox
from orgserver.services.orgs.enrolment import Registration
from orgserver.serving.server import build_server
from orgserver.tools import toolsets
from orgserver.tools.tool import schema_of

SPECS = {spec.name: spec for specs in toolsets.TOOLSETS.values() for spec in specs}
WORD = "Kanarienvogel"
HIDDEN = {
    "Contact.Department": f"{WORD}-Department",
    "Contact.FirstName": f"{WORD}-First",
    "Contact.ReportsToId": to_18("003SbKANARIEN01"),
    "Custom__c.CustomField__c": f"{WORD}-Custom",
    "Custom__c.External_Id__c": f"{WORD}-External",
    "Custom__c.Contact__c": to_18("003SbKANARIEN02"),
    "Event.Location": f"{WORD}-Location",
}
"""Plain ones, a part of a name, lookups, a custom one, an external id."""
MASKED = {"Contact.Email": f"{WORD.lower()}@verborgen.example", "Contact.Fax": "+49 7391 7391 55"}
POLICY = Policy(hide_fields=tuple(HIDDEN), mask_fields=tuple(MASKED), keep_values=True)
VALUES = (*HIDDEN.values(), *MASKED.values(), f"{WORD}-", WORD)
NAMES = ("Department", "ReportsTo", "CustomField__c", "External_Id__c", "Contact__c", "Contact__r")
"""Hidden names that are nothing else: those of persons' names and places are words of other objects, too."""
ORG, AGENT = "acme", "local:agent"
OBJECTS = ("Contact", "Custom__c", "Event", "Account", "Case")
FIELDS = (
    "Id",
    "LastName",
    "Email",
    "Fax",
    "Phone",
    "Account.Name",
    "Title",
    "Subject",
    "Status__c",
    "Notes__c",
    "Name",
)
TEXTS = ("Lovelace", "Ada", "Engineer", "x")
RECORDS, EXAMPLES = 120, 25
LONGEST = 20.0
FORMS = ("jsonl", "csv", "ocsf")


MEETING = {"Subject": "x", "StartDateTime": "2030-01-10T09:00:00Z", "DurationInMinutes": 30}
FITTING: dict[str, list[dict[str, Any]]] = {
    "salesforce_query": [
        {"org": ORG, "soql": "SELECT Id, LastName, Email, Fax, Account.Name FROM Contact"},
        {"org": ORG, "soql": "SELECT Id, (SELECT Id, Fax FROM Contacts) FROM Account"},
        {"org": ORG, "soql": "SELECT Id, ContactEmail, Contact.Fax, Contact.LastName FROM Case"},
        {"org": ORG, "soql": "SELECT Id, Who.Id, Who.Type FROM Event"},
    ],
    "salesforce_create_contact": [{"org": ORG, "data": {"LastName": "Byron"}}],
    "salesforce_create_record": [{"org": ORG, "object": "Contact", "data": {"LastName": "Byron"}}],
    "salesforce_update_record": [{"org": ORG, "object": "Contact", "record_id": "<record_id>", "data": {"Title": "y"}}],
    "salesforce_create_appointment": [{"org": ORG, "data": MEETING}],
    "salesforce_update_appointment": [{"org": ORG, "event_id": "<event_id>", "data": {"Subject": "y"}}],
    "salesforce_update_contact": [{"org": ORG, "contact_id": "<contact_id>", "data": {"Title": "y", "Phone": "1"}}],
    "salesforce_upsert_record": [
        {
            "org": ORG,
            "object": "Custom__c",
            "external_id_field": "Key__c",
            "external_id": "k1",
            "data": {"Notes__c": "y", "Name": "Thing"},
        }
    ],
    "salesforce_change_records": [
        {"org": ORG, "object": "Contact", "action": "create", "records": [{"LastName": "Byron"}, {"Title": "lost"}]},
        {"org": ORG, "object": "Contact", "action": "update", "records": [{"Id": "<id>", "Title": "y"}]},
        {"org": ORG, "object": "Contact", "action": "delete", "soql": "SELECT Id FROM Contact LIMIT 1"},
        {"org": ORG, "object": "Contact", "action": "update", "soql": "SELECT Id FROM Contact", "data": {"Title": "z"}},
        {
            "org": ORG,
            "object": "Custom__c",
            "action": "upsert",
            "external_id_field": "Key__c",
            "records": [{"Key__c": "k2", "Name": "Thing"}],
        },
    ],
}


def pools(fields: tuple[str, ...]) -> dict[str, st.SearchStrategy[Any]]:
    """What arguments are made of, by their names: near to real use, so that most calls come through."""
    field = st.sampled_from(fields)
    own = field.filter(lambda name: "." not in name)
    values = st.dictionaries(own, st.sampled_from(TEXTS), min_size=1, max_size=3)
    contact = values.map(lambda each: {"LastName": "Byron"} | each)
    clause = st.sampled_from(["", "", " WHERE {0} != null", " ORDER BY {0}", " GROUP BY {0}", " WHERE {0} LIKE '%a%'"])
    soql = st.builds(
        lambda columns, sobject, end, by: f"SELECT {', '.join(columns)} FROM {sobject}{end.format(by)}",
        st.one_of(
            st.lists(field, min_size=1, max_size=3).map(lambda columns: ["Id", *columns]),
            st.sampled_from([["COUNT(Id)"], ["FIELDS(STANDARD)"], ["Id", "(SELECT Id, Email FROM Contacts)"]]),
        ),
        st.sampled_from(OBJECTS),
        clause,
        field,
    )
    return {
        "org": st.just(ORG),
        "orgs": st.sampled_from([[ORG], ["*"]]),
        "object": st.sampled_from(OBJECTS),
        "objects": st.lists(st.sampled_from(OBJECTS), min_size=1, max_size=3),
        "soql": soql,
        "fields": st.none() | st.lists(field, min_size=1, max_size=4, unique=True),
        "filter": st.none()
        | st.dictionaries(field, st.sampled_from(["x", {"ne": "x"}, {"is_null": False}]), max_size=2),
        "order_by": st.none() | field,
        "data": contact | values,
        "records": st.lists(values | st.builds(lambda each: {"Id": "<id>"} | each, values), min_size=1, max_size=2),
        "external_id_field": st.none() | own,
        "external_id": st.sampled_from(TEXTS),
        "text": st.sampled_from(["Lovelace", "Ada", "verborgen", "Engineer"]),
        "match": st.none() | st.sampled_from(["con", "Custom", "x"]),
        "cursor": st.sampled_from([None, None, "<cursor>"]),
        "limit": st.integers(1, 20),
        "limit_per_org": st.integers(1, 20),
        "if_unmodified_since": st.sampled_from([None, None, "2026-02-20T18:00:00Z", "2100-01-01T00:00:00Z"]),
        "idempotency_key": st.sampled_from([None, None, "one", "two"]),
        "start": st.none() | st.just("2026-02-20"),
        "end": st.none(),
    }


INNOCENT, CURIOUS = pools(FIELDS), pools((*FIELDS, *(each.partition(".")[2] for each in HIDDEN), "ReportsTo.Name"))


def arguments_of(tool: str, pool: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """Arguments of a tool; where few would fit each other by chance, some that do."""
    chance = _arguments_by_chance(tool, pool)
    return st.one_of(chance, _fitting(tool, pool)) if tool in FITTING else chance


def _fitting(tool: str, pool: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    properties = schema_of(SPECS[tool].arguments)["properties"]
    more = {
        "preview": st.booleans(),
        "idempotency_key": st.sampled_from(["one", "two"]),
        "if_unmodified_since": pool["if_unmodified_since"].filter(bool),
    }
    optional = {name: each for name, each in more.items() if name in properties}
    some = ({name: st.just(value) for name, value in each.items()} for each in FITTING[tool])
    return st.one_of(*(st.fixed_dictionaries(each, optional=optional) for each in some))


def _arguments_by_chance(tool: str, pool: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    schema = schema_of(SPECS[tool].arguments)
    required = schema.get("required", ())
    inner = {name: pool[name] if name in pool else _of_kind(name, each) for name, each in schema["properties"].items()}
    optional = {name: each for name, each in inner.items() if name not in required}
    fixed = {name: each for name, each in inner.items() if name in required}
    return st.fixed_dictionaries(fixed, optional=optional).map(
        lambda arguments: {name: value for name, value in arguments.items() if value is not None}
    )


def _of_kind(name: str, schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    if name.endswith("_id"):
        return st.just(f"<{name}>")
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    return st.booleans() if schema.get("type") == "boolean" else st.sampled_from(TEXTS)


class LogLines(logging.Handler):
    """Everything that is logged, with what stands beside the message."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line, with the traceback of an error."""
        self.lines.append(logging.Formatter("%(message)s").format(record) + repr(record.__dict__))


class GuardedOrg:
    """A server over one org whose policy hides canaries; it stands in a thread of its own while hypothesis asks."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._loop = asyncio.new_event_loop()
        self._ready: Future[None] = Future()
        self._end = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._stand(),), daemon=True)
        self._cursors: dict[str, str] = {}
        self.log = LogLines()
        self.org: SandboxOrg
        self.app: App
        self.successes: Counter[str] = Counter()

    def __enter__(self) -> Self:
        logging.getLogger("orgserver").addHandler(self.log)
        logging.getLogger("orgserver").setLevel(logging.DEBUG)
        self._thread.start()
        self._ready.result(60)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger("orgserver").removeHandler(self.log)
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(30)
        self._loop.close()

    async def _stand(self) -> None:
        try:
            scope = Scope(toolsets=frozenset({"all"}))
            async with (
                Sandbox.start(1) as sandbox,
                open_app(read_settings({"home": self._home}, {}), scope) as self.app,
            ):
                (self.org,) = sandbox.orgs
                fill(self.org)
                await self.app.enrolment.add(operator(), registration(self.org))
                server = build_server(self.app.services, principal=Principal(AGENT), scope=scope)
                async with Client(server) as self._client:
                    self._ready.set_result(None)
                    await self._end.wait()
        except BaseException as error:
            if not self._ready.done():
                self._ready.set_exception(error)
            raise

    def call(self, tool: str, arguments: dict[str, Any]) -> str:
        """Ask a tool; its whole answer as text."""
        called = self.run(self._client.call_tool(tool, self._filled(tool, arguments)))
        if not called.is_error:
            self.successes[tool] += 1
            cursor = (called.structured_content or {}).get("next_cursor")
            self._cursors[tool] = cursor or self._cursors.get(tool, "none")
        return str(called.model_dump_json())

    def run(self, awaitable: Any) -> Any:
        """Await something of the server's."""
        return asyncio.run_coroutine_threadsafe(awaitable, self._loop).result(LONGEST)

    async def read_beside_tools(self) -> list[str]:
        """What resources hold of records and objects, and how names of objects and fields are completed."""
        replies = []
        for sobject in OBJECTS:
            one = next(iter(self.org.records.tables[sobject]))
            for last in ("describe", one):
                replies.append(
                    (await self._client.read_resource(f"salesforce://{ORG}/{sobject}/{last}")).model_dump_json()
                )
            reference = PromptReference(name="find_duplicates")
            for argument in ("object", "match_on"):
                known = await self._client.complete(
                    reference, {"name": argument, "value": ""}, context_arguments={"org": ORG, "object": sobject}
                )
                replies.append(known.model_dump_json())
        return replies

    def _filled(self, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """The arguments with ids of records that are there, and the cursor that came last."""
        sobject = arguments.get("object", "Event" if "appointment" in tool else "Contact")
        guarded = (key for key, each in self.org.records.tables[sobject].items() if WORD in repr(each))
        one = next(guarded, to_18("003Sb0000000000"))
        words = {"<cursor>": self._cursors.get(tool, "none"), "<id>": one, "<external_id>": "x"}
        words |= {f"<{name}>": one for name in ("contact_id", "event_id", "record_id")}

        def fill_in(value: Any) -> Any:
            if isinstance(value, dict):
                return {name: fill_in(each) for name, each in value.items()}
            if isinstance(value, list):
                return [fill_in(each) for each in value]
            return words.get(value, value) if isinstance(value, str) else value

        filled: dict[str, Any] = fill_in(arguments)
        return filled

    def written(self) -> dict[str, list[str]]:
        """What is kept in readable form: log lines, and every audit entry as it is exported, by what it is."""
        return {"log": list(self.log.lines)} | self.run(self._exports())

    async def _exports(self) -> dict[str, list[str]]:
        audit, every = self.app.audit_log, EntryFilter()
        lines = {form: [line async for some in audit.lines(every, form) for line in some] for form in FORMS}
        return lines | {"entries": [repr(each) async for each in audit.entries(every)]}


def registration(org: SandboxOrg) -> Registration:
    credential = org.credentials()
    return Registration(
        alias=names.alias(org.alias),
        client_id=credential["client_id"],
        client_secret=Secret(credential["client_secret"]),
        refresh_token=Secret(credential["refresh_token"]),
        login_url=credential["login_url"],
        instance_url=credential["instance_url"],
        trusted_hosts=tuple(credential["trust_hosts"]),
        source="the sandbox",
        policy=POLICY,
    )


def fill(org: SandboxOrg) -> None:
    """Canaries in every guarded field of every record; records enough that some are left."""
    org.objects.change("Custom__c", "Key__c", {"externalId": True, "idLookup": True, "unique": True})
    for number in range(RECORDS):
        for sobject, values in (
            ("Contact", {"LastName": f"Lovelace{number}", "Title": "Engineer"}),
            ("Custom__c", {"Name": f"Thing {number}", "Status__c": "Open"}),
            ("Event", MEETING | {"EndDateTime": "2030-01-10T09:30:00.000+0000"}),
            ("Case", {"Subject": f"Broken {number}", "ContactId": next(iter(org.records.tables["Contact"]))}),
        ):
            org.records.add(org.objects.find(sobject), values)
    for field, value in (HIDDEN | MASKED).items():
        sobject, _, name = field.partition(".")
        for number, record in enumerate(org.records.tables[sobject].values()):
            record[name] = f"{value}{number}" if name == "External_Id__c" else value
    for record in org.records.tables["Contact"].values():
        record["Name"] = f"{record['FirstName']} {record['LastName']}"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedOrg]:
    with GuardedOrg(tmp_path_factory.mktemp("canaries") / "home") as started:
        yield started


def sightings(text: str, words: tuple[str, ...]) -> list[str]:
    return [word for word in words if re.search(rf"(?<![A-Za-z_]){re.escape(word)}(?![A-Za-z_])", text, re.IGNORECASE)]


def ask_often(org: GuardedOrg, tool: str, pool: dict[str, st.SearchStrategy[Any]], examples: int) -> list[str]:
    """What was seen that must not be, over many calls of a tool."""
    seen: list[str] = []

    @settings(
        max_examples=examples, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
    )
    @given(arguments_of(tool, pool), st.sampled_from([None] * 4 + ["refused"]))
    def ask(arguments: dict[str, Any], accident: str | None) -> None:
        if accident is not None:
            org.org.fault("status", path=".*/(sobjects|query|composite)/.*", status=400, body=REFUSED)
        reply = org.call(tool, arguments)
        org.org.faults.clear()
        asked = json.dumps(arguments).lower()
        words = VALUES + tuple(name for name in NAMES if name.lower().removesuffix("id") not in asked)
        seen.extend(f"{word} in {reply} of {arguments}" for word in sightings(reply, words))

    ask()
    return seen


REFUSED = json.dumps(
    [
        {
            "errorCode": "FIELD_CUSTOM_VALIDATION_EXCEPTION",
            "message": f"Department and CustomField__c must not be {WORD}",
            "fields": ["Department", "CustomField__c"],
        }
    ]
)


@pytest.mark.timeout(900)
def test_an_agent_that_names_nothing_hidden_learns_neither_values_nor_names(guarded: GuardedOrg) -> None:
    for tool in SPECS:
        assert ask_often(guarded, tool, INNOCENT, EXAMPLES) == []
    written = guarded.written()
    entries = [json.loads(line) for line in written["jsonl"]]
    of_agent = [json.dumps({**each, "decision": None}) for each in entries if each["principal"] == AGENT]

    assert all(guarded.successes[tool] for tool in SPECS), guarded.successes
    assert of_agent
    assert all(written.values())
    assert [line for lines in written.values() for line in lines if sightings(line, VALUES)] == []
    assert [line for line in (*written["log"], *of_agent) if sightings(line, NAMES)] == []


@pytest.mark.timeout(600)
@pytest.mark.parametrize("tool", SPECS)
def test_an_agent_that_names_what_is_hidden_learns_no_value(guarded: GuardedOrg, tool: str) -> None:
    assert ask_often(guarded, tool, CURIOUS, EXAMPLES) == []
    assert [line for lines in guarded.written().values() for line in lines if sightings(line, VALUES)] == []


@pytest.mark.timeout(120)
def test_what_is_read_by_address_or_completed_tells_nothing_hidden(guarded: GuardedOrg) -> None:
    replies = guarded.run(guarded.read_beside_tools())

    assert all(any(word in reply for reply in replies) for word in ("Lovelace", "Status__c", "LastName"))
    assert [reply for reply in replies if sightings(reply, (*VALUES, *NAMES, "FirstName"))] == []


BROKEN: dict[str, tuple[str, Any]] = {
    "records": ("orgserver.services.policies.field_limits.FieldLimits.limit_records", lambda *_: frozenset()),
    "describes": ("orgserver.services.describe.schemas.limit_schema", lambda _limits, schema, _lookup: schema),
    "errors": ("orgserver.services.calls.access.limit_error", lambda *_: None),
}


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("filtered", "tool"),
    [
        ("records", "salesforce_get_contact"),
        ("records", "salesforce_get_appointment"),
        ("records", "salesforce_list_contacts"),
        ("records", "salesforce_query"),
        ("records", "salesforce_query_orgs"),
        ("records", "salesforce_get_record"),
        ("records", "salesforce_delete_record"),
        ("describes", "salesforce_describe_object"),
        ("errors", "salesforce_update_contact"),
        ("errors", "salesforce_change_records"),
    ],
)
def test_the_search_finds_what_is_not_taken_out(
    tmp_path: Path, filtered: str, tool: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(*BROKEN[filtered])

    with GuardedOrg(tmp_path / "home") as broken:
        assert ask_often(broken, tool, INNOCENT, 2 * EXAMPLES)
