"""Times parts of nnU-Net's step that its own timing script leaves out, on the CPU, and prints one JSON object:
norm: InstanceNorm and LeakyReLU (in place) as its networks use them, forward and backward, on the first stage's output.
  peer_parts.py [--threads 1] [--patch 40,56,40] [--batch 2] [--features 32] [--runs 7]"""
import argparse
import json
import os
import statistics
import time

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--patch", default="40,56,40")
parser.add_argument("--batch", type=int, default=2)
parser.add_argument("--features", type=int, default=32)
parser.add_argument("--runs", type=int, default=7)
args = parser.parse_args()
os.environ["OMP_NUM_THREADS"] = str(args.threads)  # before torch is imported

import torch

torch.set_num_threads(args.threads)
patch = [int(extent) for extent in args.patch.split(",")]
norm_class = torch.nn.InstanceNorm2d if len(patch) == 2 else torch.nn.InstanceNorm3d
torch.manual_seed(0)
norm = norm_class(args.features, eps=1e-5, affine=True)
activation = torch.nn.LeakyReLU(inplace=True)
x = torch.randn(args.batch, args.features, *patch, requires_grad=True)
gradient = torch.randn_like(x)


def step():
    norm.zero_grad(set_to_none=True)
    x.grad = None
    activation(norm(x)).backward(gradient)


def timed(function) -> float:
    start = time.perf_counter()
    function()
    return (time.perf_counter() - start) * 1e3


step()
times = [timed(step) for _ in range(args.runs)]
print(json.dumps({"norm": {"min_ms": min(times), "median_ms": statistics.median(times), "runs": args.runs}}))
