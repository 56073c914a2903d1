"""The sessions of all hosts of a journal, served over TCP: ``midflight serve``."""
