"""Any agent that speaks ACP."""
