"""What every layer uses: whole-or-absent files, locks, digests, timing, progress. Knows nothing of models or tasks."""
