"""The APIs that the scripted model speaks: each file reads its requests and writes its answers."""
