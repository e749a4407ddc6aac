"""Of all that is secret in a person's way through sign-in, nothing is left: not in the store, a log, a page or an export.

One long way is walked, with refreshes, ends and failures; whatever secret a client, a browser or the provider had in
its hands is looked for afterwards. What the server logs is read before anything is masked.
"""

import json
import logging
import secrets
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import pytest

from orgserver.app import App
from tests.people import change_principal
from tests.provider.running import CLIENT_SECRET

from .walk import Walk, browsing, read_answer
from .world import parse

pytestmark = pytest.mark.usefixtures("_as_many_requests_as_a_test_likes")

OTHERS = ("httpx2", "httpcore2")
"""The test's own client of HTTP: what the server asks others, it asks by another library."""


@dataclass
class Canaries:
    """Secrets by what they are, and everything that a browser was shown."""

    secrets: dict[str, set[str]] = field(default_factory=dict)
    pages: list[str] = field(default_factory=list)

    def add(self, kind: str, *texts: str) -> None:
        """Look for these afterwards."""
        self.secrets.setdefault(kind, set()).update(texts)

    def make(self, kind: str) -> str:
        """A new one, as somebody might send it who guesses or is mistaken."""
        text = f"{kind[:3]}{secrets.token_urlsafe(24)}"
        self.add(kind, text)
        return text

    async def watch(self, response: httpx2.Response) -> None:
        """What a browser gets: its cookies are secret, and so is what a redirect has in its address."""
        for header in response.headers.get_list("set-cookie"):
            value = header.partition("=")[2].partition(";")[0]
            if value:
                self.add("cookie", value)
        if "location" in response.headers:
            for name, value in parse(response.headers["location"]).items():
                if name in ("code", "state", "nonce"):
                    self.add(name, value)
        await response.aread()
        self.pages.append(response.text)

    def find(self, text: bytes | str) -> set[str]:
        """Which kinds stand in a text."""
        content = text.encode() if isinstance(text, str) else text
        return {kind for kind, texts in self.secrets.items() if any(each.encode() in content for each in texts)}


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG)
    for name in ("orgserver", "orgserver.access", "httpx", "httpcore", "authlib", "sqlalchemy"):
        caplog.set_level(logging.DEBUG, name)
    return caplog


async def succeed(walk: Walk, canaries: Canaries) -> None:
    """Sign in, call, refresh, call, step up, refresh again, and give it back."""
    tokens = await walk.get_tokens("orgs:read")
    canaries.add("verifier", walk.verifier)
    for _ in range(2):
        assert (await walk.call(tokens["access_token"])).status_code == 200
        canaries.add("token", tokens["access_token"], tokens["refresh_token"])
        tokens = (await walk.refresh(tokens["refresh_token"])).json()
    canaries.add("token", tokens["access_token"], tokens["refresh_token"])
    assert (
        await walk.call(tokens["access_token"], "salesforce_create_contact", org="acme", data={})
    ).status_code == 403
    form = {"client_id": walk.client_id, "token": tokens["refresh_token"]}
    assert (await walk.browser.post("/revoke", data=form)).status_code == 200
    assert (await walk.call(tokens["access_token"])).status_code == 401


async def replay(walk: Walk, canaries: Canaries) -> None:
    """A code twice, a refresh token twice, a session that the provider ends."""
    code = await walk.get_code("orgs:read", "orgs:write")
    tokens = (await walk.exchange(code)).json()
    assert (await walk.exchange(code)).status_code == 400
    old = await walk.get_tokens("orgs:read")
    new = (await walk.refresh(old["refresh_token"])).json()
    assert (await walk.refresh(old["refresh_token"])).status_code == 400
    last = await walk.get_tokens("orgs:read")
    await walk.provider.set(end="ada")
    assert (await walk.refresh(last["refresh_token"])).status_code == 400
    for each in (tokens, old, new, last):
        canaries.add("token", each["access_token"], each["refresh_token"])


async def fail(walk: Walk, canaries: Canaries) -> None:
    """Whatever somebody may get wrong, with a secret in it."""
    make, browser = canaries.make, walk.browser
    for query in ({"state": make("state"), "scope": "openid"}, {"state": make("state"), "client_id": "nobody"}):
        await browser.get(walk.authorize_url(**query))
    twice = f"{walk.authorize_url(state=make('state'))}&state={make('state')}"
    assert (await browser.get(twice)).status_code == 400
    callback = {"state": make("state"), "code": make("code")}
    assert (await browser.get("/signin/callback", params=callback)).status_code == 410
    async with browsing(walk.served.url) as other:
        assert (await other.get("/signin/callback", params=callback)).status_code == 400
    for form in (
        {"grant_type": "authorization_code", "code": make("code"), "code_verifier": make("verifier")},
        {"grant_type": "refresh_token", "refresh_token": make("token")},
        {"grant_type": make("token"), "client_secret": make("client secret")},
    ):
        assert (await walk.ask_tokens(**form)).status_code in (400, 401)
    basic = {"authorization": f"Basic {make('client secret')}"}
    assert (await browser.post("/token", data={"code": make("code")}, headers=basic)).status_code == 401
    assert (await browser.post(f"/token?code={make('code')}", json={"code": make("code")})).status_code == 415
    await browser.post("/revoke", data={"client_id": walk.client_id, "token": make("token")})
    for token in (make("token"), f"ost_{make('token')}", f"osr_{make('token')}"):
        assert (await walk.call(token)).status_code == 401
    page = await walk.reach_consent()
    form = {"csrf": make("form's value"), "decision": "allow", make("token"): "on"}
    own = {"origin": "null", "sec-fetch-site": "same-origin"}
    assert (await browser.post(str(page.url), data=form, headers=own)).status_code == 400
    assert read_answer(await walk.answer(page, "deny"))["error"] == "access_denied"


