// SGD with Nesterov momentum, Adam, AdamW and Adan, with weight decay on every parameter and clipping of the gradient's
// norm, without a host read. Source: torch.optim.SGD, Adam and AdamW, adan_pytorch 0.1.0 and
// torch.nn.utils.clip_grad_norm_ as nnU-Net's trainers call them.
#pragma once
#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "engine/config.h"
#include "engine/network.h"

namespace voxgrad {

class Optimizer {
 public:
  /// How the float16 scale adapts (torch.amp.GradScaler's defaults).
  static constexpr double initial_scale = 65536, growth_factor = 2, backoff_factor = 0.5;
  static constexpr int64_t growth_interval = 2000;

  /// `parameters` are the network's, in order; those that never receive a gradient (heads of weight 0) are left out at
  /// the first step, as in PyTorch: no decay, no state. With `dynamic_scale` (float16) the loss is scaled and the scale
  /// adapts on the device: it doubles after 2000 finite steps and halves after a non-finite one.
  /// Throws Failure(ERR_CONFIG) for an unknown kind.
  Optimizer(const OptimizerConfig& config, const std::vector<Parameter>& parameters, bool dynamic_scale);

  /// Drops the gradients of the last step.
  void zero_gradients();
  /// The loss to call backward on.
  at::Tensor scaled(const at::Tensor& loss) const { return scale_.defined() ? loss * scale_ : loss; }
  /// What an update leaves on the device: 0-dimensional float32 tensors.
  struct Update {
    at::Tensor gradient_norm;  // L2, before clipping
    /// 1 if the loss or the norm was not finite, which leaves parameters and state as they are.
    at::Tensor unchanged;
    /// The same, but 0 as long as the scale is at least 1: then the scale was too large, and it has been halved.
    at::Tensor skipped;
  };
  /// Clips and updates. The learning rate is 0-dimensional: float64 on the CPU, float32 on an accelerator, where its
  /// value may change before the step runs.
  Update step(const at::Tensor& learning_rate, const at::Tensor& loss);

  /// The optimizers' own names of what is kept for a parameter: momentum_buffer; step, exp_avg, exp_avg_sq and with
  /// amsgrad max_exp_avg_sq; or of adan step, prev_grad, m, v, n.
  const std::vector<std::string>& state_names() const { return state_names_; }
  /// These tensors of a parameter, in that order; none if it was never updated.
  const std::vector<at::Tensor>& state(size_t parameter) const { return states_[parameter]; }
  /// Copies them. All but step, which holds one number, have the parameter's shape.
  void set_state(size_t parameter, const std::vector<at::Tensor>& values);
  /// As before the first step.
  void forget_state() { states_.assign(parameters_.size(), {}); }
  /// The float16 scaler's state: scale and growth tracker, undefined without one.
  const at::Tensor& scale() const { return scale_; }
  const at::Tensor& growth_tracker() const { return growth_tracker_; }
  void set_scaler(double scale, int64_t growth_tracker);
  const OptimizerConfig& config() const { return config_; }

 private:
  // Parameters that have a gradient, with their gradients and one list for each of state_names.
  struct Group {
    std::vector<at::Tensor> parameters, gradients;
    std::vector<std::vector<at::Tensor>> states;
  };
  void add_state(size_t parameter);
  void update_sgd(const Group& group, const at::Tensor& learning_rate, bool first, const at::Tensor& divisor,
                  const at::Tensor& found_non_finite) const;
  void update_adam(const Group& group, const at::Tensor& learning_rate, const at::Tensor& divisor,
                   const at::Tensor& found_non_finite) const;
  void update_adan(const Group& group, const at::Tensor& learning_rate, const at::Tensor& divisor,
                   const at::Tensor& found_non_finite) const;

  OptimizerConfig config_;
  std::vector<std::string> state_names_;
  std::vector<at::Tensor> parameters_;
  std::vector<std::vector<at::Tensor>> states_;
  at::Tensor scale_, growth_tracker_;
};

}  // namespace voxgrad
