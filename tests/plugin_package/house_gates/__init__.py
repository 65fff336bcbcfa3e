"""House rules as gates."""
