"""What sign-in means for one person, as plainly as it can be said: live sessions, spent tokens, groups."""

from dataclasses import dataclass, field

Words = frozenset[str]
NONE: Words = frozenset()
GONE = ("", "", NONE)


@dataclass
class Model:
    enabled: bool = True
    bound: bool = True
    groups: Words = NONE
    requests: dict[str, tuple[str, str, Words]] = field(default_factory=dict)  # stage, client, scopes
    sessions: dict[str, tuple[str, Words]] = field(default_factory=dict)  # live ones, each by its request
    begun: set[str] = field(default_factory=set)  # sessions that their clients have come for
    vouched: set[str] = field(default_factory=set)  # sessions with a token of the provider
    tokens: dict[str, tuple[str, str, Words]] = field(default_factory=dict)  # session, client, scopes
    spent: set[str] = field(default_factory=set)

    def answer(self, request: str, groups: Words | None) -> str:
        stage, client, scopes = self.requests.get(request, GONE)
        if stage != "provider":
            return "over"
        del self.requests[request]
        if groups is None or not self.bound or not self.enabled:
            return "denied" if groups is None else "suspended" if self.bound else "stranger"
        self.groups = groups
        if client == "me":
            self.sessions[request], self.begun = (client, NONE), self.begun | {request}
            return "me"
        self.requests[request] = "consent", client, scopes
        return "consent"

    def consent(self, request: str, picked: Words | None) -> str:
        stage, client, asked = self.requests.get(request, GONE)
        alike = [of[1] for each, of in self.sessions.items() if of[0] == client and each in self.begun]
        chosen = asked & (picked or NONE).union(*alike)
        if stage != "consent" or (picked is not None and not chosen):
            return "nothing" if stage == "consent" else "over"
        del self.requests[request]
        if picked is not None:
            self.sessions[request] = client, chosen
        return "no" if picked is None else "code"

    def redeem(self, code: str, client: str, has_proof: bool) -> str:
        session, owner, _ = self.tokens.get(code, GONE)
        is_good = has_proof and code not in self.spent and session in self.sessions
        if owner == client:
            self.spent.add(code)
            self.begun.add(session) if is_good else self.end(session)
        return "tokens" if is_good and owner == client else "invalid_grant"

    def refresh(self, token: str, client: str, scopes: Words, mood: str, groups: Words | None) -> str:
        session, owner, _ = self.tokens.get(token, GONE)
        is_wide = bool(scopes - self.sessions.get(session, GONE)[-1])
        is_asked = session in self.vouched and not is_wide
        if owner == client and (token in self.spent or (is_asked and mood == "ended")):
            self.end(session)
        if owner != client or session not in self.sessions:
            return "invalid_grant"
        if is_wide or (is_asked and mood == "away"):
            return "invalid_scope" if is_wide else "temporarily_unavailable"
        self.spent.add(token)
        self.groups = groups if is_asked and groups is not None else self.groups
        self.tokens = {each: of for each, of in self.tokens.items() if each[:4] != "ost_" or of[0] != session}
        return "tokens"

    def end(self, *sessions: str) -> bool:
        live = [each for each in sessions if self.sessions.pop(each, None)]
        is_asked = any(stage == "consent" for stage, _, _ in self.requests.values())
        self.groups = NONE if live and not self.sessions and not is_asked else self.groups
        return bool(live)
