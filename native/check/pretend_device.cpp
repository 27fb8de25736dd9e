// The pretend accelerator: allocator, guard, the few operators that make tensors and views, and a fallback to the CPU.
#include "check/pretend_device.h"

#include <ATen/EmptyTensor.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <ATen/native/CPUFallback.h>
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/unfold_native.h>
#include <ATen/ops/view_native.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/library.h>

#include <cstdlib>
#include <cstring>
#include <deque>
#include <set>

#include "dist/process_group.h"
#include "engine/step_graph.h"

namespace voxgrad::check {

namespace {

constexpr auto kPretend = c10::DeviceType::PrivateUse1;
DeviceCounts counts;
// Copies that the CPU fallback makes by itself are no reads of ours.
thread_local bool inside_fallback = false;

struct HostAllocator : c10::Allocator {
  c10::DataPtr allocate(size_t bytes) override {
    void* memory = bytes ? std::aligned_alloc(64, (bytes + 63) / 64 * 64) : nullptr;
    return {memory, memory, std::free, c10::Device(kPretend, 0)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return std::free; }
  void copy_data(void* target, const void* source, size_t bytes) const override { std::memcpy(target, source, bytes); }
};
HostAllocator allocator;

/// Pinned memory, in which a copy lands when somebody waits for an event behind it; until then it holds what no copy
/// brings. One thread trains, so nothing is guarded.
struct PinnedAllocator : c10::Allocator {
  c10::DataPtr allocate(size_t bytes) override;
  c10::DeleterFnPtr raw_deleter() const override { return std::free; }
  void copy_data(void* target, const void* source, size_t bytes) const override { std::memcpy(target, source, bytes); }
};
PinnedAllocator pinned_allocator;
std::set<const void*> pinned;

c10::DataPtr PinnedAllocator::allocate(size_t bytes) {
  void* memory = std::aligned_alloc(64, (bytes + 63) / 64 * 64 + 64);
  pinned.insert(memory);
  return {memory, memory, std::free, c10::Device(c10::kCPU)};
}

struct CopyBehind {
  at::Tensor source, target;  // both on the host
};
std::deque<CopyBehind> copies_behind;
size_t copies_landed = 0;

/// What an event stands for: how many copies had begun, and how often it was asked in vain.
struct Moment {
  size_t copies = 0;
  bool asked = false;
};

void land(const Moment& moment) {
  for (; copies_landed < moment.copies; ++copies_landed) {
    copies_behind.front().target.copy_(copies_behind.front().source);
    copies_behind.pop_front();
  }
}

struct Guard : c10::impl::DeviceGuardImplInterface {
  static constexpr auto static_type = kPretend;
  c10::DeviceType type() const override { return kPretend; }
  c10::Device exchangeDevice(c10::Device device) const override { return device; }
  c10::Device getDevice() const override { return {kPretend, 0}; }
  void setDevice(c10::Device) const override {}
  void uncheckedSetDevice(c10::Device) const noexcept override {}
  c10::Stream getStream(c10::Device device) const override { return c10::Stream(c10::Stream::DEFAULT, device); }
  c10::Stream exchangeStream(c10::Stream stream) const override { return stream; }
  c10::DeviceIndex deviceCount() const noexcept override { return 1; }
  void record(void** event, const c10::Stream&, const c10::DeviceIndex, const c10::EventFlag) const override {
    if (!*event) *event = new Moment;
    *static_cast<Moment*>(*event) = {copies_landed + copies_behind.size(), false};
  }
  void block(void*, const c10::Stream&) const override {}
  /// At first an event is still to come.
  bool queryEvent(void* event) const override {
    auto& moment = *static_cast<Moment*>(event);
    if (!std::exchange(moment.asked, true)) return false;
    land(moment);
    return true;
  }
  void synchronizeEvent(void* event) const override { land(*static_cast<Moment*>(event)); }
  void destroyEvent(void* event, const c10::DeviceIndex) const noexcept override { delete static_cast<Moment*>(event); }
};

struct Hooks : at::PrivateUse1HooksInterface {
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
  bool isAvailable() const override { return true; }
  bool isBuilt() const override { return true; }
  c10::DeviceIndex deviceCount() const override { return 1; }
  c10::DeviceIndex getCurrentDevice() const override { return 0; }
  void setCurrentDevice(c10::DeviceIndex) const override {}
  bool isPinnedPtr(const void* data) const override { return pinned.count(data) > 0; }
  c10::Allocator* getPinnedMemoryAllocator() const override { return &pinned_allocator; }
  const at::Generator& getDefaultGenerator(c10::DeviceIndex) const override {
    return at::detail::getDefaultCPUGenerator();
  }
};

/// The same memory, seen as a CPU tensor.
at::Tensor on_host(const at::Tensor& tensor) {
  if (!tensor.defined() || tensor.is_cpu()) return tensor;
  return at::from_blob(tensor.data_ptr(), tensor.sizes(), tensor.strides(), tensor.options().device(at::kCPU));
}

/// A copy on the device.
at::Tensor on_device(const at::Tensor& tensor) {
  if (!tensor.defined()) return tensor;
  at::Tensor result = at::empty_strided(tensor.sizes(), tensor.strides(), tensor.options().device(kPretend));
  on_host(result).copy_(tensor);
  return result;
}

at::Tensor empty(c10::IntArrayRef sizes, std::optional<at::ScalarType> type, std::optional<at::Layout>,
                 std::optional<at::Device>, std::optional<bool>, std::optional<at::MemoryFormat> format) {
  return at::detail::empty_generic(sizes, &allocator, c10::DispatchKeySet(c10::DispatchKey::PrivateUse1),
                                   c10::dtype_or_default(type), format);
}

at::Tensor empty_strided(c10::IntArrayRef sizes, c10::IntArrayRef strides, std::optional<at::ScalarType> type,
                         std::optional<at::Layout>, std::optional<at::Device>, std::optional<bool>) {
  return at::detail::empty_strided_generic(
      sizes, strides, &allocator, c10::DispatchKeySet(c10::DispatchKey::PrivateUse1), c10::dtype_or_default(type));
}

at::Tensor copy_from(const at::Tensor& source, const at::Tensor& target, bool non_blocking) {
  if (!inside_fallback && non_blocking && target.is_cpu() && pinned.count(target.const_data_ptr())) {
    ++counts.reads_behind;
    copies_behind.push_back({on_host(source).clone(), target});
    target.fill_(-1);
    return target;
  }
  if (!inside_fallback) {
    if (source.is_cpu() && !target.is_cpu()) {
      ++counts.host_writes;
      counts.bytes_written += static_cast<int64_t>(source.nbytes());
    }
    if (!source.is_cpu() && target.is_cpu()) ++counts.host_reads;
    if (!source.is_cpu() && !target.is_cpu()) ++counts.dispatches;
  }
  on_host(target).copy_(on_host(source));
  return target;
}

const at::Tensor& resize_storage(const at::Tensor& self, c10::IntArrayRef sizes, std::optional<at::MemoryFormat>) {
  if (self.sizes() == sizes) return self;
  const at::Tensor fresh = empty(sizes, self.scalar_type(), {}, {}, {}, {});
  self.unsafeGetTensorImpl()->set_storage_keep_dtype(fresh.storage());
  self.unsafeGetTensorImpl()->set_sizes_contiguous(sizes);
  return self;
}

at::Tensor copy_from_and_resize(const at::Tensor& source, const at::Tensor& target) {
  return copy_from(source, resize_storage(target, source.sizes(), {}), false);
}

at::Scalar local_scalar_dense(const at::Tensor& tensor) {
  ++counts.host_reads;
  return on_host(tensor).item();
}

at::Tensor as_strided(const at::Tensor& self, c10::IntArrayRef sizes, c10::IntArrayRef strides,
                      std::optional<int64_t> offset) {
  auto view = at::detail::make_tensor<c10::TensorImpl>(c10::TensorImpl::VIEW, c10::Storage(self.storage()),
                                                       self.key_set(), self.dtype());
  view.unsafeGetTensorImpl()->set_sizes_and_strides(sizes, strides);
  view.unsafeGetTensorImpl()->set_storage_offset(offset.value_or(self.storage_offset()));
  return view;
}

void count(const std::string& name) {
  ++counts.dispatches;
  ++counts.operators[name];
}

void run_on_host(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  count(op.schema().name());
  const bool outer = inside_fallback;
  inside_fallback = true;
  at::native::cpu_fallback(op, stack);
  inside_fallback = outer;
}

at::Tensor convolution(const at::Tensor& input, const at::Tensor& weight, const std::optional<at::Tensor>& bias,
                       c10::SymIntArrayRef stride, c10::SymIntArrayRef padding, c10::SymIntArrayRef dilation,
                       bool transposed, c10::SymIntArrayRef output_padding, c10::SymInt groups) {
  count("aten::convolution");
  std::optional<at::Tensor> host_bias;
  if (bias && bias->defined()) host_bias = on_host(*bias);
  return on_device(at::convolution_symint(on_host(input), on_host(weight), host_bias, stride, padding, dilation,
                                          transposed, output_padding, groups));
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> convolution_backward(
    const at::Tensor& gradient, const at::Tensor& input, const at::Tensor& weight, c10::SymIntArrayRef stride,
    c10::SymIntArrayRef padding, c10::SymIntArrayRef dilation, bool transposed, c10::SymIntArrayRef output_padding,
    c10::SymInt groups, std::array<bool, 3> mask) {
  count("aten::convolution_backward");
  const std::vector<c10::SymInt> bias_sizes = {weight.sym_size(transposed ? 1 : 0)};
  const auto [input_gradient, weight_gradient, bias_gradient] = at::convolution_backward_symint(
      on_host(gradient), on_host(input), on_host(weight), c10::SymIntArrayRef(bias_sizes), stride, padding, dilation,
      transposed, output_padding, groups, mask);
  return {on_device(input_gradient), on_device(weight_gradient), on_device(bias_gradient)};
}

}  // namespace

REGISTER_ALLOCATOR(kPretend, &allocator);
namespace {
using PretendGuard = Guard;
C10_REGISTER_GUARD_IMPL(PrivateUse1, PretendGuard);
}  // namespace

TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) {
  m.impl("empty.memory_format", empty);
  m.impl("empty_strided", empty_strided);
  m.impl("_copy_from", copy_from);
  m.impl("_copy_from_and_resize", copy_from_and_resize);
  m.impl("_local_scalar_dense", local_scalar_dense);
  m.impl("as_strided", as_strided);
  m.impl("resize_", resize_storage);
  m.impl("view", at::native::view);
  m.impl("unfold", at::native::unfold);
  m.impl("_reshape_alias", at::native::_reshape_alias);
  m.impl("convolution_overrideable", convolution);
  m.impl("convolution_backward_overrideable", convolution_backward);
}
TORCH_LIBRARY_IMPL(_, PrivateUse1, m) { m.fallback(torch::CppFunction::makeFromBoxedFunction<&run_on_host>()); }

namespace {
bool captures_fail = false;

/// Replays by doing the work again: that shows whether all that changes from step to step is an input.
struct PretendGraph : StepGraph {
  std::function<void()> work;
  void capture(const std::function<void()>& captured) override {
    TORCH_CHECK(!captures_fail, "this capture was to fail");
    work = captured;
  }
  void replay() override {
    const DeviceCounts before = counts;
    work();
    counts.copies_in_graphs += counts.host_reads - before.host_reads + counts.host_writes - before.host_writes;
    ++counts.replays;
  }
};

/// Gloo on the tensors' memory, which lies on the host.
struct PretendBackend : c10d::Backend {
  c10::intrusive_ptr<c10d::Backend> gloo;
  explicit PretendBackend(c10::intrusive_ptr<c10d::Backend> backend)
      : c10d::Backend(backend->getRank(), backend->getSize()), gloo(std::move(backend)) {}
  const std::string getBackendName() const override { return "pretend"; }
  c10::intrusive_ptr<c10d::Work> allreduce(std::vector<at::Tensor>& tensors,
                                           const c10d::AllreduceOptions& options) override {
    std::vector<at::Tensor> host = {on_host(tensors[0])};
    return gloo->allreduce(host, options);
  }
  c10::intrusive_ptr<c10d::Work> broadcast(std::vector<at::Tensor>& tensors,
                                           const c10d::BroadcastOptions& options) override {
    std::vector<at::Tensor> host = {on_host(tensors[0])};
    return gloo->broadcast(host, options);
  }
};
}  // namespace

void fail_captures(bool fail) { captures_fail = fail; }

void register_pretend_device() {
  static const bool done = [] {
    c10::register_privateuse1_backend("pretend");
    static Hooks hooks;
    at::RegisterPrivateUse1HooksInterface(&hooks);
    register_step_graph(kPretend,
                        [](at::Device) -> std::unique_ptr<StepGraph> { return std::make_unique<PretendGraph>(); });
    register_backend(kPretend, [](const RanksConfig& config, at::Device) -> c10::intrusive_ptr<c10d::Backend> {
      return c10::make_intrusive<PretendBackend>(join_gloo(config, at::kCPU));
    });
    return true;
  }();
  (void)done;
}

DeviceCounts device_counts() { return counts; }
void reset_device_counts() { counts = {}; }

}  // namespace voxgrad::check
