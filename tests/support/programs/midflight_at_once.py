"""The command line of a person who needs no moment to read what is asked.

``MIDFLIGHT_TEST_READ_S`` is that moment, for tests of what comes too soon.
"""

from __future__ import annotations

import os

from midflight.cli.main import main
from midflight.cli.terminal import input_line

input_line.READ_S = float(os.environ.get("MIDFLIGHT_TEST_READ_S", "0"))
main()
