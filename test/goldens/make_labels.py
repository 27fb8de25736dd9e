"""Writes labels.npz and labels.json: nnU-Net's losses with their gradients, its counts for the pseudo-Dice, its summary.json for
regions with an ignore label, its way of region logits to labels and to the next stage of a cascade, and the binary operators that
it applies to a previous stage. Made with nnunetv2 2.8.1, torch 2.15.0:  python make_labels.py [FOLDER]"""
import json
import os
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

os.environ["nnUNet_compile"] = "f"
import blosc2
import numpy as np
import torch
from batchgeneratorsv2.transforms.nnunet import random_binary_operator as operators
from batchgeneratorsv2.transforms.utils.seg_to_regions import ConvertSegmentationToRegionsTransform
from nnunetv2.evaluation.evaluate_predictions import compute_metrics_on_folder
from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO
from nnunetv2.inference.export_prediction import (convert_predicted_logits_to_segmentation_with_correct_shape,
                                                  resample_and_save)
from nnunetv2.training.loss.compound_losses import DC_and_BCE_loss, DC_and_CE_loss, DC_and_topk_loss
from nnunetv2.training.loss.dice import MemoryEfficientSoftDiceLoss
from nnunetv2.training.loss.robust_ce_loss import RobustCrossEntropyLoss, TopKLoss
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.helpers import softmax_helper_dim1
from nnunetv2.utilities.label_handling.label_handling import LabelManager
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from skimage.morphology import ball, disk

generator = np.random.default_rng(5)
arrays: dict[str, np.ndarray] = {}
SHAPE = (2, 4, 5, 6)  # (B, z, y, x)
REGIONS = [(1, 2, 3), (2, 3), 3]


def losses() -> list[dict]:
    dice = MemoryEfficientSoftDiceLoss

    def kwargs(case, regions=False):
        return {"batch_dice": case["batch_dice"], "smooth": case["smooth"], "do_bg": regions, "ddp": False}

    def smoothing(case):
        return {"label_smoothing": case.get("smoothing", 0.0)}

    makers = {
        "dice_ce": lambda c: DC_and_CE_loss(kwargs(c), smoothing(c), ignore_label=c["ignore"], dice_class=dice),
        "dice_topk": lambda c: DC_and_topk_loss(kwargs(c), {"k": 10} | smoothing(c), ignore_label=c["ignore"]),
        "ce": lambda c: RobustCrossEntropyLoss(ignore_index=-100 if c["ignore"] is None else c["ignore"], **smoothing(c)),
        "topk": lambda c: TopKLoss(k=10, ignore_index=-100 if c["ignore"] is None else c["ignore"], **smoothing(c)),
        "dice": lambda c: dice(**kwargs(c, c["regions"]), apply_nonlin=torch.sigmoid if c["regions"] else softmax_helper_dim1),
        "dice_bce": lambda c: DC_and_BCE_loss({}, kwargs(c, True), use_ignore_label=c["ignore"] is not None, dice_class=dice),
    }
    cases = []
    for kind, batch_dice, smooth, ignore in [
            ("dice_ce", False, 1e-5, None), ("dice_ce", True, 1e-5, None), ("dice_ce", True, 0, None), ("dice_ce", False, 1e-5, 4),
            ("dice_ce", True, 1e-5, 4), ("dice_ce", False, 1e-5, "all"), ("dice_topk", False, 1e-5, None),
            ("dice_topk", True, 1e-5, 4), ("ce", False, 1e-5, None), ("ce", False, 1e-5, 4), ("topk", False, 1e-5, None),
            ("topk", False, 1e-5, 4), ("dice", False, 1e-5, None), ("dice", True, 1e-5, None), ("dice_bce", False, 1e-5, None),
            ("dice_bce", True, 1e-5, None), ("dice_bce", False, 1e-5, 4), ("dice_bce", True, 1e-5, 4)]:
        regions = kind == "dice_bce"
        cases.append({"kind": kind, "batch_dice": batch_dice, "smooth": smooth, "ignore": 4 if ignore == "all" else ignore,
                      "regions": regions, "everywhere": ignore == "all"})
    cases.append({"kind": "dice", "batch_dice": True, "smooth": 1e-5, "ignore": None, "regions": True, "everywhere": False})
    cases += [{"kind": kind, "batch_dice": False, "smooth": 1e-5, "ignore": ignore, "regions": False, "everywhere": False,
               "smoothing": 0.1} for kind in ("ce", "topk", "dice_ce", "dice_topk") for ignore in (None, 4)]
    for index, case in enumerate(cases):
        channels = len(REGIONS) if case["regions"] else 4
        logits = torch.from_numpy((2 * generator.standard_normal((SHAPE[0], channels, *SHAPE[1:]))).astype(np.float32))
        labels = generator.integers(0, 4, SHAPE).astype(np.int16)
        if case["ignore"] is not None:
            labels[:, :, :, : SHAPE[3] if case["everywhere"] else 2] = case["ignore"]
        target = torch.from_numpy(labels.copy())[:, None]
        if case["regions"]:
            convert = ConvertSegmentationToRegionsTransform(REGIONS + ([4] if case["ignore"] is not None else []))
            target = torch.stack([convert(segmentation=t)["segmentation"] for t in target])
        logits.requires_grad_(True)
        value = makers[case["kind"]](case)(logits, target)
        value.backward()
        arrays.update({f"loss{index}/logits": logits.detach().numpy(), f"loss{index}/labels": labels,
                       f"loss{index}/gradient": logits.grad.numpy()})
        case["value"] = float(value)
    return cases


