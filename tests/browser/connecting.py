"""Two people give one org a login of their own each, in a real browser, and act there as themselves.

One shows who she is by signing in, the other by his key. What Salesforce says of who made a record stands beside what
the audit log says.
"""

from __future__ import annotations

import json
import re
from typing import Any

from orgserver.model.audit import EntryFilter
from orgserver.services.people.requests import KeyChanges
from tests.browser.chromium import Tab
from tests.browser.walk import Walk
from tests.browser.world import OPERATOR
from tests.own_logins import set_identity
from tests.people import principal_changes

_LINK = re.compile(r"http://\S+/connect/[\w-]{43}")


class ConnectingWalk(Walk):
    """This walk, which goes on after the other."""

    async def run(self) -> None:
        """Go all of it."""
        world = self._world
        self.known.add(world.acme.url.partition("://")[2])
        world.acme.callbacks.append(f"{world.served.url}/connect/callback")
        world.acme.answers.consent_page = True
        await set_identity(world.app, "acme", "own")
        tab = await self._chromium.open_tab()
        made = {}
        for name in ("ada", "bob"):
            world.acme.add_user(f"{name}@acme.example", f"{name.title()} of Acme")
            await tab.call("Network.clearBrowserCookies")
            key = await self._give_key(name)
            link = await self._ask(key)
            await self._connect_as(tab, name, key, link)
            made[name] = (await self._create(key))["id"]
        await self._lose_the_way(tab)
        await self._compare(made)
        self._check_requests(tab)
        await tab.close()

    # -- the parts of it

    async def _connect_as(self, tab: Tab, name: str, key: str, link: str) -> None:
        """From the link to a login that is stored."""
        await tab.go(link)
        await self._look(tab, f"connect-{name}-who", "Who are you?")
        if name == "ada":
            await self._press(tab, "Sign in with your company's login")
            await self._sign_in(tab, name)
        else:
            await tab.click("#key")
            await tab.type(key)
            await self._enter(tab)
        await self._look(tab, f"connect-{name}", "Connect acme")
        await self._press(tab, "Go on to Salesforce")
        await self._allow_at_salesforce(tab, name)
        await self._look(tab, f"connect-{name}-result", "Store this login?")
        self._expect(await tab.text(), f"{name}@acme.example")
        await self._press(tab, "Store")
        await self._look(tab, f"connect-{name}-done", "You are connected")
        if name == "ada":
            await tab.go(f"{self._world.served.url}/me")
            await self._look(tab, "me-logins", None)
            self._expect(await tab.text(), "ada@acme.example")
        await tab.go(link)
        await self._look(tab, f"connect-{name}-used-up", "This link is used up or too old")

    async def _allow_at_salesforce(self, tab: Tab, name: str) -> None:
        """Log in there, and let the app in; the pages are not ours, so they are only pictured."""
        user = self._world.acme.users.find(f"{name}@acme.example")
        assert user is not None
        await self._picture(tab, f"salesforce-{name}-login")
        await tab.evaluate("document.querySelector('#username').value = ''")
        await tab.click("#username")
        await tab.type(user.username)
        await tab.click("#password")
        await tab.type(user.password)
        await self._enter(tab)
        await self._picture(tab, f"salesforce-{name}-consent")
        self._expect(await tab.text(), "Allow Access?")
        async with tab.loading():
            await tab.click("#oaapprove")

    async def _lose_the_way(self, tab: Tab) -> None:
        """A link that is somebody else's."""
        await self._world.app.people.principals.add(OPERATOR, "carol", principal_changes("acme:read,write"))
        link = await self._ask(await self._give_key("carol"))
        await tab.call("Network.clearBrowserCookies")
        await tab.go(f"{self._world.served.url}/me/signin?purpose=open")
        await self._sign_in(tab, "ada")
        await tab.go(link)
        await self._look(tab, "connect-somebody-elses", "This link is somebody else's")

    async def _compare(self, made: dict[str, str]) -> None:
        """Who made a record: by Salesforce, and by the audit log."""
        world = self._world
        for name, record_id in made.items():
            (entry,) = await world.app.audit_log.newest(EntryFilter(record_id=record_id), 1)
            creator = world.acme.users.by_id[world.acme.records.tables["Contact"][record_id]["CreatedById"]]
            user = entry.salesforce_user
            self._say(
                f"{record_id}: CreatedById {creator.id} ({creator.username}); "
                f"audit {entry.principal}, {entry.identity}, {user.id if user else None} ({user.username if user else None})"
            )
            told = entry.principal, entry.identity, user.id if user else None
            if told != (name, "own", creator.id) or creator.username != f"{name}@acme.example":
                self.problems.append(f"{record_id} was made by {creator.username}, and the entry says {told}")

    # -- what is done again and again

    async def _give_key(self, name: str) -> str:
        people = self._world.app.people.principals
        update = await people.update(OPERATOR, name, principal_changes(keys=KeyChanges(new=True)))
        assert update.key is not None
        return update.key.text.reveal()

    async def _create(self, key: str) -> dict[str, Any]:
        async with self._world.served.client(key) as client:
            arguments = {"org": "acme", "data": {"LastName": "Made by a person"}}
            result = await client.call_tool("salesforce_create_contact", arguments)
        answer: dict[str, Any] = json.loads(result.content[0].text)  # type: ignore[union-attr]  # all of ours are text
        return answer

    async def _ask(self, key: str) -> str:
        """The link that a call without a login is answered with."""
        error = (await self._create(key))["error"]
        self._expect(error["code"], "LOGIN_REQUIRED")
        found = _LINK.search(error["hint"])
        assert found is not None, error
        return found[0]

    async def _press(self, tab: Tab, words: str) -> None:
        await self._tab_to(tab, words)
        await self._enter(tab)

    async def _enter(self, tab: Tab) -> None:
        async with tab.loading():
            await tab.press("Enter")

    async def _picture(self, tab: Tab, name: str) -> None:
        self.count += 1
        self._say(f"{self.count:2} {name}: {await tab.evaluate('document.title')}")
        if self._pictures is not None:
            await tab.picture(self._pictures / f"{self.count:02}-{name}.png")
