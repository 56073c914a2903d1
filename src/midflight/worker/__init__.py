"""A host that claims sessions which wait for a machine, and runs so many turns at a time.

`worker` is the host, `places` who gets which place.
"""

from midflight.worker.worker import CAPACITY, Worker

__all__ = ["CAPACITY", "Worker"]
