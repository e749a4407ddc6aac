"""What a bucket's refusals mean, in one line each; what it wrote beside its code is not repeated.

The codes are those of Amazon S3's API Reference, "Error responses"; obstore has them in the text of its errors.
"""

from __future__ import annotations

import re

from orgserver.services.audit.shipping.targets import TargetError

_CODE = re.compile(r"<Code>([A-Za-z0-9]{1,60})</Code>")
_STATUS = re.compile(r"status code: (\d{3})")
_DENIED = "it takes s3:ListBucket on the bucket, and s3:GetObject and s3:PutObject below the prefix"
_CREDENTIALS = "check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, the profile, or the role"
_REGION = "set AWS_REGION to the bucket's region"
_MEANINGS: dict[str, tuple[str, str]] = {
    "NoSuchBucket": ("there is no bucket {}", "check its name and AWS_ENDPOINT_URL; it is not made by itself"),
    "AccessDenied": ("access to the bucket {} is denied", _DENIED),
    "AllAccessDisabled": ("access to the bucket {} is denied", _DENIED),
    "InvalidAccessKeyId": ("the bucket {} knows no such access key", _CREDENTIALS),
    "SignatureDoesNotMatch": ("the bucket {} does not take this secret key", _CREDENTIALS),
    "ExpiredToken": ("the credentials for the bucket {} have run out", _CREDENTIALS),
    "InvalidToken": ("the bucket {} does not take this session token", _CREDENTIALS),
    "RequestTimeTooSkewed": ("the bucket {} says that this machine's clock is wrong", "set the clock, as by NTP"),
    "PermanentRedirect": ("the bucket {} lies in another region", _REGION),
    "AuthorizationHeaderMalformed": ("the bucket {} lies in another region", _REGION),
    "IllegalLocationConstraintException": ("the bucket {} lies in another region", _REGION),
    "SlowDown": ("the bucket {} asks for fewer requests", "it is tried again by itself where a server ships"),
}
_NO_CREDENTIALS = ("169.254.169.254", "169.254.170.2", "credential")


def explain(error: Exception, bucket: str) -> TargetError:
    """What is said of an error of the library."""
    text = str(error).partition("Debug source:")[0]
    code = _CODE.search(text)
    meaning = _MEANINGS.get(code[1]) if code is not None else None
    if meaning is None and "configured region" in text:
        meaning = _MEANINGS["PermanentRedirect"]
    if meaning is not None:
        return TargetError(meaning[0].format(bucket), hint=meaning[1])
    status = _STATUS.search(text)
    if any(sign in text for sign in _NO_CREDENTIALS):
        return TargetError(f"there are no credentials for the bucket {bucket}", hint=_CREDENTIALS)
    if status is None:
        return TargetError(
            f"the bucket {bucket} cannot be reached, or did not answer in time",
            hint="check the network, AWS_ENDPOINT_URL and its certificate",
        )
    said = f" {code[1]}" if code is not None else ""
    hint = _DENIED if status[1] == "403" else "see what the operator of the bucket says of it"
    return TargetError(f"the bucket {bucket} answered {status[1]}{said}", hint=hint)


def knows_no_condition(error: Exception) -> bool:
    """Whether a bucket refused a put because it was on a condition, which some that speak the protocol do not know."""
    text = str(error).partition("Debug source:")[0]
    return type(error).__name__ == "NotSupportedError" or any(
        sign in text for sign in ("<Code>NotImplemented</Code>", "status code: 501")
    )
