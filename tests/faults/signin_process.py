"""A server's sign-in in a process of its own, which does what lines of JSON say: `python -m tests.faults.signin_process HOME`.

Its identity provider is honest, and says of each person what the line says. Its clock goes a thousand times slower
than others', so that nothing runs out.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import logging
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

from sqlalchemy import delete, select, update

from orgserver.app import App, open_app
from orgserver.config import read_settings
from orgserver.model.access.people import OAuthClient, Person
from orgserver.model.access.principals import Principal, Subject
from orgserver.model.digests import digest_text
from orgserver.model.orgs import Caller
from orgserver.model.secret import Secret
from orgserver.oauth.documents import DocumentFetcher
from orgserver.oauth.provider.client import Provider, ProviderAnswer
from orgserver.oauth.provider.refusals import GrantEnded, ProviderUnavailable
from orgserver.services.people.requests import PrincipalChanges
from orgserver.services.signin.browser.authorization import AuthorizationRequest
from orgserver.services.signin.browser.callbacks import AwaitsConsent, FailureKind, MeSession
from orgserver.services.signin.browser.consents import ConsentView
from orgserver.services.signin.composition import SignIn, make_sign_in
from orgserver.services.signin.options import SignInOptions
from orgserver.services.signin.parameters import Parameters
from orgserver.services.signin.people.sessions import SignInSessions
from orgserver.services.signin.tokens.access_tokens import SignedIn
from orgserver.services.signin.tokens.issuance import OAuthAnswer
from orgserver.store.catalog_version import changed_in
from orgserver.store.people import changes, claims
from orgserver.store.people import tables as people_tables
from orgserver.store.signin import clients, tables
from orgserver.store.transaction import Transaction

ISSUER, URL = "https://login.example", "https://orgs.example"
CLIENTS = {
    name: OAuthClient(name, "registered", name, (f"https://{name}.example/cb",)) for name in ("client-a", "client-b")
}
VERIFIER = "a-verifier-of-the-client-which-is-long-enough-for-rfc-7636"
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().rstrip("=")
OPERATOR = Caller(Principal("local:operator"), "cli")
SLOWNESS = 1_000
Command = dict[str, Any]


class HonestProvider:
    """Says who somebody is as the code says, and of a refresh what the line says that it says."""

    def __init__(self) -> None:
        self.moods: dict[str, Command] = {}
        self.shown: dict[str, str] = {}

    async def make_authorization_url(
        self, *, state: str, nonce: str, verifier: Secret, fresh: bool = False, offline: bool = True
    ) -> str:
        return f"{ISSUER}/authorize?state={state}"

    async def check_response_issuer(self, iss: str | None) -> None:
        assert iss is None

    async def exchange(self, code: Secret, *, verifier: Secret, nonce: str, fresh: bool = False) -> ProviderAnswer:
        said = json.loads(code.reveal())
        return _answer(said["sub"], said["groups"], said["token"])

    async def refresh(self, refresh_token: Secret, subject: Subject) -> ProviderAnswer:
        mood = self.moods[subject.subject]
        self.shown[subject.subject] = refresh_token.reveal()
        await asyncio.sleep(0)
        if mood["mood"] == "away":
            raise ProviderUnavailable("it is away")
        if mood["mood"] == "ended":
            raise GrantEnded("it has ended this")
        name, _, number = refresh_token.reveal().rpartition(":")
        is_rotated = mood["mood"] == "rotates"
        return _answer(subject.subject, mood["groups"], f"{name}:{int(number) + 1}" if is_rotated else None)


def _answer(sub: str, groups: list[str] | None, token: str | None) -> ProviderAnswer:
    person = Person(Subject(ISSUER, sub), sub, groups=tuple(groups) if groups is not None else None)
    return ProviderAnswer(person, Secret(token) if token else None)


@dataclass
class Server:
    """Does what lines say: each command is a method, and answers with its kind and what came of it."""

    app: App
    provider: HonestProvider = field(default_factory=HonestProvider)
    sign_in: SignIn = field(init=False)
    sessions: SignInSessions = field(init=False)
    cookies: int = 0

    def __post_init__(self) -> None:
        options = SignInOptions(URL, ISSUER, "orgserver")
        provider, fetcher = cast("Provider", self.provider), cast("DocumentFetcher", None)
        app = self.app
        self.sign_in = make_sign_in(app.store, app.access, app.people, options, provider, fetcher, self._make_cookie)
        self.sessions = SignInSessions(app.store)

    def _make_cookie(self) -> Secret:
        self.cookies += 1
        return Secret(f"cookie {id(self)} {time.time_ns()} {self.cookies}")

    async def run(self, command: Command) -> Command:
        try:
            reply: Command = await getattr(self, command["do"])(command)
        except Exception as error:  # noqa: BLE001  # whatever it is, it is unlike the model
            reply = {"kind": f"raised {error!r}"}
        return reply

    async def prepare(self, command: Command) -> Command:
        def add(tx: Transaction) -> None:
            for name in command["people"]:
                changes.add_principal_in(tx, name, "person")
                changes.add_subject_in(tx, name, Subject(ISSUER, name))
            for claim in command["claims"]:
                changes.add_group_in(tx, f"group-{claim}")
                changes.set_claim_in(tx, f"group-{claim}", claim)
            for client in CLIENTS.values():
                clients.register_in(tx, client, {})

        await self.app.store.database.write(add)
        return {"kind": "ok"}

    async def reset(self, command: Command) -> Command:
        """Begin anew with a person of earlier sequences."""
        name, digest = command["person"], digest_text(command["browser"])

        def change(tx: Transaction) -> None:
            tx.connection.execute(delete(tables.requests).where(tables.requests.c.browser_digest == digest))
            tx.connection.execute(delete(tables.sessions).where(tables.sessions.c.principal == name))
            claims.clear_in(tx, name)
            own = people_tables.principals.c.name == name
            tx.connection.execute(update(people_tables.principals).where(own).values(enabled=True))
            if changes.principal_of_subject_in(tx, Subject(ISSUER, name)) is None:
                changes.add_subject_in(tx, name, Subject(ISSUER, name))
            changed_in(tx)

        await self.app.store.database.write(change)
        return {"kind": "ok"}

    async def begin(self, command: Command) -> Command:
        browser = Secret(command["browser"])
        if command["client"] == "me":
            return {"kind": "begun", "state": _state(await self.sign_in.browsers.begin("open", browser))}
        client = CLIENTS[command["client"]]
        parameters = _parameters(
            response_type="code", client_id=client.client_id, redirect_uri=client.redirect_uris[0], scope=" ".join(command["scopes"]), state="s",
            code_challenge=CHALLENGE, code_challenge_method="S256",
        )  # fmt: skip
        request = self.sign_in.authorization.check(parameters, client)
        assert isinstance(request, AuthorizationRequest), request
        url = await self.sign_in.authorization.begin(request, browser)
        return {"kind": "begun", "state": _state(url)}

    async def answer(self, command: Command) -> Command:
        said = {"sub": command["person"], "groups": command["groups"], "token": command["token"]}
        parameters = (
            _parameters(state=command["state"], error="access_denied")
            if command["groups"] is None
            else _parameters(state=command["state"], code=json.dumps(said))
        )
        result = await self.sign_in.callbacks.take(parameters, Secret(command["browser"]), "192.0.2.1")
        if isinstance(result, AwaitsConsent):
            return {"kind": "consent", "request": result.request_id}
        if isinstance(result, MeSession):
            return {"kind": "me", "cookie": result.cookie.reveal()}
        return {"kind": result.kind.value}

    async def consent(self, command: Command) -> Command:
        browser, consents = Secret(command["browser"]), self.sign_in.consents
        view = await consents.find(command["request"], browser)
        if not isinstance(view, ConsentView):
            return {"kind": view.value}
        if command["picked"] is None:
            url: str | FailureKind | None = await consents.deny(view, browser)
        else:
            url = await consents.allow(view, browser, frozenset(command["picked"]))
        if not isinstance(url, str):
            return {"kind": url.value if url is not None else "nothing"}
        values = parse_qs(urlsplit(url).query)
        return {"kind": "code", "code": values["code"][0]} if "code" in values else {"kind": "no"}

    async def redeem(self, command: Command) -> Command:
        proof = VERIFIER if command["has_proof"] else VERIFIER[::-1]
        redirect_uri = CLIENTS[command["client"]].redirect_uris[0]
        return _tokens(
            await self._ask(
                grant_type="authorization_code", code=command["token"], client_id=command["client"],
                redirect_uri=redirect_uri, code_verifier=proof,
            )
        )  # fmt: skip

    async def refresh(self, command: Command) -> Command:
        person = command["person"]
        self.provider.moods[person] = command
        self.provider.shown.pop(person, None)
        scope = {"scope": " ".join(command["scopes"])} if command["scopes"] else {}
        answer = await self._ask(
            grant_type="refresh_token", refresh_token=command["token"], client_id=command["client"], **scope
        )
        return _tokens(answer) | {"shown": self.provider.shown.get(person)}

    async def _ask(self, **form: str) -> OAuthAnswer:
        return await self.sign_in.server.answer_token(_parameters(**form), "192.0.2.1")

    async def revoke(self, command: Command) -> Command:
        form = _parameters(token=command["token"], client_id=command["client"])
        answer = await self.sign_in.server.answer_revocation(form, "192.0.2.1")
        return {"kind": answer.error or "ok"}

    async def end(self, command: Command) -> Command:
        """What `revoke-session` does."""
        own = select(tables.tokens.c.session_id).where(tables.tokens.c.digest == digest_text(command["token"]))
        async with self.app.store.database.reading() as connection:
            session_id = (await connection.execute(own)).scalar() or "none"
        return {"kind": "ended" if await self.sessions.end(OPERATOR, session_id) else "over"}

    async def check(self, command: Command) -> Command:
        result = await self.sign_in.access_tokens.check(Secret(command["token"]))
        is_in = isinstance(result, SignedIn)
        return {"kind": " ".join(sorted(f"orgs:{each}" for each in result.scopes)) if is_in else result.value}

    async def browse(self, command: Command) -> Command:
        """Open /me, and perhaps sign out there."""
        session = await self.sign_in.browsers.find(Secret(command["cookie"]))
        if session is not None and command["sign_out"]:
            await self.sign_in.browsers.end(session, Caller(session.principal, "http"))
        return {"kind": "me" if session is not None else "nobody"}

    async def change(self, command: Command) -> Command:
        """Disable and enable the principal, or bind and unbind the person."""
        subject, value = (Subject(ISSUER, command["person"]),), command["value"]
        if command["what"] == "enabled":
            changed = PrincipalChanges(enabled=value)
        else:
            changed = PrincipalChanges(subjects=subject) if value else PrincipalChanges(no_subjects=subject)
        await self.app.people.principals.update(OPERATOR, command["person"], changed)
        return {"kind": "ok"}

    async def groups(self, command: Command) -> Command:
        """Which groups the person is in by claim, and how many sessions are live."""
        name = command["person"]
        groups = await self.app.store.database.write(lambda tx: claims.groups_in(tx, name))
        live = await self.sessions.all(name)
        return {"kind": " ".join([*(each.removeprefix("group-") for each in groups), str(len(live))])}


def _parameters(**values: str) -> Parameters:
    return Parameters({name: [value] for name, value in values.items()})


def _state(url: str | None) -> str:
    assert url is not None
    return parse_qs(urlsplit(url).query)["state"][0]


def _tokens(answer: OAuthAnswer) -> Command:
    if answer.error is not None:
        return {"kind": answer.error}
    body = answer.body
    return {"kind": "tokens", "access": body["access_token"], "refresh": body["refresh_token"]}


async def _obey(home: Path) -> None:
    logging.disable(logging.WARNING)  # entries that are put off are as good
    began = time.time_ns()
    clock = lambda: (began + (time.time_ns() - began) // SLOWNESS) // 1_000  # noqa: E731
    async with open_app(read_settings({"home": home, "log_level": "error"}, {}), clock=clock) as app:
        server = Server(app)
        lines = asyncio.StreamReader(limit=1 << 20)
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
        print(json.dumps({"kind": "ready"}), flush=True)
        tasks: set[asyncio.Task[None]] = set()
        while line := await lines.readline():
            task = asyncio.create_task(_answer_line(server, json.loads(line)))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        await asyncio.gather(*tasks)
        await server.sign_in.server.close()


async def _answer_line(server: Server, command: Command) -> None:
    reply = await server.run(command)
    print(json.dumps(reply | {"id": command["id"]}), flush=True)


if __name__ == "__main__":
    asyncio.run(_obey(Path(sys.argv[1])))
