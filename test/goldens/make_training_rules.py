"""Writes training_rules.json with nnU-Net's own numbers: patch to cut, rotation, mirroring, loss weights, rates, metrics.
Run with a Python that has nnunetv2 2.8; takes no arguments."""
import json
import math
import os
import tempfile
from pathlib import Path
from types import SimpleNamespace

os.environ["nnUNet_n_proc_DA"] = "1"
import numpy as np
import torch
from nnunetv2.evaluation.evaluate_predictions import compute_metrics_on_folder
from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO
from nnunetv2.training.dataloading.data_loader import nnUNetDataLoader
from nnunetv2.training.lr_scheduler.polylr import PolyLRScheduler
from nnunetv2.training.lr_scheduler.warmup import Lin_incr_LRScheduler, PolyLRScheduler_offset
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.training.nnUNetTrainer.variants.competitions.aortaseg24 import nnUNetTrainer_onlyMirror01_DA5
from nnunetv2.training.nnUNetTrainer.variants.data_augmentation.nnUNetTrainer_noDummy2DDA import (
    nnUNetTrainer_noDummy2DDA)
from nnunetv2.training.nnUNetTrainer.variants.data_augmentation.nnUNetTrainerDA5 import nnUNetTrainerDA5
from nnunetv2.training.nnUNetTrainer.variants.data_augmentation.nnUNetTrainerNoDA import nnUNetTrainerNoDA
from nnunetv2.training.nnUNetTrainer.variants.data_augmentation.nnUNetTrainerNoMirroring import (
    nnUNetTrainer_onlyMirror01, nnUNetTrainerNoMirroring)
from torch.optim.lr_scheduler import CosineAnnealingLR

PATCHES = [[40, 56, 40], [128, 128, 128], [80, 192, 160], [16, 320, 320], [20, 61, 61], [28, 256, 224], [56, 40],
           [56, 32], [512, 512], [320, 200], [64, 64, 64], [32, 40, 96]]


TRAINERS = [nnUNetTrainer, nnUNetTrainerDA5, nnUNetTrainerNoDA, nnUNetTrainerNoMirroring, nnUNetTrainer_onlyMirror01,
            nnUNetTrainer_noDummy2DDA, nnUNetTrainer_onlyMirror01_DA5]


def spatial(patch, trainer_class):
    trainer = object.__new__(trainer_class)  # of the constructor's work only this is needed
    trainer.configuration_manager = SimpleNamespace(patch_size=patch)
    trainer.print_to_log_file = lambda *a, **k: None
    rotation, dummy2d, initial, axes = trainer.configure_rotation_dummyDA_mirroring_and_inital_patch_size()
    assert trainer.inference_allowed_mirroring_axes == axes
    return {"trainer": trainer_class.__name__, "patch": patch, "rotation": float(rotation[1]),
            "dummy2d": bool(dummy2d), "initial": [int(v) for v in initial], "mirror": list(axes or [])}


def forced_share(batch_size):
    """What nnUNetTrainer_probabilisticOversampling takes for a probability."""
    given = SimpleNamespace(batch_size=batch_size, oversample_foreground_percent=0.33)
    return float(np.mean([nnUNetDataLoader._oversample_last_XX_percent(given, i) for i in range(batch_size)]))


def deep_supervision(outputs):
    weights = np.array([1 / (2 ** i) for i in range(outputs)])
    weights[-1] = 0
    return (weights / weights.sum()).tolist()


def rates(make_scheduler, epochs=20):
    """Rates of nnUNetTrainer's on_train_epoch_start; make_scheduler(optimizer, epoch) gives the scheduler of an epoch."""
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.01)
    result = []
    for epoch in range(epochs):
        make_scheduler(optimizer, epoch).step(epoch)
        result.append(optimizer.param_groups[0]["lr"])
    return result


def poly(optimizer, epoch):
    return PolyLRScheduler(optimizer, 0.01, 20)


def cosine(optimizer, epoch):
    """nnUNetTrainerCosAnneal"""
    return CosineAnnealingLR(optimizer, T_max=20)


def warmup(optimizer, epoch):
    """nnUNetTrainer_warmup with 5 in place of 50 epochs."""
    return Lin_incr_LRScheduler(optimizer, 0.01, 5) if epoch < 5 else PolyLRScheduler_offset(optimizer, 0.01, 20, 5)


def pseudo_dice():
    generator = np.random.default_rng(1)
    counts = generator.integers(0, 1000, (3, 4)).astype(float)
    counts[:, 2] = 0
    tp, fp, fn = counts
    with np.errstate(invalid="ignore"):
        dice = 2 * tp / (2 * tp + fp + fn)
    return {"tp": tp.tolist(), "fp": fp.tolist(), "fn": fn.tolist(),
            "dice": [None if math.isnan(d) else d for d in dice], "mean": float(np.nanmean(dice))}


def summary():
    """Small label maps with a label that is nowhere in case b, one that is nowhere at all, and the text nnU-Net writes."""
    generator = np.random.default_rng(2)
    shape = (3, 4, 5)
    cases = {name: (generator.integers(0, 3, shape), generator.integers(0, 3, shape)) for name in ("b", "a10", "a2")}
    for array in cases["b"]:
        array[array == 2] = 0
    with tempfile.TemporaryDirectory() as folder:
        properties = {"sitk_stuff": {"spacing": (1, 1, 1), "origin": (0, 0, 0), "direction": (1, 0, 0, 0, 1, 0, 0, 0, 1)}}
        for kind in (0, 1):
            Path(folder, str(kind)).mkdir()
            for name, arrays in cases.items():
                SimpleITKIO().write_seg(arrays[kind].astype(np.uint8), f"{folder}/{kind}/{name}.nii.gz", properties)
        compute_metrics_on_folder(f"{folder}/1", f"{folder}/0", f"{folder}/summary.json", SimpleITKIO(), ".nii.gz",
                                  [1, 2, 3], None, 1)
        text = Path(folder, "summary.json").read_text().replace(folder, "/data")
    return {"shape": shape, "text": text,
            "cases": [{"id": name, "prediction": p.ravel().tolist(), "reference": r.ravel().tolist()}
                      for name, (p, r) in cases.items()]}


def main():
    result = {"spatial": [spatial(p, t) for p in PATCHES for t in TRAINERS],
              "forced_share": [forced_share(n) for n in range(1, 13)],
              "deep_supervision": [deep_supervision(n) for n in range(2, 7)],
              "rates": {"poly": rates(poly), "cosine": rates(cosine), "warmup": rates(warmup)}, "pseudo_dice": pseudo_dice(), "summary": summary()}
    for case in result["summary"]["cases"]:
        assert len(case["prediction"]) == math.prod(result["summary"]["shape"])
    Path(__file__).with_name("training_rules.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
