"""Makes test/goldens/io: files written by Python's pickle, torch, blosc2 and nnU-Net, and what is in them.

Needs numpy, torch, blosc2 and nnunetv2. Run: python test/goldens/make_io.py
"""
import collections
import json
import pickle
import shutil
from pathlib import Path

import blosc2
import numpy as np
import torch
from nnunetv2.training.dataloading.nnunet_dataset import comp_blosc2_params, nnUNetDatasetBlosc2

folder = Path(__file__).parent / 'io'
shutil.rmtree(folder, ignore_errors=True)
folder.mkdir()
expected = {}

values = {
    'none': None,
    'booleans': [True, False],
    'integers': [0, 1, -1, 255, 256, 65536, -(2**31), 2**31, 2**53 - 1, -(2**53) + 1],
    'floats': [0.5, -1e300, 3.141592653589793],
    'text': 'Hippocampus \u00e9\u4e2d',
    'tuple': (1, 'two', 3.0, (4,), ()),
    'nested': [[1, [2, []]], {}],
}
for protocol in range(0, 6):
    data = dict(values)
    if protocol == 0:
        del data['text']  # escapes of protocol 0 are not read
    (folder / f'plain_{protocol}.pkl').write_bytes(pickle.dumps(data, protocol))
expected['plain'] = values

# A case's properties as nnU-Net stores them.
case = {
    'sitk_stuff': {'spacing': (1.0, 1.5, 2.0), 'origin': (-1.0, 0.0, 1.0), 'direction': (1.0, 0.0, 0.0)},
    'spacing': [np.float64(2.0), np.float64(1.5), np.float64(1.0)],
    'shape_before_cropping': (5, 6, 7),
    'bbox_used_for_cropping': [[0, 5], [1, 6], [0, 7]],
    'class_locations': {
        1: np.arange(12, dtype=np.int64).reshape(3, 4),
        (1, 2): np.asfortranarray(np.arange(8, dtype=np.int64).reshape(2, 4)),
        2: [],
    },
    'numbers': [np.float32(0.25), np.int16(-3), np.uint8(200), np.bool_(True), np.int64(7)],
    'empty': np.zeros((0, 4), np.float32),
}
for protocol in (2, 4, 5):
    (folder / f'case_{protocol}.pkl').write_bytes(pickle.dumps(case, protocol))

# A checkpoint with nnU-Net's kinds of entries.
torch.manual_seed(0)
network = torch.nn.Sequential(torch.nn.Conv3d(1, 2, 3), torch.nn.InstanceNorm3d(2, affine=True))
optimizer = torch.optim.SGD(network.parameters(), 0.01, momentum=0.99, nesterov=True, weight_decay=3e-5)
network(torch.randn(1, 1, 5, 5, 5)).sum().backward()
optimizer.step()
weights = network.state_dict()
weights['alias.weight'] = weights['0.weight']
weights['0.weight_transposed'] = weights['0.weight'].transpose(2, 4)
checkpoint = {
    'network_weights': weights,
    'optimizer_state': optimizer.state_dict(),
    'grad_scaler_state': None,
    'logging': {'mean_fg_dice': [np.float64(0.5), np.float32(0.25)], 'lrs': [0.01]},
    '_best_ema': np.float64(0.75),
    'current_epoch': 3,
    'init_args': {'fold': 0, 'device': torch.device('cuda', 0), 'plans': {'patch_size': [8, 8]}},
    'inference_allowed_mirroring_axes': (0, 1),
    'types': [torch.arange(3, dtype=t) for t in (torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.int32,
                                                 torch.int16, torch.int8, torch.uint8)],
    'flags': torch.tensor([True, False]),
    'parameter': torch.nn.Parameter(torch.ones(2)),
    'scalar': torch.tensor(4.5),
}
torch.save(checkpoint, folder / 'checkpoint.pth')
expected['weights'] = {key: {'data': value.flatten().tolist(), 'shape': list(value.shape)} for key, value in weights.items()}
expected['momentum'] = optimizer.state_dict()['state'][0]['momentum_buffer'].flatten().tolist()

# A preprocessed case as nnU-Net saves it.
random = np.random.default_rng(0)
image = random.standard_normal((2, 5, 9, 12)).astype(np.float32)
labels = (random.random((1, 5, 9, 12)) > 0.8).astype(np.int16)
image_blocks, image_chunks = comp_blosc2_params(image.shape, (4, 4, 4), 4)
label_blocks, label_chunks = comp_blosc2_params(labels.shape, (4, 4, 4), 2)
nnUNetDatasetBlosc2.save_case(image, labels, {}, str(folder / 'case'), image_chunks, image_blocks, label_chunks, label_blocks)
(folder / 'case.pkl').unlink()
# nnU-Net compresses with four threads, which leaves the order of the blocks to chance; with one thread it is fixed.
for name in ('case', 'case_seg'):
    path = folder / f'{name}.b2nd'
    stored = blosc2.open(str(path), mode='r')
    values, used = stored[:], stored.schunk.cparams
    options = {'codec': used.codec, 'clevel': used.clevel, 'filters': used.filters, 'nthreads': 1}
    path.unlink()
    blosc2.asarray(values, urlpath=str(path), chunks=stored.chunks, blocks=stored.blocks, cparams=options)
expected['image'] = image.flatten().tolist()
expected['labels'] = labels.flatten().tolist()
# What the cascade's next stage reads: default compression, three axes, uint8.
blosc2.asarray((np.arange(60) % 7).astype(np.uint8).reshape(3, 4, 5), urlpath=str(folder / 'default.b2nd'))
# Chunks that are larger than the array, as blosc2 allows: a little, and 64 MB.
for name, side in ('loose', 8), ('too_loose', 4096):
    zeros = np.zeros((3, 4), np.float32)
    blosc2.asarray(zeros, urlpath=str(folder / f'{name}.b2nd'), chunks=(side, side), blocks=(side, side))

layouts = []
for shape, patch, element_bytes in [
    ((1, 35, 51, 35), (40, 56, 40), 4), ((1, 35, 51, 35), (40, 56, 40), 2), ((4, 138, 169, 138), (128, 128, 128), 4),
    ((1, 138, 169, 138), (128, 128, 128), 2), ((1, 250, 512, 512), (80, 192, 160), 4),
    ((1, 300, 512, 512), (512, 512), 4), ((3, 1, 37, 90), (33, 64), 4), ((1, 1, 1, 1), (3, 3, 3), 8),
    ((1, 20, 600, 700), (1, 320, 320), 2), ((2, 511, 513, 127), (48, 192, 192), 4), ((1, 64, 64, 64), (63, 65, 1), 1),
]:
    blocks, chunks = comp_blosc2_params(shape, patch, element_bytes)
    layouts.append({'shape': shape, 'patch': patch, 'bytes': element_bytes, 'chunks': chunks, 'blocks': blocks})
for _ in range(300):
    shape = [int(v) for v in (random.integers(1, 5), *random.integers(1, 700, 3))]
    patch = [int(v) for v in random.integers(1, 400, random.integers(2, 4))]
    element_bytes = int(random.choice([1, 2, 4, 8]))
    blocks, chunks = comp_blosc2_params(shape, patch, element_bytes)
    layouts.append({'shape': shape, 'patch': patch, 'bytes': element_bytes, 'chunks': chunks, 'blocks': blocks})
expected['layouts'] = layouts

(folder / 'expected.json').write_text(json.dumps(expected, separators=(',', ':')) + '\n')
