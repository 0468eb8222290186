"""How names and numbers are written for a person."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trainer.report.judgement import Share

_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_MEGA = 1_000_000
_SMALL = 100
_EVERY_SHARE = 0.9995


def clean(text: str) -> str:
    """Text as HTML can hold it: control characters and undecodable bytes of file names become a visible mark."""
    return _UNPRINTABLE.sub("\ufffd", text)


def name(label: str) -> str:
    """A label as one can read it, even if it is blank."""
    return clean(label).strip() or "(no name)"


def names(labels: Sequence[str], *, at_most: int = 8) -> str:
    """``a, b and c``; a long list is cut and says so."""
    shown = [name(label) for label in labels[:at_most]]
    if len(labels) > at_most:
        return f"{', '.join(shown)} and {len(labels) - at_most} more"
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def percent(share: float) -> str:
    """``97 %``; one decimal where a whole number would say 0 or 100 and be wrong."""
    text = f"{share:.0%}"
    if text in {"0%", "100%"} and share not in {0.0, 1.0}:
        text = f"{min(share, 0.999):.1%}" if share > 0.5 else f"{max(share, 0.001):.1%}"  # noqa: PLR2004  nearer end
    return text.replace("%", "\u202f%")


def of_100(share: float) -> str:
    """``94``, for "in 94 of 100"; 100 only where it is all of them, and 0 only where it is none."""
    return str(round(share * 100) if share in {0.0, 1.0} else min(99, max(1, round(share * 100))))


def interval(share: Share) -> str:
    """``81–98 %``."""
    low, high = share.interval
    return f"{low * 100:.0f}–{high * 100:.0f}\u202f%"


def pictures(count: int) -> str:
    """``1 picture``, ``12,345 pictures``."""
    return f"{count:,} picture{'' if count == 1 else 's'}"


def size(size_bytes: int) -> str:
    """``0.9 MB``."""
    return f"{size_bytes / _MEGA:.1f}\u202fMB" if size_bytes >= _MEGA / 10 else f"{size_bytes / 1000:.0f}\u202fkB"


def milliseconds(value_ms: float) -> str:
    """``1.3 ms``."""
    return f"{value_ms:.1f}\u202fms" if value_ms < _SMALL else f"{value_ms:,.0f}\u202fms"


def score(value: float) -> str:
    """``0.97``; never rounded up to a certainty that was not meant."""
    return "0.99+" if _EVERY_SHARE > value >= 0.995 else f"{value:.2f}"  # noqa: PLR2004  where .2f would say 1.00
