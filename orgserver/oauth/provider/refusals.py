"""Why nobody is signed in, in words that hold nothing of what was sent."""

from __future__ import annotations


class ProviderUnavailable(Exception):
    """The provider is away, slow or at odds with itself: nothing was learned, and it may be asked again later."""

    def __init__(self, reason: str, retry_after: float = 0.0) -> None:
        super().__init__(reason)
        self.reason = reason
        """One short clause for the operator."""
        self.retry_after = retry_after
        """Seconds until the provider is asked again."""


class ProviderRefused(Exception):
    """What the provider said is not to be believed, or it refused; asking again would not help."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        """One short clause for the operator."""


class AuthTimeMissing(ProviderRefused):
    """The provider does not say when the person last showed who they are (claim ``auth_time``), though it was asked."""


class GrantEnded(Exception):
    """The provider has ended what a person gave: a session that rests on it ends."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        """One short clause for the operator."""
