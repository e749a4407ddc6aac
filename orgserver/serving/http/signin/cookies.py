"""The cookies of browsers that sign in: random values, of which the store has digests.

``__Host-`` makes a browser keep one only from this very host, over TLS or on its own machine; ``Lax`` sends it with the
provider's answer, which comes from elsewhere, and with nothing else from there that changes anything.
"""

from __future__ import annotations

import re
import secrets

from starlette.types import Scope

from orgserver.model.secret import Secret
from orgserver.serving.http.replies import Headers

SIGN_IN = "__Host-orgserver-signin"
"""Of a browser in which a sign-in is under way."""
ME = "__Host-orgserver-me"
"""Of one in which somebody is signed in at ``/me``."""
CONNECT = "__Host-orgserver-connect"
"""Of one in which somebody gives a login of their own to an org."""
CONNECT_LINK = "__Host-orgserver-connect-link"
"""The last link that it opened, to go on with after signing in."""
SIGN_IN_SECONDS = 600
_BYTES = 32
_VALUE = re.compile(r"[A-Za-z0-9_-]{43}")
_FLAGS = "Path=/; Secure; HttpOnly; SameSite=Lax"


def make_cookie_value() -> Secret:
    """A new one, of 256 bits."""
    return Secret(secrets.token_urlsafe(_BYTES))


def read_cookie(scope: Scope, name: str) -> Secret | None:
    """The value of a cookie, if it is one that was made here; None too for one that came twice."""
    values = set()
    for header, text in scope["headers"]:
        if header == b"cookie":
            pairs = (pair.strip().partition("=") for pair in text.decode("latin-1").split(";"))
            values |= {value for key, _, value in pairs if key == name}
    value = values.pop() if len(values) == 1 else ""
    return Secret(value) if _VALUE.fullmatch(value) else None


def keep_cookie(name: str, value: Secret, seconds: int) -> Headers:
    """Have a browser keep one for so long."""
    return _set(f"{name}={value.reveal()}; Max-Age={seconds}; {_FLAGS}")


def drop_cookie(name: str) -> Headers:
    """Have a browser forget one."""
    return _set(f"{name}=; Max-Age=0; {_FLAGS}")


def _set(text: str) -> Headers:
    return ((b"set-cookie", text.encode("ascii")),)
