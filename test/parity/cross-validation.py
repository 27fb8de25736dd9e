"""Writes random cross-validations of two configurations, and what nnU-Net's find_best_configuration makes of them.

usage: cross-validation.py OUT COUNT, with a Python that has nnunetv2

Each of OUT/000, ... holds raw, preprocessed, results (with folds of trainer "voxgrad") and expected, the results after
find_best_configuration. Predictions are blobs with stray components, so that postprocessing pays for some labels only.
cross-validation.py --apply PICKLE IN OUT PLANS DATASET_JSON: nnU-Net's apply_postprocessing
"""
import json
import multiprocessing.pool
import os
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import SimpleITK as sitk
from batchgenerators.utilities.file_and_folder_operations import load_pickle, save_pickle
from nnunetv2.ensembling import ensemble
from nnunetv2.evaluation import evaluate_predictions, find_best_configuration
from nnunetv2.postprocessing import remove_connected_components

# Threads in place of spawned processes, which would take seconds each to start.
threads = SimpleNamespace(get_context=lambda _: SimpleNamespace(Pool=multiprocessing.pool.ThreadPool))
for module in (ensemble, evaluate_predictions, remove_connected_components):
    module.multiprocessing = threads

LABELS = [
    dict(labels={"background": 0, "a": 1, "b": 2}),
    dict(labels={"background": 0, "whole": [1, 2, 3], "core": [2, 3], "tip": 3}, regions_class_order=[1, 2, 3]),
    dict(labels={"background": 0, "only": 1}),
    dict(labels={"background": 0, "a": 1, "b": 2, "c": 3, "ignore": 4}),
]
NAME = "Dataset555_Random"
SPACING = (0.7, 0.8, 1.5)


def write(array, file):
    image = sitk.GetImageFromArray(array.astype(np.uint8))
    image.SetSpacing(SPACING)
    image.SetOrigin((3.0, -2.0, 1.0))
    file.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(file))


def blob(rng, shape, center, radius):
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"))
    return ((grid - np.reshape(center, (3, 1, 1, 1))) ** 2).sum(0) <= radius**2


def draw_truth(rng, shape, largest):
    truth = np.zeros(shape, int)
    for label in rng.permutation(np.arange(1, largest + 1)):
        if rng.random() < 0.9:
            for _ in range(1 + (rng.random() < 0.3)):
                truth[blob(rng, shape, rng.uniform(3, np.array(shape) - 3), rng.uniform(2, 4))] = label
    return truth


def draw_prediction(rng, truth, largest, noise):
    """The truth, moved a little, with stray balls of random labels."""
    prediction = np.roll(truth, rng.integers(-1, 2, 3), (0, 1, 2))
    for _ in range(rng.poisson(noise)):
        prediction[blob(rng, truth.shape, rng.uniform(0, np.array(truth.shape)), rng.uniform(0, 1.6))] = rng.integers(largest + 1)
    return prediction


def probabilities_of(rng, prediction, sure, dataset):
    """Random probabilities whose segmentation is the prediction, as far as overlapping regions allow."""
    labels = dataset["labels"]
    if "regions_class_order" in dataset:
        regions = [np.ravel(value) for name, value in labels.items() if name not in ("background", "ignore")]
        inside = np.stack([np.isin(prediction, region) for region in regions])
        off = np.where(sure, rng.uniform(0.3, 0.5, inside.shape), rng.uniform(0.01, 0.2, inside.shape))
        return np.where(inside, 0.5 + off, 0.5 - off).astype(np.float32)
    heads = len([name for name in labels if name != "ignore"])
    logits = rng.random((heads, *prediction.shape)) + np.where(sure, 2.5, 1.01) * (np.arange(heads).reshape(-1, 1, 1, 1) == prediction)
    result = np.exp(logits)
    return (result / result.sum(0)).astype(rng.choice([np.float32, np.float16]))


def segmentation_of(probabilities, dataset):
    if "regions_class_order" not in dataset:
        return probabilities.argmax(0)
    result = np.zeros(probabilities.shape[1:], int)
    for region, label in zip(probabilities, dataset["regions_class_order"]):
        result[region > 0.5] = label
    return result


def configurations_of(index):
    """Those that nnU-Net compares: in every fifth dataset also a cascade and its earlier stage."""
    return ("2d", "3d_fullres", "3d_lowres", "3d_cascade_fullres") if index % 5 == 3 else ("2d", "3d_fullres")


def plans_of(names):
    return {
        "dataset_name": NAME, "plans_name": "nnUNetPlans", "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2], "transpose_backward": [0, 1, 2], "label_manager": "LabelManager",
        "original_median_spacing_after_transp": [1.5, 0.8, 0.7],
        "original_median_shape_after_transp": [12, 14, 13], "experiment_planner_used": "ExperimentPlanner",
        "foreground_intensity_properties_per_channel": {"0": {}},
        "configurations": {name: configuration(name) for name in names},
    }


