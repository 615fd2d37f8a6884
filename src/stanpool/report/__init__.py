"""A fit written up as one HTML file that opens from disk, without a network."""

from __future__ import annotations

from stanpool.report.record import fit_record
from stanpool.report.write import write_report

__all__ = ["fit_record", "write_report"]
