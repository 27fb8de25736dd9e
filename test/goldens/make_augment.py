"""Writes goldens/augment: what batchgeneratorsv2's transforms make of small samples with fixed parameters (cases.json
lists op, arguments and arrays; arrays.npz holds them). Noise is given to it as a field that plain Python computes from
Philox4x32-10.
Needs the environment of nnU-Net. Usage: python make_augment.py [OUT]"""

import json
import math
import sys
from itertools import combinations, permutations
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from batchgeneratorsv2.transforms.intensity.brightness import (
    BrightnessAdditiveTransform,
    MultiplicativeBrightnessTransform,
)
from batchgeneratorsv2.transforms.intensity.contrast import ContrastTransform
from batchgeneratorsv2.transforms.intensity.gamma import GammaTransform
from batchgeneratorsv2.transforms.intensity.gaussian_noise import GaussianNoiseTransform
from batchgeneratorsv2.transforms.local.brightness_gradient import BrightnessGradientAdditiveTransform
from batchgeneratorsv2.transforms.local.local_gamma import LocalGammaTransform
from batchgeneratorsv2.transforms.noise.blank_rectangle import BlankRectangleTransform
from batchgeneratorsv2.transforms.noise.gaussian_blur import GaussianBlurTransform
from batchgeneratorsv2.transforms.noise.median_filter import MedianFilterTransform
from batchgeneratorsv2.transforms.noise.sharpen import SharpeningTransform
from batchgeneratorsv2.transforms.spatial.low_resolution import SimulateLowResolutionTransform
from batchgeneratorsv2.transforms.spatial.mirroring import MirrorTransform
from batchgeneratorsv2.transforms.spatial.rot90 import Rot90Transform
from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform
from batchgeneratorsv2.transforms.spatial.transpose import TransposeAxesTransform
from batchgeneratorsv2.transforms.utils.nnunet_masking import MaskImageTransform
from batchgeneratorsv2.transforms.utils.pseudo2d import Convert2DTo3DTransform, Convert3DTo2DTransform
from batchgeneratorsv2.transforms.utils.remove_label import RemoveLabelTransform

rng = np.random.default_rng(4)
arrays: dict[str, np.ndarray] = {}
cases: list[dict] = []


