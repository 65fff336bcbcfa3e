"""Checks that several sections of the settings share."""

from ssd_plugin.errors import ConfigError


def require(condition: bool, name: str, value: object, allowed: str) -> None:
    """Refuse a field's value; `overrides.py` puts the section's path before the field's name."""
    if not condition:
        raise ConfigError(f"{name} = {value!r} is not allowed; allowed: {allowed}")


def require_truncation(top_k: int, top_p: float) -> None:
    require(top_k >= 0, "top_k", top_k, "0 (off) or a whole number above it")
    require(0 < top_p <= 1, "top_p", top_p, "above 0, at most 1 (off)")


def parse_truncation(text: str) -> tuple[int, float]:
    """Top-k and top-p out of "20/0.8"; "none" is no truncation.

    Raises:
        ConfigError: it is neither.
    """
    top_k, _, top_p = ("0/1" if text.strip() == "none" else text).partition("/")
    try:
        return int(top_k), float(top_p)
    except ValueError:
        raise ConfigError(f"truncation {text!r} is not allowed; allowed: TOP_K/TOP_P such as 20/0.8, or none") from None


def require_temperature(value: float, name: str = "temperature") -> None:
    require(0 <= value <= 5, name, value, "0 (greedy) to 5")
