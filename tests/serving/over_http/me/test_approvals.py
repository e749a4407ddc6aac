"""A yes is said at /me after a fresh sign-in; no page and no address of one ever has the code."""

from dataclasses import replace

import pytest

from orgserver.model.access.principals import Principal
from orgserver.model.audit import EntryFilter
from orgserver.model.errors import PolicyDenied
from orgserver.model.names import CONTACT
from orgserver.model.orgs import Caller
from orgserver.services.calls.approvals import Approving
from tests import operations
from tests.people import add_principal
from tests.serving.over_http.me.site import Site, Visitor

HOSTILE = '<b onclick="x">\u202eMallory</b>'


@pytest.fixture
async def strict(site: Site, caller: Caller) -> Site:
    await site.app.registry.update(caller, "acme", policy={"confirm_deletes": True})
    return site


async def ask(site: Site, name: str, session_id: str | None, last_name: str = "Lovelace") -> str:
    """An agent's call that waits; the id of its record."""
    caller = Caller(Principal(name), "http", client="agent/1", session_id=session_id)
    contact = await operations.create(
        site.app, caller, "salesforce_create_contact", "acme", CONTACT, {"LastName": last_name}
    )
    with pytest.raises(PolicyDenied):
        await operations.delete(site.app, caller, "salesforce_delete_contact", "acme", CONTACT, contact.id)
    return contact.id


async def code_of(site: Site) -> str:
    (request,) = await Approving(site.app.store, site.app.access).waiting()
    return request.code


def path_of(answer) -> str:
    (path,) = [
        each.attributes["action"] for each in answer.page.all("form") if "/approvals/" in each.attributes["action"]
    ]
    return path


async def approved_by(site: Site) -> str | None:
    (request,) = await Approving(site.app.store, site.app.access).waiting()
    return request.approved_by


async def test_a_person_who_has_just_signed_in_allows_what_they_asked_for(strict) -> None:
    ada = await strict.sign_in("ada", seconds_ago=10)
    contact_id = await ask(strict, "ada", "0192")

    shown = await ada.get()
    answer = await ada.post(path_of(shown))

    assert "Delete 1 Contact record in acme" in shown.text
    assert '"Lovelace"' in shown.text
    assert (answer.status, answer.headers["location"]) == (303, "/me")
    assert "If you did not ask an agent for this" in shown.text
    assert "Allowed by ada. Tell your agent to try again" in (await ada.get()).text
    (entry,) = await strict.app.audit_log.newest(EntryFilter(tool="approve"), 10)
    assert (entry.principal, entry.label, entry.transport, entry.action) == ("ada", "me", "http", "policy")
    agent = Caller(Principal("ada"), "http", session_id="0192")
    await operations.delete(strict.app, agent, "salesforce_delete_contact", "acme", CONTACT, contact_id)
    assert "Nothing waits" in (await ada.get()).text


@pytest.mark.parametrize("seconds_ago", [None, 301, 36_000])
async def test_a_yes_of_an_older_sign_in_leads_to_the_provider_first(strict, seconds_ago) -> None:
    fresh, ada = await strict.sign_in("ada", seconds_ago=1), await strict.sign_in("ada", seconds_ago=seconds_ago)
    await ask(strict, "ada", "0192")
    path = path_of(await fresh.get())

    shown = await ada.get()
    answer = await ada.post(path)

    assert [each.attributes["href"] for each in shown.page.all("a") if "approve" in each.attributes["href"]] == [
        "/me/signin?purpose=approve"
    ]
    assert "/approvals/" not in shown.body.decode()
    assert (answer.status, answer.headers["location"]) == (303, "/me/signin?purpose=approve")
    assert await approved_by(strict) is None


async def test_no_page_and_no_address_has_the_code(strict) -> None:
    await add_principal(strict.app, "grace", roles=("admin",))
    await ask(strict, "ada", "0192")
    code = await code_of(strict)

    for name in ("ada", "grace"):
        visitor = await strict.sign_in(name)
        answers = [
            await visitor.get(),
            await visitor.post(f"/me/approvals/{code}/approve"),
            await visitor.post(f"/me/approvals/{'0' * 32}/approve"),
        ]
        if name == "ada":
            answers.append(await visitor.post(path_of(answers[0])))
        for answer in answers:
            whole = answer.body.decode() + str(answer.headers)
            assert code not in whole
            assert code.replace("-", "") not in whole.upper()


async def test_a_call_of_an_api_key_is_not_the_persons_to_allow(strict) -> None:
    ada = await strict.sign_in("ada")
    await ask(strict, "ada", None)
    (personal,) = await strict.approvers.waiting(Caller(Principal("ada"), "http"))

    shown = await ada.get()
    answer = await ada.post(f"/me/approvals/{personal.handle}/approve")

    assert "an operator of this server allows it" in shown.text
    assert "/approvals/" not in shown.body.decode()
    assert answer.status == 403
    assert await approved_by(strict) is None


async def test_an_admin_allows_for_others_and_nobody_else_sees_it(strict) -> None:
    await add_principal(strict.app, "grace", roles=("admin",))
    await add_principal(strict.app, "mallory", "acme:read,write,delete", roles=("auditor",))
    await ask(strict, "ada", None)
    grace, mallory = await strict.sign_in("grace"), await strict.sign_in("mallory")

    shown = await grace.get()
    stolen = await mallory.post(path_of(shown))
    answer = await grace.post(path_of(shown))

    assert "Delete 1 Contact record in acme, for ada" in shown.text
    assert "Nothing waits" in (await mallory.get()).text
    assert stolen.status == 410
    assert answer.status == 303
    assert await approved_by(strict) == "grace"
    assert "If you do not know that ada wants this" in shown.text
    assert "The agent of ada may try again" in (await grace.get()).text


async def test_a_yes_serves_once_and_a_second_says_so(strict) -> None:
    ada = await strict.sign_in("ada")
    await ask(strict, "ada", "0192")
    path = path_of(await ada.get())
    await ada.post(path)

    answer = await ada.post(path)

    assert answer.status == 410
    assert "does not wait any more" in answer.page.one("h1").text


async def test_names_of_records_are_text(strict) -> None:
    ada = await strict.sign_in("ada")
    await ask(strict, "ada", "0192", HOSTILE)

    answer = await ada.get()

    assert answer.page.all("b") == []
    assert "\u202e" not in answer.body.decode()
    assert "onclick" in answer.text


async def test_a_yes_needs_the_form_of_the_page(strict) -> None:
    ada: Visitor = await strict.sign_in("ada")
    await ask(strict, "ada", "0192")

    answer = await ada.post(path_of(await ada.get()), csrf="")

    assert answer.status == 403
    assert await approved_by(strict) is None
    assert replace(ada).cookie not in answer.body.decode()
