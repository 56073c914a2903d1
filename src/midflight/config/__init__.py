"""Where the defaults of the command line come from."""
