"""Trains nnU-Net's own trainer for a few steps and predicts with nnU-Net, for comparison with voxgrad's prediction.

train PREPROCESSED_DATASET PLANS CONFIGURATION FOLDS EPOCHS STEPS MODEL TRAINER: one fold after the other into MODEL/fold_0, ...
predict MODEL FOLDS IN OUT: OUT/with_mirroring and OUT/without_mirroring, with probabilities
FOLDS is a list such as 0,1,2. nnUNet_raw, nnUNet_preprocessed and nnUNet_results must be set.
"""
import json
import os
import shutil
import sys
from pathlib import Path

os.environ["nnUNet_n_proc_DA"] = "0"
os.environ["nnUNet_compile"] = "f"

import numpy as np
import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.training.nnUNetTrainer.variants.network_architecture.nnUNetTrainerBN import nnUNetTrainerBN

torch.set_num_threads(1)


def train(dataset, plans_name, configuration, folds, epochs, steps, model, trainer_name):
    plans = json.loads((Path(dataset) / f"{plans_name}.json").read_text())
    for fold in map(int, folds.split(",")):
        np.random.seed(fold), torch.manual_seed(fold)
        dataset_json = json.loads((Path(dataset) / "dataset.json").read_text())
        trainer_class = {"nnUNetTrainer": nnUNetTrainer, "nnUNetTrainerBN": nnUNetTrainerBN}[trainer_name]
        trainer = trainer_class(plans | {"continue_training": False}, configuration, fold, dataset_json, torch.device("cpu"))
        trainer.num_epochs, trainer.num_iterations_per_epoch, trainer.num_val_iterations_per_epoch = int(epochs), int(steps), 1
        trainer.run_training()
        target = Path(model) / f"fold_{fold}"
        target.mkdir(parents=True)
        shutil.copy(Path(trainer.output_folder) / "checkpoint_final.pth", target)
        for name in ("dataset.json", "plans.json"):
            shutil.copy(Path(trainer.output_folder_base) / name, model)


def predict(model, folds, images, out):
    for name, mirroring in (("with_mirroring", True), ("without_mirroring", False)):
        predictor = nnUNetPredictor(use_mirroring=mirroring, device=torch.device("cpu"), allow_tqdm=False)
        predictor.initialize_from_trained_model_folder(model, [int(fold) for fold in folds.split(",")])
        (Path(out) / name).mkdir(parents=True, exist_ok=True)
        predictor.predict_from_files_sequential(images, str(Path(out) / name), save_probabilities=True, overwrite=True)


{"train": train, "predict": predict}[sys.argv[1]](*sys.argv[2:])
