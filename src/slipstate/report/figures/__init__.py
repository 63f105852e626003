"""One figure per file; each function returns a finished `Drawing`."""
