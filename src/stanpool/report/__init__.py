"""A fit written up as one HTML file that opens from disk, without a network."""

from __future__ import annotations

from stanpool.report.poolings import ladder_record
from stanpool.report.record import fit_record
from stanpool.report.write import report_comparison, write_report

__all__ = ["fit_record", "ladder_record", "report_comparison", "write_report"]
