"""Writes the goldens of test/engine/network.test.ts and optimizer.test.ts: small networks (3D with anisotropic kernels and
strides, 2D with batch Dice, a residual encoder with every kind of skip, one with dropout, whose draws are made here anew, three
that other optimizers than SGD train, and two with batch norm) trained for five steps by nnU-Net's own network, loss, optimizer
and gradient clipping. Per network NAME.json (configuration, losses, norms, learning rates), NAME.pth (start weights), NAME.npz
(batches, outputs, gradients, parameters; of batch norm also running statistics, and outputs in evaluation before the first step),
and of other optimizers than SGD NAME_end.pth with their state at the end.
Made with nnunetv2 2.8.1, torch 2.15.0, adan-pytorch 0.1.0 on the CPU, one thread:  python make_networks.py networks
"""
import json
import os
import sys
from pathlib import Path

os.environ["nnUNet_compile"] = "f"
import numpy as np
import torch
from adan_pytorch import Adan
from dynamic_network_architectures.architectures.unet import PlainConvUNet, ResidualEncoderUNet
from dynamic_network_architectures.building_blocks.simple_conv_blocks import ConvDropoutNormReLU
from nnunetv2.training.loss.compound_losses import DC_and_CE_loss
from nnunetv2.training.loss.deep_supervision import DeepSupervisionWrapper
from nnunetv2.training.loss.dice import MemoryEfficientSoftDiceLoss

# nnUNetTrainerVanillaAdam, nnUNetTrainerAdam and nnUNetTrainerAdan.
OPTIMIZED = dict(features=[2, 3, 3], kernels=[[3, 3]] * 3, strides=[[1, 1], [2, 2], [2, 2]], channels=1, classes=3, patch=[16, 12],
                 batch=2, batch_dice=False)
NETWORKS = {
    "aniso3d": dict(features=[2, 4, 6], kernels=[[1, 3, 3], [3, 3, 3], [3, 3, 3]], strides=[[1, 1, 1], [1, 2, 2], [2, 2, 2]],
                    channels=2, classes=3, patch=[4, 12, 8], batch=2, batch_dice=False),
    "plain2d": dict(features=[2, 4, 6, 6], kernels=[[3, 3]] * 4, strides=[[1, 1], [2, 2], [2, 2], [2, 1]],
                    channels=1, classes=4, patch=[24, 16], batch=3, batch_dice=True),
    "residual3d": dict(network=ResidualEncoderUNet, blocks=[1, 2, 1], convs=1, features=[2, 4, 4],
                       kernels=[[1, 3, 3], [3, 3, 3], [3, 3, 3]], strides=[[1, 1, 1], [1, 2, 2], [2, 2, 2]],
                       channels=1, classes=3, patch=[4, 12, 8], batch=2, batch_dice=False),
    "dropout2d": dict(network=ResidualEncoderUNet, blocks=[1, 1, 1], convs=1, features=[4, 4, 6], kernels=[[3, 3]] * 3,
                      strides=[[1, 1], [2, 2], [2, 2]], channels=1, classes=3, patch=[16, 12], batch=2, batch_dice=False,
                      dropout=0.3),
    "adam2d": dict(OPTIMIZED, optimizer=lambda parameters: torch.optim.Adam(parameters, 0.01, weight_decay=3e-5),
                   settings={"kind": "adam"}),
    "adamw2d": dict(OPTIMIZED, settings={"kind": "adamw", "amsgrad": True},
                    optimizer=lambda parameters: torch.optim.AdamW(parameters, 0.01, weight_decay=3e-5, amsgrad=True)),
    "adan2d": dict(OPTIMIZED, settings={"kind": "adan"}, optimizer=lambda parameters: Adan(parameters, lr=0.01, weight_decay=3e-5)),
    "batch2d": dict(network=ResidualEncoderUNet, blocks=[1, 2, 1], convs=1, features=[4, 4, 6], kernels=[[3, 3]] * 3,
                    strides=[[1, 1], [2, 2], [2, 2]], channels=1, classes=3, patch=[12, 16], batch=3, batch_dice=False,
                    dropout=0.3, norm="BatchNorm"),
    "batch3d": dict(features=[2, 4, 6], kernels=[[1, 3, 3], [3, 3, 3], [3, 3, 3]], strides=[[1, 1, 1], [1, 2, 2], [2, 2, 2]],
                    channels=2, classes=3, patch=[4, 12, 8], batch=2, batch_dice=False, norm="BatchNorm"),
}
SEED = 1  # of trainerConfig in test/engine/trainer-config.ts