def counts() -> list[dict]:
    """validation_step of a trainer whose network and loss are stand-ins."""
    found = []
    for index, (regions, ignore) in enumerate([(False, None), (False, 4), (True, None), (True, 4)]):
        labels = {"background": 0, "a": [1, 2, 3], "b": [2, 3], "c": 3} if regions else {"background": 0, "a": 1, "b": 2, "c": 3}
        manager = LabelManager(labels | ({"ignore": ignore} if ignore else {}), [1, 2, 3] if regions else None)
        logits = torch.from_numpy((2 * generator.standard_normal((2, 3 if regions else 4, *SHAPE[1:]))).astype(np.float32))
        segmentation = generator.integers(0, 5 if ignore else 4, SHAPE).astype(np.int16)
        target = torch.from_numpy(segmentation.copy())[:, None]
        if regions:
            convert = ConvertSegmentationToRegionsTransform(REGIONS + ([4] if ignore else []))
            target = torch.stack([convert(segmentation=t)["segmentation"] for t in target])
        me = SimpleNamespace(device=torch.device("cpu"), network=lambda _, value=logits: value, loss=lambda *_: torch.zeros(()),
                             enable_deep_supervision=False, label_manager=manager)
        result = nnUNetTrainer.validation_step(me, {"data": logits, "target": target})
        arrays.update({f"counts{index}/logits": logits.numpy(), f"counts{index}/labels": segmentation})
        found.append({"regions": regions, "ignore": ignore,
                      "counts": [result[key].astype(int).tolist() for key in ("tp_hard", "fp_hard", "fn_hard")]})
    return found


def summary() -> dict:
    shape = (3, 4, 5)
    cases = {name: (generator.integers(0, 4, shape), generator.integers(0, 5, shape)) for name in ("b", "a")}
    cases["b"][0][cases["b"][0] == 3] = 0
    cases["b"][1][cases["b"][1] == 3] = 4
    properties = {"sitk_stuff": {"spacing": (1, 1, 1), "origin": (0, 0, 0), "direction": (1, 0, 0, 0, 1, 0, 0, 0, 1)}}
    with tempfile.TemporaryDirectory() as folder:
        for kind in (0, 1):
            Path(folder, str(kind)).mkdir()
            for name, pair in cases.items():
                SimpleITKIO().write_seg(pair[kind].astype(np.uint8), f"{folder}/{kind}/{name}.nii.gz", properties)
        compute_metrics_on_folder(f"{folder}/1", f"{folder}/0", f"{folder}/summary.json", SimpleITKIO(), ".nii.gz", REGIONS, 4, 1)
        text = Path(folder, "summary.json").read_text().replace(folder, "/data")
    return {"text": text, "cases": [{"id": name, "prediction": p.ravel().tolist(), "reference": r.ravel().tolist()}
                                    for name, (p, r) in cases.items()]}


