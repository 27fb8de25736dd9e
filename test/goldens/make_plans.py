"""Writes fingerprints of invented datasets and the plans that nnU-Net's planners make of them:
OUT/NAME/{dataset.json, dataset_fingerprint.json, plans.PLANNER.json}, and plans.PLANNER.MEMORYgb.json for a GPU memory target
other than the planner's own. Covered: isotropic and thick-slice images, a low-resolution stage with cascade, a coarse last
axis, single slices, regions, an ignore label, a spacing ratio near 3, networks of one stage, axes that cover equal shares of
the image, the default planner and the residual encoder planners.
Usage: python make_plans.py OUT (needs nnunetv2; the network for the memory estimate is built without storage)"""
import json
import os
import sys
import tempfile
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np

LABELS = {"background": 0, "organ": 1, "lesion": 2}
REGIONS = {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "enhancing": 3}
# name: median shape, median spacing, scatter, cases, channel names, labels
DATASETS = {
    "isotropic": ((170, 210, 160), (1.0, 1.0, 1.0), 0.05, 9, ["T1", "T2", "zscore"], LABELS),
    "thick_slices": ((40, 512, 512), (5.0, 0.75, 0.75), 0.15, 12, ["CT"], LABELS),
    "large": ((420, 512, 512), (1.0, 0.78, 0.78), 0.1, 10, ["CT"], {f"{'background' if i == 0 else f'part{i}'}": i for i in range(25)}),
    "coarse_last_axis": ((256, 240, 24), (0.7, 0.7, 3.6), 0.08, 8, ["MRI", "nonorm"], LABELS),
    "single_slices": ((1, 700, 520), (999.0, 1.0, 1.0), 0.0, 14, ["rgb_to_0_1"] * 3, LABELS),
    "regions": ((140, 180, 140), (1.0, 1.0, 1.0), 0.02, 11, ["T1", "T1c", "T2", "FLAIR"], REGIONS),
    "ignore": ((36, 50, 35), (1.0, 1.0, 1.0), 0.03, 7, ["MRI"], {**LABELS, "ignore": 3}),
    "near_threshold": ((70, 215, 216), (2.98, 1.0, 1.0), 0.01, 6, ["rescale_to_0_1"], LABELS),
    "few_voxels": ((6, 7, 5), (1.0, 1.0, 1.0), 0.0, 40, ["MRI"], LABELS),
    "cube": ((320, 320, 320), (0.8, 0.8, 0.8), 0.0, 5, ["constructor"], LABELS),
}
SAME_SHAPES = ("few_voxels", "cube")
# planner, GPU memory target or None; in addition to ExperimentPlanner with its own target
FURTHER = {"large": [("nnUNetPlannerResEncM", None), ("nnUNetPlannerResEncL", None), ("nnUNetPlannerResEncXL", None),
                     ("ExperimentPlanner", 24), ("nnUNetPlannerResEncL", 11.5)],
           "single_slices": [("nnUNetPlannerResEncM", None), ("ExperimentPlanner", 1.5)],
           "few_voxels": [("nnUNetPlannerResEncM", None)],
           "cube": [("nnUNetPlannerResEncL", None), ("nnUNetPlannerResEncXL", None), ("ExperimentPlanner", 3)]}


def invent(name, rng):
    shape, spacing, scatter, count, channels, labels = DATASETS[name]
    dataset = {"channel_names": {str(i): c for i, c in enumerate(channels)}, "labels": labels, "numTraining": count,
               "file_ending": ".png" if name == "single_slices" else ".nii.gz"}
    if labels is REGIONS:
        dataset["regions_class_order"] = [1, 2, 3]
    jitter = 0.0 if name in SAME_SHAPES else 0.1
    shapes = [[max(1, int(round(v * np.exp(rng.normal(0, jitter))))) if v > 1 else 1 for v in shape] for _ in range(count)]
    spacings = [[round(v * float(np.exp(rng.normal(0, scatter))), 5) for v in spacing] for _ in range(count)]
    statistics = {key: round(float(rng.normal(0, 500)), 3) for key in
                  ("max", "mean", "median", "min", "percentile_00_5", "percentile_99_5", "std")}
    fingerprint = {"foreground_intensity_properties_per_channel": {str(i): statistics for i in range(len(channels))},
                   "median_relative_size_after_cropping": 0.6 if name == "regions" else 1.0,
                   "shapes_after_crop": shapes, "spacings": spacings}
    return dataset, fingerprint


def main():
    out, work = Path(sys.argv[1]), Path(tempfile.mkdtemp())
    for part in ("raw", "preprocessed", "results"):
        os.environ[f"nnUNet_{part}"] = str(work / part)
    os.environ["nnUNet_n_proc_DA"] = "1"
    import torch
    from nnunetv2.experiment_planning.experiment_planners import default_experiment_planner as module
    from nnunetv2.experiment_planning.experiment_planners.residual_unets import residual_encoder_unet_planners as residual
    from nnunetv2.imageio.natural_image_reader_writer import NaturalImage2DIO
    from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO

    names = ("nnUNetPlannerResEncM", "nnUNetPlannerResEncL", "nnUNetPlannerResEncXL")
    planner, estimate = module.ExperimentPlanner, module.ExperimentPlanner.static_estimate_VRAM_usage
    classes = {"ExperimentPlanner": planner, **{name: getattr(residual, name) for name in names}}

    def without_storage(*args, **kwargs):
        with torch.device("meta"):
            return estimate(*args, **kwargs)

    planner.static_estimate_VRAM_usage = staticmethod(without_storage)
    planner.determine_reader_writer = lambda self: SimpleITKIO if self.dataset_json["file_ending"] == ".nii.gz" else NaturalImage2DIO
    module.get_filenames_of_train_images_and_targets = lambda *args, **kwargs: {}
    for index, name in enumerate(DATASETS):
        files = dict(zip(("dataset", "dataset_fingerprint"), invent(name, np.random.default_rng([7, index]))))
        dataset_name = f"Dataset{index + 1:03d}_{name}"
        for part in ("raw", "preprocessed"):
            (work / part / dataset_name).mkdir(parents=True)
            for file, content in files.items():
                (work / part / dataset_name / f"{file}.json").write_text(json.dumps(content))
        (out / name).mkdir(parents=True, exist_ok=True)
        for planner, memory in [("ExperimentPlanner", None), *FURTHER.get(name, [])]:
            options = {} if memory is None else {"gpu_memory_target_in_gb": memory}
            with redirect_stdout(open(os.devnull, "w")):
                instance = classes[planner](dataset_name, **options)
                instance.plan_experiment()
            plans = work / "preprocessed" / dataset_name / f"{instance.plans_identifier}.json"
            files[f"plans.{planner}{'' if memory is None else f'.{memory}gb'}"] = json.loads(plans.read_text())
            plans.unlink()  # nnU-Net would keep configurations of an earlier file
        for file, content in files.items():
            (out / name / f"{file}.json").write_text(json.dumps(content))


if __name__ == "__main__":
    main()
