"""Where the gain comes from: simulations, sweeps, forks and locks."""
