"""The chart, linted and rendered by Helm in a process of its own: its library starts threads that no test's process wants.

``python -m tests.packaging.rendering`` reads a JSON list of values and prints a list of ``{"findings", "manifests"}`` or
``{"error"}``.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from .published import PACKAGING, ROOT
from .saying import Result, failed, ok, said

CHART = PACKAGING / "helm" / "orgserver"
VALUES: dict[str, Any] = {
    "image": {"repository": "registry.example/orgserver"},
    "publicUrl": "https://mcp.example.com",
    "trustProxy": ["10.244.0.0/16"],
    "masterKey": {"existingSecret": "orgserver-key"},
}
"""What must be given."""


def render(*values: dict[str, Any]) -> list[dict[str, Any]]:
    """What Helm makes of the chart with each of these values."""
    command = [sys.executable, "-m", "tests.packaging.rendering"]
    process = subprocess.run(
        command, input=json.dumps(values), capture_output=True, text=True, check=True, cwd=ROOT, timeout=60
    )
    return json.loads(process.stdout)


def read_objects(rendering: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The objects that the cluster would get, by their kind; a chart of ours has one of each."""
    manifests = rendering["manifests"].items()
    texts = [text for path, text in manifests if path.endswith(".yaml")]
    objects = [each for text in texts for each in yaml.safe_load_all(text) if each]
    assert len({each["kind"] for each in objects}) == len(objects)
    return {each["kind"]: each for each in objects}


async def chart(_packages: Path, _folder: Path) -> list[Result]:
    """Lint and render the chart with what must be given; nothing is installed, for that needs a cluster."""
    (rendering,) = render(VALUES)
    if "error" in rendering:
        return [said(failed(rendering["error"]))]
    kinds = ", ".join(read_objects(rendering))
    findings = "; ".join(finding["error"] for finding in rendering["findings"])
    return [said(ok(f"Helm renders the chart: {kinds}; it finds: {findings or 'nothing'}; nothing was installed"))]


def _render_one(values: dict[str, Any]) -> dict[str, Any]:
    import helm_python as helm

    try:
        with helm.Chart.load(CHART) as chart:
            manifests = chart.render(values, name="prod", namespace="mcp")
        return {"findings": helm.lint(CHART, values, strict=True)["messages"], "manifests": manifests}
    except helm.HelmError as error:
        return {"error": str(error)}


if __name__ == "__main__":
    print(json.dumps([_render_one(values) for values in json.load(sys.stdin)]))
