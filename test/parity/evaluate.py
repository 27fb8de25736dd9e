"""Writes random folders of segmentations and references (labels, regions, ignore label; some labels absent) and nnU-Net's
summary.json for each.

usage: evaluate.py OUT FOLDERS, with a Python that has nnunetv2
"""
import json
import multiprocessing.pool
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import SimpleITK as sitk
from nnunetv2.evaluation import evaluate_predictions

# Threads in place of spawned processes, which would take seconds each to start.
evaluate_predictions.multiprocessing = SimpleNamespace(
    get_context=lambda _: SimpleNamespace(Pool=multiprocessing.pool.ThreadPool))

LABELS = [
    dict(labels={"background": 0, "a": 1, "b": 2, "c": 3}),
    dict(labels={"background": 0, "whole": [1, 2, 3], "core": [2, 3], "rim": [1], "tip": 3}, regions_class_order=[1, 2, 3, 3]),
    dict(labels={"background": 0, "a": 1, "b": 2, "ignore": 3}),
    dict(labels={"background": 0, **{f"l{i}": i for i in range(1, 12)}}),
]


def write(array, file):
    file.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(sitk.GetImageFromArray(array.astype(np.uint8)), str(file))


def main(out, folders):
    rng = np.random.default_rng(11)
    for index in range(folders):
        folder = out / f"{index:02d}"
        folder.mkdir(parents=True)
        dataset = LABELS[index % len(LABELS)]
        dataset = dict(channel_names={"0": "CT"}, numTraining=1, file_ending=".nii.gz", **dataset)
        (folder / "dataset.json").write_text(json.dumps(dataset, indent=4))
        (folder / "reader.json").write_text(json.dumps(dict(image_reader_writer="SimpleITKIO", plans_name="nnUNetPlans")))
        largest = max(np.max(value) for value in dataset["labels"].values())
        # More cases than NumPy adds in a row.
        for case in range([1, 3, 9, 140][index // len(LABELS) % 4]):
            shape = rng.integers(3, 9, 3)
            present = rng.permutation(largest + 1)[: rng.integers(1, largest + 2)]
            truth = rng.choice(present, shape)
            prediction = np.where(rng.random(shape) < 0.7, truth, rng.choice(present, shape))
            write(truth, folder / "truth" / f"case_{case}.nii.gz")
            write(prediction, folder / "predictions" / f"case_{case}.nii.gz")
        evaluate_predictions.compute_metrics_on_folder2(
            str(folder / "truth"), str(folder / "predictions"), str(folder / "dataset.json"), str(folder / "reader.json"),
            str(folder / "expected.json"), num_processes=1)


main(Path(sys.argv[1]), int(sys.argv[2]))
