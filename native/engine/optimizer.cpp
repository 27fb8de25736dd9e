// SGD in one fused pass: the clip factor and the float16 scale enter as the fused kernel's divisor.
#include "engine/optimizer.h"

#include "failure.h"

namespace voxgrad {

Optimizer::Optimizer(const OptimizerConfig& config, const std::vector<Parameter>& parameters, bool dynamic_scale)
    : config_(config), momentum_buffers_(parameters.size()) {
  for (const auto& parameter : parameters) parameters_.push_back(parameter.tensor);
  if (dynamic_scale) {
    const auto options = parameters_[0].options().dtype(at::kFloat).requires_grad(false);
    scale_ = at::full({}, initial_scale, options);
    growth_tracker_ = at::zeros({}, options.dtype(at::kInt));
  }
}

void Optimizer::zero_gradients() {
  for (at::Tensor& parameter : parameters_) parameter.mutable_grad() = at::Tensor();
}

Optimizer::Update Optimizer::step(double learning_rate, const at::Tensor& loss) {
  at::NoGradGuard no_grad;
  // Parameters that have momentum and those that are met for the first time: the fused kernel treats each group at
  // once.
  std::vector<at::Tensor> parameters[2], gradients[2], buffers[2], all_gradients;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const at::Tensor gradient = parameters_[i].grad();
    if (!gradient.defined()) continue;
    const bool first = !momentum_buffers_[i].defined();
    if (first) momentum_buffers_[i] = at::zeros_like(parameters_[i]);
    parameters[first].push_back(parameters_[i]);
    gradients[first].push_back(gradient);
    buffers[first].push_back(momentum_buffers_[i]);
    all_gradients.push_back(gradient);
  }
  const at::Tensor scaled_norm = at::linalg_vector_norm(at::stack(at::_foreach_norm(all_gradients, 2)));
  const at::Tensor norm = scale_.defined() ? scaled_norm / scale_ : scaled_norm;
  const at::Tensor found_non_finite = norm.isfinite().logical_and(loss.isfinite()).logical_not().to(at::kFloat);
  at::Tensor divisor = ((norm + 1e-6) / config_.clipNorm).clamp_min(1.0);
  if (scale_.defined()) divisor = divisor * scale_;
  for (const bool first : {false, true}) {
    if (parameters[first].empty()) continue;
    at::_fused_sgd_(parameters[first], gradients[first], buffers[first], config_.weightDecay, config_.momentum,
                    learning_rate, /*dampening=*/0.0, config_.nesterov, /*maximize=*/false, first, divisor,
                    found_non_finite);
  }
  if (!scale_.defined()) return {norm, found_non_finite};
  const at::Tensor skipped = found_non_finite * scale_.lt(1);
  at::_amp_update_scale_(scale_, growth_tracker_, found_non_finite, growth_factor, backoff_factor, growth_interval);
  return {norm, skipped};
}

void Optimizer::set_scaler(double scale, int64_t growth_tracker) {
  scale_.fill_(scale);
  growth_tracker_.fill_(growth_tracker);
}

void Optimizer::set_momentum_buffer(size_t parameter, const at::Tensor& buffer) {
  at::Tensor& target = parameters_.at(parameter);
  if (buffer.sizes() != target.sizes()) {
    throw Failure("ERR_CHECKPOINT", "the optimizer's momentum buffer " + std::to_string(parameter) +
                                        " does not have its parameter's shape");
  }
  momentum_buffers_[parameter] = at::empty_like(target, target.options().requires_grad(false)).copy_(buffer);
}

}  // namespace voxgrad
