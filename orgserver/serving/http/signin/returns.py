"""Back to the client with an error: by itself only where no stranger can wait, else by a link that a person follows.

Anybody can have an address of theirs registered, and send people here with a request that is wrong on purpose, or one
that they will refuse: an address that we send them on to has our name behind it (RFC 9700 §4.11.2). With a code people
are sent on at once, for they have just read where to and allowed it.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from orgserver.model.hosts import is_loopback
from orgserver.serving.http.people.pages import Pages
from orgserver.serving.http.replies import Headers, Reply

_NOT_KEPT: Headers = ((b"cache-control", b"no-store"), (b"referrer-policy", b"no-referrer"))


def see_other(url: str, headers: Headers = ()) -> Reply:
    """Have a browser get something else, whatever it has sent (RFC 9700 §4.12: never 307)."""
    return Reply(303, headers=((b"location", url.encode("ascii")), *_NOT_KEPT, *headers))


def return_error(pages: Pages, return_url: str, status: int, title: str, text: str, todo: str) -> Reply:
    """Tell a client on this computer at once; to any other a person takes the answer, or does not."""
    if is_loopback(urlsplit(return_url).hostname or ""):
        return see_other(return_url)
    return pages.fail(status, title, text, todo, return_url=return_url)
