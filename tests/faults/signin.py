"""Sign-in against a model: generated sequences over two processes on one store, step by step the same.

A sequence is one person's: sign-ins, consents, codes, refreshes, ends, a provider that says other groups, is away or has
ended what it gave, a principal that is disabled or somebody else's; and replays of all that was ever given. Each step
goes to one of two processes, some to both at once. Many people come at the same time.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .signin_model import GONE, NONE, Model, Words

CLIENTS, SCOPES, CLAIMS = ("client-a", "client-b"), ("orgs:read", "orgs:write", "orgs:delete"), ("x", "y", "z")
PEOPLE = 32
STEPS = 14
SELDOM = 0.05
STORE = 10_000
"""Sequences in one store: its log grows with each step."""
MOODS = ("rotates", "rotates", "rotates", "stays", "away", "ended")
KINDS = 22
"""What steps can come to."""
Reply = dict[str, Any]


@dataclass
class SignedIn:
    """What was done, what came of it, and where it was unlike the model."""

    seed: int
    sequences: int = 0
    cut: int = 0
    """Sequences that ended early, as the store was busy for longer than a step waits: that is an answer, too."""
    steps: int = 0
    twice: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    differences: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        return not self.differences and len(self.kinds) >= KINDS and self.cut <= self.sequences // 50

    def __str__(self) -> str:
        kinds = ", ".join(f"{name} {count:,}" for name, count in sorted(self.kinds.items()))
        first = f"; the first: {self.differences[0]}" if self.differences else ""
        return (
            f"{self.sequences:,} sequences ({self.cut:,} more cut short), {self.steps:,} steps, {self.twice:,} of them in both processes at once, "
            f"{len(self.differences)} unlike the model: {kinds}{first}"
        )


class Unlike(Exception):
    """Something came to what the model does not say."""


class Cut(Exception):
    """The store was busy."""


class Process:
    """A process that does what it is told; many things at once."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._waiting: dict[int, asyncio.Future[Reply]] = {}
        self._ids = itertools.count()
        self._reading: asyncio.Task[None] | None = None

    async def start(self) -> None:
        assert self._process.stdout is not None
        assert json.loads(await self._process.stdout.readline()) == {"kind": "ready"}
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            reply = json.loads(line)
            self._waiting.pop(reply.pop("id")).set_result(reply)
        for future in self._waiting.values():
            future.set_exception(RuntimeError("the process ended"))

    async def __call__(self, do: str, **facts: Any) -> Reply:
        assert self._process.stdin is not None
        id_ = next(self._ids)
        future = self._waiting[id_] = asyncio.get_running_loop().create_future()
        self._process.stdin.write(json.dumps({"id": id_, "do": do, **facts}, default=sorted).encode() + b"\n")
        return await future

    async def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()
        if self._reading is not None:
            await self._reading


@asynccontextmanager
async def starting(home: Path) -> AsyncIterator[tuple[Process, Process]]:
    processes = []
    try:
        for _ in range(2):
            words = (sys.executable, "-m", "tests.faults.signin_process", str(home))
            pipe = asyncio.subprocess.PIPE
            processes.append(Process(await asyncio.create_subprocess_exec(*words, stdin=pipe, stdout=pipe)))
            await processes[-1].start()
        yield processes[0], processes[1]
    finally:
        for process in processes:
            await process.close()


