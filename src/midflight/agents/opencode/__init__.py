"""OpenCode: what its versions share, and a folder for each of them."""
