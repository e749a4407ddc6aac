"""The parameters of ``tools/call`` as clients send them: what the SDK would refuse in its own words is read here.

Arguments may be the JSON text of an object. What is wrong is taken out, so that the call arrives, and is refused there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mcp_types import ElicitResult
from pydantic import ValidationError

from orgserver.model.errors import InvalidArgument
from orgserver.model.json_text import read_json_text
from orgserver.tools.arguments import kind_of

ANSWER = "confirm"
"""The key of the question to a person, and so of its answer."""


class CallParameters(dict[str, Any]):
    """Parameters that the SDK takes, with what was wrong with those that came."""

    refusal: InvalidArgument | None = None
    has_unreadable_answer: bool = False


def read_parameters(params: Mapping[str, Any]) -> Mapping[str, Any]:
    """The parameters themselves where nothing is wrong with them, else CallParameters."""
    arguments, answers = params.get("arguments"), params.get("inputResponses")
    is_odd = arguments is not None and not isinstance(arguments, dict)
    is_unreadable = isinstance(answers, dict) and ANSWER in answers and not _is_answer(answers[ANSWER])
    if not is_odd and not is_unreadable:
        return params
    parameters = CallParameters(params)
    if is_odd:
        try:
            parameters["arguments"] = _read_arguments(arguments)
        except InvalidArgument as error:
            parameters["arguments"], parameters.refusal = {}, error
    if is_unreadable and isinstance(answers, dict):
        parameters["inputResponses"] = {name: each for name, each in answers.items() if name != ANSWER}
        parameters.has_unreadable_answer = True
    return parameters


def _is_answer(answer: object) -> bool:
    try:
        ElicitResult.model_validate(answer)
    except ValidationError:
        return False
    return True


def _read_arguments(arguments: object) -> dict[str, Any]:
    """The object that a JSON text is; InvalidArgument says what came instead of one."""
    if not isinstance(arguments, str):
        raise _not_an_object(kind_of(arguments))
    try:
        content = read_json_text(arguments)
    except ValueError:
        raise _not_an_object("a text that is no JSON, or names a key twice,") from None
    if not isinstance(content, dict):
        raise _not_an_object(f"{kind_of(content)} as JSON text")
    return content


def _not_an_object(arrived: str) -> InvalidArgument:
    hint = 'name each argument: {"org": "…", …}'
    return InvalidArgument(f"arguments must be an object; {arrived} arrived", fields=["arguments"], hint=hint)
