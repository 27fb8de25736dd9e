"""Writes random small NIfTI files byte by byte, and what SimpleITK and nibabel read from them: OUT/files/*.nii(.gz) and
OUT/expected.json, with the 348 header bytes that each library writes for labels on that grid. Every header field that matters is drawn: version, byte order, voxel type, slope and intercept, units,
qform and sform with any codes (agreeing, contradicting, sheared, mirrored), 2 to 5 dimensions, extensions, trailing bytes.
Usage: python make_nifti.py OUT --seed S --n N (needs numpy, SimpleITK, nibabel; the committed files: --seed 1 --n 40)"""
import argparse
import base64
import gzip
import json
import struct
import tempfile
from pathlib import Path

import nibabel
import numpy as np
import SimpleITK as sitk

sitk.ProcessObject.SetGlobalWarningDisplay(False)
nibabel.imageglobals.logger.disabled = True

TYPES = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8"}


def rotation(rng):
    """A random rotation with its quaternion (a, b, c, d), a >= 0; often one that keeps the axes."""
    q = rng.normal(size=4)
    if rng.random() < 0.4:
        q = rng.permutation([1.0, 0, 0, 0])
    q = q / np.linalg.norm(q) * (1 if q[0] >= 0 else -1)
    a, b, c, d = q
    matrix = np.array([
        [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
        [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
        [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c]])
    return q, matrix


def voxels(code, count, rng):
    kind = np.dtype(TYPES[code])
    if kind.kind == "f":
        return (rng.normal(size=count) * 100).astype(kind)
    low, high = np.iinfo(kind).min, np.iinfo(kind).max
    if kind.itemsize == 8:
        low, high = max(low, -2**40), 2**40
    return rng.integers(low, high, count, dtype=kind, endpoint=True)


def make(index, rng):
    version = 2 if rng.random() < 0.3 else 1
    order = ">" if rng.random() < 0.3 else "<"
    dimensions = int(rng.choice([2, 3, 3, 3, 3, 4, 5]))
    shape = [int(v) for v in rng.integers(1, 6, dimensions)]
    if dimensions == 4 and rng.random() < 0.5:
        shape[3] = 1
    if dimensions == 5:
        shape[3:] = [1, 1]
    code = int(rng.choice(list(TYPES)))
    data = voxels(code, int(np.prod(shape)), rng)
    q, matrix = rotation(rng)
    extents = np.round(rng.uniform(0.3, 4, 3), 3) if rng.random() < 0.8 else np.ones(3)
    qfac = float(rng.choice([1.0, -1.0]))
    offset = np.round(rng.normal(size=3) * 50, 3)
    scaled = matrix * extents * [1, 1, qfac]
    sform, soffset = scaled.copy(), offset.copy()
    kind = str(rng.choice(["same", "same", "near", "other", "sheared"]))
    if kind == "near":
        sform = sform + rng.normal(size=(3, 3)) * 1e-6
    if kind == "other":
        sform, soffset = rotation(rng)[1] * extents, np.round(rng.normal(size=3) * 50, 3)
    if kind == "sheared":
        sform = sform + np.triu(rng.uniform(0.1, 0.3, (3, 3)), 1)
    qcode, scode = [int(v) for v in rng.choice([0, 1, 2, 4], 2)]
    slope, inter = (float(v) for v in rng.choice([[0, 0], [1, 0], [0.5, 3], [np.nan, np.nan], [-2, 0.25], [1, -1024]]))
    units = int(rng.choice([0, 2, 10, 1, 3])) if rng.random() < 0.3 else 2
    pixdim = [qfac, *extents] + [1.0] * 4
    if rng.random() < 0.1:
        pixdim[1 + int(rng.integers(3))] = 0.0
    dim = [dimensions, *shape] + [1] * (7 - dimensions)
    extension = struct.pack(order + "ii", 32, 6) + b"a comment of 24 bytes ..." [:24] if rng.random() < 0.2 else b""
    flag = struct.pack("4B", 1 if extension else 0, 0, 0, 0)
    if version == 1:
        start = 352 + len(extension)
        header = struct.pack(
            order + "i10s18sihcb8h3f4h8f3fhbb4f2i80s24shh6f12f16s4s", 348, b"", b"", 0, 0, b"r", 0, *dim, 0, 0, 0, 0, code,
            8 * data.itemsize, 0, *pixdim, start, slope, inter, 0, 0, units, 0, 0, 0, 0, 0, 0, b"", b"", qcode, scode,
            *q[1:], *offset, *np.column_stack([sform, soffset]).ravel(), b"", b"n+1\0")
    else:
        start = 544 + len(extension)
        header = struct.pack(
            order + "i8shh8q3d8dq6d2q80s24sii6d12diii16sb15s", 540, b"n+2\0\r\n\x1a\n", code, 8 * data.itemsize, *dim, 0, 0, 0,
            *pixdim, start, slope, inter, 0, 0, 0, 0, 0, 0, b"", b"", qcode, scode, *q[1:], *offset,
            *np.column_stack([sform, soffset]).ravel(), 0, units, 0, b"", 0, b"")
    trailing = b"trailing" if rng.random() < 0.2 else b""
    content = header + flag + extension + data.astype(data.dtype.newbyteorder(order)).tobytes() + trailing
    name = f"{index:04d}_v{version}_{'big' if order == '>' else 'little'}_{TYPES[code]}_{dimensions}d_{kind}"
    return name, content


def as_read(function):
    try:
        return function()
    except Exception as error:  # whatever the library says: the file is refused
        return {"refused": str(error).strip().splitlines()[-1][:160]}


def header_of(path):
    content = Path(path).read_bytes()
    content = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    return base64.b64encode(content[:348]).decode()


def rewritten_by_sitk(image):
    """As nnU-Net's SimpleITKIO.write_seg."""
    labels = sitk.GetImageFromArray(np.zeros(image.GetSize()[::-1], np.uint8))
    labels.SetSpacing(image.GetSpacing())
    labels.SetOrigin(image.GetOrigin())
    labels.SetDirection(image.GetDirection())
    with tempfile.TemporaryDirectory() as folder:
        sitk.WriteImage(labels, f"{folder}/labels.nii.gz", True)
        return header_of(f"{folder}/labels.nii.gz")


def rewritten_by_nibabel(image):
    """As nnU-Net's NibabelIO.write_seg."""
    with tempfile.TemporaryDirectory() as folder:
        nibabel.save(nibabel.Nifti1Image(np.zeros(image.shape, np.uint8), affine=image.affine), f"{folder}/labels.nii")
        return header_of(f"{folder}/labels.nii")


def with_sitk(path):
    image = sitk.ReadImage(str(path))
    array = sitk.GetArrayFromImage(image)
    return {"rewritten": rewritten_by_sitk(image) if image.GetDimension() < 4 else None,
            "shape": list(array.shape), "values": [float(v) for v in array.astype(np.float32).ravel()],
            "spacing": image.GetSpacing(), "origin": image.GetOrigin(), "direction": image.GetDirection()}


def with_nibabel(path):
    image = nibabel.load(str(path))
    array = image.get_fdata()
    return {"rewritten": rewritten_by_nibabel(image) if len(image.shape) == 3 else None,
            "shape": list(array.shape[::-1]), "values": [float(v) for v in array.T.astype(np.float32).ravel()],
            "zooms": [float(v) for v in image.header.get_zooms()], "affine": image.affine.tolist()}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--n", type=int, default=40)
    args = parser.parse_args()
    (args.out / "files").mkdir(parents=True, exist_ok=True)
    expected = {}
    for index in range(args.n):
        name, content = make(index, np.random.default_rng([args.seed, index]))
        plain, packed = args.out / "files" / f"{name}.nii", args.out / "files" / f"{name}.nii.gz"
        plain.write_bytes(content)
        packed.write_bytes(gzip.compress(content, mtime=0))
        expected[name] = {"sitk": as_read(lambda: with_sitk(packed)), "nibabel": as_read(lambda: with_nibabel(plain))}
        plain.unlink()  # the test unpacks it
    text = json.dumps(expected, indent=0, separators=(",", ":"))
    (args.out / "expected.json").write_text(text)


if __name__ == "__main__":
    main()
