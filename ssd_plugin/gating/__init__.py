"""Judging a candidate: what a gate is, the sides it compares, and the runner that keeps gates apart from each other."""
