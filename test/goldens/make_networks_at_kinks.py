"""Makes the peer kit's network goldens with every activation on the other side of the leaky ReLU's kink that lies closer to it than
float32 can tell: |x| below 2e-6, where inputs come from a norm and are about 1. One side's gradient is as right as the other's, and
which side a float32 network takes is a matter of rounding. test/suites/parity.test.ts compares with both.
    python make_networks_at_kinks.py PEER_KIT OUT [--seed N]        the other arguments are those of make_network_goldens.py
"""
import sys

sys.path.insert(0, sys.argv.pop(1))
import make_network_goldens
import torch

CLOSE = 2e-6


def other_side(self, x):
    return x * torch.where((x < 0) ^ (x.abs() < CLOSE), self.negative_slope, 1.0).to(x.dtype)


torch.nn.LeakyReLU.forward = other_side
make_network_goldens.main()
