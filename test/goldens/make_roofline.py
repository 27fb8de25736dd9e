"""Writes roofline.json: FLOP, parameters, bytes and least times of a training step of eight plans, as the stand-alone
calculator flops.py gives them, whose FLOP and parameters agree with PyTorch's FlopCounterMode.
  make_roofline.py FLOPS_PY [FOLDER]"""
import importlib.util
import json
import sys
from pathlib import Path

spec = importlib.util.spec_from_file_location("flops", sys.argv[1])
flops = importlib.util.module_from_spec(spec)
spec.loader.exec_module(flops)
folder = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(__file__).parent
hardware = {name: flops.HW[name][:2] for name in ("H100-SXM", "A100-SXM-80")}

plans = []
for plan in flops.PRESETS:
    if not plan.deep_sup:
        continue  # not a network of nnU-Net
    layers, multiply_adds, step = flops.totals(plan)
    models = {}
    for model in ("eager", "fused", "ideal"):
        loss, optimizer = flops.other_bytes(plan, layers, model)
        models[model] = {
            "bytes": sum(b for layer in layers for _, _, b in flops.conv_ops(layer, 2))
            + sum(flops.between_bytes(layer, model, 2) for layer in layers) + loss + optimizer,
            "kept_bytes": flops.act_bytes(layers, model, 2),
            "seconds": {name: flops.roof(plan, layers, model, *limits)[0] for name, limits in hardware.items()},
            "float32_seconds": flops.roof(plan, layers, model, 166e9, 20e9, 4)[0],
        }
    plans.append({
        "name": plan.name, "patch": plan.patch, "batch": plan.batch, "features": plan.features, "strides": plan.strides,
        "kernels": plan.kernels, "encoder": plan.n_enc, "decoder": plan.n_dec, "channels": plan.in_ch, "classes": plan.classes,
        "residual": plan.arch == "resenc", "forward_flop": 2 * multiply_adds, "step_flop": step,
        "parameters": flops.n_params(layers), "models": models})
text = json.dumps({"hardware": hardware, "plans": plans})
(folder / "roofline.json").write_text(text + "\n")
