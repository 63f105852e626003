"""Observations on disk and on the wire, all as one `xarray.Dataset` schema."""
