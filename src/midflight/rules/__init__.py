"""What every input means: pure decisions over the state, without input, output or a clock."""