def uniform_numbers(step: int, sample: int, count: int) -> np.ndarray:
    """The first numbers in [0, 1) of the stream for dropout: Philox4x32-10 of (seed, step, sample, purpose 24), 53 bits each."""
    mask, words = 0xFFFFFFFF, []
    for block in range((count + 1) // 2):
        a, b, c, d = block, 24 << 16 | sample, step, 0
        k0, k1 = SEED, 0
        for _ in range(10):
            p0, p1 = 0xD2511F53 * a, 0xCD9E8D57 * c
            a, b, c, d = (p1 >> 32) ^ b ^ k0, p1 & mask, (p0 >> 32) ^ d ^ k1, p0 & mask
            k0, k1 = k0 + 0x9E3779B9 & mask, k1 + 0xBB67AE85 & mask
        words += [a, b, c, d]
    return np.array([((high >> 5) << 26 | low >> 6) * 2.0 ** -53 for high, low in zip(words[::2], words[1::2])][:count])


class GivenDropout(torch.nn.Module):
    """Dropout of whole channels with known draws: `factors` (batch, channels) in place of random ones."""

    def forward(self, x):
        return x * self.factors[(...,) + (None,) * (x.dim() - 2)]


def give_dropout(network, channels: list, p: float, step: int, batch: int) -> None:
    """Sets every dropout layer's factors, in the order in which they are called."""
    numbers = np.stack([uniform_numbers(step, sample, sum(channels)) for sample in range(batch)])
    factors = torch.from_numpy(np.where(numbers < p, 0, 1 / (1 - p)).astype(np.float32))
    layers = [module for module in network.modules() if isinstance(module, GivenDropout)]
    for layer, values in zip(layers, factors.split(channels, dim=1), strict=True):
        layer.factors = values


def replace_dropout(module) -> list:
    """Puts GivenDropout in place of the network's dropout layers; the channels of each."""
    channels = []
    for block in module.modules():
        if isinstance(block, ConvDropoutNormReLU) and hasattr(block, "dropout"):
            block.dropout = block.all_modules[1] = GivenDropout()
            channels.append(block.output_channels)
    return channels


def main(out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    for seed, (name, case) in enumerate(NETWORKS.items()):
        torch.manual_seed(seed)
        rng = np.random.default_rng(seed)
        dim = len(case["patch"])
        stages = len(case["features"])
        network_class, blocks, convs = case.get("network", PlainConvUNet), case.get("blocks", [2] * stages), case.get("convs", 2)
        network = network_class(
            case["channels"], stages, case["features"], getattr(torch.nn, f"Conv{dim}d"), case["kernels"], case["strides"], blocks,
            case["classes"], convs, True, getattr(torch.nn, f"{case.get('norm', 'InstanceNorm')}{dim}d"), {"eps": 1e-5, "affine": True},
            getattr(torch.nn, f"Dropout{dim}d") if "dropout" in case else None, {"p": case.get("dropout")},
            torch.nn.LeakyReLU, {"inplace": True}, deep_supervision=True)
        dropped = replace_dropout(network)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(0.1 * torch.from_numpy(rng.standard_normal(parameter.shape).astype(np.float32)))
            for buffer in network.buffers():
                if buffer.dtype == torch.float32:
                    buffer.add_(0.1 * torch.from_numpy(rng.random(buffer.shape).astype(np.float32)))
        torch.save({"network_weights": network.state_dict()}, out / f"{name}.pth")

        weights = np.array([0.5 ** level for level in range(stages - 1)])
        weights[-1] = 0
        weights /= weights.sum()
        loss = DeepSupervisionWrapper(
            DC_and_CE_loss({"batch_dice": case["batch_dice"], "smooth": 1e-5, "do_bg": False, "ddp": False}, {}, weight_ce=1,
                           weight_dice=1, dice_class=MemoryEfficientSoftDiceLoss), weights)
        make_optimizer = case.get("optimizer", lambda parameters: torch.optim.SGD(parameters, 0.01, weight_decay=3e-5, momentum=0.99,
                                                                                  nesterov=True))
        optimizer = make_optimizer(network.parameters())
        arrays, losses, norms, rates = {}, [], [], []
        for step in range(5):
            image = rng.standard_normal((case["batch"], case["channels"], *case["patch"])).astype(np.float32)
            labels = np.clip(np.round(image[:, 0] * 1.5 + 1), 0, case["classes"] - 1).astype(np.int16)
            arrays |= {f"image.{step}": image, f"labels.{step}": labels}
            if step == 0 and "norm" in case:
                give_dropout(network, dropped, 0, 0, case["batch"])  # drops nothing
                with torch.no_grad():
                    arrays["evaluated"] = network.eval()(torch.from_numpy(image))[0].numpy()
                network.train()
            target, targets = torch.from_numpy(labels)[:, None], []
            extent = np.array(case["patch"], dtype=float)
            for stride in case["strides"][:-1]:
                extent = extent / stride
                size = [round(e) for e in extent]
                targets.append(torch.nn.functional.interpolate(target.float(), size, mode="nearest-exact").to(torch.int16))
            rates.append(0.01 * (1 - step / 8) ** 0.9)
            optimizer.param_groups[0]["lr"] = rates[-1]
            give_dropout(network, dropped, case.get("dropout", 0), step, case["batch"])
            optimizer.zero_grad(set_to_none=True)
            outputs = network(torch.from_numpy(image))
            value = loss(outputs, targets)
            value.backward()
            if step == 0:
                arrays |= {f"output.{i}": o.detach().numpy() for i, o in enumerate(outputs)}
                arrays |= {f"gradient/{n}": p.grad.numpy().copy() for n, p in network.named_parameters() if p.grad is not None}
            norms.append(float(torch.nn.utils.clip_grad_norm_(network.parameters(), 12)))
            losses.append(float(value))
            optimizer.step()
            if step in (0, 4):
                arrays |= {f"after_{step + 1}/{n}": np.asarray(p.detach().numpy(), np.float32).copy()
                           for n, p in [*network.named_parameters(), *network.named_buffers()]}
        if "optimizer" in case:
            torch.save({"network_weights": network.state_dict(), "optimizer_state": optimizer.state_dict()}, out / f"{name}_end.pth")
        np.savez_compressed(out / f"{name}.npz", **arrays)
        (out / f"{name}.json").write_text(json.dumps({
            "architecture": network_class.__name__, "convsPerStage": blocks, "convsPerStageDecoder": [convs] * (stages - 1),
            **({"dropout": case["dropout"]} if "dropout" in case else {}),
            **({"batchNorm": True} if "norm" in case else {}),
            **({"optimizer": case["settings"]} if "settings" in case else {}), "featuresPerStage": case["features"], "kernelSizes": case["kernels"], "strides": case["strides"],
            "inputChannels": case["channels"], "outputChannels": case["classes"], "patchSize": case["patch"],
            "batchSize": case["batch"], "batchDice": case["batch_dice"], "deepSupervisionWeights": weights.tolist(),
            "losses": losses, "gradientNorms": norms, "learningRates": rates}, indent=2) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
