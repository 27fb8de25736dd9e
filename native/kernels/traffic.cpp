// Bytes by the ledger, for benchmarks.
#include "kernels/traffic.h"

#include <ATen/ATen.h>
#include <torch/library.h>

#include "kernels/tensors.h"

namespace voxgrad {

namespace {
/// Sums and labels of tiles are float32, labels int16; a loss is that of few classes, as the CPU's loops make any.
at::Tensor traffic(c10::string_view op, at::IntArrayRef shape, int64_t format) {
  const int64_t element = c10::elementSize(element_type(format)), values = c10::multiply_integers(shape);
  const auto bytes = [&]() -> int64_t {
    if (op == "instance_norm_leaky_relu") return (norm_forward.total() + norm_backward.total()) * values * element;
    const int64_t voxels = values / shape[1];
    if (op == "fused_loss") {
      const Passes forward = loss_forward(1, false), backward = loss_backward(1, false);
      return (forward.total() + backward.total()) * values * element + 2 * voxels * 2;
    }
    if (op == "count_dice") return counting.total() * values * element + voxels * 2;
    if (op == "accumulate_") {
      const int64_t copies = shape[0], tile = values / copies, place = voxels / copies;
      return accumulated_outputs(1).total() * values * element +
             (accumulated_copies(copies).total() * tile + accumulated_sums.total() * (tile + place) + place) * 4;
    }
    TORCH_CHECK(false, "the ledger lacks the op ", op);
  };
  return at::scalar_tensor(bytes(), at::kLong);
}
}  // namespace

TORCH_LIBRARY_IMPL(voxgrad, CompositeImplicitAutograd, m) { m.impl("traffic", traffic); }

}  // namespace voxgrad
