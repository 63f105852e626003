"""Figures and the one self-contained page."""

from slipstate.report.page import write_report

__all__ = ["write_report"]
