"""Numbers out of files that stages wrote."""

import math
from typing import Any


def finite(value: Any) -> float:
    """The number.

    Raises:
        ValueError, TypeError: it is none, or not finite.
    """
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{value} is not a finite number")
    return number
