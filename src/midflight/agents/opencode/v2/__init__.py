"""OpenCode 2.x, through its server. Experimental: proven on its preview, see `names`."""
