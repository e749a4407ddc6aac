"""Auditors read and export the log at /me/log, as it is from the command line; nobody else does."""

import csv
import io
import json

import pytest

from orgserver.model.access.principals import Principal
from orgserver.model.audit import ENTRY_FIELDS, EntryFilter
from orgserver.model.names import CONTACT
from orgserver.model.orgs import Caller
from tests import operations
from tests.people import add_principal, change_principal
from tests.serving.over_http.me.site import Site, Visitor

ADA = Caller(Principal("ada"), "http", client="agent/1 <b>\u202e")


@pytest.fixture
async def auditor(site: Site) -> Visitor:
    await add_principal(site.app, "grace", roles=("auditor",))
    return await site.sign_in("grace")


async def work(site: Site, count: int = 2) -> None:
    for number in range(count):
        values = {"LastName": f"L{number}", "FirstName": "=cmd"}
        await operations.create(site.app, ADA, "salesforce_create_contact", "acme", CONTACT, values)


async def test_nobody_but_an_auditor_sees_that_there_is_one(site: Site) -> None:
    await add_principal(site.app, "grace", roles=("admin",))
    for name in ("ada", "grace"):
        visitor = await site.sign_in(name)
        for path in ("/me/log", "/me/log/export", "/me/log/export?format=csv"):
            answer = await visitor.get(path)
            assert answer.status == 404
            assert "There is nothing here" in answer.page.one("h1").text
    assert "Sign in with" in (await site.request("GET", "/me/log/export")).text


async def test_an_auditor_reads_the_newest_entries_first(site: Site, auditor: Visitor) -> None:
    await work(site)

    answer = await auditor.get("/me/log?org=acme&action=create&principal=ada&outcome=succeeded&since=1d")

    assert "2 entries" in answer.text
    assert answer.page.texts("strong").count("create") == 2
    assert "agent/1 <b>" in answer.text
    assert "\u202e" not in answer.body.decode()
    fields = answer.page.fields
    assert (fields["org"], fields["principal"], fields["since"]) == ("acme", "ada", "1d")
    links = [each.attributes["href"] for each in answer.page.all("a") if "export" in each.attributes["href"]]
    assert [each.partition("&")[0] for each in links] == ["/me/log/export?format=csv", "/me/log/export?format=jsonl"]
    assert all(each.endswith("&since=1d&org=acme&principal=ada&action=create&outcome=succeeded") for each in links)


async def test_the_page_holds_a_hundred_and_says_so(site: Site, auditor: Visitor, monkeypatch) -> None:
    monkeypatch.setattr("orgserver.serving.http.me.log.NEWEST", 2)
    await work(site, 3)

    answer = await auditor.get("/me/log?action=create")

    assert "The newest 2 entries" in answer.text
    assert len(answer.page.all("tr")) == 3


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("since=yesterday", "Since: give ISO 8601, such as 2026-02-20T18:00Z, or 7d, 12h, 30m."),
        ("since=1d&until=2d", "Until is not after since."),
        ("action=destroy", "There is no action of this name."),
        ("outcome=%3Cb%3E", "There is no outcome of this name."),
    ],
)
async def test_a_filter_that_means_nothing_is_said_beside_what_was_typed(
    site: Site, auditor: Visitor, query, problem
) -> None:
    page, export = await auditor.get(f"/me/log?{query}"), await auditor.get(f"/me/log/export?format=csv&{query}")

    assert (page.status, export.status) == (400, 400)
    assert problem in page.text
    assert problem in export.text
    assert page.page.all("b") == []


async def test_a_filter_that_comes_twice_is_refused(auditor: Visitor) -> None:
    answer = await auditor.get("/me/log?org=a&org=b")

    assert answer.status == 400
    assert "Org came more than once" in answer.text


async def test_an_export_is_what_the_command_line_gives_and_an_entry_itself(site: Site, auditor: Visitor) -> None:
    await work(site)
    entries = [entry async for entry in site.app.audit_log.entries(EntryFilter(org="acme", action="create"))]

    lines = await auditor.get("/me/log/export?format=jsonl&org=acme&action=create")
    table = await auditor.get("/me/log/export?format=csv&org=acme&action=create")

    assert [json.loads(line)["id"] for line in lines.body.decode().splitlines()] == [each.id for each in entries]
    rows = list(csv.DictReader(io.StringIO(table.body.decode())))
    assert list(rows[0]) == list(ENTRY_FIELDS)
    assert [row["hash"] for row in rows] == [each.hash for each in entries]
    for answer, ending, type_ in ((lines, "jsonl", "application/jsonl"), (table, "csv", "text/csv")):
        assert answer.headers["content-type"] == f"{type_}; charset=utf-8"
        assert answer.headers["content-disposition"].startswith('attachment; filename="orgserver-audit-2')
        assert answer.headers["content-disposition"].endswith(f'.{ending}"')
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "content-length" not in answer.headers
    exports = await site.app.audit_log.newest(EntryFilter(action="export"), 10)
    assert [(each.principal, each.transport, each.tool, each.row_count) for each in exports] == [
        ("grace", "http", "audit export --format csv", 2),
        ("grace", "http", "audit export --format jsonl", 2),
    ]


async def test_an_export_is_made_page_by_page(site: Site, auditor: Visitor, monkeypatch) -> None:
    monkeypatch.setattr("orgserver.services.audit.export.PAGE", 1)
    await work(site, 3)

    answer = await auditor.get("/me/log/export?org=acme&action=create")

    assert len(answer.body.decode().splitlines()) == 3


async def test_an_export_that_is_broken_off_is_on_record_with_what_had_left(
    site: Site, auditor: Visitor, monkeypatch
) -> None:
    monkeypatch.setattr("orgserver.services.audit.export.PAGE", 1)
    await work(site, 3)

    with pytest.raises(ConnectionResetError):
        await site.request("GET", "/me/log/export?org=acme&action=create", headers=auditor.cookies, parts=2)

    (entry,) = await site.app.audit_log.newest(EntryFilter(action="export"), 10)
    assert (entry.principal, entry.row_count) == ("grace", 2)


async def test_another_format_and_a_role_that_was_taken_back_give_nothing(site: Site, auditor: Visitor) -> None:
    assert (await auditor.get("/me/log/export?format=events")).status == 404
    await change_principal(site.app, "grace", no_roles=("auditor",))
    assert (await auditor.get("/me/log/export?format=csv")).status == 404
    assert await site.app.audit_log.newest(EntryFilter(action="export"), 10) == []
