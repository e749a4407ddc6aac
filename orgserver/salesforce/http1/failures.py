"""How an exchange fails, told apart by one fact: whether a byte of the request may have left."""

from __future__ import annotations

import socket
import ssl


class NeverSent(Exception):
    """No byte of the request left: no connection was made, or none that could be used."""


class ReplyLost(Exception):
    """The request left, and its reply did not come, or cannot be understood."""


def explain_connect_failure(error: BaseException | None) -> str:
    """Why there is no connection, for people, by the error that came of it or what led to that."""
    while error is not None:  # libraries, and Python 3.11 within a tunnel, raise others on top of TLS's
        if isinstance(error, ssl.SSLCertVerificationError):
            return "its TLS certificate is not trusted (ORGSERVER_CA_FILE names further certificates)"
        if isinstance(error, ssl.SSLError):
            return "no TLS connection could be made"
        if isinstance(error, socket.gaierror | UnicodeError):
            return "its name could not be looked up"
        error = error.__cause__ or error.__context__
    return "no connection could be made"
