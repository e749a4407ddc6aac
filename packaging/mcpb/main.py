"""Starts ``orgserver serve`` from a bundle: its libraries are in ``lib`` beside this file, or uv has them."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).with_name("lib")))
try:
    from orgserver.__main__ import main
except ImportError as error:
    python = ".".join(map(str, sys.version_info[:2]))
    sys.exit(f"orgserver: error: this bundle does not work with Python {python} on {sys.platform}: {error}")

sys.argv[1:1] = ["serve"]
main()
