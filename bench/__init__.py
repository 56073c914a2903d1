"""What midflight adds to the agent's own time; run it with ``python -m bench``."""