class Sequence:
    """One person's: what was given to them and their clients so far, and the model of it."""

    def __init__(self, processes: tuple[Process, Process], person: str, seed: str, figures: SignedIn) -> None:
        self.processes, self.person, self.browser = processes, person, f"browser of {person}"
        self.seed, self.random, self.figures = seed, random.Random(seed), figures
        self.model = Model()
        self.story: list[str] = []
        self.states: dict[str, str] = {}
        """Of each request, by which the provider's answer is known."""
        self.asked: dict[str, str] = {}
        """Requests at consent, by the id that their page has."""
        self.codes: list[str] = []
        self.access: list[str] = []
        self.refreshes: list[str] = []
        self.cookies: dict[str, str] = {}
        self.newest: dict[str, str] = {}
        """The provider's newest token of each session."""

    async def run(self) -> None:
        while was_busy(await self.processes[0]("reset", person=self.person, browser=self.browser)):
            pass
        await self._sign_in()
        for _ in range(self.random.randrange(4, STEPS)):
            await self.random.choices(
                (
                    self._begin, self._answer, self._consent, self._redeem, self._refresh, self._revoke, self._end,
                    self._check, self._browse, self._change, self._compare_groups, self._sign_in,
                ),
                (1, 1.5, 1.5, 1, 6, 0.5, 0.5, 4, 1, 0.7, 2, 1.5),
            )[0]()  # fmt: skip
        await self._compare_groups()
        for token in self.access[-2:]:
            await self._check(token)
        self.figures.sequences += 1

    # -- steps

    async def _sign_in(self) -> None:
        """The usual way, to the end; now and then with something between."""
        client = self.random.choice((*CLIENTS, *CLIENTS, "me"))
        request = await self._begin(client)
        await self._answer(request, is_denied=self.random.random() < SELDOM)
        if self.model.requests.get(request, ("",))[0] == "consent":
            await self._interrupt()
            picked = frozenset(self.random.sample(SCOPES, self.random.choice((0, 1, 2, 3, 3, 3, 3, 3, 3, 3))))
            await self._consent(request, None if self.random.random() < SELDOM else picked)
        if request in self.model.sessions and client != "me":
            code = self.codes[-1]
            await self._interrupt()
            await self._redeem(code, client, has_proof=True)

    async def _interrupt(self) -> None:
        if self.random.random() < 0.1:
            await self.random.choice((self._change, self._begin, self._compare_groups))()

    async def _begin(self, client: str | None = None) -> str:
        client = client or self.random.choice((*CLIENTS, "me"))
        scopes = frozenset(self.random.sample(SCOPES, self.random.randint(1, 3)))
        reply = await self._one()("begin", client=client, scopes=scopes, browser=self.browser)
        request = f"request {len(self.states)}"
        self.states[request] = reply.get("state", "")
        self.model.requests[request] = "provider", client, NONE if client == "me" else scopes
        self._compare("begin", ["begun"], [reply])
        return request

    async def _answer(self, request: str | None = None, *, is_denied: bool | None = None) -> None:
        request = request or self.random.choice(list(self.states))
        is_denied = self.random.random() < 0.1 if is_denied is None else is_denied
        groups = None if is_denied else self._groups()
        token = f"{self.person} {request}:1" if self.random.random() < 0.7 else None
        facts = {"state": self.states[request], "groups": groups, "token": token}
        replies = await self._step("answer", lambda: self.model.answer(request, groups), browser=self.browser, **facts)
        for reply in replies:
            if reply["kind"] == "consent":
                self.asked[request] = reply["request"]
                self.newest.pop(request, None)
                if token is not None:
                    self.newest[request] = token
                    self.model.vouched.add(request)
            elif reply["kind"] == "me":
                self.cookies[reply["cookie"]] = request

    async def _consent(self, request: str | None = None, picked: Words | None = None) -> None:
        if request is None:
            if not self.asked:
                return
            request = self.random.choice(list(self.asked))
            picked = frozenset(self.random.sample(SCOPES, self.random.randint(0, 3)))
            picked = None if self.random.random() < 0.2 else picked
        expected = lambda: self.model.consent(request, picked)  # noqa: E731
        facts = {"request": self.asked[request], "picked": picked, "browser": self.browser}
        for reply in await self._step("consent", expected, **facts):
            if reply["kind"] == "code" and request in self.model.sessions:
                self.codes.append(reply["code"])
                self.model.tokens[reply["code"]] = request, *self.model.sessions[request]

    async def _redeem(
        self, code: str | None = None, client: str | None = None, *, has_proof: bool | None = None
    ) -> None:
        if not self.codes:
            return
        code = code or self._choose(self.codes)
        client = client or self._client(code)
        has_proof = self.random.random() < 0.85 if has_proof is None else has_proof
        expected = lambda: self.model.redeem(code, client, has_proof)  # noqa: E731
        replies = await self._step("redeem", expected, token=code, client=client, has_proof=has_proof)
        self._keep(replies, code, NONE)

    async def _refresh(self) -> None:
        if not self.refreshes:
            return
        token = self._choose(self.refreshes)
        client, mood = self._client(token), self.random.choice(MOODS)
        groups = self._groups() if self.random.random() < 0.7 else None
        scopes = frozenset(self.random.sample(SCOPES, 1)) if self.random.random() < 0.3 else NONE
        session = self.model.tokens[token][0]
        is_twice = mood == "rotates" and self.random.random() < 0.15
        groups = None if is_twice else groups
        facts = {"token": token, "client": client, "scopes": scopes, "mood": mood, "groups": groups}
        expected = lambda: self.model.refresh(token, client, scopes, mood, groups)  # noqa: E731
        replies = await self._step("refresh", expected, is_twice=is_twice, **facts)
        for reply in replies:
            self._compare_shown(reply, session)
            if reply["kind"] == "tokens" and mood == "rotates" and session in self.newest:
                name, _, number = self.newest[session].rpartition(":")
                self.newest[session] = f"{name}:{int(number) + 1}"
        self._keep(replies, token, scopes)

    async def _revoke(self) -> None:
        tokens = [*self.access, *self.refreshes]
        if tokens:
            token = self.random.choice(tokens)
            client = self._client(token)
            session, owner, _ = self.model.tokens.get(token, GONE)

            def expected() -> str:
                if session and owner != client:
                    return "invalid_grant"
                self.model.end(session)
                return "ok"

            await self._step("revoke", expected, token=token, client=client)

    async def _end(self) -> None:
        if self.refreshes:
            token = self.random.choice(self.refreshes)
            session = self.model.tokens[token][0]
            await self._step("end", lambda: "ended" if self.model.end(session) else "over", token=token)

    async def _check(self, token: str | None = None) -> None:
        if self.access:
            token = token or self._choose(self.access)
            await self._step("check", lambda: self._expect_check(token), token=token)

    def _expect_check(self, token: str) -> str:
        session, _, scopes = self.model.tokens.get(token, GONE)
        if not session:
            return "unknown"
        return " ".join(sorted(scopes)) if session in self.model.sessions else "ended"

    async def _browse(self) -> None:
        if not self.cookies:
            return
        cookie = self.random.choice(list(self.cookies))
        request, sign_out = self.cookies[cookie], self.random.random() < 0.5

        def expected() -> str:
            is_live = request in self.model.sessions
            if sign_out:
                self.model.end(request)
            return "me" if is_live else "nobody"

        await self._step("browse", expected, is_twice=False, cookie=cookie, sign_out=sign_out)

    async def _change(self) -> None:
        what = self.random.choice(("enabled", "bound"))
        what = what if self.model.enabled == self.model.bound else "bound" if self.model.enabled else "enabled"
        value = not getattr(self.model, what)
        if what == "enabled" and self.random.random() < 0.2:
            value = not value  # once more the same
        if not value:
            asked = [each for each, of in self.model.requests.items() if of[0] == "consent"]
            for each in asked:
                del self.model.requests[each]
            self.model.end(*list(self.model.sessions))
        setattr(self.model, what, value)
        await self._step("change", lambda: "ok", is_twice=False, what=what, value=value)

    async def _compare_groups(self) -> None:
        live = sum(each in self.model.begun for each in self.model.sessions)
        await self._step("groups", lambda: " ".join([*sorted(self.model.groups), str(live)]), is_twice=False)

    # -- what they share

    async def _step(
        self, do: str, model: Callable[[], str], *, is_twice: bool | None = None, **facts: Any
    ) -> list[Reply]:
        """Have one process do it, or both at once, and see that it comes to what the model says."""
        is_twice = (
            do in ("answer", "consent", "redeem") and self.random.random() < 0.1 if is_twice is None else is_twice
        )
        self.story.append(f"{do}{' twice' if is_twice else ''} {facts}")
        facts["person"] = self.person
        if not is_twice:
            replies = [await self._one()(do, **facts)]
            self._compare(do, [model()], replies)
            return replies
        self.figures.twice += 1
        replies = list(await asyncio.gather(*(process(do, **facts) for process in self.processes)))
        tokens, kinds = self.model.tokens, [model(), model()]
        if (
            do == "refresh"
            and kinds == ["tokens", "invalid_grant"]
            and {each["kind"] for each in replies} == {kinds[1]}
        ):
            kinds, self.model.tokens = [kinds[1]] * 2, tokens  # the other came while the provider was asked
        self._compare(do, sorted(kinds), sorted(replies, key=lambda reply: str(reply["kind"])))
        return replies

    def _compare(self, do: str, kinds: list[str], replies: list[Reply]) -> None:
        if any(map(was_busy, replies)):
            self.figures.cut += 1
            raise Cut
        for kind, reply in zip(kinds, replies, strict=True):
            self.figures.steps += 1
            self.figures.kinds[_name(do, kind)] += 1
            if reply["kind"] != kind:
                self._differ(f"{do} came to {reply['kind']!r}, and should to {kind!r}")

    def _compare_shown(self, reply: Reply, session: str) -> None:
        """No refresh token of the provider is lost, or used twice."""
        if reply["shown"] is not None and reply["shown"] != self.newest.get(session):
            self._differ(f"the provider was shown {reply['shown']!r}, and its newest is {self.newest.get(session)!r}")

    def _differ(self, text: str) -> None:
        self.figures.differences.append(f"sequence {self.seed}: {text}, after:\n  " + "\n  ".join(self.story))
        raise Unlike

    def _keep(self, replies: list[Reply], shown: str, scopes: Words) -> None:
        session = self.model.tokens[shown][0]
        client = self.model.tokens[shown][1]
        for reply in replies:
            if reply["kind"] == "tokens":
                own = self.model.sessions.get(session, (client, self.model.tokens[shown][2]))[1]
                self.access.append(reply["access"])
                self.refreshes.append(reply["refresh"])
                self.model.tokens[reply["access"]] = session, client, scopes or own
                self.model.tokens[reply["refresh"]] = session, client, own

    def _one(self) -> Process:
        return self.random.choice(self.processes)

    def _choose(self, tokens: list[str]) -> str:
        """The newest mostly, else any."""
        return tokens[-1] if self.random.random() < 0.75 else self.random.choice(tokens)

    def _client(self, token: str) -> str:
        """The token's own mostly."""
        own = self.model.tokens[token][1] if token in self.model.tokens else CLIENTS[0]
        return own if self.random.random() < 0.95 else next(each for each in CLIENTS if each != own)

    def _groups(self) -> Words:
        return frozenset(self.random.sample(CLAIMS, self.random.randint(0, len(CLAIMS))))


