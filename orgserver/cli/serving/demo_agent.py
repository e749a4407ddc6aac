"""What an agent does in ``orgserver demo``, call by call, and what each call must show."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from orgserver.tools import toolsets


class StepFailed(Exception):
    """A step did not show what it should."""


class Agent:
    """What an agent does in the demo, and what it checks."""

    def __init__(self, client: Any, sandbox: Any) -> None:
        self._client = client
        self._orgs = {org.alias: org for org in sandbox.orgs}
        self._records: list[tuple[str, str, str, str]] = []
        self._contact: dict[str, str] = {}
        self._event: dict[str, str] = {}

    async def list_tools(self) -> str:
        """All tools of the standard toolsets."""
        reply = await self._client.list_tools()
        size = len(reply.model_dump_json(by_alias=True, exclude_none=True))
        require({tool.name for tool in reply.tools} == set(toolsets.chosen(())), f"{len(reply.tools)} tools")
        return f"{len(reply.tools)} tools, {size:,} bytes"

    async def list_orgs(self) -> str:
        """Both orgs."""
        reply = await self._ok("salesforce_list_orgs")
        names = [org["org"] for org in reply["orgs"]]
        require(names == ["acme", "globex"], f"{names}")
        return ", ".join(f"{org['org']} ({org['state']})" for org in reply["orgs"])

    def round_of(self, alias: str) -> list[tuple[str, Callable[[], Awaitable[str]]]]:
        """Create, read, update, list and delete, of both kinds."""

        async def create_contact() -> str:
            data = {"FirstName": "Mary", "LastName": "O'Shea", "Email": f"mary@{alias}.example", "Title": "Engineer"}
            created = await self._ok("salesforce_create_contact", org=alias, data=data)
            self._contact[alias] = created["id"]
            self._records.append((alias, "contact", "contact_id", created["id"]))
            return f"{created['id']}"

        async def read_contact() -> str:
            reply = await self._ok("salesforce_get_contact", org=alias, contact_id=self._contact[alias])
            require(reply["record"]["Name"] == "Mary O'Shea", "another record came back")
            return f"{reply['record']['Name']}, {reply['record']['Email']}"

        async def update_contact() -> str:
            change = {"org": alias, "contact_id": self._contact[alias], "data": {"Title": "Lead Engineer"}}
            preview = await self._ok("salesforce_update_contact", **change, preview=True)
            require(preview["changes"][0]["from"] == "Engineer", "the preview shows something else")
            await self._ok("salesforce_update_contact", **change)
            return "Title: Engineer → Lead Engineer (previewed first)"

        async def list_contacts() -> str:
            reply = await self._ok("salesforce_list_contacts", org=alias, limit=3, filter={"LastName": "O'Shea"})
            require(reply["total_size"] == 1, f"{reply['total_size']} found")
            everybody = await self._ok("salesforce_list_contacts", org=alias, limit=2, count=True)
            more = await self._ok("salesforce_list_contacts", org=alias, limit=2, cursor=everybody["next_cursor"])
            return f"1 of {everybody['total_size']} by filter, {len(more['records'])} more by cursor"

        async def create_event() -> str:
            data = {
                "Subject": "Demo",
                "StartDateTime": "2030-02-20T09:00:00Z",
                "EndDateTime": "2030-02-20T10:00:00Z",
                "WhoId": self._contact[alias],
            }
            created = await self._ok("salesforce_create_appointment", org=alias, data=data)
            self._event[alias] = created["id"]
            self._records.append((alias, "appointment", "event_id", created["id"]))
            return f"{created['id']}"

        async def move_event() -> str:
            times = {"StartDateTime": "2030-02-21T09:00:00Z", "EndDateTime": "2030-02-21T10:30:00Z"}
            await self._ok("salesforce_update_appointment", org=alias, event_id=self._event[alias], data=times)
            reply = await self._ok("salesforce_get_appointment", org=alias, event_id=self._event[alias])
            require(reply["record"]["StartDateTime"].startswith("2030-02-21"), "it was not moved")
            return "moved by a day, read back"

        async def list_events() -> str:
            day = {"start": "2030-02-21", "end": "2030-02-21"}
            reply = await self._ok("salesforce_list_appointments", org=alias, **day)
            require([each["Id"] for each in reply["records"]] == [self._event[alias]], "another day came back")
            return "1 overlaps 2030-02-21"

        async def query() -> str:
            soql = f"SELECT Id, Who.Name FROM Event WHERE WhoId = '{self._contact[alias]}'"  # noqa: S608  # SOQL of the demo
            reply = await self._ok("salesforce_query", org=alias, soql=soql)
            require(reply["records"][0]["Who"]["Name"] == "Mary O'Shea", "another name came back")
            return "SOQL across Event and Contact"

        return [
            ("create a contact", create_contact),
            ("read it", read_contact),
            ("update it", update_contact),
            ("list contacts", list_contacts),
            ("create an appointment with it", create_event),
            ("move the appointment", move_event),
            ("list appointments", list_events),
            ("query", query),
        ]

    def refusals(self) -> list[tuple[str, Callable[[], Awaitable[str]]]]:
        """What is refused, and that nothing was sent."""

        async def other_org() -> str:
            error = await self._refused("salesforce_get_contact", org="globex", contact_id=self._contact["acme"])
            require(error["category"] == "not_found", f"{error}")
            require(not any(org.counters.foreign_tokens for org in self._orgs.values()), "a token crossed over")
            return f"acme's contact in globex: {error['code']}"

        async def unknown_org() -> str:
            before = [len(org.requests) for org in self._orgs.values()]
            error = await self._refused("salesforce_list_contacts", org="initech")
            require(error["category"] == "unknown_org", f"{error}")
            require([len(org.requests) for org in self._orgs.values()] == before, "something was sent")
            return f"{error['code']}, nothing was sent"

        async def bad_argument() -> str:
            error = await self._refused("salesforce_create_contact", org="acme", data={"FirstName": "No"})
            require(error["fields"] == ["data.LastName"], f"{error}")
            return f"{error['message']}"

        return [
            ("one org cannot see another's record", other_org),
            ("an unknown org is refused", unknown_org),
            ("a missing field is named", bad_argument),
        ]

    async def outlive_sessions(self) -> str:
        """A call after the access tokens of an org ended."""
        acme = self._orgs["acme"]
        before = acme.refresh_token
        acme.expire_access_tokens()
        reply = await self._ok("salesforce_list_contacts", org="acme")
        require(reply["total_size"] > 0, "no contacts came back")
        require(acme.refresh_token not in ("", before), "the refresh token did not rotate")
        require(acme.counters.reuses == 0, "a spent refresh token was sent again")
        return "one refresh, unseen; the rotated refresh token is kept"

    async def clean_up(self) -> str:
        """Delete what was created."""
        for alias, kind, argument, identifier in reversed(self._records):
            await self._ok(f"salesforce_delete_{kind}", org=alias, **{argument: identifier})
        return f"{len(self._records)} records, in both orgs"

    async def _ok(self, tool: str, **arguments: Any) -> dict[str, Any]:
        result = await self._client.call_tool(tool, arguments)
        if result.is_error:
            raise StepFailed(result.content[0].text)
        structured: dict[str, Any] = result.structured_content
        return structured

    async def _refused(self, tool: str, **arguments: Any) -> dict[str, Any]:
        result = await self._client.call_tool(tool, arguments)
        require(result.is_error, "it was not refused")
        error: dict[str, Any] = json.loads(result.content[0].text)["error"]
        return error


def require(condition: bool, problem: str) -> None:
    """StepFailed, in these words, where something is not as it must be."""
    if not condition:
        raise StepFailed(problem)
