"""Test-only: lets Megatron-Bridge be imported without Transformer Engine, whose classes its adapters inherit from.

Megatron's own modules are imported first, so that they find no Transformer Engine and say so; only then stand-ins appear,
for as long as Bridge's adapters are imported.
"""

import contextlib
import importlib
import pkgutil
import sys
import types

UNUSED = (".inference.", "export", "energon", ".tools")


def install() -> None:
    """Import what needs the stand-ins, then take them away again."""
    import megatron.core
    import torch

    for module in pkgutil.walk_packages(megatron.core.__path__, "megatron.core."):
        if not any(part in module.name for part in UNUSED):
            with contextlib.suppress(Exception):  # optional parts that lack their packages
                importlib.import_module(module.name)
    engine, in_torch = types.ModuleType("transformer_engine"), types.ModuleType("transformer_engine.pytorch")
    for name in ("Linear", "LayerNormLinear", "GroupedLinear", "TransformerLayer"):
        setattr(in_torch, name, type(name, (torch.nn.Module,), {}))
    in_torch.ops = types.SimpleNamespace(Sequential=type("Sequential", (torch.nn.Module,), {}))  # type: ignore[attr-defined]
    engine.pytorch = in_torch  # type: ignore[attr-defined]
    sys.modules |= {"transformer_engine": engine, "transformer_engine.pytorch": in_torch}
    importlib.import_module("megatron.bridge.peft.lora_layers")
    importlib.import_module("megatron.bridge.peft.lora")
    del sys.modules["transformer_engine"], sys.modules["transformer_engine.pytorch"]
