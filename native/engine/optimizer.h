// SGD with Nesterov momentum, weight decay on every parameter and clipping of the gradient's norm, without a host read.
// Source: torch.optim.SGD and torch.nn.utils.clip_grad_norm_ as nnU-Net's trainer calls them.
#pragma once
#include <ATen/core/Tensor.h>

#include <vector>

#include "engine/config.h"
#include "engine/network.h"

namespace voxgrad {

class Optimizer {
 public:
  /// `parameters` are the network's, in order; those that never receive a gradient (heads of weight 0) are left out at
  /// the first step, as in PyTorch: no decay, no momentum. With `dynamic_scale` (float16) the loss is scaled and the
  /// scale adapts on the device (torch.amp.GradScaler: starts at 65536, doubles after 2000 finite steps, halves
  /// otherwise).
  Optimizer(const OptimizerConfig& config, const std::vector<Parameter>& parameters, bool dynamic_scale);

  /// Drops the gradients of the last step.
  void zero_gradients();
  /// The loss to call backward on.
  at::Tensor scaled(const at::Tensor& loss) const { return scale_.defined() ? loss * scale_ : loss; }
  /// Clips and updates. Returns the gradient's L2 norm before clipping (0-dimensional, on the device). A non-finite
  /// gradient leaves the parameters as they are.
  at::Tensor step(double learning_rate);

  /// One momentum buffer per parameter, undefined for a parameter that was never updated.
  const std::vector<at::Tensor>& momentum_buffers() const { return momentum_buffers_; }
  /// As before the first step.
  void forget_momentum() { momentum_buffers_.assign(parameters_.size(), at::Tensor()); }
  void set_momentum_buffer(size_t parameter, const at::Tensor& buffer);
  /// The float16 scaler's state: scale and growth tracker, undefined without one.
  at::Tensor& scale() { return scale_; }
  at::Tensor& growth_tracker() { return growth_tracker_; }
  const OptimizerConfig& config() const { return config_; }

 private:
  OptimizerConfig config_;
  std::vector<at::Tensor> parameters_, momentum_buffers_;
  at::Tensor scale_, growth_tracker_;
};

}  // namespace voxgrad
