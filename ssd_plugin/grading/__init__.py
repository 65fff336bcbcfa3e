"""From completions to scores: extraction, grading, pass@k."""
