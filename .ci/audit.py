"""Tells what is known against the releases that CI installs (pip-audit). It reports, and never fails a run.

Advisories appear on their own clock: a change must not be refused for one, and not for a service that is away.
"""

import json
import subprocess
import sys

SECONDS = 120


def main(requirements: str) -> None:
    """Print one line for each known vulnerability, or why none could be looked up."""
    command = [sys.executable, "-m", "pip_audit", "--requirement", requirements, "--require-hashes", "--disable-pip"]
    command += ["--format", "json", "--progress-spinner", "off", "--timeout", "10"]
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)  # noqa: S603  # ours
        releases = json.loads(run.stdout)["dependencies"]
    except (subprocess.TimeoutExpired, ValueError, KeyError) as error:
        print(f"pip-audit: the advisories could not be looked up ({type(error).__name__})")
        return
    audited = [release for release in releases if "skip_reason" not in release]
    for release in audited:
        for advisory in release["vulns"]:
            fixed = ", ".join(advisory["fix_versions"]) or "no release yet"
            print(f"pip-audit: {release['name']} {release['version']}: {advisory['id']}, fixed in {fixed}")
    print(f"pip-audit: {len(audited)} of {len(releases)} releases could be looked up")


if __name__ == "__main__":
    main(sys.argv[1])
