"""Frameworks that call the project or are called by it: NeMo-Run, experiment trackers."""
