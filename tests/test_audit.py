"""The audit of dependencies: it fails for what is known to be wrong, and for nothing else."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

spec = importlib.util.spec_from_file_location("audit", Path(__file__).parents[1] / ".ci" / "audit.py")
audit = importlib.util.module_from_spec(spec)
spec.loader.exec_module(audit)

SOUND = {"name": "numpy", "version": "2.1", "vulns": []}
SKIPPED = {"name": "torch", "skip_reason": "Dependency not found on PyPI and could not be audited: torch (2.11)"}
WRONG = {
    "name": "pillow", "version": "1.0", "vulns": [{"id": "PYSEC-1", "aliases": ["CVE-1"], "fix_versions": ["1.1"]}],
}  # fmt: skip


def said(text, code=0, stream="stdout"):
    program = f"import sys; sys.{stream}.write({text!r}); sys.exit({code})"
    return audit.audit([sys.executable, "-c", program])


def document(*found):
    return json.dumps({"dependencies": found, "fixes": []})


@pytest.mark.parametrize(
    ("outcome", "code", "told"),
    [
        (lambda: said(document(SOUND, SKIPPED)), 0, "audit: no known vulnerability in 1 packages, 1 not known there"),
        (lambda: said(document(SOUND, WRONG), 1), 1, "pillow 1.0: PYSEC-1, mended in 1.1"),
        (lambda: said(document(SKIPPED)), 0, "audit skipped: the database knows none of 1 packages (Dependency not"),
        (lambda: said("a\nConnectionError: no route to host\n", 1, "stderr"), 0, "audit skipped: ConnectionError: no"),
        (lambda: said("No module named pip_audit", 1, "stderr"), 0, "audit skipped: No module named pip_audit"),
        (lambda: said("<html>", 0), 0, "audit skipped: exit code 0"),
        (
            lambda: audit.audit(["sleep", "60"], 0.2),
            0,
            "audit skipped: no answer",
        ),
    ],
)
def test_only_what_is_known_to_be_wrong_fails(outcome, code, told):
    found, lines = outcome()
    assert found == code
    assert lines[0].startswith(told)


def test_what_is_accepted_is_passed_over(monkeypatch):
    monkeypatch.setitem(audit.ACCEPTED, "CVE-1", "we never read such files")
    assert audit.verdict([WRONG])[0] == 0


def test_a_database_that_cannot_be_reached(monkeypatch):
    """The real pip-audit, with nothing behind its database's address."""
    pytest.importorskip("pip_audit")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    code, lines = audit.audit(patience=30)
    assert code == 0
    assert lines[0].startswith("audit skipped: ")


def test_every_pin_is_audited():
    """pip-audit takes nothing but exact versions."""
    lines = audit.CONSTRAINTS.read_text().splitlines()
    assert all("==" in line for line in lines if line and not line.startswith("#"))
    assert any(line.startswith("pip-audit==") for line in lines)
