"""A person's way through all pages in a real browser: as eyes, as a keyboard and as a screen reader meet them.

Connect at a client, sign in, consent, a first call, a second round, a call that waits, a fresh sign-in, the yes, the log,
sessions; and pages for those who lost the way.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from sqlalchemy import update

from orgserver.store.signin import tables
from tests.browser.chromium import Chromium, Tab
from tests.browser.world import World
from tests.provider.state import PASSWORD

FORMS = (("light", False, 1_024), ("dark", True, 1_024), ("narrow", False, 320))
_CHECKS = Path(__file__).with_name("checks.js").read_text("utf-8")
_NAMED = {"button", "link", "checkbox", "textbox", "combobox", "heading", "navigation", "region"}
_FOCUSABLE = "a[href], button, input:not([type=hidden]), select, summary, pre[tabindex]"
_MOST_TABS = 400
_MEANT = (
    "Failed to load resource: the server responded with a status of",
    "Autofocus processing was blocked",  # on the provider's page: ours ask for no focus
)
_LONG = "\u202e<b>Allowed</b>\u05d0" + "W" * 180


class Walk:
    """One walk, and what was wrong on it."""

    def __init__(
        self, world: World, chromium: Chromium, pictures: Path | None, say: Callable[[str], None], count: int = 0
    ) -> None:
        self._world = world
        self._chromium = chromium
        self._pictures = pictures
        self._say = say
        self.count = count
        """The pages that were looked at."""
        self.problems: list[str] = []
        self.own = urlsplit(world.served.url).netloc
        self.known = {self.own, urlsplit(world.provider.issuer).netloc, urlsplit(world.agent.redirect_uri).netloc}

    async def run(self) -> None:
        """Go all of it."""
        tab = await self._chromium.open_tab()
        await self._connect(tab)
        await self._ask_and_allow(tab)
        await self._look_after(tab)
        await self._meet_long_names(tab)
        await self._lose_the_way(tab)
        self._check_requests(tab)
        await tab.close()

    # -- the parts of it

    async def _connect(self, tab: Tab) -> None:
        """From a client's connect to a first call, and to a second round for what it may do beside that."""
        agent = self._world.agent
        await tab.go(await agent.connect("Claude Code", "orgs:read"))
        self._expect(await tab.text(), "Sign in at the provider")
        await self._sign_in(tab, "ada")
        await self._look(tab, "consent", "Allow Claude Code to work in your Salesforce orgs?")
        await self._untick(tab)
        await self._tab_to(tab, "Allow")
        async with tab.loading():
            await tab.press("Enter")
        self._expect(await tab.text(), "Nothing was allowed yet.")
        await self._look(tab, "consent-nothing-ticked", "Allow Claude Code to work in your Salesforce orgs?")
        await self._tab_to(tab, "Allow")
        async with tab.loading():
            await tab.press("Enter")
        self._expect(await tab.text(), "Connected")
        await agent.take_tokens()
        listed = await agent.call("salesforce_list_contacts", org="acme")
        self._expect(json.dumps(sorted(listed)), "records")
        await tab.go(agent.make_url())
        await self._look(tab, "consent-step-up", "Allow Claude Code to work in your Salesforce orgs?")
        self._expect(await tab.text(), "You have allowed this client already: read.")
        await self._tab_to(tab, "Allow")
        async with tab.loading():
            await tab.press("Enter")
        self._expect(await tab.text(), "Connected")
        await agent.take_tokens()

    async def _ask_and_allow(self, tab: Tab) -> None:
        """A call that waits for a person, and the person's yes."""
        agent, url = self._world.agent, self._world.served.url
        data = {"FirstName": "Charles", "LastName": "Babbage"}
        contact = await agent.call("salesforce_create_contact", org="acme", data=data)
        refused = await agent.call("salesforce_delete_contact", org="acme", contact_id=contact["id"])
        self._expect(refused["error"]["hint"], f"{url}/me")
        await tab.go(f"{url}/me")
        await self._look(tab, "me-signed-out", "Your account here")
        await self._tab_to(tab, "Sign in with your company's login")
        async with tab.loading():
            await tab.press("Enter")
        await self._look(tab, "me-waiting", "Ada Lovelace")
        await self._age_sign_in()
        await tab.go(f"{url}/me")
        await self._look(tab, "me-sign-in-again", "Ada Lovelace")
        await self._tab_to(tab, "Sign in again to allow it")
        async with tab.loading():
            await tab.press("Enter")
        self._expect(await tab.text(), "Sign in at the provider")
        await self._sign_in(tab, "ada")
        await self._tab_to(tab, "Allow this once")
        async with tab.loading():
            await tab.press("Space")
        await self._look(tab, "me-allowed", "Ada Lovelace")
        self._expect(await tab.text(), "Allowed by ada.")
        deleted = await agent.call("salesforce_delete_contact", org="acme", contact_id=contact["id"])
        self._expect(json.dumps(deleted), '"deleted": true')

    async def _look_after(self, tab: Tab) -> None:
        """The log, and everybody's sessions, of which the client's is ended."""
        url = self._world.served.url
        await tab.go(f"{url}/me/log?org=acme&since=1d")
        await self._look(tab, "log", "Audit log")
        await tab.go(f"{url}/me/log?since=yesterday")
        await self._look(tab, "log-unreadable-filter", "Audit log")
        await tab.go(f"{url}/me/sessions")
        await self._look(tab, "sessions", "Everybody's sessions")
        if not await self._world.agent.is_signed_in():
            self.problems.append("the agent is not signed in before its session is ended")
        for _ in range(3):
            if await self._world.agent.is_signed_in():
                async with tab.loading():
                    await tab.click("tbody tr:last-child button")
        if await self._world.agent.is_signed_in():
            self.problems.append("the agent's session was not ended")

    async def _meet_long_names(self, tab: Tab) -> None:
        """Names without a blank, that read from the right, or that look like a page's own words."""
        agent, url = self._world.agent, self._world.served.url
        await tab.go(await agent.connect(_LONG))
        await self._look(tab, "consent-long-name", None)
        await self._tab_to(tab, "Allow")
        async with tab.loading():
            await tab.press("Enter")
        await agent.take_tokens()
        contact = await agent.call("salesforce_create_contact", org="acme", data={"LastName": _LONG[:80]})
        await agent.call("salesforce_delete_contact", org="acme", contact_id=contact["id"])
        for path, name in (
            ("me", "me-long-name"),
            ("me/log?org=" + "a" * 600, "log-long-filter"),
            ("me/sessions", "sessions-long-name"),
        ):
            await tab.go(f"{url}/{path}")
            await self._look(tab, name, None)

    async def _lose_the_way(self, tab: Tab) -> None:
        """Old bookmarks, other browsers, strangers: each page says what to do."""
        url, agent = self._world.served.url, self._world.agent
        await tab.go(f"{url}/signin/consent/01900000-0000-7000-8000-000000000000")
        await self._look(tab, "old-bookmark", None)
        await tab.go(agent.make_url())
        await self._tab_to(tab, "Do not allow")
        async with tab.loading():
            await tab.press("Enter")
        self._expect(await tab.text(), "Connected")  # the client is told: this one always says so
        self._expect(json.dumps(await agent.answers.get()), '"error": "access_denied"')
        stranger = await self._chromium.open_tab()
        await stranger.call("Network.clearBrowserCookies")
        await stranger.go(agent.make_url())
        await self._sign_in(stranger, "mallory")
        await self._look(stranger, "stranger", "Nobody here knows you yet")
        self._check_requests(stranger)
        await stranger.close()
        await tab.go(f"{url}/authorize?client_id=nobody")
        await self._look(tab, "unknown-client", None)
        await self._world.provider.set(answers={"/token": {"kind": "status", "status": 503}})
        await tab.call("Network.clearBrowserCookies")
        await tab.go(f"{url}/me/signin?purpose=open")
        await self._sign_in(tab, "ada")
        await self._look(tab, "provider-away", None)
        await self._world.provider.set(answers={})

    # -- what is done on each page

    async def _sign_in(self, tab: Tab, login: str) -> None:
        """Fill in the provider's form."""
        await tab.click("input[name=login]")
        await tab.type(login)
        await tab.press("Tab")
        await tab.type(PASSWORD)
        async with tab.loading():
            await tab.press("Enter")

    async def _look(self, tab: Tab, name: str, heading: str | None) -> None:
        """Check a page in its forms, and take its pictures."""
        self.count += 1
        self._say(f"{self.count:2} {name}: {await tab.evaluate('document.title')}")
        found = await tab.evaluate("document.querySelector('h1')?.innerText")
        if urlsplit(await tab.url).netloc != self.own or not found or (heading is not None and found != heading):
            self.problems.append(f"{name}: this is {found!r} at {await tab.url}")
            return
        await self._check_tree(tab, name)
        await self._check_keyboard(tab, name)
        for form, is_dark, width in FORMS:
            await tab.resize(width)
            await tab.set_dark(is_dark)
            self.problems += [f"{name}, {form}: {each}" for each in await tab.evaluate(_CHECKS)]
            if self._pictures is not None:
                await tab.picture(self._pictures / f"{self.count:02}-{name}-{form}.png")
        await tab.resize(1_024)
        await tab.set_dark(False)

    async def _check_tree(self, tab: Tab, name: str) -> None:
        """A screen reader finds one main part and one title, and whatever can be used has a name."""
        tree = await tab.tree()
        for role in ("main", "banner", "contentinfo"):
            if [each for each, _ in tree].count(role) != 1:
                self.problems.append(f"{name}: there is not one {role}")
        self.problems += [
            f"{name}: a {role} without a name" for role, text in tree if role in _NAMED and not text.strip()
        ]

    async def _check_keyboard(self, tab: Tab, name: str) -> None:
        """The tabulator goes through everything in the order of reading, and is seen where it is."""
        await tab.evaluate("document.activeElement.blur()")
        expected = await tab.evaluate(
            f"[...document.querySelectorAll({json.dumps(_FOCUSABLE)})].filter(e => e.checkVisibility()).length"
        )
        for number in range(min(expected, _MOST_TABS)):
            await tab.press("Tab")
            place, outline = await tab.evaluate(
                f"(() => {{ const all = [...document.querySelectorAll({json.dumps(_FOCUSABLE)})]"
                ".filter(e => e.checkVisibility()), e = document.activeElement, s = getComputedStyle(e);"
                " return [all.indexOf(e), s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 2]; })()"
            )
            if place != number or not outline:
                self.problems.append(f"{name}: tab {number} comes to {place}, seen: {outline}")
                return
        await tab.evaluate("document.activeElement.blur()")

    async def _tab_to(self, tab: Tab, words: str) -> None:
        """Go to what is called so, by keyboard alone."""
        await tab.evaluate("document.activeElement.blur()")
        for _ in range(_MOST_TABS):
            await tab.press("Tab")
            if (await tab.evaluate("document.activeElement.innerText.trim()")) == words:
                return
        raise AssertionError(f"no tab comes to {words!r} on {await tab.url}: {await tab.text()}")

    async def _untick(self, tab: Tab) -> None:
        """Take every tick away, by keyboard alone."""
        for _ in range(_MOST_TABS):
            if not await tab.evaluate("document.querySelectorAll(':checked').length"):
                return
            await tab.press("Tab")
            if await tab.evaluate("document.activeElement.matches(':checked')"):
                await tab.press("Space")
        raise AssertionError(f"ticks stay on {await tab.url}")

    async def _age_sign_in(self) -> None:
        """Let the sign-in at /me have been six minutes ago."""
        older = update(tables.sessions).where(tables.sessions.c.kind == "browser")
        older = older.values(auth_time=tables.sessions.c.auth_time - 360)
        await self._world.app.store.database.write(lambda tx: tx.connection.execute(older))

    def _expect(self, text: str, words: str) -> None:
        if words not in text:
            self.problems.append(f"{words!r} is not in {text[:2_000]!r}")

    def _check_requests(self, tab: Tab) -> None:
        """Nothing was asked of anybody else, and the console has nothing to say but statuses that are meant."""
        self.problems += [
            f"asked of somebody else: {each}" for each in tab.requests if urlsplit(each).netloc not in self.known
        ]
        self.problems += [f"the console says: {each}" for each in tab.complaints if not each.startswith(_MEANT)]
