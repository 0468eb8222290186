"""The report: one HTML page that says how right a model file is, and what to do next.

``write_report(path, ReportData(...))`` is all that a caller needs. The page stands alone (no other file, no network, no
JavaScript) and everything that came from outside (labels, file names, messages) is escaped.
"""

from trainer.report.content import Answers, Epoch, ReportData, Unknown, top_answers
from trainer.report.page import render_report, write_report

__all__ = ["Answers", "Epoch", "ReportData", "Unknown", "render_report", "top_answers", "write_report"]