def configuration(name):
    if name == "3d_cascade_fullres":
        return {"inherits_from": "3d_fullres", "previous_stage": "3d_lowres"}
    dims = 2 if name == "2d" else 3
    resampling = {"is_seg": False, "order": 1, "order_z": 0, "force_separate_z": None}
    return {
        "data_identifier": f"nnUNetPlans_{name}", "preprocessor_name": "DefaultPreprocessor", "batch_size": 2,
        "patch_size": [8] * dims, "median_image_size_in_voxels": [8.0] * dims, "spacing": [1.0] * dims,
        "normalization_schemes": ["ZScoreNormalization"], "use_mask_for_norm": [False],
        "resampling_fn_data": "resample_data_or_seg_to_shape", "resampling_fn_seg": "resample_data_or_seg_to_shape",
        "resampling_fn_data_kwargs": resampling, "resampling_fn_seg_kwargs": resampling,
        "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
        "resampling_fn_probabilities_kwargs": resampling,
        "architecture": {
            "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
            "arch_kwargs": {
                "n_stages": 2, "features_per_stage": [4, 8], "conv_op": f"torch.nn.modules.conv.Conv{dims}d",
                "kernel_sizes": [[3] * dims] * 2, "strides": [[1] * dims, [2] * dims], "n_conv_per_stage": [1, 1],
                "n_conv_per_stage_decoder": [1], "conv_bias": True,
                "norm_op": f"torch.nn.modules.instancenorm.InstanceNorm{dims}d",
                "norm_op_kwargs": {"eps": 1e-05, "affine": True}, "dropout_op": None, "dropout_op_kwargs": None,
                "nonlin": "torch.nn.LeakyReLU", "nonlin_kwargs": {"inplace": True},
            },
            "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
        },
        "batch_dice": True,
        **({"next_stage": "3d_cascade_fullres"} if name == "3d_lowres" else {}),
    }


def make(root, rng, index):
    dataset = dict(channel_names={"0": "MRI"}, numTraining=10, file_ending=".nii.gz", **LABELS[index % len(LABELS)])
    largest = max(np.max(value) for name, value in dataset["labels"].items() if name != "ignore")
    preprocessed, results = root / "preprocessed" / NAME, root / "results" / NAME
    (root / "raw").mkdir(parents=True)
    preprocessed.mkdir(parents=True)
    texts = {"dataset.json": json.dumps(dataset, indent=4), "plans.json": json.dumps(plans_of(configurations_of(index)), indent=4)}
    (preprocessed / "nnUNetPlans.json").write_text(texts["plans.json"])
    (preprocessed / "dataset.json").write_text(texts["dataset.json"])
    cases = [f"case_{i}" for i in range(10)]
    truths = {}
    for case in cases:
        truths[case] = draw_truth(rng, tuple(rng.integers(10, 15, 3)), largest)
        reference = truths[case].copy()
        if "ignore" in dataset["labels"]:
            reference[rng.random(reference.shape) < 0.2] = dataset["labels"]["ignore"]
        write(reference, preprocessed / "gt_segmentations" / f"{case}.nii.gz")
    hesitant = index // len(LABELS) % 2  # about faults: then ensembles pay
    for name in configurations_of(index):
        model = results / f"voxgrad__nnUNetPlans__{name}"
        model.mkdir(parents=True)
        for file, text in texts.items():
            (model / file).write_text(text)
        noise = rng.choice([0.1, 1, 4])
        if "3d_cascade_fullres" in configurations_of(index):  # which then does best
            noise = 0 if name == "3d_cascade_fullres" else 4
        order = rng.permutation(cases)  # splits may differ between configurations
        for fold in range(5):
            validation = model / f"fold_{fold}" / "validation"
            validation.mkdir(parents=True)
            (validation / "summary.json").write_text("{}")
            for case in order[fold::5]:
                prediction = draw_prediction(rng, truths[case], largest, noise)
                probabilities = probabilities_of(rng, prediction, hesitant * (prediction == truths[case]), dataset)
                write(segmentation_of(probabilities, dataset), validation / f"{case}.nii.gz")
                np.savez_compressed(validation / f"{case}.npz", probabilities=probabilities)
                stuff = {"spacing": SPACING, "origin": (3.0, -2.0, 1.0), "direction": (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0)}
                save_pickle({"sitk_stuff": stuff, "spacing": [1.5, 0.8, 0.7]}, str(validation / f"{case}.pkl"))


def find(root, index):
    """nnU-Net's decision, in a copy of the results."""
    shutil.copytree(root / "results", root / "expected")
    os.environ.update(nnUNet_raw=str(root / "raw"), nnUNet_preprocessed=str(root / "preprocessed"),
                      nnUNet_results=str(root / "expected"))
    models = [{"plans": "nnUNetPlans", "configuration": name, "trainer": "voxgrad"} for name in configurations_of(index)]
    find_best_configuration.find_best_configuration(NAME, models, num_processes=1)


if sys.argv[1] == "--apply":
    pickle, source, target, plans, dataset_json = sys.argv[2:]
    remove_connected_components.apply_postprocessing_to_folder(
        source, target, *load_pickle(pickle), plans, dataset_json, num_processes=1)
else:
    out, count = Path(sys.argv[1]), int(sys.argv[2])
    rng = np.random.default_rng(5)
    for index in range(count):
        make(out / f"{index:03d}", rng, index)
        find(out / f"{index:03d}", index)
