// Updates in one fused pass where libtorch has one: the clip factor and the float16 scale enter as the fused kernel's
// divisor.
#include "engine/optimizer.h"

#include "failure.h"
#include "kernels/clip.h"
#include "kernels/launch.h"

namespace voxgrad {

namespace {
std::vector<std::string> names_of_state(const OptimizerConfig& config) {
  if (config.kind == "sgd") return {"momentum_buffer"};
  if (config.kind == "adan") return {"step", "prev_grad", "m", "v", "n"};
  if (config.kind != "adam" && config.kind != "adamw") {
    throw Failure("ERR_CONFIG", "optimizer.kind: expected sgd, adam, adamw or adan, found " + config.kind);
  }
  std::vector<std::string> names = {"step", "exp_avg", "exp_avg_sq"};
  if (config.amsgrad) names.push_back("max_exp_avg_sq");
  return names;
}
}  // namespace

Optimizer::Optimizer(const OptimizerConfig& config, const std::vector<Parameter>& parameters, bool dynamic_scale)
    : config_(config), state_names_(names_of_state(config)), states_(parameters.size()) {
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

void Optimizer::add_state(size_t parameter) {
  const at::Tensor& target = parameters_[parameter];
  const auto options = target.options().requires_grad(false);
  for (const std::string& name : state_names_)
    states_[parameter].push_back(name == "step" ? at::zeros({}, options) : at::zeros_like(target, options));
}

Optimizer::Update Optimizer::step(const at::Tensor& learning_rate, const at::Tensor& loss) {
  at::NoGradGuard no_grad;
  // Those that have state and those that are met for the first time: the fused kernel treats each group at once.
  Group groups[2];
  std::vector<at::Tensor> all_gradients;
  for (Group& group : groups) group.states.resize(state_names_.size());
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const at::Tensor gradient = parameters_[i].grad();
    if (!gradient.defined()) continue;
    const bool first = states_[i].empty();
    if (first) add_state(i);
    Group& group = groups[first];
    group.parameters.push_back(parameters_[i]);
    group.gradients.push_back(gradient);
    for (size_t kind = 0; kind < group.states.size(); ++kind) group.states[kind].push_back(states_[i][kind]);
    all_gradients.push_back(gradient);
  }
  const at::Tensor norms = at::stack(at::_foreach_norm(all_gradients, 2));
  const at::Tensor result = at::empty({4}, norms.options().dtype(at::kFloat));
  launch(norms.device(), 1,
         Clip{norms.data_ptr<float>(), norms.numel(), loss.data_ptr<float>(),
              scale_.defined() ? scale_.data_ptr<float>() : nullptr, config_.clipNorm,
              reinterpret_cast<ClipResult*>(result.data_ptr<float>())});
  const at::Tensor norm = result[0], found_non_finite = result[1], skipped = result[2], divisor = result[3];
  for (const bool first : {false, true}) {
    if (groups[first].parameters.empty()) continue;
    if (config_.kind == "sgd")
      update_sgd(groups[first], learning_rate, first, divisor, found_non_finite);
    else if (config_.kind == "adan")
      update_adan(groups[first], learning_rate, divisor, found_non_finite);
    else
      update_adam(groups[first], learning_rate, divisor, found_non_finite);
  }
  if (scale_.defined())
    at::_amp_update_scale_(scale_, growth_tracker_, found_non_finite, growth_factor, backoff_factor, growth_interval);
  return {norm, found_non_finite, skipped};
}

void Optimizer::update_sgd(const Group& group, const at::Tensor& learning_rate, bool first, const at::Tensor& divisor,
                           const at::Tensor& found_non_finite) const {
  at::_fused_sgd_(group.parameters, group.gradients, group.states[0], config_.weightDecay, config_.momentum,
                  learning_rate, /*dampening=*/0.0, config_.nesterov, /*maximize=*/false, first, divisor,
                  found_non_finite);
}

void Optimizer::update_adam(const Group& group, const at::Tensor& learning_rate, const at::Tensor& divisor,
                            const at::Tensor& found_non_finite) const {
  const auto& steps = group.states[0];
  at::_foreach_add_(steps, 1 - found_non_finite);  // a skipped step does not count
  const std::vector<at::Tensor> largest = config_.amsgrad ? group.states[3] : std::vector<at::Tensor>{};
  const auto update =
      config_.kind == "adam" ? &at::_ops::_fused_adam__tensor_lr::call : &at::_ops::_fused_adamw__tensor_lr::call;
  update(group.parameters, group.gradients, group.states[1], group.states[2], largest, steps, learning_rate,
         config_.beta1, config_.beta2, config_.weightDecay, config_.eps, config_.amsgrad, /*maximize=*/false, divisor,
         found_non_finite);
}

void Optimizer::update_adan(const Group& group, const at::Tensor& learning_rate, const at::Tensor& divisor,
                            const at::Tensor& found_non_finite) const {
  const double first = config_.adanBetas[0], second = config_.adanBetas[1], third = config_.adanBetas[2];
  const at::Tensor taken = 1 - found_non_finite;  // 0 leaves all as it is
  for (size_t i = 0; i < group.parameters.size(); ++i) {
    const at::Tensor &step = group.states[0][i], &previous = group.states[1][i];
    const at::Tensor &m = group.states[2][i], &v = group.states[3][i], &n = group.states[4][i];
    const at::Tensor gradient = at::where(taken.eq(0), previous, group.gradients[i] / divisor);
    const at::Tensor change = gradient - previous;
    // The averages begin at the second step, as the first one has no difference.
    const at::Tensor moved = taken * step.gt(0);
    m.lerp_(gradient, first * moved);
    v.lerp_(change, second * moved);
    n.lerp_((gradient + (1 - second) * change).square(), third * moved);
    previous.copy_(gradient);
    step.add_(taken);
    const at::Tensor count = step.to(at::kDouble).clamp_min(1);
    const auto corrected = [&](const at::Tensor& average, double beta) {
      return average / (1 - at::pow(1 - beta, count));
    };
    const at::Tensor direction = corrected(m, first) + (1 - second) * corrected(v, second);
    const at::Tensor deviation = corrected(n, third).sqrt() + config_.eps;
    const at::Tensor rate = learning_rate.to(at::kFloat) * taken;
    group.parameters[i].sub_(rate * direction / deviation).div_(1 + config_.weightDecay * rate);
  }
}

void Optimizer::set_scaler(double scale, int64_t growth_tracker) {
  scale_.fill_(scale);
  growth_tracker_.fill_(growth_tracker);
}

void Optimizer::set_state(size_t parameter, const std::vector<at::Tensor>& values) {
  states_.at(parameter).clear();
  add_state(parameter);
  for (size_t kind = 0; kind < values.size(); ++kind) states_[parameter][kind].copy_(values[kind]);
}

}  // namespace voxgrad
