"""The SFDX auth URL of the ``sf`` command: ``force://CLIENT_ID:CLIENT_SECRET:REFRESH_TOKEN@HOST``.

The whole URL is a secret, so nothing that is raised here shows any part of it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from orgserver.model.secret import Secret
from orgserver.salesforce import hosts

DEFAULT_CLIENT = "PlatformCLI"
"""The client id of the app that ``sf`` logs in with by itself; it has no secret."""
REDACTED = "[REDACTED]"
"""How newer versions of ``sf`` begin a text that they hide."""

_FORM = re.compile(
    r"force://(?:(?P<client>[A-Za-z0-9._-]+={0,2}):(?P<secret>[A-Za-z0-9._-]*={0,2}):)?"
    r"(?P<token>[A-Za-z0-9._-]+={0,2})@(?P<host>[A-Za-z0-9:._-]+)/?"
)
_HOST = re.compile(r"localhost|.+\.[a-z][a-z0-9-]*[a-z]|[0-9]{1,3}(?:\.[0-9]{1,3}){3}")
_MAX_URL = 4_096


@dataclass(frozen=True, slots=True)
class AuthUrl:
    """What such a URL holds. ``host`` is where the org logs in, with its port where it has one."""

    client_id: str
    client_secret: Secret | None
    refresh_token: Secret
    host: str

    @property
    def login_url(self) -> str:
        """Where the org logs in; these URLs always mean https."""
        return f"https://{self.host}"


def read(text: str) -> AuthUrl:
    """Read a URL, or JSON of ``sf`` that holds one; ValueError says what is wrong and shows nothing of the text."""
    stripped = text.strip("\ufeff \t\r\n")
    return parse(_in_json(stripped) if stripped.startswith("{") else stripped)


def parse(url: str) -> AuthUrl:
    """Read the URL itself; the two-part form of old, ``force://REFRESH_TOKEN@HOST``, is of the default app."""
    match = _FORM.fullmatch(url)
    if match is None or len(url) > _MAX_URL:
        raise ValueError(_fault(url))
    client, secret, token, host = match.group("client", "secret", "token", "host")
    return AuthUrl(client or DEFAULT_CLIENT, Secret(secret) if secret else None, Secret(token), _host(host))


def url_in(answer: Any) -> str | None:
    """The URL that an answer of ``sf`` holds, if any; ValueError where ``sf`` has hidden it."""
    result = answer.get("result") if isinstance(answer, dict) else None
    for place in (result, answer):
        url = place.get("sfdxAuthUrl") if isinstance(place, dict) else None
        if isinstance(url, str):
            if url.startswith(REDACTED):
                raise ValueError("the sf command has hidden the URL")
            return url
    return None


def _in_json(text: str) -> str:
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("it is neither a force:// URL nor JSON") from None
    url = url_in(answer)
    if url is None:
        raise ValueError("it is JSON without result.sfdxAuthUrl")
    return url


def _host(text: str) -> str:
    """Check that it looks like a host: a token in its place would be shown by whoever names the host."""
    try:
        host = hosts.check_host(text)
    except ValueError:
        host = ""
    if not _HOST.fullmatch(host.partition(":")[0]):
        raise ValueError("what follows its @ is no host")
    return host


def _fault(url: str) -> str:
    """Say what is wrong with a text that is no such URL."""
    faults = {
        "it is empty": not url,
        "it has more than one line": "\n" in url or "\r" in url,
        "it is too long": len(url) > _MAX_URL,
        "it begins with http, not with force://": url.lower().startswith(("http://", "https://")),
        "it does not begin with force://": not url.startswith("force://"),
        "it has a space in it": any(each.isspace() for each in url),
        "it has not the form force://CLIENT_ID:CLIENT_SECRET:REFRESH_TOKEN@HOST": True,
    }
    return next(words for words, true in faults.items() if true)
