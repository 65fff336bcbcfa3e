"""A run from recipe to verdict: stages, the run directory, rounds and sweeps."""
