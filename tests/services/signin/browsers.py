"""Browsers that are signed in at /me, and a provider that only says where one signs in."""

from __future__ import annotations

from functools import partial

from orgserver.app import App
from orgserver.model.access.principals import Subject
from orgserver.model.digests import digest_text
from orgserver.model.secret import Secret

ISSUER = "https://login.example.com"
HOUR_US = 3_600 * 1_000_000


class UrlsAlone:
    """In place of the provider: what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[dict[str, object]] = []

    async def make_authorization_url(
        self, *, state: str, nonce: str, verifier: Secret, fresh: bool, offline: bool
    ) -> str:
        asked = {"state": state, "nonce": nonce, "verifier": verifier.reveal(), "fresh": fresh, "offline": offline}
        self.asked.append(asked)
        return f"{ISSUER}/authorize?state={state}"


async def add_browser(app: App, principal: str, cookie: str, *, seconds_ago: int | None = 0) -> str:
    """Sign somebody's browser in; its session's id. ``seconds_ago`` they showed the provider who they are."""
    sessions = app.store.signin_sessions
    now = app.store.database.clock()
    add = partial(
        sessions.add_browser_in,
        principal=principal,
        person_name=f"{principal.title()} Lovelace",
        subject=Subject(ISSUER, f"subject-{principal}"),
        cookie_digest=digest_text(cookie),
        auth_time=None if seconds_ago is None else now // 1_000_000 - seconds_ago,
        expires_at=now + 12 * HOUR_US,
    )
    return await app.store.database.write(add)
