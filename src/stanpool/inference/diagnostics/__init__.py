"""Diagnosis of a fit: what is wrong with its draws, where, and what to do."""

from __future__ import annotations

from stanpool.inference.diagnostics.diagnose import diagnose
from stanpool.inference.diagnostics.diagnosis import Advice, Diagnosis, Finding

__all__ = ["Advice", "Diagnosis", "Finding", "diagnose"]
