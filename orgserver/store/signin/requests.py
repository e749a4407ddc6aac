"""Sign-ins that have begun and are not over: at the provider, with its answer, at the question of consent.

Each is bound to the browser that began it. What is secret of it is sealed for its row, its stage and all that the row
says: one of an earlier stage that is put back does not open, nor one that another hand has changed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Literal

from sqlalchemy import Row, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from orgserver.model.access.principals import Subject
from orgserver.model.secret import Secret
from orgserver.store.signin import tables
from orgserver.store.signin.sealing import SealingKey, make_request_context
from orgserver.store.transaction import Transaction
from orgserver.vault.keys import Key, Unsealable

Stage = Literal["provider", "exchange", "consent"]
LIFE_US = 10 * 60 * 1_000_000
"""For the provider, and again for consent."""
MAX_OF_BROWSER = 20
MAX_REQUESTS = 10_000
_requests = tables.requests


@dataclass(frozen=True, slots=True)
class SignInRequest:
    """A sign-in under way: what it is for, what the provider is asked, and at consent who it is."""

    id: str
    kind: Literal["client", "me"]
    nonce: str
    """Which the id token must repeat."""
    verifier: Secret
    """Of the proof key (RFC 7636) shown to the provider."""
    purpose: Literal["open", "approve", "connect"] | None = None
    """Of one for /me."""
    client_id: str | None = None
    redirect_uri: str | None = None
    has_redirect_uri: bool = False
    """Whether the client named it, and must name it again for its token."""
    scopes: tuple[str, ...] = ()
    resource: str | None = None
    code_challenge: str | None = None
    client_state: str | None = None
    """What the client wants to get back with its code."""
    principal: str | None = None
    """From consent on, as what follows."""
    person_name: str | None = None
    subject: Subject | None = None
    auth_time: int | None = None
    """When the person last showed the provider who they are, in seconds since 1970 UTC."""
    provider_token: Secret | None = None
    """The provider's refresh token."""

    @property
    def is_fresh(self) -> bool:
        """Whether the person must show the provider anew who they are."""
        return self.purpose == "approve"


class RequestRefusal(Enum):
    """Why there is nothing to go on with."""

    UNKNOWN = "unknown"
    EXPIRED = "expired"
    SPENT = "spent"
    OTHER_BROWSER = "other browser"


