"""Model references to local directories, their weights, shape and device."""
