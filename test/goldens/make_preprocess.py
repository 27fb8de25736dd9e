"""Writes preprocess.npz and preprocess.json: small cases through the real nnU-Net (nnunetv2 2.8.1): DefaultPreprocessor,
fingerprint draws and statistics, and the way of logits back to the original grid. Usage: make_preprocess.py [FOLDER]"""
import json
import sys
from pathlib import Path

import numpy as np
import torch
from nnunetv2.experiment_planning.dataset_fingerprint.fingerprint_extractor import DatasetFingerprintExtractor
from nnunetv2.inference.export_prediction import convert_predicted_logits_to_segmentation_with_correct_shape
from nnunetv2.preprocessing.cropping.cropping import crop_to_nonzero
from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

random = np.random.RandomState(20)
PROPERTIES = {"max": 400.0, "mean": 110.5, "median": 100.0, "min": -50.0, "percentile_00_5": 20.25,
              "percentile_99_5": 230.75, "std": 47.125}
LABELS = {"background": 0, "one": 1, "two": 2, "three": 3}


def make_image(channels, shape):
    """Whole numbers with zeros around an irregular blob and a hole inside of it."""
    image = random.randint(1, 300, (channels, *shape)).astype(np.float32)
    grid = np.meshgrid(*[np.linspace(-1, 1, n) if n > 1 else np.zeros(1) for n in shape], indexing="ij")
    radius = np.sqrt(sum(axis**2 for axis in grid))
    image[:, (radius > 0.95) | ((radius > 0.15) & (radius < 0.4))] = 0
    return image


