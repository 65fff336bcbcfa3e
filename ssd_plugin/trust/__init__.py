"""Signing, verification, promotion and registries: what stands between a verdict and production."""
