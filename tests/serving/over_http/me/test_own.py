"""At /me people see what is theirs, end it, and sign in and out; a form works in its own session alone."""

import pytest

from orgserver.model.audit import EntryFilter
from orgserver.oauth.provider.refusals import ProviderUnavailable
from orgserver.services.people.requests import KeyChanges
from orgserver.serving.http.signin import cookies
from orgserver.store.signin.requests import MAX_OF_BROWSER
from tests.people import OPERATOR, add_principal, change_principal, principal_changes
from tests.serving.over_http.me.site import Site


async def test_without_a_session_there_is_one_button(site: Site) -> None:
    for headers in ({}, {"cookie": f"{cookies.ME}={'x' * 43}"}, {"cookie": f"{cookies.ME}=short"}):
        answer = await site.request("GET", "/me", headers=headers)

        assert answer.status == 200
        assert [each.attributes["href"] for each in answer.page.all("a")] == ["/me/signin?purpose=open"]
        assert answer.page.all("form") == []


@pytest.mark.parametrize(("purpose", "fresh"), [("open", False), ("approve", True)])
async def test_the_button_leads_to_the_provider_with_a_cookie_of_ten_minutes(site: Site, purpose, fresh) -> None:
    answer = await site.request("GET", f"/me/signin?purpose={purpose}")

    (asked,) = site.urls.asked
    assert answer.status == 303
    assert answer.headers["location"].endswith(str(asked["state"]))
    assert answer.headers["set-cookie"].startswith(f"{cookies.SIGN_IN}=")
    assert "Max-Age=600; Path=/; Secure; HttpOnly; SameSite=Lax" in answer.headers["set-cookie"]
    assert answer.headers["cache-control"] == "no-store"
    assert asked["fresh"] is fresh


@pytest.mark.parametrize("query", ["", "?purpose=https://evil.example", "?purpose=open&purpose=approve", "?next=/x"])
async def test_a_sign_in_is_for_one_of_two_words_and_never_for_an_address(site: Site, query) -> None:
    answer = await site.request("GET", f"/me/signin{query}")

    assert answer.status == 400
    assert "leads nowhere" in answer.page.one("h1").text
    assert site.urls.asked == []


async def test_a_person_sees_orgs_grants_keys_and_sessions(site: Site) -> None:
    await change_principal(site.app, "ada", "globex:read", keys=KeyChanges(new=True))
    ada = await site.sign_in("ada")

    answer = await ada.get()

    assert answer.page.one("h1").text.strip() == "Ada Lovelace"
    orgs = [" ".join(each.text.split()) for each in answer.page.all("li") if "section" in each.parents]
    assert [each.split()[0] for each in orgs] == ["acme", "globex"]
    assert orgs[0].endswith("read write delete")
    assert orgs[1].endswith("read")
    (key,) = (await site.app.people.principals.one("ada")).keys
    assert key.id in answer.text
    assert "this one" in answer.text
    assert "Nothing waits for you." in answer.text
    assert "Audit log" not in answer.text
    assert "Everybody" not in answer.text


async def test_nobody_sees_an_org_without_a_grant(site: Site) -> None:
    await add_principal(site.app, "grace")
    grace = await site.sign_in("grace")

    text = (await grace.get()).text

    assert "No org is granted to you yet." in text
    assert "acme" not in text

    await change_principal(site.app, "grace", "emea-*:read")
    text = (await grace.get()).text

    assert "There is no org yet that your grants are for." in text
    assert "No org is granted" not in text


async def test_a_key_of_ones_own_is_ended_on_record(site: Site) -> None:
    await change_principal(site.app, "ada", keys=KeyChanges(new=True))
    (key,) = (await site.app.people.principals.one("ada")).keys
    ada = await site.sign_in("ada")

    answer = await ada.post(f"/me/keys/{key.id}/end")

    assert (answer.status, answer.headers["location"]) == (303, "/me")
    assert (await site.app.people.principals.one("ada")).keys[0].revoked_at is not None
    assert key.id not in (await ada.get()).text
    (entry, *_) = await site.app.audit_log.newest(EntryFilter(action="key"), 10)
    assert (entry.principal, entry.transport, entry.label) == ("ada", "http", "me")
    assert (await ada.post(f"/me/keys/{key.id}/end")).status == 404


async def test_nobody_ends_another_ones_key(site: Site) -> None:
    await site.app.people.principals.add(
        OPERATOR, "grace", principal_changes(keys=KeyChanges(new=True), roles=("admin",))
    )
    (key,) = (await site.app.people.principals.one("grace")).keys
    ada = await site.sign_in("ada")

    for path in (
        f"/me/keys/{key.id}/end",
        f"/me/keys/{key.id[:8]}/end",
        "/me/keys//end",
        f"/me/keys/{key.id}",
        "/me/keys/",
    ):
        assert (await ada.post(path)).status == 404

    assert (await site.app.people.principals.one("grace")).keys[0].revoked_at is None


