"""Why an access token opens nothing, in words that hold nothing of the token."""

from __future__ import annotations


class TokenRefused(Exception):
    """The token is no access token for this server."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        """One short clause, which may be shown to whoever sent the token."""


class IssuerUnavailable(Exception):
    """The issuer has not told its keys, so nobody knows whether a token is good."""

    def __init__(self, reason: str, retry_after: float = 0.0) -> None:
        super().__init__(reason)
        self.reason = reason
        """One short clause for the operator."""
        self.retry_after = retry_after
        """Seconds until the issuer is asked again."""
