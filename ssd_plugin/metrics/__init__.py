"""Numbers from graded samples: pass@k, intervals and tests, diversity, syntax, summaries."""
