"""Makes the bundles for MCP hosts (``.mcpb``): ``python packaging/mcpb/bundle.py uv|python [--output dist]``.

- ``uv`` (manifest 0.4): the source and ``pyproject.toml``; the host's uv installs the libraries. One for everybody.
- ``python`` (manifest 0.3): with every library in it, so for the platform and the Python that it is made on.

``mcpb pack`` validates and packs: npm's ``@anthropic-ai/mcpb``, as ``mcpb`` on the path.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SOURCE = ("pyproject.toml", "README.md", "LICENSE", "orgserver", "migrations")
_KEPT_OUT = shutil.ignore_patterns("__pycache__", "*.pyc")


def with_source(folder: Path) -> None:
    """Put together the bundle whose libraries uv installs."""
    _common(folder, "uv")
    for name in SOURCE:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=_KEPT_OUT)
        else:
            shutil.copy(ROOT / name, folder / name)


def with_libraries(folder: Path) -> None:
    """Put together the bundle that has its libraries in it; its manifest says what it was made on."""
    _common(folder, "python")
    shutil.copy(ROOT / "LICENSE", folder / "LICENSE")
    lib = folder / "server" / "lib"
    _pip("--require-hashes", "--requirement", ROOT / "packaging" / "requirements.txt", "--target", lib)
    _pip("--no-deps", "--upgrade", "--target", lib, ROOT)
    shutil.rmtree(lib / "bin", ignore_errors=True)
    major, minor = sys.version_info[:2]
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    manifest["compatibility"] = {
        "platforms": [sys.platform],
        "runtimes": {"python": f">={major}.{minor},<{major}.{minor + 1}"},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", "utf-8")


KINDS: dict[str, Callable[[Path], None]] = {"uv": with_source, "python": with_libraries}


def packed(kind: str, output: Path, mcpb: str = "mcpb") -> Path:
    """Pack one kind with the command ``mcpb``; CalledProcessError when it refuses."""
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="orgserver-bundle-") as place:
        folder = Path(place) / "bundle"
        KINDS[kind](folder)
        version = json.loads((folder / "manifest.json").read_text("utf-8"))["version"]
        here = "" if kind == "uv" else f"-{sys.platform}-py{sys.version_info[0]}{sys.version_info[1]}"
        bundle = output.resolve() / f"orgserver-{version}-{kind}{here}.mcpb"
        subprocess.run([mcpb, "pack", str(folder), str(bundle)], check=True, stdout=subprocess.DEVNULL)  # noqa: S603  # ours
    return bundle


def _common(folder: Path, kind: str) -> None:
    (folder / "server").mkdir(parents=True)
    shutil.copy(HERE / f"manifest-{kind}.json", folder / "manifest.json")
    shutil.copy(HERE / "main.py", folder / "server" / "main.py")


def _pip(*arguments: object) -> None:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
    subprocess.run([*command, *map(str, arguments)], check=True)  # noqa: S603  # ours


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--output", type=Path, default=ROOT / "dist", help="the folder for the bundle")
    parser.add_argument("--mcpb", default="mcpb", help="the command that packs, if it is not on the path")
    given = parser.parse_args()
    if shutil.which(given.mcpb) is None:
        sys.exit("mcpb is not on the path: npm install --global @anthropic-ai/mcpb")
    print(packed(given.kind, given.output, given.mcpb))


if __name__ == "__main__":
    _main()
