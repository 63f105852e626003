"""The `slipstate` command, one file per verb."""
