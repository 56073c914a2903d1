"""OpenCode 1.x, through its server."""
