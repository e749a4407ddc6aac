"""Whom we trust over TLS: whom the system trusts, and the operator's own authority."""

from __future__ import annotations

import ssl
import sys
from pathlib import Path

import truststore


def build_tls_context(ca_file: Path | None) -> ssl.SSLContext:
    """Verify as the system does, and trust the operator's own certificates too."""
    if sys.platform == "linux" and ssl.get_default_verify_paths().cafile is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.set_default_verify_paths()  # truststore reads the file for each connection: 20 ms, which all wait for
    else:
        context = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if ca_file is not None:
        context.load_verify_locations(cafile=str(ca_file))
    return context
