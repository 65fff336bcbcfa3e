"""A finished run's figures and report for experiment trackers."""
