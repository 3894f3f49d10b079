"""Known vulnerabilities of what `constraints.txt` pins; fails for those, and never for lack of a network.

pip-audit asks a database by name and version. Where that cannot be reached, has no answer within `PATIENCE`, or knows
none of the packages (a mirror that holds packages alone), the audit is skipped and says why.
"""

import json
import subprocess
import sys
from pathlib import Path

PATIENCE = 90.0
"""Seconds in all."""
ACCEPTED: dict[str, str] = {}
"""Identifiers of vulnerabilities that do not concern us -> why."""
CONSTRAINTS = Path(__file__).parents[1] / "constraints.txt"
COMMAND = [
    sys.executable, "-m", "pip_audit", "--requirement", str(CONSTRAINTS), "--no-deps", "--disable-pip",
    "--timeout", "5", "--format", "json", "--progress-spinner", "off",
]  # fmt: skip


def audit(command: list[str] = COMMAND, patience: float = PATIENCE) -> tuple[int, list[str]]:
    """The exit code, and what to print."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=patience)
    except subprocess.TimeoutExpired:
        return 0, [f"audit skipped: no answer within {patience:.0f} s"]
    try:
        found = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError, TypeError):
        said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        return 0, [f"audit skipped: {said[-1][:300]}"]
    return verdict(found)


def verdict(found: list[dict]) -> tuple[int, list[str]]:
    """The same for what pip-audit says of each package."""
    known = [each for each in found if "vulns" in each]
    if not known:
        why = next((each.get("skip_reason", "") for each in found), "there are none")
        return 0, [f"audit skipped: the database knows none of {len(found)} packages ({why})"]
    wrong = [
        f"{each['name']} {each['version']}: {one['id']}, mended in {', '.join(one['fix_versions']) or 'no version yet'}"
        for each in known for one in each["vulns"] if not {one["id"], *one.get("aliases", ())} & ACCEPTED.keys()
    ]  # fmt: skip
    if wrong:
        return 1, [
            *wrong,
            "audit failed: raise the pins in constraints.txt, or say in .ci/audit.py why not",
        ]
    return 0, [f"audit: no known vulnerability in {len(known)} packages, {len(found) - len(known)} not known there"]


if __name__ == "__main__":
    code, lines = audit()
    print(*lines, sep="\n")
    sys.exit(code)
