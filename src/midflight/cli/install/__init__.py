"""What ``mcp install`` and ``skill install`` write into the files of other programs."""
