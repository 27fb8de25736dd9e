"""Images as nnU-Net and SimpleITK read and write them; prints a JSON object a line. Needs a Python that has nnunetv2.

images.py READER FILE [READER FILE ...]: spacing, shape, labels and geometry of segmentations, as nnU-Net's readers have them
images.py --headers COUNT: random grids, and the geometry in the NIfTI header that SimpleITK writes for each
"""
import json
import sys
import tempfile

import numpy as np
import SimpleITK as sitk
from nnunetv2.imageio.reader_writer_registry import recursive_find_reader_writer_by_name


def main(arguments):
    for name, file in zip(arguments[::2], arguments[1::2]):
        labels, properties = recursive_find_reader_writer_by_name(name)().read_seg(file)
        print(json.dumps({
            "shape": labels.shape[1:], "labels": labels.astype(int).ravel().tolist(),
            "spacing": list(properties["spacing"]),
            "geometry": {key: list(np.ravel(value)) for key, value in properties.get("sitk_stuff", {}).items()}}))


def headers(count):
    """Any rotation, with and without mirroring; slightly turned swaps of axes; and directions that are not quite orthogonal."""
    rng = np.random.default_rng(3)
    with tempfile.TemporaryDirectory() as folder:
        for index in range(count):
            direction = np.linalg.qr(rng.standard_normal((3, 3)))[0]
            if index % 3 == 1:
                nearly = np.eye(3) + np.cross(np.eye(3), rng.uniform(-0.1, 0.1, 3))
                direction = (np.linalg.qr(nearly)[0] * rng.choice([-1.0, 1.0], 3))[:, rng.permutation(3)]
            if index % 3 == 2:
                direction += rng.uniform(-3e-5, 3e-5, (3, 3))
            grid = {"spacing": rng.uniform(0.3, 6, 3).tolist(), "origin": rng.uniform(-200, 200, 3).tolist(),
                    "direction": direction.ravel().tolist()}
            image = sitk.Image([2, 2, 2], sitk.sitkUInt8)
            image.SetSpacing(grid["spacing"]), image.SetOrigin(grid["origin"]), image.SetDirection(grid["direction"])
            sitk.WriteImage(image, f"{folder}/image.nii")
            with open(f"{folder}/image.nii", "rb") as file:
                header = file.read(352)
            floats = {name: np.frombuffer(header, "<f4", size, offset).tolist()
                      for name, size, offset in (("pixdim", 4, 76), ("quaternion", 3, 256), ("offset", 3, 268), ("sform", 12, 280))}
            print(json.dumps({"grid": grid, "header": floats}))


if __name__ == "__main__":
    headers(int(sys.argv[2])) if sys.argv[1] == "--headers" else main(sys.argv[1:])
