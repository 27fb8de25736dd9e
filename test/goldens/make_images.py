"""Writes small image files of every supported type but NIfTI, and what nnU-Net's readers give for them: OUT/images.json, for
each file its bytes, the reader that was asked, and either array and properties, or that the file is refused; besides, for a
few files of each type, the bytes that the reader's write_seg writes for labels on that grid. PNG, BMP, MetaImage and NRRD files are made byte by byte,
TIFF files by tifffile: every sample type, both byte orders, palettes, compression, 2D, 3D and 4D, directions and spaces.
Usage: python make_images.py OUT [--seed S] (needs nnunetv2 with its readers; the committed file: --seed 1)"""
import argparse
import base64
import json
import struct
import tempfile
import warnings
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import tifffile
from nnunetv2.imageio.natural_image_reader_writer import NaturalImage2DIO
from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO
from nnunetv2.imageio.tif_reader_writer import Tiff3DIO

READERS = {reader.__name__: reader for reader in (NaturalImage2DIO, SimpleITKIO, Tiff3DIO)}
WIDTH, HEIGHT = 5, 3


def png_chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(rng, color, depth, extra=b"", interlaced=False, colors=None):
    samples = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[color]
    limit = 2**depth if colors is None else colors
    pixels = rng.integers(0, limit, (HEIGHT, WIDTH, samples))

    def rows(part):
        result = b""
        for line in part:
            bits = "".join(f"{value:0{depth}b}" for value in line.ravel())
            bits += "0" * (-len(bits) % 8)
            result += b"\0" + int(bits, 2).to_bytes(len(bits) // 8, "big")
        return result

    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    parts = [pixels[y::dy, x::dx] for y, x, dy, dx in passes] if interlaced else [pixels]
    raw = b"".join(rows(part) for part in parts if part.size > 0)
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, depth, color, 0, 0, int(interlaced))
    return (b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + extra + png_chunk(b"IDAT", zlib.compress(raw))
            + png_chunk(b"IEND", b""))


def png_files(rng):
    for color, depths in ((0, (1, 2, 4, 8, 16)), (2, (8, 16)), (4, (8, 16)), (6, (8, 16))):
        for depth in depths:
            yield f"gray{depth}.png" if color == 0 else f"color{color}_{depth}.png", png(rng, color, depth)
    for depth in (1, 2, 4, 8):
        count = 2**depth
        palette = png_chunk(b"PLTE", rng.bytes(3 * count))
        transparency = png_chunk(b"tRNS", rng.bytes(count))
        yield f"palette{depth}.png", png(rng, 3, depth, palette)
        yield f"palette{depth}_transparent.png", png(rng, 3, depth, palette + transparency)
    yield "gray8_transparent.png", png(rng, 0, 8, png_chunk(b"tRNS", struct.pack(">H", 1)))
    yield "rgb8_gamma.png", png(rng, 2, 8, png_chunk(b"gAMA", struct.pack(">I", 45455)))
    yield "gray8_interlaced.png", png(rng, 0, 8, interlaced=True)
    yield "rgb16_interlaced.png", png(rng, 2, 16, interlaced=True)
    yield "gray8_truncated.png", png(rng, 0, 8)[:-30]


def bmp(rng, bits, top_down=False, palette=b"", version=3, masks=None, colors=0):
    row = (WIDTH * bits + 31) // 32 * 4
    data = rng.bytes(row * HEIGHT)
    size = {3: 40, 4: 108, 5: 124}[version]
    height = -HEIGHT if top_down else HEIGHT
    header = struct.pack("<IiiHHIIiiII", size, WIDTH, height, 1, bits, 3 if masks else 0, len(data), 2835, 2835, colors, 0)
    header += struct.pack("<4I", *masks) if masks else b""
    header += b"\0" * (size - len(header))
    offset = 14 + len(header) + len(palette)
    return b"BM" + struct.pack("<IHHI", offset + len(data), 0, 0, offset) + header + palette + data


