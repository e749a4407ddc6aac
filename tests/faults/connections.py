"""People's own logins in many processes: whatever happens at the same time, nobody acts with anybody else's.

Twenty people use ten orgs through four processes on one store: they log in, call, log in anew, end their logins; their
sessions expire, Salesforce revokes what it gave, they are disabled and lose grants, orgs change whose logins they take,
and processes are killed. What is sent carries its caller's mark, so that the log of the pretend orgs tells of each
request whose token it showed. What each call is answered is compared with a model of it; at the end the audit log is
compared with the orgs' own, and what lives at the orgs with what is stored: a login that has ended is revoked.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import re
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from orgserver.app import App, open_app
from orgserver.cli.orgs.pretend_orgs import register
from orgserver.config import read_settings
from orgserver.model.access.logins import Identity
from orgserver.model.audit import EntryFilter
from orgserver.sandbox.org import SandboxOrg
from orgserver.sandbox.server import Sandbox
from orgserver.sandbox.state.logins import Family
from orgserver.sandbox.state.request_log import LoggedRequest
from orgserver.sandbox.state.users import SandboxUser
from orgserver.store.orgs import policies
from tests.people import add_principal

from .connection_driving import Gone, Process
from .connection_model import LOGIN, NO_ORG, OWN, SHARED, LoginModel, OrgModel, PersonModel, answer
from .store_places import IN_FILE, MEMORY, StorePlace, place_of

PEOPLE, ORGS, PROCESSES = 20, 10, 4
IDENTITIES: tuple[Identity, ...] = ("own",) * 6 + ("own-or-shared",) * 3 + ("shared",)
CHANGING = range(4, 8)
"""The orgs that change whose logins they take."""
STORE = 5_000
"""Interleavings in one store: its log grows with each call."""
CRASHES = 0.01
"""Of interleavings, those in which a process is killed."""
BUSY = {"StoreBusy", "StoreAway", "STORE_UNAVAILABLE", "TOKEN_BUSY", "RATE_LIMITED"}
"""Nothing came of it, for others were busy: that is an answer, too."""
STEPS = 1, 3
CLAIM_US = 600_000_000
"""Longer than a process that was killed keeps others from what it was about to revoke."""
IDLE_SECONDS = 600
"""As orgs have it. After the sandbox's ten, now and then one closes a connection just as a call goes over it."""
KINDS_OF_ORG: tuple[Identity, ...] = ("own", "own-or-shared", "shared")
CHANGES = {"connect": OWN, "end": LOGIN, "forget": SHARED, "disable": NO_ORG, "revoke": LOGIN}
"""What calls come to once it is done."""
KINDS = 17
"""What steps can come to."""
MARK = re.compile(r"p\d+x\d+x")
Reply = dict[str, Any]
Change = Callable[[str], Coroutine[Any, Any, None]]