async def test_signing_out_ends_the_session_and_the_cookie(site: Site) -> None:
    ada = await site.sign_in("ada")

    answer = await ada.post("/me/signout")

    assert (answer.status, answer.headers["location"]) == (303, "/me")
    assert answer.headers["set-cookie"].startswith(f"{cookies.ME}=; Max-Age=0")
    assert "Sign in with your company" in (await ada.get()).text
    assert await site.sessions.all("ada") == []


@pytest.mark.parametrize("csrf", ["", "x" * 43])
async def test_a_form_that_is_not_of_this_session_does_nothing_and_is_on_record(site: Site, csrf) -> None:
    ada = await site.sign_in("ada")

    answer = await ada.post("/me/signout", csrf=csrf)

    assert answer.status == 403
    assert "not from here" in answer.page.one("h1").text
    assert len(await site.sessions.all("ada")) == 1
    (entry,) = await site.app.audit_log.newest(EntryFilter(action="auth_failed"), 10)
    assert (entry.principal, entry.error_code, entry.decision) == ("ada", "SIGNIN_FORM", "auth:signin-form")


async def test_a_form_of_another_session_does_nothing(site: Site) -> None:
    ada, other = await site.sign_in("ada"), await site.sign_in("ada")

    answer = await ada.post("/me/signout", csrf=(await other.get()).page.fields["csrf"])

    assert answer.status == 403
    assert len(await site.sessions.all("ada")) == 2


async def test_a_form_without_a_session_or_that_is_none_does_nothing(site: Site) -> None:
    ada = await site.sign_in("ada")
    nobody = await site.request("POST", "/me/signout", b"csrf=x", {"content-type": "application/x-www-form-urlencoded"})
    ada.headers["content-type"] = "text/plain"
    plain = await site.request(
        "POST", "/me/signout", b"csrf=x", {"content-type": "text/plain", "cookie": f"{cookies.ME}={ada.cookie}"}
    )
    twice = await site.request(
        "POST",
        "/me/signout",
        b"csrf=x&csrf=y",
        {"content-type": "application/x-www-form-urlencoded", "cookie": f"{cookies.ME}={ada.cookie}"},
    )

    assert (nobody.status, plain.status, twice.status) == (403, 415, 400)
    assert "signed out" in nobody.page.one("h1").text
    assert "cannot be read" in plain.page.one("h1").text
    assert len(await site.sessions.all("ada")) == 1


async def test_a_principal_who_is_disabled_sees_nothing_more(site: Site) -> None:
    ada = await site.sign_in("ada")
    await change_principal(site.app, "ada", enabled=False)

    assert "Sign in with your company" in (await ada.get()).text


async def test_pages_change_nothing_when_they_are_read(site: Site) -> None:
    ada = await site.sign_in("ada")

    for path in ("/me/signout", "/me/keys/0192/end", f"/me/sessions/{ada.session_id}/end", "/me/approvals/00/approve"):
        answer = await ada.get(path)
        assert (answer.status, answer.headers["allow"]) == (405, "POST")

    assert len(await site.sessions.all("ada")) == 1


async def test_a_provider_that_is_away_is_told_of_with_when_to_try_again(site: Site, monkeypatch) -> None:
    async def fail(**_values: object) -> str:
        raise ProviderUnavailable("no answer", retry_after=7.5)

    monkeypatch.setattr(site.urls, "make_authorization_url", fail)

    answer = await site.request("GET", "/me/signin?purpose=open")

    assert (answer.status, answer.headers["retry-after"]) == (503, "8")
    assert "does not answer" in answer.page.one("h1").text
    assert "set-cookie" not in answer.headers


async def test_one_browser_does_not_begin_without_end(site: Site) -> None:
    headers = {"cookie": f"{cookies.SIGN_IN}={'x' * 43}"}
    statuses = [
        (await site.request("GET", "/me/signin?purpose=open", headers=headers)).status for _ in range(MAX_OF_BROWSER)
    ]

    answer = await site.request("GET", "/me/signin?purpose=open", headers=headers)

    assert statuses == [303] * MAX_OF_BROWSER
    assert answer.status == 503
    assert "Too many sign-ins" in answer.page.one("h1").text


async def test_no_cookie_lies_in_the_store_or_stands_in_a_log(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    ada = await site.sign_in("ada")
    begun = await site.request("GET", "/me/signin?purpose=open", headers=ada.cookies)
    browser = begun.headers["set-cookie"].partition("=")[2].partition(";")[0]
    await ada.post("/me/signout", csrf="wrong")
    await ada.post("/me/signout")

    (asked,) = site.urls.asked
    file = site.app.settings.database_file
    stored = b"".join(each.read_bytes() for each in file.parent.glob(f"{file.name}*"))
    entries = str(await site.app.audit_log.newest(EntryFilter(), 100))
    for secret in (ada.cookie, browser, str(asked["state"]), str(asked["nonce"]), str(asked["verifier"])):
        assert len(secret) == 43
        assert secret.encode() not in stored
        assert secret not in entries
        assert secret not in caplog.text
