"""What the events of a session amount to: pure folds, the same for its owner and for any reader."""