@dataclass
class Connected:
    """What was done, what came of it, and what should not have."""

    seed: int
    interleavings: int = 0
    cut: int = 0
    calls: int = 0
    requests: int = 0
    """Those at the orgs whose caller is known."""
    entries: int = 0
    """Those of the audit log that were compared with the orgs' own."""
    revoked: int = 0
    """Logins that are over at their org; none lives there that nobody has here."""
    crashes: int = 0
    lost: list[str] = field(default_factory=list)
    """Logins that ended as a process was killed, though no try of their token showed that an answer was lost with it."""
    proofs: int = 0
    """Tries of a refresh token whose answer was lost between Salesforce and the store."""
    reuses: int = 0
    """All others."""
    crossings: list[str] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)

    @property
    def wrong(self) -> list[str]:
        return [*self.crossings, *self.differences, *self.lost]

    @property
    def holds(self) -> bool:
        few_cut = self.cut <= max(self.interleavings // 50, 2)
        return not self.wrong and self.reuses == 0 and len(self.kinds) >= KINDS and few_cut

    def __str__(self) -> str:
        kinds = ", ".join(f"{name} {count:,}" for name, count in sorted(self.kinds.items()))
        first = f"; the first: {self.wrong[0]}" if self.wrong else ""
        return (
            f"{self.interleavings:,} interleavings ({self.cut:,} cut short as the store was busy), {self.calls:,} calls, "
            f"{self.crashes:,} processes killed: {len(self.crossings)} crossings in {self.requests:,} requests, "
            f"{self.reuses} reuses (beside {self.proofs} tries that proved a login lost with a killed process), "
            f"{self.entries:,} entries as the orgs' own logs, {self.revoked:,} logins over at Salesforce, too, "
            f"{len(self.differences) + len(self.lost)} unlike the model: {kinds}{first}"
        )


class Unlike(Exception):
    """Something came to what the model does not say."""


class Cut(Exception):
    """Others were busy."""


@dataclass
class Call:
    """One call that is under way or over: whose tokens its requests may show, and whose they showed."""

    person: str
    alias: str
    since: int
    """How the org stood when it began."""
    logins: list[str]
    """Every login that its caller has had there, also those that are given meanwhile."""
    first: int
    """The one of them that was in use when it began."""
    may_share: bool
    """Whether its caller may be one who never connected."""
    shown: set[tuple[str, str]] = field(default_factory=set)
    """Users and logins of its requests that were carried out."""

    @property
    def families(self) -> set[str]:
        """The logins whose tokens its requests may show, beside the shared one."""
        return set(self.logins[self.first :])


class Log(list[LoggedRequest]):
    """Takes what an org logs, and keeps none of it."""

    def __init__(self, world: World, org: SandboxOrg) -> None:
        super().__init__()
        self._world, self._org = world, org

    def append(self, request: LoggedRequest) -> None:
        self._world.judge(self._org, request)


@dataclass
class World:
    """Everything that the people share."""

    figures: Connected
    sandbox: Sandbox
    home: Path
    place: StorePlace
    processes: list[Process] = field(default_factory=list)
    orgs: dict[str, SandboxOrg] = field(default_factory=dict)
    models: dict[str, OrgModel] = field(default_factory=dict)
    people: dict[str, Person] = field(default_factory=dict)
    calls: dict[str, Call] = field(default_factory=dict)
    serial: Iterator[int] = field(default_factory=itertools.count)
    doubted: set[str] = field(default_factory=set)
    """Logins that a process was busy with when it was killed."""
    proven: set[str] = field(default_factory=set)
    """Logins whose token was tried again after that, for which Salesforce ended them."""
    loose: set[str] = field(default_factory=set)
    """Logins that Salesforce gave, and nobody knows whether they were stored."""
    reuses: dict[str, int] = field(default_factory=Counter)
    """Of each org, as many as were looked at."""
    calm: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Who holds it has no process killed meanwhile, and nobody else changes an org or kills one."""

    def judge(self, org: SandboxOrg, request: LoggedRequest) -> None:
        """See that a request shows its caller's own token, or the shared one where that is right."""
        if request.path.endswith("/token"):
            self._judge_reuse(org, request)
        found = MARK.search(request.query or request.body)
        if found is None or "/services/data/" not in request.path:
            return
        tag = found[0]
        call, shared = self.calls[tag], org.logins.seeded.digest
        self.figures.requests += 1
        identities = self.models[org.alias].possible(call.since)
        may_share = "shared" in identities or ("own-or-shared" in identities and call.may_share)
        families = call.families if identities != {"shared"} else set()
        if org.alias != call.alias or request.family not in families | ({shared} if may_share else set()):
            text = f"call {tag} of {call.person} in {call.alias} showed a token of {request.user_id} in {org.alias}"
            self.figures.crossings.append(f"{text}: {request}")
        if request.status < 400:
            call.shown.add((request.user_id, SHARED if request.family == shared else OWN))

    async def kill(self, work: tuple[str, str]) -> None:
        """Kill a process that is busy with this, and start another in its place."""
        busy = [place for place, process in enumerate(self.processes) if work in process.under_way]
        if not busy:
            return
        place = busy[0]
        self.figures.crashes += 1
        for name, alias in self.processes[place].under_way:
            self.doubted |= {*self.people[name].logins[alias].families[-2:]} if name else set()
        await self.processes[place].end(kill=True)
        self.processes[place] = await Process.start(self.home, self.place)

    def _judge_reuse(self, org: SandboxOrg, request: LoggedRequest) -> None:
        """Once a login's answer was lost with a process, its token is tried again: that is the only way to know."""
        count = org.counters.reuses - self.reuses[org.alias]
        self.reuses[org.alias] += count
        if request.family in self.doubted:
            self.figures.proofs += count
            self.proven |= {request.family} if count else set()
        else:
            self.figures.reuses += count


class Person:
    """One of them: does one thing after the other, in one org or two, and knows what each must come to."""

    def __init__(self, world: World, number: int) -> None:
        self.world, self.number, self.name = world, number, f"p{number}"
        self.model = PersonModel(True, dict.fromkeys(world.orgs, True))
        self.logins = {alias: LoginModel() for alias in world.orgs}
        self.users: dict[str, SandboxUser] = {}
        self.families: dict[str, Family] = {}
        self.is_standing_known = True
        self.random = random.Random()
        self.story: list[str] = []
        for alias, org in world.orgs.items():
            user = self.users[alias] = org.add_user(f"{self.name}@{alias}.example")
            if number % 2:
                org.change_user(user, hidden_fields={"Contact": frozenset({"Phone"})})

    async def run(self, seed: str) -> None:
        """One interleaving."""
        self.random, self.story, figures = random.Random(seed), [seed], self.world.figures
        aliases = self.random.sample(list(self.world.orgs), self.random.choice((1, 1, 2)))
        try:
            for alias in aliases:
                await self._settle(alias)
                if self.logins[alias].state != "good" and self.random.random() < 0.7:
                    await self._connect(alias)
            for _ in range(self.random.randint(*STEPS)):
                await self._step(self.random.choice(aliases))
            if self.random.random() < CRASHES:
                await self._crash(aliases[0])
            figures.interleavings += 1
        except Gone:
            figures.interleavings += 1  # what was cut off is looked at by the next
        except Cut:
            figures.cut += 1

    async def _step(self, alias: str) -> None:
        steps = (
            (self._calls, 5), (self._expire, 3), (self._connect, 1), (self._end, 0.4), (self._forget, 0.4),
            (self._revoke, 0.7), (self._disable, 0.4), (self._lose_grant, 0.4), (self._renew, 0.5), (self._race, 2),
            (self._identify, 0.1), (self._expire_shared, 0.1),
        )  # fmt: skip
        await self._settle(alias)
        await self.random.choices([each for each, _ in steps], [weight for _, weight in steps])[0](alias)

    # -- calls

    async def _calls(self, alias: str, count: int | None = None, do: str | None = None) -> None:
        """Some at once, in whatever processes."""
        count = count or self.random.choice((1, 1, 2, 4))
        self.story.append(f"{count} calls in {alias}")
        await gather(*(self._call(alias, do=do) for _ in range(count)))

    async def _call(self, alias: str, *others: str, do: str | None = None, may_share: bool = False) -> None:
        """Make one; what it comes to is what the model says, or something else where others change that meanwhile."""
        do = do or self.random.choices(("query", "create", "describe"), (6, 2, 1))[0]
        login, family, figures = self.logins[alias], self.families.get(alias), self.world.figures
        tag, call = self._begin(alias, may_share=may_share)
        before = replace(self.model, granted=dict(self.model.granted)), replace(login)
        expected = {*others, *self._expected(alias, call.since)}
        if do == "describe" and login.state == "revoked":
            expected.add(OWN)  # what is at hand is told, until the login is known to be dead
        reply = await self._ask(do, alias, tag=tag)
        expected |= self._expected(alias, call.since) | self._expected(alias, call.since, *before)
        if len(self.world.models[alias].possible(call.since)) > 1:
            expected.add("TOKEN_RACE")  # the org took other logins when a token was got
        was_shared = "shared" in self.world.models[alias].possible(login.since)
        if was_shared and OWN in expected:
            expected.add(LOGIN)  # servers look each minute for logins that nobody may use, and end them
        kind = reply["kind"]
        figures.calls += 1
        if kind == "ok":
            kind = self._see_whose(do, alias, reply, call, expected)
        is_lost = kind == LOGIN and family is not None and family.digest in self.world.doubted and not family.alive
        if kind not in expected and not is_lost:
            self._differ(f"{do} {tag} in {alias} came to {reply} {call.shown}, and should to {sorted(expected)}")
        if kind == LOGIN and family is self.families.get(alias) and login.state in ("good", "revoked"):
            if login.state == "good" and kind not in expected and family.digest not in self.world.proven:
                figures.lost.append(f"the login of {tag} to {alias} was lost, after:\n  " + "\n  ".join(self.story))
            login.state = "ended" if is_lost or was_shared or login.state == "revoked" else login.state
        figures.kinds[f"{do} {kind}"] += 1

    def _begin(self, alias: str, *, may_share: bool = False) -> tuple[str, Call]:
        login, tag = self.logins[alias], f"{self.name}x{next(self.world.serial)}x"
        since, first = self.world.models[alias].settled, max(len(login.families) - 1, 0)
        call = Call(self.name, alias, since, login.families, first, may_share or login.state == "never")
        self.world.calls[tag] = call
        return tag, call

    def _see_whose(self, do: str, alias: str, reply: Reply, call: Call, expected: set[str]) -> str:
        """Whose login was used, as the org saw it."""
        if do == "describe":
            phones = {each: each == SHARED or not self.number % 2 for each in sorted(expected & {OWN, SHARED})}
            alike = [each for each, phone in phones.items() if phone == reply["phone"]]
            if not alike:
                self._differ(f"a describe in {alias} was another's: {reply}, of {phones}")
            return alike[0]
        if do == "create":
            creator = self.world.orgs[alias].records.tables["Contact"][reply["record"]]["CreatedById"]
            call.shown.add((creator, OWN if creator == self.users[alias].id else SHARED))
        if len(call.shown) != 1:
            self._differ(f"{do} in {alias} was done as {call.shown}")
        return next(iter(call.shown))[1]

    def _expected(
        self, alias: str, since: int, person: PersonModel | None = None, login: LoginModel | None = None
    ) -> set[str]:
        """What a call may come to, by how its caller stands now, or stood when it began: the org may change first."""
        identities = self.world.models[alias].possible(since)
        return {answer(each, person or self.model, alias, login or self.logins[alias]) for each in identities}

    # -- steps

    async def _expire(self, alias: str) -> None:
        """End the sessions of this person, and call from everywhere: one refresh is sent."""
        login, since = self.logins[alias], self.world.models[alias].settled
        if login.state != "good":
            return await self._calls(alias)
        family = self.families[alias]
        self.world.orgs[alias].logins.end_sessions_of(self.users[alias].id)
        before = family.generation
        await self._calls(alias, do=self.random.choice(("query", "create")))
        if self._expected(alias, since) == {OWN}:
            self._count_refreshes(alias, family, before, (1,))
        return None

    def _count_refreshes(self, alias: str, family: Family, before: int, wanted: tuple[int, ...]) -> None:
        count = family.generation - before
        self.world.figures.kinds[f"refreshes {count}"] += 1
        if count not in wanted and family.digest not in self.world.doubted:
            self._differ(f"{count} refreshes in {alias}")

    async def _connect(self, alias: str) -> None:
        """Log in, over whatever there was."""
        self.story.append(f"connect to {alias}")
        login, facts = self.logins[alias], self._log_in(alias)
        login.state, login.since = "unknown", self.world.models[alias].settled
        self.world.loose.add(login.families[-1])
        await self._change("connect", alias, **facts)
        self.world.loose.discard(login.families[-1])
        login.state = "good"

    def _log_in(self, alias: str) -> dict[str, Any]:
        """What Salesforce gives to a login in the browser."""
        org, user = self.world.orgs[alias], self.users[alias]
        family = self.families[alias] = org.logins.begin(org.client_id, "refresh_token api web", user.id)
        self.logins[alias].families.append(family.digest)
        access = org.logins.open_session(family) if self.random.random() < 0.7 else None
        return {
            "user_id": user.id, "username": user.username, "client_id": org.client_id,
            "refresh_token": family.refresh_token, "access_token": access,
        }  # fmt: skip

    async def _end(self, alias: str, *, forget: bool = False) -> None:
        self.story.append(f"{'forget' if forget else 'end'} in {alias}")
        login = self.logins[alias]
        was, login.state = login.state, "unknown"
        await self._change("end", alias, forget=forget)
        login.end("never" if forget or was == "never" else "ended")
        await self._calls(alias, 1)

    async def _forget(self, alias: str) -> None:
        await self._end(alias, forget=True)

    async def _revoke(self, alias: str) -> None:
        """Have Salesforce revoke the login."""
        login = self.logins[alias]
        if login.state == "good":
            self.story.append(f"Salesforce revokes in {alias}")
            self.world.orgs[alias].logins.end(self.families[alias])
            login.state = "revoked"
        await self._calls(alias)

    async def _disable(self, alias: str) -> None:
        """Disable this person, for a while; their logins end with that."""
        self.story.append("disable")
        await self._stand(alias, "enable", value=False)
        await self._calls(alias)
        await self._stand(alias, "enable", value=True)

    async def _lose_grant(self, alias: str) -> None:
        self.story.append(f"lose the grant in {alias}")
        await self._stand(alias, "grant", value=False)
        await self._calls(alias, 1)
        await self._stand(alias, "grant", value=True)

    async def _stand(self, alias: str, do: str, *, value: bool) -> None:
        """Change what this person may do; whoever may do less loses the logins of it."""
        self.is_standing_known = False
        await self._change(do, alias, value=value)
        self.is_standing_known = True
        if do == "enable":
            self.model.enabled = value
        else:
            self.model.granted[alias] = value
        for each, login in self.logins.items():
            if not value and login.state != "never" and (do == "enable" or each == alias):
                login.end("unknown" if login.state == "unknown" else "ended")  # it may never have been there

    async def _renew(self, alias: str) -> None:
        """Keep a login alive while it is used."""
        login, family, model = self.logins[alias], self.families.get(alias), self.world.models[alias]
        if login.state != "good" or family is None or model.possible(model.settled) & {"shared"}:
            return await self._calls(alias)
        self.story.append(f"keep alive in {alias}")
        before, tag = family.generation, self._begin(alias)[0]
        renewed, *_ = await gather(self._ask("renew", alias, tag=tag), self._call(alias), self._call(alias))
        is_lost = family.digest in self.world.doubted or "shared" in model.history
        if renewed["kind"] != "ok" and not is_lost:
            self._differ(f"a login in {alias} could not be kept alive: {renewed}")
        if not is_lost:
            self._count_refreshes(alias, family, before, (1, 2))  # the calls may need one of their own, before
        return None

    async def _race(self, alias: str) -> None:
        """Calls, and something that changes what they come to, at the same time."""
        org, (change, after) = self.world.orgs[alias], self.random.choice(list(CHANGES.items()))
        refreshes = None
        if self.logins[alias].state == "good" and change != "revoke" and self.random.random() < 0.5:
            refreshes = org.counters.refreshes
            org.logins.end_sessions_of(self.users[alias].id)
            org.fault("delay", path=".*/token", seconds=self.random.uniform(0, 0.15), work=True)
        self.story.append(f"{change} while there are calls in {alias}")
        possible = {after, LOGIN, "TOKEN_RACE", "INVALID_SESSION_ID"}  # it may end just after it was refreshed
        calls = [self._call(alias, *possible, do="query", may_share=change == "forget") for _ in range(3)]
        await gather(*calls, self._change_after(refreshes, alias, getattr(self, f"_{change}")))
        await self._calls(alias, 2)

    async def _change_after(self, refreshes: int | None, alias: str, change: Change) -> None:
        """Make a change; where this person's login is refreshed, once that is done and may not have been answered."""
        with suppress(TimeoutError):
            async with asyncio.timeout(0.5):
                while self.world.orgs[alias].counters.refreshes == refreshes:
                    await asyncio.sleep(0.01)
        await change(alias)

    async def _identify(self, _alias: str) -> None:
        """Change whose logins an org takes, while others call."""
        alias, identity = list(self.world.orgs)[self.random.choice(CHANGING)], self.random.choice(KINDS_OF_ORG)
        async with self.world.calm:
            self.story.append(f"{alias} becomes {identity}")
            model = self.world.models[alias]
            model.history.append(identity)
            while (await self.world.processes[0]("identify", org=alias, identity=identity))["kind"] != "ok":
                await asyncio.sleep(0.1)
            model.settled = len(model.history) - 1
            self.world.figures.kinds[f"identity {identity}"] += 1
        await self._settle(alias)
        await self._calls(alias)

    async def _expire_shared(self, alias: str) -> None:
        """End the session that all share; nobody is killed meanwhile, for it would be lost for all."""
        async with self.world.calm:
            org = self.world.orgs[alias]
            org.logins.end_sessions_of(org.user_id)
            await self._calls(alias)
            await asyncio.sleep(0.1)

    async def _crash(self, alias: str) -> None:
        """Kill a process among calls that refresh."""
        async with self.world.calm:
            org, delay = self.world.orgs[alias], self.random.uniform(0, 0.15)
            if self.logins[alias].state == "good":
                org.logins.end_sessions_of(self.users[alias].id)
            org.fault("delay", path=".*/token", seconds=delay, work=self.random.random() < 0.7)
            self.story.append("a process is killed")
            with suppress(Gone):
                await gather(*(self._call(alias, do="query") for _ in range(3)), self._kill(alias))
            org.faults.clear()
        await self._settle(alias)
        await self._calls(alias)

    async def _kill(self, alias: str) -> None:
        await asyncio.sleep(self.random.uniform(0, 0.2))
        await self.world.kill((self.name, alias))

    # -- what they share

    async def _settle(self, alias: str) -> None:
        """Whoever does not know what came of what was cut off says it anew."""
        while not (self.is_standing_known and self.model.enabled and all(self.model.granted.values())):
            self.story.append("say anew what is allowed")
            for login in self.logins.values():
                if login.state != "never":  # what somebody may do makes no login
                    login.end("unknown")
            for do, org in (("enable", alias), *(("grant", each) for each in self.logins)):
                await self._change(do, org, value=True)
            self.model = PersonModel(True, dict.fromkeys(self.logins, True))
            self.is_standing_known = True
        if self.logins[alias].state == "unknown":
            await self._connect(alias)

    async def _change(self, do: str, alias: str, **facts: Any) -> None:
        reply = await self._ask(do, alias, **facts)
        which = {True: "yes", False: "no"}.get(facts.get("value", facts.get("forget")), "")
        self.world.figures.kinds[f"{do} {which}".strip()] += 1
        if reply["kind"] != "ok":
            self._differ(f"{do} in {alias} came to {reply}")

    async def _ask(self, do: str, alias: str, **facts: Any) -> Reply:
        reply = await self.random.choice(self.world.processes)(do, principal=self.name, org=alias, **facts)
        if reply["kind"] in BUSY:
            self.world.doubted |= {*self.logins[alias].families[-2:]}
            raise Cut
        return reply

    def _differ(self, text: str) -> None:
        self.world.figures.differences.append(f"{text}, after:\n  " + "\n  ".join(self.story))
        raise Unlike


async def gather(*works: Coroutine[Any, Any, Any]) -> list[Any]:
    """Do them at once, and wait for all, whatever becomes of one."""
    done = await asyncio.gather(*works, return_exceptions=True)
    errors = [each for each in done if isinstance(each, BaseException)]
    for each in sorted(errors, key=lambda error: isinstance(error, (Gone, Cut))):
        raise each
    return done


async def connections(interleavings: int, *, seed: int, place: StorePlace = IN_FILE) -> Connected:
    """Run so many, in one store after the other."""
    figures = Connected(seed)
    async with AsyncExitStack() as stack:
        for first in range(0, interleavings, STORE):
            if first and place.server is not None:
                place = await stack.enter_async_context(place_of(place.server))
            await _run_in_new_store(range(first, min(first + STORE, interleavings)), figures, place)
            if figures.wrong:
                break
            if interleavings > STORE:
                print(f"so far: {figures}", flush=True)  # whoever stops a long run knows what was shown
    return figures


async def _run_in_new_store(numbers: range, figures: Connected, place: StorePlace) -> None:
    rest = iter(numbers)
    async with _new_world(figures, place) as world:

        async def go_on(person: Person) -> None:
            for number in rest:
                if figures.wrong:
                    return
                with suppress(Unlike):
                    await person.run(f"{figures.seed}/{number}")

        await gather(*map(go_on, world.people.values()))
        for process in world.processes:
            await process.end(kill=False)
        if not figures.wrong:
            async with open_app(read_settings(place.settings(world.home), {})) as app:
                await _compare_log(app, world)
                await _compare_logins(app, world)


@asynccontextmanager
async def _new_world(figures: Connected, place: StorePlace) -> AsyncIterator[World]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        home = Path(folder) / "home"
        async with Sandbox.start(ORGS, idle_seconds=IDLE_SECONDS) as sandbox:
            world = World(figures, sandbox, home, place)
            async with open_app(read_settings(place.settings(home), {})) as app:
                await _prepare(app, world)
            for _ in range(PROCESSES):
                world.processes.append(await Process.start(home, place))
            try:
                yield world
            finally:
                for process in world.processes:
                    await process.end(kill=True)


async def _prepare(app: App, world: World) -> None:
    """Register the orgs, say whose logins they take, and add the people."""
    for org, enrolled, identity in zip(world.sandbox.orgs, await register(app, world.sandbox), IDENTITIES, strict=True):
        row_id = enrolled.org.row_id
        await app.store.database.write(lambda tx, it=row_id, to=identity: policies.identify_in(tx, it, to, None))
        world.orgs[org.alias], world.models[org.alias] = org, OrgModel([identity])
        org.requests = Log(world, org)
    for number in range(PEOPLE):
        person = Person(world, number)
        world.people[person.name] = person
        await add_principal(app, person.name, *(f"{alias}:read,write" for alias in world.orgs))


async def _compare_log(app: App, world: World) -> None:
    """See that each entry names the user whose token its call showed."""
    figures = world.figures
    async for entry in app.audit_log.entries(EntryFilter()):
        call = world.calls.get(entry.request_id or "")
        if call is None:
            continue
        figures.entries += 1
        user = entry.salesforce_user.id if entry.salesforce_user is not None else None
        named = {(user, entry.identity)}
        is_as_shown = entry.outcome != "succeeded" or call.shown in (named, set())
        if entry.principal != call.person or not is_as_shown:
            figures.differences.append(f"an entry of {call} is {entry}")


async def _compare_logins(app: App, world: World) -> None:
    """See that no login lives at an org that nobody has here any more, once everything is revoked that is to be."""
    figures, clock = world.figures, app.store.database.clock
    app.store.database.clock = lambda: clock() + CLAIM_US  # those of killed processes, too
    await app.revoker.send_due()
    catalog = await app.access.reload()
    async with app.store.database.reading() as connection:
        waiting = (await app.store.revocations.waiting(connection))[0]
        if waiting:
            figures.differences.append(f"{waiting} logins were not revoked")
        for alias, org in world.orgs.items():
            row_id, known = catalog.by_alias[alias].row_id, world.doubted | world.loose | {org.logins.seeded.digest}
            for login in (each.key for each in catalog.connections.values() if each.row_id == row_id):
                credential = await app.store.orgs.credentials.credential(connection, login)
                token = credential.refresh_token if credential is not None else None
                family = org.logins.find_owner(token.reveal()) if token is not None else None
                known |= {family.digest} if family is not None else set()
            left = [each for each in org.logins.families if each.alive and each.digest not in known]
            figures.differences += [f"a login of {each.user_id} in {alias} lives on" for each in left]
            figures.revoked += sum(not each.alive for each in org.logins.families)