def was_busy(reply: Reply) -> bool:
    """Whether nothing came of a step, for another process held the store."""
    return str(reply["kind"]).startswith("raised StoreBusy")


def _name(do: str, kind: str) -> str:
    """What a step came to, as figures name it."""
    if do == "groups":
        return "groups none" if kind[0].isdigit() else "groups some"
    return "check scopes" if kind.startswith("orgs:") else f"{do} {kind}"


async def sign_in(sequences: int, *, seed: int) -> SignedIn:
    figures = SignedIn(seed)
    for first in range(0, sequences, STORE):
        await _run_in_new_store(range(first, min(first + STORE, sequences)), figures)
        if figures.differences:
            break
        if sequences > STORE:
            print(f"so far: {figures}", flush=True)  # whoever stops a long run knows what was shown
    return figures


async def _run_in_new_store(numbers: range, figures: SignedIn) -> None:
    rest = iter(numbers)
    with tempfile.TemporaryDirectory() as folder:
        async with starting(Path(folder) / "home") as processes:
            people = [f"person{each}" for each in range(min(PEOPLE, len(numbers)))]
            await processes[0]("prepare", people=people, claims=CLAIMS)

            async def go_on(person: str) -> None:
                for number in rest:
                    if figures.differences:
                        return
                    with suppress(Unlike, Cut):
                        await Sequence(processes, person, f"{figures.seed}/{number}", figures).run()

            await asyncio.gather(*map(go_on, people))
