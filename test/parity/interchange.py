"""Trains nnU-Net's own trainer for a few steps and predicts with nnU-Net, for comparison with voxgrad's prediction.

interchange.py JOBS: a JSON list of jobs, done one after another, each a list of its name and its arguments:
train PREPROCESSED_DATASET PLANS CONFIGURATION FOLDS EPOCHS STEPS [TRAINER]: models in nnUNet_results; of a cascade's earlier
    stage also its validation, with what the next stage trains on
predict MODEL FOLDS IN OUT TILES [PREVIOUS]: OUT/with_mirroring and OUT/without_mirroring, with probabilities; tiles and folds
    are added in float16, as nnU-Net does, or in float32; PREVIOUS is a folder of segmentations, of a cascade's earlier stage
FOLDS is a list such as 0,1,2 or all. nnUNet_raw, nnUNet_preprocessed and nnUNet_results must be set.
"""
import json
import multiprocessing.pool
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from nnunetv2.evaluation import evaluate_predictions
from nnunetv2.inference import predict_from_raw_data as inference
from nnunetv2.training.nnUNetTrainer import nnUNetTrainer as training
from nnunetv2.training.nnUNetTrainer.variants.network_architecture.nnUNetTrainerBN import nnUNetTrainerBN

torch.set_num_threads(1)
# Threads in place of spawned processes, which would take seconds each to start.
threads = SimpleNamespace(get_context=lambda _: SimpleNamespace(Pool=multiprocessing.pool.ThreadPool))
for module in (training, evaluate_predictions):
    module.multiprocessing = threads


class TorchWithoutHalf:
    """torch to nnU-Net's prediction, which asks it for `half` only where it makes the sums of tiles and of their weights."""
    half = torch.float32

    def __getattr__(self, name):
        return getattr(torch, name)


sums = {"float16": torch, "float32": TorchWithoutHalf()}
trainers = {"nnUNetTrainer": training.nnUNetTrainer, "nnUNetTrainerBN": nnUNetTrainerBN}


def folds_of(text):
    return [fold if fold == "all" else int(fold) for fold in text.split(",")]


def train(dataset, plans_name, configuration, folds, epochs, steps, trainer_name="nnUNetTrainer"):
    plans = json.loads((Path(dataset) / f"{plans_name}.json").read_text())
    for seed, fold in enumerate(folds_of(folds)):
        np.random.seed(seed), torch.manual_seed(seed)
        dataset_json = json.loads((Path(dataset) / "dataset.json").read_text())
        how = plans | {"continue_training": False}
        trainer = trainers[trainer_name](how, configuration, fold, dataset_json, torch.device("cpu"))
        trainer.num_epochs, trainer.num_iterations_per_epoch, trainer.num_val_iterations_per_epoch = int(epochs), int(steps), 1
        trainer.run_training()
        if trainer.configuration_manager.next_stage_names:
            trainer.perform_actual_validation()


def predict(model, folds, images, out, tiles, previous=None):
    inference.torch = sums[tiles]
    for name, mirroring in (("with_mirroring", True), ("without_mirroring", False)):
        predictor = inference.nnUNetPredictor(use_mirroring=mirroring, device=torch.device("cpu"), allow_tqdm=False)
        predictor.initialize_from_trained_model_folder(model, folds_of(folds))
        (Path(out) / name).mkdir(parents=True, exist_ok=True)
        predictor.predict_from_files_sequential(
            images, str(Path(out) / name), save_probabilities=True, overwrite=True, folder_with_segs_from_prev_stage=previous)


for name, *arguments in json.loads(sys.argv[1]):
    {"train": train, "predict": predict}[name](*arguments)