async def be_lied_to(walk: Walk, canaries: Canaries) -> None:
    """A provider that is not honest, or away."""
    for conduct, status in (
        ({"claims": {"nonce": "another"}}, 502),
        ({"signature": "other key"}, 502),
        ({"authorization_error": "access_denied"}, 403),
        ({"answers": {"/token": {"kind": "status", "status": 503}}}, 503),
    ):
        await walk.provider.set(**conduct)
        url = await walk.provider.sign_in(await walk.reach_provider())
        assert (await walk.browser.get(url)).status_code == status, conduct
        await add_providers(walk, canaries)
        await walk.provider.reset()


async def export(walk: Walk) -> dict[str, str]:
    """The whole log as people get it at /me."""
    url = (await walk.browser.get("/me/signin?purpose=open")).headers["location"]
    await walk.browser.get(await walk.provider.sign_in(url))
    paths = ("/me", "/me/log", "/me/log/export?format=jsonl", "/me/log/export?format=csv")
    texts = {path: await walk.browser.get(path) for path in paths}
    assert {response.status_code for response in texts.values()} == {200}
    return {path: response.text for path, response in texts.items()}


async def add_providers(walk: Walk, canaries: Canaries) -> None:
    """What went between the server and the provider, as that has it."""
    canaries.add("client secret", CLIENT_SECRET)
    for path in ("/authorize", "/token"):
        for values in await walk.provider.requests(path):
            for name, kind in (
                ("state", "state"), ("nonce", "nonce"), ("code", "code"), ("code_verifier", "verifier"),
                ("refresh_token", "token"),
            ):  # fmt: skip
                if name in values:
                    canaries.add(kind, values[name])


def read_record(record: logging.LogRecord) -> str:
    """All that a line could be made of: the text, and what goes along with it."""
    return json.dumps(vars(record) | {"message": record.getMessage(), "args": None}, default=repr)


def read_files(app: App) -> bytes:
    folder = app.store.database.file.parent
    return b"".join(path.read_bytes() for path in sorted(Path(folder).rglob("*")) if path.is_file())


async def test_no_secret_is_left_anywhere(walk: Walk, app: App, log: pytest.LogCaptureFixture) -> None:
    canaries = Canaries()
    walk.state = canaries.make("state")
    walk.browser.event_hooks["response"].append(canaries.watch)
    await change_principal(app, "ada", roles=("auditor",))

    await succeed(walk, canaries)
    await replay(walk, canaries)
    await fail(walk, canaries)
    await add_providers(walk, canaries)
    await be_lied_to(walk, canaries)
    await walk.reach_consent()  # one that is under way stays so
    exports = await export(walk)
    await add_providers(walk, canaries)
    await app.people.auth_failures.close()

    kinds = {"client secret", "code", "cookie", "form's value", "nonce", "state", "token", "verifier"}
    assert canaries.secrets.keys() == kinds
    counts = {kind: len(texts) for kind, texts in canaries.secrets.items()}
    assert min(counts[kind] for kind in ("code", "nonce", "state", "token")) >= 10, counts

    files = read_files(app)
    assert b"sign-in" in files and b"Walker" in files
    assert canaries.find(files) == set()

    records = [record for record in log.get_records("call") if not record.name.startswith(OTHERS)]
    assert any(record.name == "orgserver.access" for record in records), {record.name for record in records}
    assert any(record.name.startswith("authlib") for record in records)
    assert canaries.find("\n".join(map(read_record, records))) == set()

    for path, text in exports.items():
        assert canaries.find(text) == set(), path
    assert '"tool":"consent"' in exports["/me/log/export?format=jsonl"].replace(" ", "")
    pages = [page for page in canaries.pages if "<h1" in page]
    assert len(pages) >= 15
    for page in pages:  # a link back to the client has the client's own state, and nothing else
        assert canaries.find(page.replace("&amp;", "&")) <= {"state"}, page
        assert "Back to your client" in page or canaries.find(page) == set()
