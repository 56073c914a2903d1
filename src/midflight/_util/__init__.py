"""Small things that know nothing of sessions."""