def make_segmentation(shape, labels=4):
    coarse = random.randint(0, labels, [(n + 2) // 3 for n in shape])
    fine = coarse.repeat(3, 0).repeat(3, 1).repeat(3, 2)
    return fine[: shape[0], : shape[1], : shape[2]][None].astype(np.float32)


def make_plans(case):
    def kwargs(is_seg, order):
        return {"is_seg": is_seg, "order": order, "order_z": case.get("order_z", 0),
                "force_separate_z": case.get("force_separate_z")}

    resampling = "resample_data_or_seg_to_shape"
    channels = len(case["schemes"])
    transpose = case.get("transpose", [0, 1, 2])
    configuration = {
        "data_identifier": "golden", "preprocessor_name": "DefaultPreprocessor", "batch_size": 2,
        "patch_size": [8] * len(case["target"]), "spacing": case["target"], "normalization_schemes": case["schemes"],
        "use_mask_for_norm": case.get("masks", [False] * channels),
        "resampling_fn_data": resampling, "resampling_fn_data_kwargs": kwargs(False, case.get("order", 3)),
        "resampling_fn_seg": resampling, "resampling_fn_seg_kwargs": kwargs(True, case.get("order_seg", 1)),
        "resampling_fn_probabilities": resampling, "resampling_fn_probabilities_kwargs": kwargs(False, case.get("order_probabilities", 1)),
        "architecture": {"network_class_name": "", "arch_kwargs": {}, "_kw_requires_import": []},
        "batch_dice": False,
    }
    return {
        "dataset_name": "Dataset999_Golden", "plans_name": "nnUNetPlans", "image_reader_writer": "SimpleITKIO",
        "original_median_spacing_after_transp": [1, 1, 1], "original_median_shape_after_transp": [8, 8, 8],
        "transpose_forward": transpose, "transpose_backward": np.argsort(transpose).tolist(),
        "configurations": {"golden": configuration}, "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {str(c): PROPERTIES for c in range(channels)},
    }


Z = "ZScoreNormalization"
CASES = {
    "z_score_upsampled": {"shape": [9, 11, 10], "spacing": [1, 1, 1], "target": [0.7, 0.61, 0.83], "schemes": [Z]},
    "z_score_masked": {"shape": [9, 11, 10], "spacing": [1, 1, 1], "target": [1, 0.8, 1.3], "schemes": [Z, Z],
                       "masks": [True, True]},
    "ct": {"shape": [9, 10, 8], "spacing": [1, 1, 1], "target": [1.2, 0.9, 1], "schemes": ["CTNormalization"]},
    "other_schemes": {"shape": [8, 9, 10], "spacing": [1, 1, 1], "target": [0.9, 1, 1.1],
                      "schemes": ["NoNormalization", "RescaleTo01Normalization"]},
    "rgb": {"shape": [1, 13, 11], "spacing": [999, 1, 1], "target": [0.8, 1.2], "rgb": True,
            "schemes": ["RGBTo01Normalization"] * 3},
    "label_ties": {"shape": [6, 7, 8], "spacing": [1, 1, 1], "target": [0.5, 0.5, 0.5], "schemes": [Z], "crop": False},
    "label_ties_between_three": {"shape": [5, 6, 7], "spacing": [1, 1, 1], "target": [0.5, 1, 0.25], "schemes": [Z],
                                 "crop": False, "noise_labels": True},
    "one_voxel_axis": {"shape": [1, 9, 12], "spacing": [2, 1, 1], "target": [2, 0.7, 1.4], "schemes": [Z]},
    "one_voxel_axis_grows": {"shape": [9, 1, 7], "spacing": [1, 1.2, 1], "target": [1.1, 0.6, 0.9], "schemes": [Z]},
    "separate_first_axis": {"shape": [5, 12, 11], "spacing": [4, 1, 1], "target": [2.5, 0.8, 1.1], "schemes": [Z]},
    "separate_last_axis_by_target": {"shape": [10, 9, 8], "spacing": [1, 1, 1], "target": [1, 0.9, 4], "schemes": [Z]},
    "two_axes_share_the_largest": {"shape": [12, 5, 6], "spacing": [1, 4, 4], "target": [0.9, 3, 3], "schemes": [Z]},
    "separate_forced": {"shape": [7, 9, 8], "spacing": [1, 1.5, 1], "target": [0.8, 1.1, 0.9], "schemes": [Z],
                        "force_separate_z": True, "order_z": 1},
    "separate_forbidden": {"shape": [5, 9, 10], "spacing": [5, 1, 1], "target": [3, 0.9, 0.8], "schemes": [Z],
                           "force_separate_z": False},
    "other_orders": {"shape": [9, 8, 7], "spacing": [1, 1, 1], "target": [0.8, 1.1, 0.7], "schemes": [Z], "order": 1,
                     "order_seg": 0},
    "cubic_labels": {"shape": [8, 9, 7], "spacing": [1, 1, 1], "target": [0.8, 1.1, 0.7], "schemes": [Z],
                     "order_seg": 3},
    "transposed": {"shape": [9, 8, 7], "spacing": [1.5, 1, 2], "target": [1.8, 1.2, 1.1], "schemes": [Z, Z],
                   "transpose": [2, 0, 1]},
    "slices_2d": {"shape": [5, 9, 11], "spacing": [3, 1.1, 0.9], "target": [1, 1], "schemes": [Z]},
    "regions": {"shape": [9, 9, 9], "spacing": [1, 1, 1], "target": [1, 1, 1.2], "schemes": [Z],
                "labels": {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "tip": 3},
                "regions_class_order": [1, 2, 3]},
    "ignore": {"shape": [9, 9, 9], "spacing": [1, 1, 1], "target": [0.9, 1, 1.2], "schemes": [Z],
               "labels": {"background": 0, "one": 1, "two": 2, "ignore": 3}},
    "blank_image": {"shape": [4, 5, 6], "spacing": [1, 1, 1], "target": [1, 0.8, 1], "schemes": [Z], "blank": True},
    **{f"order_{order}": {"shape": [9, 8, 7], "spacing": [1, 1, 1], "target": [0.8, 1.1, 0.7], "schemes": [Z],
                          "order": order, "order_seg": order, "order_probabilities": order} for order in (0, 2, 3, 4, 5)},
    **{f"separate_order_z_{order}": {"shape": [6, 9, 8], "spacing": [4, 1, 1], "target": [2.9, 0.8, 1.1], "schemes": [Z],
                                     "order": 3, "order_seg": 1, "order_z": order, "order_probabilities": 3}
       for order in (1, 2, 3, 4, 5)},
    "absent_label": {"shape": [6, 7, 8], "spacing": [1, 1, 1], "target": [1, 1, 1], "schemes": [Z], "labels_used": 3},
}


def run_case(name, case, arrays):
    image = make_image(len(case["schemes"]), case["shape"])
    if case.get("rgb"):
        image = np.minimum(image, 255)
    if case.get("blank"):
        image[:] = 0
    if not case.get("crop", True):
        image += 1
    segmentation = make_segmentation(case["shape"], case.get("labels_used", 4))
    if case.get("noise_labels"):
        segmentation = random.randint(0, 4, segmentation.shape).astype(np.float32)
    plans = make_plans(case)
    manager = PlansManager(plans)
    configuration = manager.get_configuration("golden")
    dataset = {"labels": case.get("labels", LABELS), "channel_names": {str(c): "MR" for c in range(len(image))},
               "file_ending": ".nii.gz"}
    if "regions_class_order" in case:
        dataset["regions_class_order"] = case["regions_class_order"]
    properties = {"spacing": [float(value) for value in case["spacing"]]}
    data, seg, properties = DefaultPreprocessor(verbose=False).run_case_npy(
        image, segmentation, properties, manager, configuration, dataset)
    arrays.update({f"{name}/image": image, f"{name}/segmentation": segmentation[0].astype(np.int8),
                   f"{name}/data": data, f"{name}/seg": seg.astype(np.int16)})
    locations = properties.pop("class_locations")
    for key, rows in locations.items():
        if len(rows) > 0:
            arrays[f"{name}/locations/{key}"] = np.asarray(rows, np.int64).astype(np.int16)

    plain_data, _, plain = DefaultPreprocessor(verbose=False).run_case_npy(
        image, None, {"spacing": properties["spacing"]}, manager, configuration, dataset)
    if not np.array_equal(plain_data, data):  # labels outside of the nonzero mask count for a masked normalization
        arrays[f"{name}/data_without_labels"] = plain_data
    logits = random.standard_normal((4, *data.shape[1:])).astype(np.float32)
    labels = convert_predicted_logits_to_segmentation_with_correct_shape(
        torch.from_numpy(logits), manager, configuration, manager.get_label_manager({**dataset, "labels": LABELS}), plain)
    arrays.update({f"{name}/logits": logits, f"{name}/exported": np.asarray(labels, np.uint8)})
    return {"plans": plans, "dataset": dataset, "properties": properties, "keys": [str(key) for key in locations]}


def run_fingerprint(arrays):
    """Draws of one case with two channels, and statistics with and without a case that has no foreground."""
    image, segmentation = make_image(2, [9, 11, 10]), make_segmentation([9, 11, 10])
    image = image / np.float32(7)
    cropped, seg, box = crop_to_nonzero(image, segmentation.copy())
    draws, _ = DatasetFingerprintExtractor.collect_foreground_intensities(seg, cropped, num_samples=3000)
    arrays.update({"fingerprint/image": image, "fingerprint/segmentation": segmentation[0].astype(np.int8),
                   "fingerprint/draws0": draws[0], "fingerprint/draws1": draws[1]})
    statistics = []
    for values in (np.concatenate(draws), np.concatenate([*draws, []])):
        low, median, high = np.percentile(values, np.array((0.5, 50.0, 99.5)))
        statistics.append({"max": float(np.max(values)), "mean": float(np.mean(values)), "median": float(median),
                           "min": float(np.min(values)), "percentile_00_5": float(low), "percentile_99_5": float(high),
                           "std": float(np.std(values))})
    return {"shape": list(cropped.shape[1:]), "relative": cropped[0].size / image[0].size, "statistics": statistics}


def main():
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    arrays = {}
    golden = {"cases": {name: run_case(name, case, arrays) for name, case in CASES.items()},
              "fingerprint": run_fingerprint(arrays)}
    np.savez_compressed(folder / "preprocess.npz", **arrays)
    (folder / "preprocess.json").write_text(json.dumps(golden) + "\n")


if __name__ == "__main__":
    main()
