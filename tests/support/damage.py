"""Ways to damage a file, and how long fuzzing may take."""

import copy
import json
import math
import os
import time
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

SECONDS = float(os.environ.get("SSD_FUZZ_SECONDS", "60"))  # of all fuzzing together, on an idle machine
ODD: tuple[Any, ...] = (
    None, True, -1, 0, 10**400, 1e308, math.nan, math.inf, "", "\ud800", "\0", [], {}, [[]], {"a": None}, "x" * 5000,
    "../../x", "::error::x", "\u2028", -0.5, 2**63,
)  # fmt: skip
PUT = (
    b"",
    b"\xff",
    b"\0",
    b"\xef\xbb\xbf",
    b"[" * 9000,
    b"9" * 5000,
    b'"\\ud800"',
    b"nan",
    b"\n",
    b"{",
    b'{"a":1,"a":1}',
)


def examples(share: float, each: float) -> settings:
    """As many as fit a share of the time, `each` being the seconds that one takes."""
    health = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
    count = max(5, int(share / each))
    return settings(max_examples=count, deadline=None, database=None, derandomize=True, suppress_health_check=health)


class Clock:
    """Ends a format's share of the time also where the machine is slow: what comes after it is let through."""

    def __init__(self, share: float) -> None:
        self._end = time.monotonic() + 3 * share

    def is_over(self) -> bool:
        """Whether thrice the share is used up."""
        return time.monotonic() > self._end


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) in a document."""
    keys = list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
    return [(value, key) for key in keys] + [place for key in keys for place in places(value[key])]


def damaged(draw: Callable[[Any], Any], value: Any) -> bytes:
    """The document with a key gone or there twice, a value of another kind, or its bytes spoilt."""
    value = copy.deepcopy(value)
    found = places(value)
    kind = draw(st.sampled_from(["value", "value", "gone", "twice", "bytes"])) if found else "bytes"
    if kind == "bytes":
        return spoilt(draw, json.dumps(value).encode())
    container, key = draw(st.sampled_from(range(len(found))).map(found.__getitem__))
    if kind == "value":
        container[key] = draw(st.sampled_from(ODD))
    elif kind == "gone" or not isinstance(container, dict):
        del container[key]
    else:
        container["\0twice"] = draw(st.sampled_from(ODD))
        return json.dumps(value).replace('"\\u0000twice"', json.dumps(key)).encode()
    return json.dumps(value).encode()


def spoilt(draw: Callable[[Any], Any], content: bytes) -> bytes:
    """Bytes cut, doubled, put in or nested."""
    at = draw(st.integers(0, len(content)))
    put = draw(st.sampled_from(PUT))
    whole: bytes = draw(
        st.sampled_from([content[:at] + put, content[:at] + put + content[at:], put + content + content])
    )
    return whole
