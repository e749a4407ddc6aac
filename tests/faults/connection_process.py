"""A server's services in a process of its own, for whoever lines of JSON name: calls, and changes of people's logins."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection as Pipe
from typing import Any

from orgserver.app import App, open_app
from orgserver.config import read_settings
from orgserver.model.access.principals import Principal, read_selector
from orgserver.model.errors import CallError, OperatorError
from orgserver.model.names import CONTACT, RowId, new_id
from orgserver.model.orgs import AccessToken, Caller, Connection, Credential, Org, OrgState, OrgUser
from orgserver.model.secret import Secret
from orgserver.services.people.requests import GrantChanges, PrincipalChanges
from orgserver.services.tokens import login_ends
from orgserver.store.orgs import policies
from orgserver.store.transaction import Transaction, to_datetime
from tests import operations
from tests.people import OPERATOR, change_principal

from . import program

Command = dict[str, Any]


@dataclass
class Services:
    """Does what lines say: each command is a method, and answers with what came of it."""

    app: App

    async def run(self, command: Command) -> Command:
        try:
            reply: Command = await getattr(self, command["do"])(command)
        except CallError as error:
            reply = {"kind": error.code, "outcome": error.outcome, "message": str(error)}
        except OperatorError as error:
            reply = {"kind": type(error).__name__, "message": str(error)}
        except Exception as error:  # noqa: BLE001  # whatever it is, it is unlike the model
            reply = {"kind": f"raised {error!r}"}
        return reply

    # -- calls: what makes each known among all at the org is its tag

    def _caller(self, command: Command) -> Caller:
        return Caller(Principal(command["principal"]), "http", request_id=command["tag"])

    async def query(self, command: Command) -> Command:
        soql = f"SELECT Id FROM User WHERE Username = '{command['tag']}'"
        await operations.query(self.app, self._caller(command), "salesforce_query", command["org"], soql)
        return {"kind": "ok"}

    async def create(self, command: Command) -> Command:
        values = {"LastName": command["tag"]}
        made = await operations.create(self.app, self._caller(command), "t", command["org"], CONTACT, values)
        return {"kind": "ok", "record": made.id}

    async def describe(self, command: Command) -> Command:
        view = await operations.describe(self.app, self._caller(command), "t", command["org"], "Contact")
        return {"kind": "ok", "phone": "Phone" in {each.name for each in view.fields}}

    # -- changes of logins

    async def connect(self, command: Command) -> Command:
        """What a person's click stores: a login that Salesforce has given, over the one that there was."""
        org = await self._org(command["org"])
        now = to_datetime(self.app.store.database.clock())
        user = OrgUser(command["user_id"], command["username"], "Europe/Berlin")
        connection = Connection(
            id=RowId(new_id()), row_id=org.row_id, principal=command["principal"], kind="web", user=user,
            username=user.username, state=OrgState.READY, cause=None, problem=None, created_at=now, refreshed_at=now,
        )  # fmt: skip
        credential = Credential(command["client_id"], None, Secret(command["refresh_token"]), fencing=1)
        token = command["access_token"]
        access = AccessToken(Secret(token), org.instance_url, 1) if token else None
        store = self.app.store

        def change(tx: Transaction) -> None:
            old = store.orgs.connections.add_in(tx, connection, credential, access)
            if old is not None and old.refresh_token is not None:
                store.revocations.add_in(tx, org, connection.principal, old.refresh_token)

        await store.database.write(change)
        return {"kind": "ok"}

    async def end(self, command: Command) -> Command:
        org, store, name = await self._org(command["org"]), self.app.store, command["principal"]
        cause, caller, forget = login_ends.BY_ITSELF, Caller(Principal(name), "http"), command["forget"]
        end = login_ends.end_of_person_in
        await store.database.write(lambda tx: end(tx, store, org, name, cause, caller, forget=forget))
        return {"kind": "ok"}

    async def renew(self, command: Command) -> Command:
        """What keep-alive does with a login that was idle for long."""
        org = await self.app.access.current_org(self._caller(command), command["org"])
        assert org is not None
        await self.app.access.tokens.renew(org)
        return {"kind": "ok"}

    # -- changes of people and orgs

    async def enable(self, command: Command) -> Command:
        name = command["principal"]
        changed = PrincipalChanges(enabled=command["value"])
        await self.app.people.principals.update(OPERATOR, name, changed)
        return {"kind": "ok"}

    async def grant(self, command: Command) -> Command:
        name, alias = command["principal"], command["org"]
        if command["value"]:
            await change_principal(self.app, name, f"{alias}:read,write")
            return {"kind": "ok"}
        revoked = PrincipalChanges(grants=GrantChanges(revoked=(read_selector(alias),)))
        await self.app.people.principals.update(OPERATOR, name, revoked)
        return {"kind": "ok"}

    async def identify(self, command: Command) -> Command:
        org = await self._org(command["org"])
        await self.app.store.database.write(lambda tx: policies.identify_in(tx, org.row_id, command["identity"], None))
        return {"kind": "ok"}

    async def _org(self, alias: str) -> Org:
        return (await self.app.access.catalog()).by_alias[alias]  # type: ignore[index]  # an alias is text


def run(_arguments: Sequence[str], pipes: Mapping[int, Pipe], environment: Mapping[str, str]) -> None:
    """Be such a process, forked from one that has imported the program."""
    program.take_place(pipes, environment)
    asyncio.run(_obey())


async def _obey() -> None:
    logging.disable(logging.CRITICAL)
    async with open_app(read_settings()) as app:
        services = Services(app)
        await app.access.reload()
        lines = asyncio.StreamReader(limit=1 << 20)
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
        print(json.dumps({"kind": "ready"}), flush=True)
        revoking = asyncio.create_task(app.revoker.run())  # as servers do
        tasks: set[asyncio.Task[None]] = set()
        while line := await lines.readline():
            task = asyncio.create_task(_answer_line(services, json.loads(line)))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        await asyncio.gather(*tasks)
        revoking.cancel()


async def _answer_line(services: Services, command: Command) -> None:
    reply = await services.run(command)
    print(json.dumps(reply | {"id": command["id"]}), flush=True)
