"""The command line. Nothing in here is for import by programs: they use `midflight` itself."""

from __future__ import annotations
