"""Writes what nnU-Net's own augmentation draws, for test/parity/kinds/augmentation.ts. Per chain of CHAINS:
OUT/fixture_NAME.npz, a sample of two channels with its labels; OUT/NAME.json, the chain's setting and how often each
transform changed the sample; OUT/NAME.npz, raw values of DRAWS calls of each transform alone and of the whole chain:
the parameters that it drew (INDEX_TRANSFORM/CLASS.PARAMETER), mean, standard deviation, minimum and maximum of each
channel that came out, and the shares of the labels -1, 0, 1 and 2.
Needs the environment of nnU-Net. Usage: python make_augmentation_draws.py [OUT] [DRAWS]"""

import contextlib
import io
import json
import random
import sys
from collections import Counter, defaultdict
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from batchgeneratorsv2.transforms.spatial import spatial as spatial_module
from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
from batchgeneratorsv2.transforms.utils.random import OneOfTransform, RandomTransform
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.training.nnUNetTrainer.variants.competitions.aortaseg24 import nnUNetTrainer_onlyMirror01_DA5
from nnunetv2.training.nnUNetTrainer.variants.data_augmentation.nnUNetTrainer_noDummy2DDA import (
    nnUNetTrainer_noDummy2DDA,
)
from nnunetv2.training.nnUNetTrainer.variants.data_augmentation.nnUNetTrainerDA5 import (
    nnUNetTrainerDA5,
    nnUNetTrainerDA5ord0,
)
from nnunetv2.training.nnUNetTrainer.variants.data_augmentation.nnUNetTrainerDAOrd0 import (
    nnUNetTrainer_DASegOrd0_NoMirroring,
)
from nnunetv2.training.nnUNetTrainer.variants.data_augmentation.nnUNetTrainerNoMirroring import (
    nnUNetTrainer_onlyMirror01,
)

# name: trainer, patch, whether channel 0 is masked, and the same as voxgrad's options
CHAINS = {
    "default_3d": (nnUNetTrainer, (12, 14, 12), False, {"preset": "default"}),
    "only_mirror_01_dummy2d": (nnUNetTrainer_onlyMirror01, (5, 20, 18), True, {"preset": "only-mirror-01"}),
    "no_mirroring_nearest_labels_2d": (
        nnUNetTrainer_DASegOrd0_NoMirroring,
        (24, 20),
        True,
        {"preset": "no-mirroring", "nearestLabels": True},
    ),
    "no_dummy2d": (nnUNetTrainer_noDummy2DDA, (5, 20, 18), False, {"preset": "default", "dummy2d": False}),
    "da5_3d": (nnUNetTrainerDA5, (12, 14, 12), True, {"preset": "da5"}),
    "da5_nearest_dummy2d": (
        nnUNetTrainerDA5ord0,
        (6, 20, 20),
        False,
        {"preset": "da5", "nearestImage": True, "nearestLabels": True},
    ),
    "da5_only_mirror_01_2d": (nnUNetTrainer_onlyMirror01_DA5, (24, 24), False, {"preset": "da5", "mirrorAxes": [0]}),
}
# What is recorded of a transform's parameters.
PARAMETERS = {
    "Rot90Transform": "num_rot_per_combination",
    "MedianFilterTransform": "filter_sizes",
    "GaussianBlurTransform": "sigmas",
    "GaussianNoiseTransform": "sigmas",
    "MultiplicativeBrightnessTransform": "multipliers",
    "BrightnessAdditiveTransform": "shift",
    "ContrastTransform": "multipliers",
    "SimulateLowResolutionTransform": "scales",
    "GammaTransform": "gamma",
    "LocalGammaTransform": "gammas",
    "SharpeningTransform": "strengths",
}
# They do the same to every sample.
FIXED = ("MaskImageTransform", "RemoveLabelTransform")


def make_fixture(shape):
    """Waves and noise, brighter in two nested ellipsoids (labels 1 and 2); nothing in a corner (label -1)."""
    rng = np.random.default_rng(7)
    axes = np.meshgrid(*[np.linspace(-1, 1, extent) for extent in shape], indexing="ij")
    radius = np.sqrt(sum(((a - 0.1 * i) * (1 + 0.3 * i)) ** 2 for i, a in enumerate(axes)))
    labels = (radius < 0.75).astype(np.int16) + (radius < 0.4)
    labels[sum(axes) < -0.8 * len(shape)] = -1
    waves = [np.sin(sum((2 + c + i) * a for i, a in enumerate(axes))) for c in range(2)]
    image = np.stack([w + b * labels + rng.normal(0, 0.3, shape) for w, b in zip(waves, (0.9, -0.6))])
    return image.astype(np.float16).astype(np.float32), labels[None]


def numbers_in(value):
    """Every number of nested lists and tensors, without None."""
    if value is None:
        return []
    if isinstance(value, torch.Tensor):
        return value.double().flatten().tolist()
    return [n for v in value for n in numbers_in(v)] if isinstance(value, (list, tuple)) else [float(value)]


def record(transform, samples, names):
    """Makes a transform, and those in it, add what they draw to samples."""
    if isinstance(transform, RandomTransform):
        return record(transform.transform, samples, names)
    if isinstance(transform, (OneOfTransform, ComposeTransforms)):
        parts = transform.list_of_transforms if isinstance(transform, OneOfTransform) else transform.transforms
        return [record(part, samples, names) for part in parts]
    kind, original = type(transform).__name__, transform.get_parameters
    names[kind] += 1
    name = kind if names[kind] == 1 else f"{kind}#{names[kind]}"

    def get_parameters(**data):
        parameters = original(**data)
        if kind in PARAMETERS:
            samples[f"{name}.{PARAMETERS[kind]}"] += numbers_in(parameters[PARAMETERS[kind]])
        elif kind == "MirrorTransform":
            for axis in range(data["image"].ndim - 1):
                samples[f"{name}.axis{axis}"].append(axis in parameters["axes"])
        elif kind == "BlankRectangleTransform":
            for rectangles in filter(None, parameters["rectangles"]):
                samples[f"{name}.rectangles_per_channel"].append(len(rectangles))
                samples[f"{name}.size"] += numbers_in([np.subtract(*box[::-1]).tolist() for box in rectangles])
        return parameters

    transform.get_parameters = get_parameters


