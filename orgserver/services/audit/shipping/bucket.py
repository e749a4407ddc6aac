"""A bucket that speaks Amazon S3's protocol as the place that the audit log is shipped to.

Region, endpoint and credentials come from where programs of AWS look for them: the environment (``AWS_REGION``,
``AWS_ENDPOINT_URL``, ``AWS_ACCESS_KEY_ID`` …), a web identity, the role of a container or of a machine; a profile
(``AWS_PROFILE``) where boto3 is installed.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from orgserver.model.errors import ConfigError
from orgserver.model.hosts import is_loopback
from orgserver.services.audit.shipping.bucket_errors import explain, knows_no_condition
from orgserver.services.audit.shipping.parts import MAX_BYTES
from orgserver.services.audit.shipping.targets import Listed, TargetError

if TYPE_CHECKING:
    from obstore.store import S3Store

_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
_SECONDS, _CONNECT_SECONDS, _RETRIES = 60.0, 5.0, 3


class Bucket:
    """Puts on the condition that there is nothing of the name yet, which the bucket itself decides."""

    def __init__(
        self,
        bucket: str,
        prefix: str,
        environ: Mapping[str, str] = os.environ,
        *,
        seconds: float = _SECONDS,
        retries: int = _RETRIES,
    ) -> None:
        try:
            import obstore  # noqa: PLC0415  # an extra
        except ImportError as error:
            raise ConfigError(
                f"shipping to s3:// needs obstore, which is not installed or cannot be loaded: {error}",
                hint="pip install 'orgserver[s3]'",
            ) from error
        self.name = f"s3://{bucket}/{prefix}".rstrip("/")
        self._bucket = bucket
        self._obstore = obstore
        self._knows_conditions = True
        self._store = _open(bucket, prefix, environ, seconds, retries)

    async def list_files(self) -> list[Listed]:
        """Every file that is there, but for what lies deeper."""
        files: list[Listed] = []
        try:
            async for page in self._obstore.list(self._store):
                files += [
                    Listed(each["path"], each["size"], each["last_modified"].timestamp())
                    for each in page
                    if "/" not in each["path"]
                ]
        except self._errors as error:
            raise explain(error, self._bucket) from None
        return files

    async def read(self, name: str) -> bytes | None:
        """What is in a file; None where there is none of this name."""
        try:
            reply = await self._obstore.get_async(self._store, name)
            if reply.meta["size"] > MAX_BYTES:
                return b""
            return bytes(await reply.bytes_async())
        except FileNotFoundError as error:
            if "NoSuchBucket" in str(error):
                raise explain(error, self._bucket) from None
            return None
        except self._errors as error:
            raise explain(error, self._bucket) from None

    async def add(self, name: str, content: bytes) -> bool:
        """Put a new file there; False where there is one of this name."""
        if self._knows_conditions:
            try:
                await self._obstore.put_async(self._store, name, content, mode="create", use_multipart=False)
            except self._obstore.exceptions.AlreadyExistsError:
                return await self._refuse_conflict(name)
            except self._errors as error:
                if not knows_no_condition(error):
                    raise explain(error, self._bucket) from None
                self._knows_conditions = False
            else:
                return True
        return await self._add_unconditionally(name, content)

    async def _refuse_conflict(self, name: str) -> bool:
        """What S3 means by a conflict: there is one of this name, or somebody is just putting it (409)."""
        if await self.read(name) is None:
            raise TargetError(f"somebody else is putting {name} into the bucket {self._bucket}", hint="try again")
        return False

    async def _add_unconditionally(self, name: str, content: bytes) -> bool:
        """Put into a bucket that knows no condition: whoever comes between writes the same."""
        if await self.read(name) is not None:
            return False
        try:
            await self._obstore.put_async(self._store, name, content, use_multipart=False)
        except self._errors as error:
            raise explain(error, self._bucket) from None
        return True

    @property
    def _errors(self) -> tuple[type[Exception], ...]:
        return self._obstore.exceptions.BaseError, OSError


def _open(bucket: str, prefix: str, environ: Mapping[str, str], seconds: float, retries: int) -> S3Store:
    from obstore.store import S3Store  # noqa: PLC0415  # an extra

    options: dict[str, Any] = {}
    endpoint = next((environ[name] for name in _ENDPOINTS if environ.get(name)), None)
    if endpoint is not None:
        options["endpoint"] = _check_endpoint(endpoint)
    if environ.get("AWS_PROFILE"):
        options["credential_provider"] = _read_profile(environ["AWS_PROFILE"])
    return S3Store(
        bucket,
        prefix=prefix or None,
        client_options={
            "allow_http": endpoint is not None and endpoint.startswith("http:"),  # of this machine alone, see above
            "timeout": timedelta(seconds=seconds),
            "connect_timeout": timedelta(seconds=min(seconds, _CONNECT_SECONDS)),
        },
        retry_config={"max_retries": retries, "retry_timeout": timedelta(seconds=2 * seconds)},
        **options,
    )


def _check_endpoint(endpoint: str) -> str:
    try:
        parts = urlsplit(endpoint)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        host, parts = "", urlsplit("")
    plain = parts.scheme == "http" and is_loopback(host)
    if not host or parts.username is not None or parts.query or not (parts.scheme == "https" or plain):
        raise ConfigError(
            "AWS_ENDPOINT_URL is no address that the audit log can be shipped to",
            hint="give https://HOST[:PORT]; plain http is for this machine alone, and credentials do not belong in it",
        )
    return endpoint


def _read_profile(profile: str) -> Any:
    try:
        session = importlib.import_module("boto3.session")  # knows profiles, where somebody has it
        errors = importlib.import_module("botocore.exceptions")
        from obstore.auth.boto3 import Boto3CredentialProvider  # noqa: PLC0415  # as above
    except ImportError:
        raise ConfigError(
            "AWS_PROFILE is set, and profiles are read by boto3, which is not installed",
            hint="pip install boto3; or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or use a role",
        ) from None
    try:
        return Boto3CredentialProvider(session.Session(profile_name=profile))
    except (errors.BotoCoreError, ValueError) as error:
        raise ConfigError(
            f"the credentials of AWS_PROFILE cannot be read: {type(error).__name__}", hint="aws configure list-profiles"
        ) from None
