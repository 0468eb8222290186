"""What an owner should know about their pictures before a model is trained on them, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trainer import audit_likeness, audit_pictures
from trainer.findings import SEVERITIES, Finding, Severity

if TYPE_CHECKING:
    from trainer.data import DataSet


_CHECKS = (
    audit_pictures.unusable,
    audit_pictures.left_out,
    audit_likeness.contradictions,
    audit_likeness.own_parts,
    audit_likeness.recordings,
    audit_likeness.unordered,
    audit_likeness.duplicates,
    audit_likeness.near_duplicates,
    audit_pictures.imbalance,
    audit_pictures.few,
    audit_pictures.tiny,
    audit_pictures.blank,
    audit_pictures.grey,
    audit_pictures.light,
    audit_pictures.shapes,
    audit_pictures.turned,
    audit_pictures.multilabel,
)


@dataclass(frozen=True, slots=True)
class Audit:
    """All findings about a data set, the gravest first."""

    findings: tuple[Finding, ...]
    pictures: int
    counts: dict[str, int]
    groups: int

    def count(self, severity: Severity) -> int:
        """How many findings are of that severity."""
        return sum(finding.severity == severity for finding in self.findings)

    def summary(self) -> dict[str, Any]:
        """For ``--json``."""
        findings = [
            {"severity": finding.severity, "kind": finding.kind, "message": finding.message, "advice": finding.advice,
             "paths": [str(path) for path in finding.paths], "examples": list(finding.examples)}
            for finding in self.findings
        ]  # fmt: skip
        return {"pictures": self.pictures, "classes": self.counts, "groups": self.groups, "findings": findings}


def audit(data: DataSet) -> Audit:
    """Judge a data set by what was seen when it was scanned; opens no file."""
    findings = [finding for check in _CHECKS for finding in check(data)]
    findings.sort(key=lambda finding: SEVERITIES.index(finding.severity))
    alone = sum(sample.group < 0 for sample in data.samples)
    groups = alone + len({sample.group for sample in data.samples if sample.group >= 0})
    return Audit(tuple(findings), len(data.samples), data.counts(), groups)
