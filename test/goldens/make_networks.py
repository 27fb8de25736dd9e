"""Writes the goldens of test/engine/network.test.ts: two small networks (3D with anisotropic kernels and strides, 2D with batch
Dice) trained for five steps by nnU-Net's own network, loss, optimizer and gradient clipping. Per network NAME.json
(configuration, losses, norms, learning rates), NAME.pth (start weights) and NAME.npz (batches, outputs, gradients, parameters).
Made with nnunetv2 2.8.1, torch 2.15.0 on the CPU, one thread:  python make_networks.py networks
"""
import json
import os
import sys
from pathlib import Path

os.environ["nnUNet_compile"] = "f"
import numpy as np
import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet
from nnunetv2.training.loss.compound_losses import DC_and_CE_loss
from nnunetv2.training.loss.deep_supervision import DeepSupervisionWrapper
from nnunetv2.training.loss.dice import MemoryEfficientSoftDiceLoss

NETWORKS = {
    "aniso3d": dict(features=[2, 4, 6], kernels=[[1, 3, 3], [3, 3, 3], [3, 3, 3]], strides=[[1, 1, 1], [1, 2, 2], [2, 2, 2]],
                    channels=2, classes=3, patch=[4, 12, 8], batch=2, batch_dice=False),
    "plain2d": dict(features=[2, 4, 6, 6], kernels=[[3, 3]] * 4, strides=[[1, 1], [2, 2], [2, 2], [2, 1]],
                    channels=1, classes=4, patch=[24, 16], batch=3, batch_dice=True),
}


def main(out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    for seed, (name, case) in enumerate(NETWORKS.items()):
        torch.manual_seed(seed)
        rng = np.random.default_rng(seed)
        dim = len(case["patch"])
        stages = len(case["features"])
        network = PlainConvUNet(
            case["channels"], stages, case["features"], getattr(torch.nn, f"Conv{dim}d"), case["kernels"], case["strides"], 2,
            case["classes"], 2, True, getattr(torch.nn, f"InstanceNorm{dim}d"), {"eps": 1e-5, "affine": True}, None, None,
            torch.nn.LeakyReLU, {"inplace": True}, deep_supervision=True)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(0.1 * torch.from_numpy(rng.standard_normal(parameter.shape).astype(np.float32)))
        torch.save({"network_weights": network.state_dict()}, out / f"{name}.pth")

        weights = np.array([0.5 ** level for level in range(stages - 1)])
        weights[-1] = 0
        weights /= weights.sum()
        loss = DeepSupervisionWrapper(
            DC_and_CE_loss({"batch_dice": case["batch_dice"], "smooth": 1e-5, "do_bg": False, "ddp": False}, {}, weight_ce=1,
                           weight_dice=1, dice_class=MemoryEfficientSoftDiceLoss), weights)
        optimizer = torch.optim.SGD(network.parameters(), 0.01, weight_decay=3e-5, momentum=0.99, nesterov=True)
        arrays, losses, norms, rates = {}, [], [], []
        for step in range(5):
            image = rng.standard_normal((case["batch"], case["channels"], *case["patch"])).astype(np.float32)
            labels = np.clip(np.round(image[:, 0] * 1.5 + 1), 0, case["classes"] - 1).astype(np.int16)
            arrays |= {f"image.{step}": image, f"labels.{step}": labels}
            target, targets = torch.from_numpy(labels)[:, None], []
            extent = np.array(case["patch"], dtype=float)
            for stride in case["strides"][:-1]:
                extent = extent / stride
                size = [round(e) for e in extent]
                targets.append(torch.nn.functional.interpolate(target.float(), size, mode="nearest-exact").to(torch.int16))
            rates.append(0.01 * (1 - step / 8) ** 0.9)
            optimizer.param_groups[0]["lr"] = rates[-1]
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
                arrays |= {f"after_{step + 1}/{n}": p.detach().numpy().copy() for n, p in network.named_parameters()}
        np.savez_compressed(out / f"{name}.npz", **arrays)
        (out / f"{name}.json").write_text(json.dumps({
            "featuresPerStage": case["features"], "kernelSizes": case["kernels"], "strides": case["strides"],
            "inputChannels": case["channels"], "outputChannels": case["classes"], "patchSize": case["patch"],
            "batchSize": case["batch"], "batchDice": case["batch_dice"], "deepSupervisionWeights": weights.tolist(),
            "losses": losses, "gradientNorms": norms, "learningRates": rates}, indent=2) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
