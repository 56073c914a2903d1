"""The surface of a host that other processes reach over HTTP."""