def sample(shape, channels=2, labels=(-1, 0, 1, 2, 3)):
    """A textured image, and a segmentation of boxes, so that many label borders and corners meet."""
    image = rng.normal(0.3, 1.0, (channels, *shape)).astype(np.float32)
    segmentation = np.full(shape, labels[0], np.int16)
    for i in range(6 * len(labels)):
        box = []
        for extent in shape:
            start = rng.integers(0, extent)
            box.append(slice(start, start + rng.integers(1, max(2, extent // 2))))
        segmentation[tuple(box)] = labels[i % len(labels)]
    return image, segmentation


def add(name, op, inputs, arguments, outputs):
    """inputs come before the other arguments; an array that several cases share is stored once."""

    def store(key, value):
        value = np.ascontiguousarray(value)
        known = [k for k, v in arrays.items() if v.dtype == value.dtype and np.array_equal(v, value)]
        if not known:
            arrays[f"{name}/{key}"] = value
        return known[0] if known else f"{name}/{key}"

    cases.append(
        {
            "name": name,
            "op": op,
            "inputs": [store(*i) for i in inputs.items()],
            "arguments": arguments,
            "outputs": [store(*o) for o in outputs.items()],
        }
    )


def spatial(name, initial, patch, angles=None, scale=None, labels=(-1, 0, 1, 2, 3), dummy2d=False, nearest=""):
    """scale: one number, or one per axis that the transform acts on. nearest: which of image and labels are not
    interpolated."""
    per_axis = isinstance(scale, tuple)
    image, segmentation = sample(initial, labels=labels)
    spatial_patch = patch[1:] if dummy2d else patch
    in_plane = dummy2d or len(patch) == 2
    transform = SpatialTransform(
        spatial_patch,
        patch_center_dist_from_border=0,
        random_crop=False,
        p_rotation=0 if angles is None else 1,
        rotation=lambda image, dim: angles[0] if in_plane else angles[dim],
        p_scaling=0 if scale is None else 1,
        scaling=lambda image, dim: scale[dim] if per_axis else scale,
        p_synchronize_scaling_across_axes=0 if per_axis else 1,
        bg_style_seg_sampling=False,
        border_mode_seg="constant",
        padding_value_seg=-1,
        mode_image="nearest" if "image" in nearest else "bilinear",
        mode_seg="nearest" if "labels" in nearest else "bilinear",
    )
    data = {"image": torch.from_numpy(image.copy()), "segmentation": torch.from_numpy(segmentation.copy())[None]}
    if dummy2d:
        data = Convert3DTo2DTransform()(**data)
    data = transform(**data)
    if dummy2d:
        data = Convert2DTo3DTransform()(**data)
    identity = angles is None and scale is None
    scales = [1, *scale][-3:] if per_axis else [1 if scale is None else scale] * 3
    add(
        name,
        "spatial",
        {"image": image, "segmentation": segmentation},
        [identity, dummy2d, list(angles or [0, 0, 0]), scales, list(patch), "image" in nearest, "labels" in nearest],
        {"image_out": data["image"].numpy(), "segmentation_out": data["segmentation"][0].numpy()},
    )


spatial("spatial_rotated", (20, 22, 18), (12, 14, 10), (0.3, -0.5, 0.4))
spatial("spatial_scaled_outside", (14, 17, 12), (12, 15, 10), None, 1.4)
spatial("spatial_both_odd", (19, 21, 17), (11, 13, 9), (-0.2, 0.1, 0.52), 0.7)
spatial("spatial_far_outside", (9, 9, 9), (12, 14, 10), (0.5, 0.5, 0.5), 1.4)
spatial("spatial_two_labels", (20, 22, 18), (12, 14, 10), (0.3, 0.2, 0.1), 0.8, labels=(0, 1))
spatial("spatial_one_label", (20, 22, 18), (12, 14, 10), (0.3, 0.2, 0.1), 0.7, labels=(2,))
# Powers of two keep every position exact: all eight voxels tie, and the nearest one decides only where it takes part.
spatial("spatial_ties", (32, 32, 32), (12, 14, 10), None, 2.0, labels=(-1, 0, 1, 2, 3, 4, 5))
spatial("spatial_quarter_turn", (16, 16, 16), (9, 11, 7), (math.pi / 2, 0.0, 0.0))
spatial("spatial_crop", (21, 22, 18), (12, 13, 10))
spatial("spatial_crop_padded", (10, 22, 8), (12, 13, 11))
spatial("spatial_2d", (30, 25), (17, 14), (0.7,), 1.2)
spatial("spatial_2d_crop", (30, 25), (17, 14))
spatial("spatial_dummy2d", (4, 30, 26), (4, 17, 14), (-1.1,), 0.9, dummy2d=True)
spatial("spatial_dummy2d_crop", (4, 30, 26), (4, 17, 14), dummy2d=True)


def intensity(name, op, image, channel, arguments, transform, parameters):
    """parameters: those that the transform's own get_parameters would draw, for one channel."""
    changed = transform._apply_to_image(torch.from_numpy(image.copy()), **parameters)
    add(name, op, {"image": image}, [channel, *arguments], {"image_out": changed.numpy()})


samples = {}
shapes = {"": (8, 10, 6), "_odd": (7, 9, 5), "_2d": (13, 10)}
for suffix, shape in shapes.items():
    image, segmentation = samples[suffix] = sample(shape)
    for index, sigmas in enumerate([(0.5, 0.75, 0.95), (0.5833, 0.5834, 0.9167), (1.0, 0.9166, 0.5)]):
        sigmas = sigmas[: len(shape)]
        intensity(
            f"blur{suffix}_{index}",
            "gaussian_blur_",
            image,
            1,
            [list(sigmas)],
            GaussianBlurTransform((0.5, 1)),
            {"apply_to_channel": torch.tensor([False, True]), "sigmas": [sigmas]},
        )
    one = {"apply_to_channel": torch.tensor([1])}
    for index, factor in enumerate([0.75, 1.22]):
        intensity(
            f"brightness{suffix}_{index}",
            "brightness_",
            image,
            1,
            [factor],
            MultiplicativeBrightnessTransform((0.75, 1.25), False),
            {**one, "multipliers": torch.tensor([factor])},
        )
        intensity(
            f"contrast{suffix}_{index}",
            "contrast_",
            image,
            1,
            [factor, True],
            ContrastTransform((0.75, 1.25), True, False),
            {**one, "multipliers": torch.tensor([factor])},
        )
    for index, scale in enumerate([0.5, 0.71, 0.97]):
        for keep in [False, True] if len(shape) == 3 else [False]:
            axes = torch.tensor([[scale] * len(shape)])
            if keep:
                axes[:, 0] = 1
            intensity(
                f"low_resolution{suffix}_{index}{'_keep' if keep else ''}",
                "low_resolution_",
                image,
                1,
                [scale, keep],
                SimulateLowResolutionTransform((0.5, 1), False, True, None),
                {**one, "scales": axes},
            )
    for index, exponent in enumerate([0.7, 1.5]):
        for invert in (False, True):
            intensity(
                f"gamma{suffix}_{index}{'_inverted' if invert else ''}",
                "gamma_",
                image,
                1,
                [exponent, invert],
                GammaTransform((0.7, 1.5), 1, False, 1, 1),
                {
                    **one,
                    "retain_stats": torch.tensor([True]),
                    "invert_image": torch.tensor([invert]),
                    "gamma": torch.tensor([exponent]),
                },
            )
    for index, axes in enumerate([[0], [1], [0, 1], list(range(len(shape)))]):
        mirrored = MirrorTransform(axes)
        add(
            f"mirror{suffix}_{index}",
            "mirror",
            {"image": image, "segmentation": segmentation},
            [axes],
            {
                "image_out": mirrored._apply_to_image(torch.from_numpy(image), axes=axes).numpy(),
                "segmentation_out": mirrored._apply_to_segmentation(torch.from_numpy(segmentation)[None], axes=axes)[
                    0
                ].numpy(),
            },
        )
    masked = MaskImageTransform([1]).apply(
        {"image": torch.from_numpy(image.copy()), "segmentation": torch.from_numpy(segmentation)[None]}
    )
    add(
        f"mask_image{suffix}",
        "mask_image_",
        {"image": image, "segmentation": segmentation},
        [[0, 1]],
        {"image_out": masked["image"].numpy()},
    )
    removed = RemoveLabelTransform(-1, 0)._apply_to_segmentation(torch.from_numpy(segmentation.copy())[None])
    add(
        f"remove_label{suffix}",
        "remove_label_",
        {"segmentation": segmentation},
        [],
        {"segmentation_out": removed[0].numpy()},
    )

constant = np.full((2, 6, 5, 4), 0.25, np.float32)
intensity(
    "gamma_constant",
    "gamma_",
    constant,
    0,
    [1.3, True],
    GammaTransform((0.7, 1.5), 1, False, 1, 1),
    {
        "apply_to_channel": torch.tensor([0]),
        "retain_stats": torch.tensor([True]),
        "invert_image": torch.tensor([True]),
        "gamma": torch.tensor([1.3]),
    },
)
intensity(
    "contrast_constant",
    "contrast_",
    constant,
    0,
    [1.2, True],
    ContrastTransform((0.75, 1.25), True, False),
    {"apply_to_channel": torch.tensor([0]), "multipliers": torch.tensor([1.2])},
)


def philox(counter, key):
    """Philox4x32-10 as in Salmon et al., Parallel random numbers: as easy as 1, 2, 3 (SC'11)."""
    mask = 0xFFFFFFFF
    for _ in range(10):
        a, b = 0xD2511F53 * counter[0], 0xCD9E8D57 * counter[2]
        counter = [(b >> 32) ^ counter[1] ^ key[0], b & mask, (a >> 32) ^ counter[3] ^ key[1], a & mask]
        key = [(key[0] + 0x9E3779B9) & mask, (key[1] + 0xBB67AE85) & mask]
    return counter


def noise(name, shape, deviation, seed, step, index):
    """Number i of the field: word i % 4 of block i // 4, in pairs by Box-Muller. Purpose 7 is the noise field's."""
    field = []
    for block in range(-(-math.prod(shape) // 4)):
        lane = 7 << 16 | index
        words = philox([block, lane, step & 0xFFFFFFFF, step >> 32], [seed & 0xFFFFFFFF, seed >> 32])
        uniform = [(word >> 8) / 2**24 for word in words]
        for first, second in (uniform[:2], uniform[2:]):
            radius = math.sqrt(-2 * math.log(first + 2**-24))
            field += [radius * math.cos(2 * math.pi * second), radius * math.sin(2 * math.pi * second)]
    image = sample(shape[1:], channels=shape[0])[0]
    field = torch.tensor(field[: image.size]).reshape(shape)
    transform = GaussianNoiseTransform((0, 0.1), 1, True)
    every = {"apply_idx": torch.arange(shape[0]), "num_apply": shape[0], "sigmas": deviation}
    with mock.patch.object(torch.Tensor, "normal_", lambda target, mean, std: target.copy_(mean + std * field)):
        changed = transform._apply_to_image(torch.from_numpy(image.copy()), **every).numpy()
    add(name, "gaussian_noise_", {"image": image}, [deviation, seed, step, index], {"image_out": changed})


noise("noise", (2, 8, 10, 6), 0.1, 1234567890123, 250, 3)
noise("noise_2d", (1, 13, 9), 0.05, 0, 2**33 + 5, 65535)

# What DA5 has beyond the default chain.
spatial("spatial_per_axis", (20, 22, 18), (12, 14, 10), (0.3, 0.0, 0.4), (0.8, 1.3, 1.1))
spatial("spatial_2d_per_axis", (30, 25), (17, 14), (0.7,), (0.75, 1.4))
spatial("spatial_dummy2d_per_axis", (4, 30, 26), (4, 17, 14), (-1.1,), (1.2, 0.9), dummy2d=True)
# Odd differences of the extents would put every position halfway, where rounding decides about labels.
spatial("spatial_rotated_by_nothing", (18, 19, 14), (12, 13, 10), (0.0, 0.0, 0.0))

for suffix, (image, segmentation) in samples.items():
    shape = segmentation.shape
    second = [False, True]  # only channel 1 is changed
    for size in (2, 3, 4, 5, 7):
        parameters = {"filter_sizes": [0, size], "apply_channel": second}
        intensity(f"median{suffix}_{size}", "median_filter_", image, 1, [size], MedianFilterTransform(size), parameters)
    for sigma in (0.3, 1.25, 1.5):
        parameters = {"apply_to_channel": torch.tensor(second), "sigmas": [[sigma] * len(shape)]}
        transform = GaussianBlurTransform((0.3, 1.5), synchronize_axes=True)
        intensity(f"blur{suffix}_{sigma}", "gaussian_blur_", image, 1, [[sigma] * len(shape)], transform, parameters)
    parameters = {"apply_to_channel": torch.tensor([1]), "shift": torch.tensor([0, -0.7])}
    transform = BrightnessAdditiveTransform(0, 0.5, False)
    intensity(f"additive{suffix}", "additive_brightness_", image, 1, [-0.7], transform, parameters)
    for factor in (0.5, 1.9):
        parameters = {"apply_to_channel": torch.tensor([1]), "multipliers": torch.tensor([factor])}
        for clamp in (True, False):
            name = f"contrast{suffix}_{factor}{'' if clamp else '_unclamped'}"
            transform = ContrastTransform((0.5, 2), clamp, False)
            intensity(name, "contrast_", image, 1, [factor, clamp], transform, parameters)
    start, extent = [1, 2, 0][: len(shape)], [2, 3, 4][: len(shape)]
    box = (start, [s + e for s, e in zip(start, extent)])
    parameters = {"apply_channel": second, "rectangles": [[], [box]]}
    transform = BlankRectangleTransform(1, torch.mean, 1)
    intensity(f"rectangle{suffix}", "blank_rectangle_", image, 1, [start, extent], transform, parameters)
    for index, (center, width) in enumerate([((3.0, -2.5, 7.9), (1.1, 5.0, 2.5)), ((4.2, 3.3, 2.2), (7.5, 2.0, 3.0))]):
        center, width = list(center[: len(shape)]), list(width[: len(shape)])
        bump = {
            "scale": lambda extents, axis: width[axis],
            "loc": lambda extents, axis: center[axis] / extents[axis],
            "same_for_all_channels": False,
        }
        strength, exponent = [-4.5, 2.0][index], [0.05, 3.5][index]
        transform = BrightnessGradientAdditiveTransform(max_strength=strength, mean_centered=False, **bump)
        parameters = transform.get_parameters(torch.from_numpy(image))
        parameters["kernels"][0] = None
        name, rest = f"gradient{suffix}_{index}", [strength, center, width]
        intensity(name, "brightness_gradient_", image, 1, rest, transform, parameters)
        transform = LocalGammaTransform(gamma=exponent, **bump)
        parameters = transform.get_parameters(torch.from_numpy(image))
        parameters["kernels"][0] = None
        name, rest = f"local_gamma{suffix}_{index}", [exponent, center, width]
        intensity(name, "local_gamma_", image, 1, rest, transform, parameters)
    parameters = {"strengths": [0, 0.8], "clamp_intensities": [False, False], "apply_channel": second}
    intensity(f"sharpening{suffix}", "sharpening_", image, 1, [0.8], SharpeningTransform((0.1, 1.0)), parameters)


def exchange(name, op, image, segmentation, arguments, transform, parameters):
    image_out = transform._apply_to_image(torch.from_numpy(image), **parameters).numpy()
    segmentation_out = transform._apply_to_segmentation(torch.from_numpy(segmentation)[None], **parameters)[0].numpy()
    inputs = {"image": image, "segmentation": segmentation}
    add(name, op, inputs, arguments, {"image_out": image_out, "segmentation_out": segmentation_out})


for suffix, shape in (("", (6, 6, 6)), ("_2d", (7, 7))):
    image, segmentation = sample(shape)
    axes = range(len(shape))
    for plane in combinations(axes, 2):
        for turns in (1, 2, 3):
            parameters = {"num_rot_per_combination": [turns], "axis_combinations": [[axis + 1 for axis in plane]]}
            name, arguments = f"turn{suffix}_{plane[0]}{plane[1]}_{turns}", [turns, list(plane)]
            exchange(name, "quarter_turn", image, segmentation, arguments, Rot90Transform(1), parameters)
    for order in map(list, permutations(axes)):
        parameters = {"axis_order": [0, *[axis + 1 for axis in order]]}
        transform = TransposeAxesTransform(set(order))
        name = f"transpose{suffix}_{''.join(map(str, order))}"
        exchange(name, "transpose", image, segmentation, [order], transform, parameters)

# Without interpolation: of labels (nnUNetTrainer_DASegOrd0, nnUNetTrainerDA5Segord0), of both (nnUNetTrainerDA5ord0).
for nearest in ("labels", "image and labels"):
    name = f"spatial_nearest_{nearest.replace(' ', '_')}"
    spatial(name, (14, 17, 12), (12, 15, 10), (-0.2, 0.1, 0.5), (1.3, 0.8, 1.1), nearest=nearest)
    spatial(f"{name}_2d", (30, 25), (17, 14), (0.7,), 1.2, nearest=nearest)
    spatial(f"{name}_dummy2d", (4, 30, 26), (4, 17, 14), (-1.1,), 0.9, dummy2d=True, nearest=nearest)
    spatial(f"{name}_crop", (10, 22, 8), (12, 13, 11), nearest=nearest)

out = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent / "augment")
out.mkdir(parents=True, exist_ok=True)
np.savez_compressed(out / "arrays.npz", **arrays)
(out / "cases.json").write_text(json.dumps(cases, indent=1) + "\n")
print(f"{len(cases)} cases, {(out / 'arrays.npz').stat().st_size / 1e6:.2f} MB")