def record_affine(samples):
    """Makes the functions that build the spatial transform's matrix add angles and scales to samples."""

    def wrap(original):
        def wrapped(angles, scales):
            angles = numbers_in(angles)
            for name, values, neutral in (("angle", numbers_in(angles), 0), ("scale", numbers_in(list(scales)), 1)):
                acts = any(value != neutral for value in values)
                samples[f"SpatialTransform.{'rotated' if name == 'angle' else 'scaled'}"].append(acts)
                for axis, value in enumerate(values if acts else []):
                    samples[f"SpatialTransform.{name}{axis}"].append(value)
            return original(angles if len(scales) == 3 else angles[0], scales)

        return wrapped

    for name in ORIGINAL_AFFINE:
        setattr(spatial_module, name, wrap(ORIGINAL_AFFINE[name]))


ORIGINAL_AFFINE = {n: getattr(spatial_module, n) for n in ("create_affine_matrix_2d", "create_affine_matrix_3d")}


def run(transform, image, labels, reference, draws):
    """Draws: which channels changed, whether anything did, statistics per channel, shares of labels."""
    changed, channels, statistics, shares = [], [], [], []
    for _ in range(draws):
        out = transform(image=torch.from_numpy(image.copy()), segmentation=torch.from_numpy(labels.copy()))
        result, target = out["image"].numpy(), out["segmentation"].numpy()
        channels.append([not np.array_equal(*pair) for pair in zip(result, reference[0])])
        changed.append(any(channels[-1]) or not np.array_equal(target, reference[1]))
        flat = result.reshape(len(result), -1).astype(np.float64)
        statistics.append(np.stack([flat.mean(1), flat.std(1), flat.min(1), flat.max(1)], 1))
        shares.append([np.mean(target == label) for label in (-1, 0, 1, 2)])
    return np.array(changed), np.array(channels), np.array(statistics, np.float32), np.array(shares, np.float32)


def make_chain(trainer_class, patch, mask):
    trainer = object.__new__(trainer_class)  # of the constructor's work only this is needed
    trainer.configuration_manager = SimpleNamespace(patch_size=patch)
    trainer.print_to_log_file = lambda *_, **__: None
    rotation, dummy2d, initial, mirror = trainer.configure_rotation_dummyDA_mirroring_and_inital_patch_size()
    with contextlib.redirect_stdout(io.StringIO()):
        chain = trainer_class.get_training_transforms(
            patch, rotation, None, mirror, dummy2d, use_mask_for_norm=[mask, False], foreground_labels=[1, 2]
        )
    transforms = chain.transforms
    if dummy2d:  # the spatial transform is only one together with the conversions around it
        transforms = [ComposeTransforms(transforms[:3]), *transforms[3:]]
    return chain, transforms, [int(extent) for extent in initial]


def describe(transform):
    if isinstance(transform, RandomTransform):
        return describe(transform.transform)
    if isinstance(transform, OneOfTransform):
        return "_".join(["OneOf", *map(describe, transform.list_of_transforms)])
    return SpatialTransform.__name__ if isinstance(transform, ComposeTransforms) else type(transform).__name__


def main():
    out = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent / "augmentation_draws")
    draws = int(sys.argv[2]) if len(sys.argv) > 2 else 300
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    for name, (trainer_class, patch, mask, options) in CHAINS.items():
        random.seed(1), np.random.seed(1), torch.manual_seed(1)
        chain, transforms, initial = make_chain(trainer_class, patch, mask)
        image, labels = make_fixture(initial)
        middle = tuple(slice(i // 2 - p // 2, i // 2 - p // 2 + p) for i, p in zip(initial, patch))
        center = image[(slice(None), *middle)], labels[(slice(None), *middle)]
        raw, entries = {}, []
        for index, transform in enumerate(transforms):
            kind = describe(transform)
            if kind in FIXED:
                continue
            samples, key = defaultdict(list), f"{index:02d}_{kind}"
            record(transform, samples, Counter())
            record_affine(samples)
            sample = (image, labels) if kind == "SpatialTransform" else center
            changed, channels, statistics, _ = run(transform, *sample, center, draws)
            entries.append({"name": key, "share_changed": changed.mean(), "share_of_channels_changed": channels.mean(0).tolist()})
            raw |= {f"{key}/{parameter}": np.array(values, np.float32) for parameter, values in samples.items()}
            raw[f"{key}/statistics_when_changed"] = statistics[changed]
        _, _, raw["chain/statistics"], raw["chain/label_shares"] = run(chain, image, labels, center, draws)
        np.savez_compressed(out / f"fixture_{name}.npz", image=image, seg=labels)
        np.savez_compressed(out / f"{name}.npz", **raw)
        report = {"trainer": trainer_class.__name__, "augmentation": options, "mask_image": [mask, False]}
        report |= {"patch_size": patch, "initial_patch_size": initial, "draws": draws, "transforms": entries}
        (out / f"{name}.json").write_text(json.dumps(report, indent=1) + "\n")
        print(f"{name}: {len(entries)} transforms, {draws} draws, {(out / f'{name}.npz').stat().st_size} bytes", flush=True)


if __name__ == "__main__":
    main()
