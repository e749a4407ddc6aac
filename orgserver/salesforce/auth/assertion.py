"""The signed assertion that a ``jwt`` credential shows to the token endpoint (RFC 7523; Help, "JWT Bearer Flow")."""

from __future__ import annotations

import jwt

from orgserver.model.orgs import Credential
from orgserver.model.secret import Secret

LIFE_SECONDS = 180
"""Salesforce takes at most five minutes; clocks differ."""


def sign(credential: Credential, now: float) -> Secret:
    """Sign who asks (``iss``), as whom (``sub``), where (``aud``), for three minutes, with RS256."""
    if credential.private_key is None or credential.username is None or credential.audience is None:
        raise ValueError("this credential cannot sign an assertion")
    claims = {
        "iss": credential.client_id,
        "sub": credential.username,
        "aud": credential.audience,
        "exp": int(now) + LIFE_SECONDS,
    }
    return Secret(jwt.encode(claims, credential.private_key.reveal(), algorithm="RS256"))
