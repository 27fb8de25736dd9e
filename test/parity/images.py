"""Reads segmentations with nnU-Net's readers and prints, a JSON object a line: spacing, shape, labels and geometry.

usage: images.py READER FILE [READER FILE ...], with a Python that has nnunetv2
"""
import json
import sys

import numpy as np
from nnunetv2.imageio.reader_writer_registry import recursive_find_reader_writer_by_name


def main(arguments):
    for name, file in zip(arguments[::2], arguments[1::2]):
        labels, properties = recursive_find_reader_writer_by_name(name)().read_seg(file)
        print(json.dumps({
            "shape": labels.shape[1:], "labels": labels.astype(int).ravel().tolist(),
            "spacing": list(properties["spacing"]),
            "geometry": {key: list(np.ravel(value)) for key, value in properties.get("sitk_stuff", {}).items()}}))


if __name__ == "__main__":
    main(sys.argv[1:])
