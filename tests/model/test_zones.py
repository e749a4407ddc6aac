"""Zones are known where the machine has no zone database."""

import os
import subprocess
import sys


def test_zones_come_with_us_where_the_machine_has_none() -> None:
    program = "import zoneinfo; print(zoneinfo.TZPATH, zoneinfo.ZoneInfo('Europe/Berlin').key)"

    ran = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONTZPATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )

    assert ran.stdout.strip() == "() Europe/Berlin", ran.stderr
