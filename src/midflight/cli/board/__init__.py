"""The board: every session on one screen, on Textual."""
