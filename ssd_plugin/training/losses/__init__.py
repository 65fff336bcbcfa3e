"""Losses on a model's own samples: divergences from a teacher, the clipped policy gradient, and their sum under one denominator.

Per-token functions take logits and return one value per token. `chunked.py` calls them on a few hundred tokens at a time, so
that a batch's logits are never held whole.
"""
