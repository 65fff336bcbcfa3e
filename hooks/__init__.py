"""Where outsiders plug in and where CI calls the project."""
