"""What shows that a form was filled in on a page of ours: it holds for one purpose, one thing, and one browser."""

from __future__ import annotations

import base64
import hmac

from orgserver.model.secret import Secret
from orgserver.vault.keys import Key


class FormTokens:
    """Makes and checks them, the same in every process of a store."""

    def __init__(self, key: Key) -> None:
        self._mac = key.make_mac()

    def make(self, purpose: str, id_: str, cookie: Secret) -> str:
        """What a form brings; ``id_`` is of the request or session that it is about."""
        message = b"\0".join((b"csrf", purpose.encode(), id_.encode(), cookie.reveal().encode()))
        return base64.urlsafe_b64encode(self._mac(message)).rstrip(b"=").decode()

    def check(self, text: str | None, purpose: str, id_: str, cookie: Secret) -> bool:
        """Whether a form brings what our page gave it."""
        expected = self.make(purpose, id_, cookie)
        return text is not None and hmac.compare_digest(expected.encode(), text.encode("utf-8", "replace"))
