from __future__ import annotations

from tests.support.repo import own_home, repo

__all__ = ["own_home", "repo"]
