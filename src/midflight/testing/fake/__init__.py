"""The agent without a program."""
