"""State-space models that can be understood and trusted, applied to the solid Earth.

The public names live one floor down, each in the package that answers its question:
`slipstate.records` reads observations, `slipstate.earth` simulates faults,
`slipstate.systems` says what a state-space model is, `slipstate.assimilate` follows
observations with it, and `slipstate.watch` does the main job. Importing this package
alone is cheap and changes no setting of any other library.
"""

__version__ = "0.1.0"
__all__ = ["__version__"]
