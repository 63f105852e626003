"""`python -m slipstate`, the same as the command `slipstate`."""

from slipstate.cli import main

if __name__ == "__main__":
    main()
