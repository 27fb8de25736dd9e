"""Writes OUT: five-fold splits of scikit-learn and the 80:20 draws of numpy that nnU-Net makes of n cases, as indices of
the sorted cases. Usage: python make_splits.py splits.json (needs numpy and scikit-learn)"""
import json
import sys

import numpy as np
from sklearn.model_selection import KFold

folds = {n: [held_out.tolist() for _, held_out in KFold(5, shuffle=True, random_state=12345).split(np.arange(n))] for n in (5, 7, 23, 24, 208)}
beyond = [{"n": n, "fold": fold, "train": np.sort(np.random.RandomState(12345 + fold).choice(n, int(n * 0.8), replace=False)).tolist()}
          for n, fold in ((11, 7), (5, 5), (20, 99))]
with open(sys.argv[1], "w") as file:
    json.dump({"folds": folds, "beyond": beyond}, file)
