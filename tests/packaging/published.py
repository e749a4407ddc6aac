"""What ``packaging/`` says of the product, and the schemas that say how."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jsonschema import Draft7Validator, FormatChecker

from .saying import Result, failed, ok, said

ROOT = Path(__file__).parents[2]
PACKAGING = ROOT / "packaging"
SAMPLES = ROOT / "tests" / "samples"
SERVER_SCHEMA = SAMPLES / "mcp_registry" / "server-2025-12-11.schema.json"


def content(path: Path) -> Any:
    """A JSON file."""
    return json.loads(path.read_text("utf-8"))


def manifest_schema(version: str) -> Path:
    """The schema of a bundle's manifest."""
    return SAMPLES / "mcpb" / f"manifest-{version}.schema.json"


def faults(document: Any, schema: Path) -> list[str]:
    """What is wrong with a document, by its schema."""
    validator = Draft7Validator(content(schema), format_checker=FormatChecker())
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(document)]


async def registry(_packages: Path, _folder: Path) -> list[Result]:
    """Judge ``server.json``."""
    found = faults(content(PACKAGING / "server.json"), SERVER_SCHEMA)
    results = [failed(f"server.json: {fault}") for fault in found]
    return [said(result) for result in results or [ok("server.json is valid by the registry's schema of 2025-12-11")]]
