"""The rules: what a session does with each input. Pure code, without I/O and without a clock."""