class Requests:
    """Reads, writes and opens them. Methods ``…_in`` are changes for the writer."""

    def __init__(self, key: SealingKey, clock: Callable[[], int]) -> None:
        self._key = key
        self._clock = clock

    def add_in(self, tx: Transaction, request: SignInRequest, state_digest: bytes, browser_digest: bytes) -> bool:
        """Keep one that begins; False where too many are under way in this browser.

        Where there are too many in all, the oldest makes room that nobody has come back with from the provider: or a
        few strangers who begin many would keep everybody else from signing in.
        """
        tx.connection.execute(delete(_requests).where(_requests.c.expires_at <= tx.now))
        every = select(func.count()).select_from(_requests)
        own = every.where(_requests.c.browser_digest == browser_digest)
        if tx.connection.execute(own).scalar_one() >= MAX_OF_BROWSER:
            return False
        if tx.connection.execute(every).scalar_one() >= MAX_REQUESTS and not _make_room_in(tx):
            return False
        values = {
            "id": request.id,
            "stage": "provider",
            "kind": request.kind,
            "purpose": request.purpose,
            "state_digest": state_digest,
            "browser_digest": browser_digest,
            "client_id": request.client_id,
            "redirect_uri": request.redirect_uri,
            "has_redirect_uri": request.has_redirect_uri,
            "scopes": json.dumps(request.scopes),
            "resource": request.resource,
            "code_challenge": request.code_challenge,
            "principal": None,
            "auth_time": None,
            "created_at": tx.now,
            "expires_at": tx.now + LIFE_US,
        }
        sealed = self._seal(self._key.load_in(tx), request, values)
        tx.connection.execute(insert(_requests).values(**values, sealed=sealed))
        return True

    def take_in(
        self, tx: Transaction, state_digest: bytes, browser_digest: bytes | None
    ) -> SignInRequest | RequestRefusal:
        """Go on with the one of a provider's answer, once and in the browser that began it."""
        row = tx.connection.execute(select(_requests).where(_requests.c.state_digest == state_digest)).first()
        key = self._key.load_in(tx)
        request = self._read(row, browser_digest, tx.now, "provider", key)
        if row is None or isinstance(request, RequestRefusal):
            return RequestRefusal.UNKNOWN if row is None else request
        is_first = self._move_in(tx, key, row, request, {"stage": "exchange"})
        return request if is_first else RequestRefusal.SPENT

    def await_consent_in(
        self,
        tx: Transaction,
        request: SignInRequest,
        *,
        principal: str,
        person_name: str,
        subject: Subject,
        auth_time: int | None,
        provider_token: Secret | None,
    ) -> bool:
        """Write down who it is that must consent; False where it is not under way any more."""
        at_consent = replace(
            request,
            principal=principal,
            person_name=person_name,
            subject=subject,
            auth_time=auth_time,
            provider_token=provider_token,
        )
        key = self._key.load_in(tx)
        row = tx.connection.execute(select(_requests).where(_requests.c.id == request.id)).first()
        if row is None or row.stage != "exchange" or not self._is_same(row, request, key):
            return False
        values = {"stage": "consent", "principal": principal, "auth_time": auth_time, "expires_at": tx.now + LIFE_US}
        return self._move_in(tx, key, row, at_consent, values)

    async def find(
        self, connection: AsyncConnection, request_id: str, browser_digest: bytes | None
    ) -> SignInRequest | RequestRefusal:
        """One that waits for consent in this browser."""
        row = (await connection.execute(select(_requests).where(_requests.c.id == request_id))).first()
        key = await self._key.load(connection)
        if key is None:
            return RequestRefusal.UNKNOWN
        return self._read(row, browser_digest, self._clock(), "consent", key)

    def finish_in(
        self, tx: Transaction, request_id: str, browser_digest: bytes | None
    ) -> SignInRequest | RequestRefusal:
        """End one that waits for consent in this browser: whoever gets it answers it, once."""
        row = tx.connection.execute(select(_requests).where(_requests.c.id == request_id)).first()
        request = self._read(row, browser_digest, tx.now, "consent", self._key.load_in(tx))
        if isinstance(request, RequestRefusal):
            return request
        own = delete(_requests).where(_requests.c.id == request.id)
        return request if tx.connection.execute(own).rowcount == 1 else RequestRefusal.SPENT

    def drop_in(self, tx: Transaction, request_id: str) -> None:
        """Forget one."""
        tx.connection.execute(delete(_requests).where(_requests.c.id == request_id))

    def drop_of_principal_in(self, tx: Transaction, principal: str) -> None:
        """Forget those at consent that a principal is asked for: whoever came may not be it any more."""
        tx.connection.execute(delete(_requests).where(_requests.c.principal == principal))

    def _read(
        self, row: Row[Any] | None, browser_digest: bytes | None, now: int, stage: Stage, key: Key
    ) -> SignInRequest | RequestRefusal:
        if row is None:
            return RequestRefusal.UNKNOWN
        if row.browser_digest != browser_digest:
            return RequestRefusal.OTHER_BROWSER
        if row.expires_at <= now:
            return RequestRefusal.EXPIRED
        if row.stage != stage:
            return RequestRefusal.SPENT
        try:
            return self._open(row, key)
        except Unsealable:  # put back or changed by other hands: not one that this server began
            return RequestRefusal.UNKNOWN

    def _move_in(
        self, tx: Transaction, key: Key, row: Row[Any], request: SignInRequest, values: dict[str, Any]
    ) -> bool:
        """Bring one to its next stage, sealed for that; False where another was first."""
        sealed = self._seal(key, request, {**row._mapping, **values})  # noqa: SLF001  # SQLAlchemy's public name
        own = update(_requests).where(_requests.c.id == row.id, _requests.c.stage == row.stage)
        return tx.connection.execute(own.values(**values, sealed=sealed)).rowcount == 1

    def _is_same(self, row: Row[Any], request: SignInRequest, key: Key) -> bool:
        """Whether a row still says what was taken from it."""
        try:
            return self._open(row, key) == request
        except Unsealable:
            return False

    def _seal(self, key: Key, request: SignInRequest, values: Mapping[str, Any]) -> bytes:
        return key.seal(_encode(request), make_request_context(self._key.store_id, values))

    def _open(self, row: Row[Any], key: Key) -> SignInRequest:
        where = make_request_context(self._key.store_id, row._mapping)  # noqa: SLF001  # as above
        secrets = json.loads(key.open(row.sealed, where))
        token = secrets["provider_token"]
        return SignInRequest(
            id=row.id,
            kind=row.kind,
            nonce=secrets["nonce"],
            verifier=Secret(secrets["verifier"]),
            purpose=row.purpose,
            client_id=row.client_id,
            redirect_uri=row.redirect_uri,
            has_redirect_uri=row.has_redirect_uri,
            scopes=tuple(json.loads(row.scopes)),
            resource=row.resource,
            code_challenge=row.code_challenge,
            client_state=secrets["client_state"],
            principal=row.principal,
            person_name=secrets["person_name"],
            subject=Subject(*secrets["subject"]) if secrets["subject"] else None,
            auth_time=row.auth_time,
            provider_token=Secret(token) if token else None,
        )


def _make_room_in(tx: Transaction) -> bool:
    at_provider = select(_requests.c.id).where(_requests.c.stage == "provider")
    oldest = at_provider.order_by(_requests.c.created_at, _requests.c.id).limit(1).scalar_subquery()
    return tx.connection.execute(delete(_requests).where(_requests.c.id == oldest)).rowcount == 1


def _encode(request: SignInRequest) -> bytes:
    """What of a request may not be read in the store."""
    subject, token = request.subject, request.provider_token
    secrets = {
        "nonce": request.nonce,
        "verifier": request.verifier.reveal(),
        "client_state": request.client_state,
        "person_name": request.person_name,
        "subject": [subject.issuer, subject.subject] if subject else None,
        "provider_token": token.reveal() if token else None,
    }
    return json.dumps(secrets).encode()
