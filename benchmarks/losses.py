"""Memory of a divergence from a teacher and its gradients: chunk by chunk, and with whole logits.

    python benchmarks/losses.py [--tokens 2048] [--vocabulary 49152] [--width 576]

Each in a process of its own; what is counted is how far its peak of resident memory lies above that of its inputs and
gradients. The losses must agree.
"""

import argparse
import json
import resource
import subprocess
import sys

import torch

from ssd_plugin.config.methods import DivergenceConfig
from ssd_plugin.training.losses.divergences import divergence
from ssd_plugin.training.losses.objective import Objective, Observed, States, Tokens, teacher_loss

WAYS = ("chunked", "whole")


def peak_mib() -> float:
    """The most resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(way: str, options: argparse.Namespace) -> dict[str, float]:
    """The loss, and the memory above the inputs'."""
    torch.manual_seed(0)
    config = DivergenceConfig(divergence="jsd", support="top_k", top_k=100)
    hidden, taught = (torch.randn(options.tokens, options.width) / options.width**0.5 for _ in range(2))
    weight = torch.randn(options.vocabulary, options.width)
    ids = torch.randint(options.vocabulary, (options.tokens,))
    hidden.requires_grad_()
    weight.requires_grad_()
    hidden.grad, weight.grad = torch.zeros_like(hidden), torch.zeros_like(weight)
    before = peak_mib()
    if way == "whole":
        with torch.no_grad():
            teacher = taught @ weight.T
        loss = divergence(hidden @ weight.T, teacher, ids, config).mean()
    else:
        tokens = Tokens(
            ids=ids,
            sampler=torch.full((options.tokens,), -1e9),  # every weight is at its cap of 1
            share=torch.full((options.tokens,), 1 / options.tokens),
            value=torch.ones(options.tokens),
        )
        student, teachers = States(hidden=hidden, weight=weight), [States(hidden=taught, weight=weight.detach())]
        loss = teacher_loss(student, teachers, tokens, Objective(teacher=config, ratio_cap=1.0), Observed())
    loss.backward()  # type: ignore[no-untyped-call]
    return {"loss": float(loss.detach()), "mib": peak_mib() - before}


def main() -> None:
    """Measure both ways and print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("tokens", 2048), ("vocabulary", 49152), ("width", 576)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--way", choices=WAYS)
    options = parser.parse_args()
    if options.way:
        print(json.dumps(measure(options.way, options)))
        return
    found = {}
    for way in WAYS:
        command = [sys.executable, __file__, *sys.argv[1:], "--way", way]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        found[way] = json.loads(done.stdout)
        print(f"{way:8} {found[way]['mib']:7.0f} MiB above the inputs, loss {found[way]['loss']:.6f}")
    if abs(found["chunked"]["loss"] - found["whole"]["loss"]) > 1e-5 * abs(found["whole"]["loss"]):
        sys.exit("the losses differ")


if __name__ == "__main__":
    main()
