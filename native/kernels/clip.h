// What an update takes from the gradients' norms, in one call. Host and device compile this same code.
#pragma once
#include "kernels/draw.h"

namespace voxgrad {

/// Where the results lie, float32 each.
struct ClipResult {
  float norm;       // of all gradients, without the scale
  float unchanged;  // 1 if the norm or the loss is not finite
  float skipped;    // the same, but 0 as long as the scale is at least 1
  float divisor;    // of the gradients: max(1, (norm + 1e-6) / clip) * scale, as torch.nn.utils.clip_grad_norm_
};

/// One index.
struct Clip {
  const float* norms;  // of each parameter's gradient
  int64_t count;
  const float *loss, *scale;  // scale: null without one
  double clip_norm;           // may be infinite
  ClipResult* result;

  VOXGRAD_HOST_DEVICE void operator()(int64_t) const {
    double squares = 0;
    for (int64_t i = 0; i < count; ++i) squares += static_cast<double>(norms[i]) * norms[i];
    const float factor = scale ? *scale : 1.0f;
    const auto norm = static_cast<float>(sqrt(squares) / factor);
    const bool finite = norm - norm == 0 && *loss - *loss == 0;
    const auto excess = static_cast<float>((norm + 1e-6) / clip_norm);
    result->norm = norm;
    result->unchanged = finite ? 0.0f : 1.0f;
    result->skipped = finite || (scale && factor >= 1) ? 0.0f : 1.0f;
    result->divisor = (excess < 1 ? 1.0f : excess) * factor;
  }
};

}  // namespace voxgrad
