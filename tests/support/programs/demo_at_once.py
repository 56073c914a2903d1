"""``midflight demo`` without the pauses in which a person reads."""

from __future__ import annotations

from midflight.cli.commands import demo, demo_script
from midflight.cli.main import main

demo.READING_S = 0.0
demo_script.PACE_S = 0.0
main()
