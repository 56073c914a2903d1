from __future__ import annotations

from tests.support.repo import own_home, remote, repo

__all__ = ["own_home", "remote", "repo"]
