"""The command line, as ``python -m midflight``."""

import sys

from midflight.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
