"""What hosts and clients of different versions of midflight can say to each other.

A host outlives an upgrade. What both sides know goes on as it was: a reader ignores a field that it
does not know, every new field has a default, and a value that is new in a closed set is taken as it
is. `WIRE` grows with each new field, command or option, and a host tells it in its journal and in
``/healthz``. A client says with it why an older host cannot do what is asked, and a session waits
for a worker that speaks the version of who has begun it.
"""

from __future__ import annotations

WIRE = 5
"""The version that this program speaks. Version 1 knew no ``who``, and did not tell its number.
Version 2 knew no ``set_limits``, and no cost that is null, version 3 no images, and version 4 no
``person``."""
