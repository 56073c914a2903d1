"""The processes of an agent: started, watched and ended whole."""
