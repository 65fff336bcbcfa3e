"""Which Megatron-Bridge goes with which megatron-core, and which NeMo container holds them: one table.

Megatron-Bridge 0.4 and later name no bound on megatron-core, so that pip mixes them; each minor version is written against one
of megatron-core alone.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from packaging.version import Version

IMAGE = "nvcr.io/nvidia/nemo:{tag}"


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Versions that fit, by their first two numbers. `container`: the tag of NVIDIA's NeMo container that holds them.
    `with_vllm`: whether it holds vLLM too, so that one interpreter runs every stage."""

    bridge: str
    core: str
    container: str
    with_vllm: bool

    def __str__(self) -> str:
        return f"{self.bridge} with {self.core}"


PAIRS = (
    Pair(bridge="0.3", core="0.16", container="26.02.01", with_vllm=False),
    Pair(bridge="0.4", core="0.17", container="26.04", with_vllm=True),
    Pair(bridge="0.5", core="0.18", container="26.06", with_vllm=True),
    Pair(bridge="0.6", core="0.19", container="26.08", with_vllm=True),
)
NEWEST = PAIRS[-1]
OLDEST = {"megatron-bridge": Version("0.3.1"), "megatron-core": Version("0.16.1")}
SINCE = {"GptOssForCausalLM": Version("0.4")}  # Megatron-Bridge 0.3.1 gives gpt-oss a window of 129 tokens, not 128


def minor(version: str) -> str:
    """Its first two numbers."""
    return ".".join(map(str, Version(version).release[:2]))


def pair_problem(bridge: str, core: str, architecture: str = "") -> str:
    """Why these two cannot train a model of that architecture; empty when they can."""
    found = next((pair for pair in PAIRS if (pair.bridge, pair.core) == (minor(bridge), minor(core))), None)
    fitting = next((pair for pair in PAIRS if pair.bridge == minor(bridge)), NEWEST)
    if found is None or Version(bridge) < OLDEST["megatron-bridge"] or Version(core) < OLDEST["megatron-core"]:
        return (
            f"Megatron-Bridge {bridge} and megatron-core {core} do not fit each other: known are "
            f"{', '.join(map(str, PAIRS))}; use the container {IMAGE.format(tag=fitting.container)}"
        )
    since = SINCE.get(architecture)
    if since and Version(bridge) < since:
        return (
            f"Megatron-Bridge {bridge} trains {architecture} with a wrong sliding window, {since} and later do not: use the "
            f"container {IMAGE.format(tag=NEWEST.container)}"
        )
    return ""


def image_problem(image: str, needs: Iterable[str]) -> str:
    """Why one of NVIDIA's NeMo containers cannot run the stages that need `needs` ("megatron", "vllm"); empty when it can, and
    for any other image, of which nothing is known."""
    name, _, tag = image.rpartition(":")
    if not name.endswith("nvidia/nemo"):
        return ""
    held = {pair.container: {"megatron"} | ({"vllm"} if pair.with_vllm else set()) for pair in PAIRS}
    missing = sorted(set(needs) - held.get(tag, set()))
    known = [container for container, kinds in held.items() if set(needs) <= kinds]
    return f"{image} has no {' and '.join(missing)} that fits; known: {', '.join(known)}" if missing else ""
