"""The suite's prompts and resources."""

from __future__ import annotations

import json
from typing import Any

from mcp_types import GetPromptResult, ReadResourceResult

from .content import PNG, make_image, make_prompt_result, make_resource, make_text
from .questions import PROMPT

_PROMPTS: dict[str, tuple[str, ...]] = {
    "test_simple_prompt": (),
    "test_prompt_with_arguments": ("arg1", "arg2"),
    "test_prompt_with_embedded_resource": ("resourceUri",),
    "test_prompt_with_image": (),
}
_RESOURCES = {"static-text": "text/plain", "static-binary": "image/png", "watched-resource": "text/plain"}
_TEXT = "This is the content of the static text resource."
TEMPLATE = {"uriTemplate": "test://template/{id}/data", "name": "template"}


def describe_prompts() -> list[dict[str, Any]]:
    """How the prompts are listed."""
    return [
        {
            "name": name,
            "description": f"{name}, for the suite",
            "arguments": [{"name": each, "description": each, "required": True} for each in arguments],
        }
        for name, arguments in (_PROMPTS | {PROMPT.name: ()}).items()
    ]


def fill_prompt(name: str, arguments: dict[str, str]) -> GetPromptResult | None:
    """A prompt's messages; None where it is not the suite's."""
    if name not in _PROMPTS:
        return None
    content = {
        "test_simple_prompt": [make_text("This is a simple prompt for testing.")],
        "test_prompt_with_arguments": [
            make_text(
                f"Prompt with arguments: arg1='{arguments.get('arg1')}', arg2='{arguments.get('arg2')}'",
            )
        ],
        "test_prompt_with_embedded_resource": [
            make_resource(arguments.get("resourceUri", ""), "text/plain", "Embedded resource content for testing."),
            make_text("Please process the embedded resource above."),
        ],
        "test_prompt_with_image": [make_image(), make_text("Please analyze the image above.")],
    }[name]
    return make_prompt_result(*content)


def describe_resources() -> list[dict[str, Any]]:
    """How the resources are listed."""
    return [
        {"uri": f"test://{name}", "name": name, "description": name, "mimeType": kind}
        for name, kind in _RESOURCES.items()
    ]


def read_resource(uri: str) -> ReadResourceResult | None:
    """What a resource holds; None where it is not the suite's."""
    if uri.startswith("test://template/"):
        number = uri.split("/")[3]
        text = json.dumps({"id": number, "templateTest": True, "data": f"Data for ID: {number}"})
        return _make_contents({"uri": uri, "mimeType": "application/json", "text": text})
    kind = _RESOURCES.get(uri.removeprefix("test://"))
    if kind is None:
        return None
    content = {"blob": PNG} if kind == "image/png" else {"text": _TEXT}
    return _make_contents({"uri": uri, "mimeType": kind, **content})


def _make_contents(content: dict[str, Any]) -> ReadResourceResult:
    return ReadResourceResult.model_validate({"contents": [content]})
