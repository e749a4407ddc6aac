"""Where the audit log is shipped to, as people write it: ``s3://BUCKET/PREFIX``, or a folder."""

from __future__ import annotations

import re
from pathlib import Path

from orgserver.model.errors import ConfigError
from orgserver.services.audit.shipping.bucket import Bucket
from orgserver.services.audit.shipping.folder import Folder
from orgserver.services.audit.shipping.targets import Target

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(/*)(.*)", re.DOTALL)
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
"""Amazon S3, "General purpose bucket naming rules"."""
_PREFIX = re.compile(r"[A-Za-z0-9!_.*'()=@-]+(?:/[A-Za-z0-9!_.*'()=@-]+)*/?")
"""Of the characters that Amazon S3 calls safe in keys, and two more."""
_FORM = "give s3://BUCKET/PREFIX, or the path of a folder"


def open_target(text: str, store_folder: Path | None = None) -> Target:
    """The place that is meant; nothing is asked of it yet. ConfigError, in one line, where none can be.

    ``store_folder`` is the home that holds the store, if it lies there.
    """
    scheme = _SCHEME.fullmatch(text)
    is_drive = scheme is not None and len(scheme[1]) == 1  # of Windows
    if scheme is not None and not is_drive:
        return _open_bucket(scheme)
    if not text.strip() or "\0" in text:
        raise ConfigError("the audit log cannot be shipped to nowhere", hint=_FORM)
    path = Path(text).expanduser().absolute()
    if store_folder is not None and _lies_with(path, store_folder):
        raise ConfigError(
            f"{path} lies in the home of the store itself: what destroys the one destroys the other",
            hint="ship to a folder on another disk or machine, or to s3://BUCKET/PREFIX",
        )
    return Folder(path)


def _lies_with(path: Path, folder: Path) -> bool:
    """Whether a place is within a folder, and not on another disk that is mounted there."""
    place = path.resolve()
    if not place.is_relative_to(folder.resolve()):
        return False
    return not (place.exists() and folder.exists()) or place.stat().st_dev == folder.stat().st_dev


def require(text: str | None) -> str:
    """What is set as the place; ConfigError where nothing is."""
    if text is None:
        raise ConfigError("it is not said where the audit log is shipped to", hint="--to, or ORGSERVER_SHIP_TO")
    return text


def _open_bucket(url: re.Match[str]) -> Bucket:
    scheme, slashes, rest = url.groups()
    if scheme != "s3" or slashes != "//":
        raise ConfigError(f"the audit log cannot be shipped to {scheme}:{slashes}…", hint=_FORM)
    bucket, _, prefix = rest.partition("/")
    if "@" in bucket or "?" in rest:
        raise ConfigError(
            "the address of a bucket holds no credentials and no options",
            hint="s3://BUCKET/PREFIX; credentials, AWS_REGION and AWS_ENDPOINT_URL come from the environment",
        )
    if not _BUCKET.fullmatch(bucket) or ".." in bucket:
        raise ConfigError(
            "s3://… names no bucket: 3 to 63 lower-case letters, digits, dots and dashes are a name", hint=_FORM
        )
    if prefix and (not _PREFIX.fullmatch(prefix) or {".", ".."} & set(prefix.split("/"))):
        raise ConfigError(
            "the prefix of s3://BUCKET/PREFIX has characters that keys do not have everywhere",
            hint="use letters, digits and - _ . = between single slashes",
        )
    return Bucket(bucket, prefix.rstrip("/"))
