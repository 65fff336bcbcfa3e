"""What a method is compared with: its control arms, and the curve over decode temperatures.

No `from __future__ import annotations`, as in `schema`.
"""

from dataclasses import dataclass
from typing import Any

from ssd_plugin.config.checks import require, require_temperature

CONTROLS: dict[str, dict[str, Any]] = {
    "none": {},
    "fixed_point": {
        "temperature": 1.0,
        "top_k": 0,
        "top_p": 0.9999,
    },  # a plain fine-tune on the model's own distribution
    "near_greedy": {"temperature": 0.1, "top_k": 0, "top_p": 1.0},
}
"""How the control arms draw their training samples."""


@dataclass(frozen=True, kw_only=True)
class CurveConfig:
    """`ssd curve`: every arm on the held-out split at each of these temperatures; `pass_at`: the second k, beside 1."""

    temperatures: tuple[float, ...] = (0.2, 0.6, 1.0, 1.4)
    samples_per_task: int = 4
    pass_at: int = 4

    def __post_init__(self) -> None:
        require(
            len(self.temperatures) == len(set(self.temperatures)) > 0,
            "temperatures",
            self.temperatures,
            "each one once",
        )
        for temperature in self.temperatures:
            require_temperature(temperature, "temperatures")
            require(temperature > 0, "temperatures", temperature, "above 0: greedy answers are all the same")
        require(2 <= self.pass_at <= self.samples_per_task, "pass_at", self.pass_at, "2 to samples_per_task")