def exports() -> None:
    """Region logits on the original grid and on the grid of the next stage; class logits on that of the next stage."""
    kwargs = {"is_seg": False, "order": 1, "order_z": 0, "force_separate_z": None}
    plans = PlansManager({
        "dataset_name": "Dataset999_Golden", "plans_name": "nnUNetPlans", "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [1, 0, 2], "transpose_backward": [1, 0, 2], "label_manager": "LabelManager",
        "configurations": {"3d_lowres": {
            "spacing": [2.0, 1.5, 1.5], "patch_size": [8, 8, 8], "batch_size": 2, "data_identifier": "x",
            "resampling_fn_probabilities": "resample_data_or_seg_to_shape", "resampling_fn_probabilities_kwargs": kwargs,
            "architecture": {"network_class_name": "", "arch_kwargs": {}, "_kw_requires_import": []}}}})
    configuration = plans.get_configuration("3d_lowres")
    regions = {"labels": {"background": 0, "a": [1, 2, 3], "b": [2, 3], "c": 3}, "regions_class_order": [1, 2, 3]}
    classes = {"labels": {"background": 0, "a": 1, "b": 2, "c": 3}}
    properties = {"spacing": [1.0, 2.0, 1.0], "shape_before_cropping": (8, 10, 11), "bbox_used_for_cropping": [[0, 8], [1, 10], [2, 11]],
                  "shape_after_cropping_and_before_resampling": (8, 9, 9)}
    for name, dataset, channels in (("regions", regions, 3), ("classes", classes, 4)):
        logits = torch.from_numpy(generator.standard_normal((channels, 8, 6, 6)).astype(np.float32))
        manager = plans.get_label_manager(dataset)
        exported = convert_predicted_logits_to_segmentation_with_correct_shape(
            logits, plans, configuration, manager, properties)
        with tempfile.TemporaryDirectory() as folder:
            resample_and_save(logits, [10, 11, 9], f"{folder}/case", plans, configuration, properties, dataset)
            array = blosc2.open(f"{folder}/case.b2nd")
            arrays[f"next/{name}"] = array[:]
            print(name, array.dtype, array.shape, array.chunks, array.blocks)
        arrays.update({f"export/{name}/logits": logits.numpy(), f"export/{name}": np.asarray(exported, np.uint8)})


def binary_operators() -> list[dict]:
    names = ["dilation", "erosion", "closing", "opening"]
    found = []
    for shape in ((14, 12, 13), (16, 15)):
        mask = torch.from_numpy(generator.random(shape) < 0.03)
        mask = operators.binary_dilation_torch(mask, torch.from_numpy(np.ones((3,) * len(shape), bool)))
        key = f"mask{len(shape)}d"
        arrays[key] = mask.numpy().astype(np.int16)
        for name in names:
            for radius in (1.0, 1.3, 1.7, 2.2, 3.6):
                element = torch.from_numpy((ball if len(shape) == 3 else disk)(radius, dtype=bool))
                result = getattr(operators, f"binary_{name}_torch")(mask, element)
                index = len(found)
                arrays[f"operator{index}"] = result.numpy().astype(np.int16)
                found.append({"mask": key, "operation": name, "radius": radius})
    return found


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    found = {"losses": losses(), "counts": counts(), "summary": summary(), "operators": binary_operators()}
    exports()
    np.savez_compressed(folder / "labels.npz", **arrays)
    (folder / "labels.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
