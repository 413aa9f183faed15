"""`python -m opslab` is `tc`."""

from opslab.cli.app import main

if __name__ == "__main__":
    main()
