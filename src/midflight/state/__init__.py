"""The state of a session: pure folds of its events, the same for its owner and for any reader."""
