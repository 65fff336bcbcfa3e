"""What a run will need, and whether it can work, before anything starts. Pure functions of the settings; no framework."""
