"""How each tool is listed, as the files in ``tools/`` keep it: one tool, one file."""

from __future__ import annotations

import json
from pathlib import Path

from orgserver.tools.toolsets import EVERY

FOLDER = Path(__file__).with_name("tools")


def texts() -> dict[str, str]:
    """The text of each tool's file, by the file's name."""
    return {
        f"{name}.json": json.dumps(
            spec.listed().model_dump(mode="json", by_alias=True, exclude_none=True), indent=2, ensure_ascii=False
        )
        + "\n"
        for name, spec in EVERY.items()
    }
