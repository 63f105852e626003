"""The `slipstate` command, one file per verb."""

from slipstate.cli.app import main

__all__ = ["main"]