def bmp_files(rng):
    def palette(count, color):
        return b"".join(bytes(color(i, count)) + b"\0" for i in range(count))

    kinds = {"gray": lambda i, n: [i * 255 // (n - 1)] * 3, "ramp": lambda i, n: [i] * 3,
             "inverted": lambda i, n: [255 - i * 255 // (n - 1)] * 3, "color": lambda i, n: list(rng.bytes(3))}
    for bits in (1, 4, 8):
        for name, color in kinds.items():
            yield f"palette{bits}_{name}.bmp", bmp(rng, bits, palette=palette(2**bits, color))
    for bits in (16, 24, 32):
        yield f"rgb{bits}.bmp", bmp(rng, bits)
    yield "rgb24_top_down.bmp", bmp(rng, 24, top_down=True)
    yield "palette8_top_down.bmp", bmp(rng, 8, top_down=True, palette=palette(256, kinds["gray"]))
    yield "rgba32.bmp", bmp(rng, 32, version=4, masks=(0xFF0000, 0xFF00, 0xFF, 0xFF000000))
    yield "rgba32_version5.bmp", bmp(rng, 32, version=5, masks=(0xFF0000, 0xFF00, 0xFF, 0xFF000000))
    yield "rgb24_truncated.bmp", bmp(rng, 24)[:-8]


def values(rng, kind, shape):
    kind = np.dtype(kind)
    if kind.kind == "f":
        return (rng.normal(size=shape) * 100).astype(kind)
    if kind.kind == "b":
        return rng.random(shape) < 0.5
    low, high = (max(np.iinfo(kind).min, -2**40), min(np.iinfo(kind).max, 2**40))
    return rng.integers(low, high, shape, dtype=kind, endpoint=True)


def tiff_files(rng):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.tif"

        def make(array, **options):
            tifffile.imwrite(path, array, **options)
            return path.read_bytes()

        for order in "<>":
            for kind in ("u1", "i1", "u2", "i2", "u4", "i4", "f2", "f4", "f8"):
                end = "little" if order == "<" else "big"
                yield f"{kind}_{end}_2d.tif", make(values(rng, kind, (7, 5)), byteorder=order)
                yield f"{kind}_{end}_3d.tif", make(values(rng, kind, (2, 3, 5)), byteorder=order)
        yield "bilevel_2d.tif", make(values(rng, "?", (7, 10)))
        for predictor in (False, True):
            yield f"deflate_{'predictor' if predictor else 'plain'}_3d.tif", make(
                values(rng, "u2", (3, 4, 6)), compression="zlib", predictor=2 if predictor else None)
        yield "deflate_big_3d.tif", make(values(rng, "i2", (3, 4, 6)), compression="zlib", byteorder=">")
        yield "packbits_2d.tif", make(np.repeat(values(rng, "u1", (7, 2)), 9, 1), compression="packbits")
        yield "tiled_2d.tif", make(values(rng, "u2", (20, 37)), tile=(16, 16))
        yield "tiled_deflate_3d.tif", make(values(rng, "f4", (2, 17, 18)), tile=(16, 16), compression="zlib")
        yield "strips_2d.tif", make(values(rng, "i2", (9, 5)), rowsperstrip=2)
        yield "rgb_2d.tif", make(values(rng, "u1", (6, 5, 3)), photometric="rgb")
        yield "rgba_2d.tif", make(values(rng, "u2", (6, 5, 4)), photometric="rgb", extrasamples=["unassalpha"])
        yield "rgb_planes_2d.tif", make(values(rng, "u1", (3, 4, 5)), photometric="rgb", planarconfig="separate")
        yield "rgb_3d.tif", make(values(rng, "u1", (2, 3, 5, 3)), photometric="rgb")
        yield "white_is_zero_2d.tif", make(values(rng, "u1", (7, 5)), photometric="miniswhite")
        yield "palette_2d.tif", make(values(rng, "u1", (7, 5)), photometric="palette",
                                     colormap=values(rng, "u2", (3, 256)))
        yield "big_tiff_3d.tif", make(values(rng, "i2", (2, 3, 5)), bigtiff=True)
        yield "one_slice_3d.tif", make(values(rng, "u1", (1, 3, 5)))
        yield "no_metadata_3d.tif", make(values(rng, "u1", (2, 3, 5)), metadata=None)
        yield "no_metadata_one_slice.tif", make(values(rng, "u1", (1, 3, 5)), metadata=None)
        yield "truncated_pages_3d.tif", make(values(rng, "u2", (4, 3, 5)), truncate=True)
        yield "image_j_3d.tif", make(values(rng, "u2", (4, 3, 5)), imagej=True, metadata={"axes": "ZYX"})
        yield "image_j_truncated_3d.tif", make(values(rng, "f4", (4, 3, 5)), imagej=True, truncate=True,
                                               metadata={"axes": "ZYX"})
        yield "image_j_time_4d.tif", make(values(rng, "u1", (2, 4, 3, 5)), imagej=True, metadata={"axes": "TZYX"})
        yield "ome_3d.tif", make(values(rng, "u2", (4, 3, 5)), ome=True, metadata={"axes": "ZYX"})
        yield "ome_4d.tif", make(values(rng, "u2", (2, 4, 3, 5)), ome=True, metadata={"axes": "CZYX"})
        yield "four_dimensions.tif", make(values(rng, "u1", (2, 2, 3, 5)))
        yield "narrow_3d.tif", make(values(rng, "u1", (2, 5, 4)))
        whole = make(values(rng, "u2", (3, 5)))
        yield "truncated_2d.tif", whole[:-9]


METAIMAGE_TYPES = {"u1": "UCHAR", "i1": "CHAR", "u2": "USHORT", "i2": "SHORT", "u4": "UINT", "i4": "INT",
                   "u8": "ULONG_LONG", "i8": "LONG_LONG", "f4": "FLOAT", "f8": "DOUBLE"}
NRRD_TYPES = {"u1": "unsigned char", "i1": "signed char", "u2": "uint16", "i2": "short", "u4": "unsigned int", "i4": "int32",
              "u8": "uint64", "i8": "long long int", "f4": "float", "f8": "double"}


def rotation(rng, dimensions):
    """A random rotation or reflection; often one that only exchanges or mirrors the axes."""
    if rng.random() < 0.4:
        return np.eye(dimensions)[rng.permutation(dimensions)] * rng.choice([-1, 1], dimensions)[:, None]
    return np.linalg.qr(rng.normal(size=(dimensions, dimensions)))[0]


def text(numbers):
    return " ".join(f"{number:.12g}" for number in np.ravel(numbers))


def metaimage(rng, kind="i2", order="<", dimensions=3, compressed=False, place=True, ascii_=False, extra="",
              spacing_key="ElementSpacing", position_key="Offset", channels=1, matrix=True):
    shape = rng.integers(2, 6, dimensions)
    array = values(rng, kind, (*shape[::-1], *([channels] if channels > 1 else [])))
    data = array.astype(array.dtype.newbyteorder(order)).tobytes()
    if ascii_:
        data = " ".join(str(value) for value in array.ravel()).encode()
    stored = zlib.compress(data) if compressed else data
    lines = ["ObjectType = Image", f"NDims = {dimensions}", f"BinaryData = {not ascii_}",
             f"BinaryDataByteOrderMSB = {order == '>'}", f"CompressedData = {compressed}"]
    if compressed:
        lines.append(f"CompressedDataSize = {len(stored)}")
    if place:
        if matrix:
            lines.append(f"TransformMatrix = {text(rotation(rng, dimensions))}")
        lines += [f"{position_key} = {text(rng.normal(size=dimensions) * 50)}",
                  f"CenterOfRotation = {text(np.zeros(dimensions))}", "AnatomicalOrientation = RAI",
                  f"{spacing_key} = {text(rng.uniform(0.3, 4, dimensions))}"]
    lines.append(f"DimSize = {' '.join(str(v) for v in shape)}")
    if channels > 1:
        lines.append(f"ElementNumberOfChannels = {channels}")
    if extra:
        lines.append(extra)
    lines += [f"ElementType = MET_{METAIMAGE_TYPES[kind]}", "ElementDataFile = LOCAL\n"]
    return "\n".join(lines).encode() + stored


def metaimage_files(rng):
    for order in "<>":
        for kind in METAIMAGE_TYPES:
            yield f"{kind}_{'little' if order == '<' else 'big'}.mha", metaimage(rng, kind, order, int(rng.choice([2, 3, 3])))
    for dimensions in (2, 3, 4):
        yield f"compressed_{dimensions}d.mha", metaimage(rng, dimensions=dimensions, compressed=True)
        yield f"raw_{dimensions}d.mha", metaimage(rng, dimensions=dimensions)
    yield "compressed_big.mha", metaimage(rng, "f4", ">", compressed=True)
    yield "no_place.mha", metaimage(rng, place=False)
    yield "no_matrix.mha", metaimage(rng, matrix=False)
    yield "position.mha", metaimage(rng, position_key="Position")
    yield "origin.mha", metaimage(rng, position_key="Origin")
    yield "element_size.mha", metaimage(rng, spacing_key="ElementSize")
    yield "ascii.mha", metaimage(rng, ascii_=True)
    yield "slope.mha", metaimage(rng, extra="ElementToIntensityFunctionSlope = 2\nElementToIntensityFunctionOffset = 3")
    yield "three_channels.mha", metaimage(rng, channels=3)
    yield "truncated.mha", metaimage(rng)[:-5]


def nrrd(rng, kind="i2", order="<", dimensions=3, encoding="raw", space="left-posterior-superior", place=True,
         spacings=False, kinds=None, extra=(), version=4):
    shape = rng.integers(2, 6, dimensions)
    array = values(rng, kind, shape[::-1])
    data = array.astype(array.dtype.newbyteorder(order)).tobytes()
    if encoding == "gzip":
        packer = zlib.compressobj(9, zlib.DEFLATED, 31)
        data = packer.compress(data) + packer.flush()
    if encoding == "ascii":
        data = " ".join(str(value) for value in array.ravel()).encode()
    if encoding == "hex":
        data = data.hex().encode()
    lines = [f"NRRD000{version}", "# a comment", f"type: {NRRD_TYPES[kind]}", f"dimension: {dimensions}"]
    if place and not spacings:
        lines.append(f"space: {space}" if space else f"space dimension: {dimensions}")
    lines.append(f"sizes: {' '.join(str(v) for v in shape)}")
    vector = [f"({','.join(f'{v:.12g}' for v in row)})" for row in
              rotation(rng, dimensions) * rng.uniform(0.3, 4, dimensions)[:, None]]
    if place and not spacings:
        lines.append(f"space directions: {' '.join(vector)}")
        lines.append(f"space origin: ({','.join(f'{v:.12g}' for v in rng.normal(size=dimensions) * 50)})")
    if spacings:
        lines.append(f"spacings: {text(rng.uniform(0.3, 4, dimensions))}")
    if kinds:
        lines.append(f"kinds: {kinds}")
    lines += list(extra) + [f"endian: {'little' if order == '<' else 'big'}", f"encoding: {encoding}", "key:=value", "", ""]
    return "\n".join(lines).encode() + data


def nrrd_files(rng):
    for order in "<>":
        for kind in NRRD_TYPES:
            yield f"{kind}_{'little' if order == '<' else 'big'}.nrrd", nrrd(rng, kind, order)
    for encoding in ("gzip", "ascii", "hex"):
        yield f"{encoding}.nrrd", nrrd(rng, encoding=encoding)
    yield "gzip_big.nrrd", nrrd(rng, "f4", ">", encoding="gzip")
    for space in ("right-anterior-superior", "RAS", "left-anterior-superior", "LAS", "LPS", "scanner-xyz", "3D-right-handed"):
        yield f"space_{space}.nrrd", nrrd(rng, space=space)
    yield "space_dimension.nrrd", nrrd(rng, space=None)
    yield "space_dimension_2d.nrrd", nrrd(rng, space=None, dimensions=2)
    yield "no_place.nrrd", nrrd(rng, place=False)
    yield "no_place_2d.nrrd", nrrd(rng, place=False, dimensions=2)
    yield "no_place_4d.nrrd", nrrd(rng, place=False, dimensions=4)
    yield "spacings.nrrd", nrrd(rng, spacings=True)
    yield "spacings_2d.nrrd", nrrd(rng, spacings=True, dimensions=2)
    yield "spacings_mins.nrrd", nrrd(rng, spacings=True, extra=["axis mins: 3 4.5 -6"])
    yield "spacings_cell.nrrd", nrrd(rng, spacings=True, extra=["axis mins: 3 4.5 -6", "centerings: cell cell cell"])
    yield "mins_maxs.nrrd", nrrd(rng, place=False, extra=["axis mins: 3 4.5 -6", "axis maxs: 13 14.5 16"])
    yield "kinds_domain.nrrd", nrrd(rng, kinds="domain domain domain")
    yield "kinds_space.nrrd", nrrd(rng, kinds="space space space")
    yield "centers_cell.nrrd", nrrd(rng, extra=["centers: cell cell cell"])
    yield "measurement_frame.nrrd", nrrd(rng, extra=["measurement frame: (1,0,0) (0,1,0) (0,0,1)"])
    yield "units.nrrd", nrrd(rng, extra=['space units: "mm" "mm" "mm"'])
    yield "old_values.nrrd", nrrd(rng, extra=["old min: 0", "old max: 1"])
    yield "byte_skip.nrrd", nrrd(rng, extra=["byte skip: -1"])
    yield "version1.nrrd", nrrd(rng, spacings=True, version=1)
    yield "version5.nrrd", nrrd(rng, version=5)
    yield "truncated.nrrd", nrrd(rng)[:-5]
    array = values(rng, "i2", (4, 3, 2))
    vector_header = ("NRRD0004\ntype: short\ndimension: 4\nspace: left-posterior-superior\nsizes: 3 2 3 4\n"
                     "space directions: none (1,0,0) (0,1,0) (0,0,1)\nkinds: vector domain domain domain\n"
                     "space origin: (0,0,0)\nendian: little\nencoding: raw\n\n")
    yield "vector.nrrd", vector_header.encode() + values(rng, "i2", (4, 3, 2, 3)).tobytes()
    list_header = vector_header.replace("vector domain", "list domain")
    yield "list.nrrd", list_header.encode() + values(rng, "i2", (4, 3, 2, 3)).tobytes()
    # Channels behind the three axes of space, as a 4D image has them.
    last = ("NRRD0004\ntype: short\ndimension: 4\nspace: left-posterior-superior\nsizes: 2 3 4 2\n"
            "space directions: (1,0,0) (0,1,0) (0,0,2) none\nkinds: domain domain domain list\n"
            "space origin: (1,2,3)\nendian: little\nencoding: raw\n\n")
    yield "list_last.nrrd", last.encode() + np.stack([array, array + 1]).tobytes()
    yield "blank_directions.nrrd", nrrd(rng).replace(b"space directions: (", b"space directions:  ( ")


def plain(value):
    """Properties as JSON: NumPy numbers and tuples become numbers and lists."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [plain(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value


WRITTEN_PER_TYPE = 5
written_counts = Counter()


def read(reader, path, folder):
    """Array and properties as the reader gives them, and what it writes for labels on that grid."""
    try:
        array, properties = reader.read_images((str(path),))
    except Exception:  # whatever the library says: the file is refused
        return {"refused": True}
    result = {"shape": list(array.shape), "values": base64.b64encode(array.astype("<f4").tobytes()).decode(),
              "properties": plain(properties)}
    kind = (type(reader).__name__, path.suffix, len(properties.get("sitk_stuff", {}).get("spacing", [])))
    if written_counts[kind] >= WRITTEN_PER_TYPE:
        return result
    labels = np.arange(array[0].size).reshape(array.shape[1:]) % 3
    written = folder / f"written{path.suffix}"
    try:
        reader.write_seg(labels, str(written), properties)
        result["written"] = base64.b64encode(written.read_bytes()).decode()
        written_counts[kind] += 1
    except Exception:
        pass
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    makers = [(png_files, ["NaturalImage2DIO"]), (bmp_files, ["NaturalImage2DIO"]),
              (tiff_files, ["NaturalImage2DIO", "Tiff3DIO"]), (metaimage_files, ["SimpleITKIO"]),
              (nrrd_files, ["SimpleITKIO"])]
    expected = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for index, (make, readers) in enumerate(makers):
            for file, content in make(np.random.default_rng([args.seed, index])):
                (folder / file).write_bytes(content)
                expected[file] = {"bytes": base64.b64encode(content).decode()}
                for reader in readers:
                    expected[file][reader] = read(READERS[reader](), folder / file, folder)
    lines = [f"{json.dumps(file)}: {json.dumps(golden, separators=(',', ':'))}" for file, golden in expected.items()]
    (args.out / "images.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
