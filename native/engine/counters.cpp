// Counting through libtorch's own hooks: its observer of operators, and an allocator in front of the CPU's.
#include "engine/counters.h"

#include <ATen/core/Tensor.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/record_function.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/CachingDeviceAllocator.h>

#include <algorithm>
#include <memory>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <vector>

#include "engine/step_clock.h"
#include "failure.h"

namespace voxgrad {

// ---- operators
// -----------------------------------------------------------------------------------------------------------

namespace {

struct Timed {
  std::string name;
  DeviceMoment start, end;
};

/// What the observer fills; one at a time.
struct Ledger {
  c10::Device device;
  std::mutex mutex;
  OperatorCounts counts;
  std::vector<Timed> times;  // read when all is done, so that the work does not wait for the device
  std::unordered_map<std::string, bool> computes;
};
Ledger* ledger = nullptr;

/// An operator that runs in this thread, above those that called it. A counted one hides those that it calls.
struct Call {
  bool counted, hides;
  DeviceMoment start;
  int64_t bytes;
};
thread_local std::vector<Call> calls;

int64_t bytes_of(const at::Tensor& tensor) {
  if (!tensor.defined() || !tensor.has_storage()) return 0;
  // An expanded tensor has less memory than elements.
  return std::min<int64_t>(static_cast<int64_t>(tensor.nbytes()), static_cast<int64_t>(tensor.storage().nbytes()));
}

template <class Values>
int64_t bytes_in(const Values& values) {
  int64_t sum = 0;
  for (const c10::IValue& value : values) {
    if (value.isTensor()) sum += bytes_of(value.toTensor());
    if (!value.isTensorList()) continue;
    for (const at::Tensor& tensor : value.toTensorVector()) sum += bytes_of(tensor);
  }
  return sum;
}

/// Whether an operator computes something itself. One without a kernel (composite) does not, nor one that returns its
/// input unwritten: it is a view or may be one, and what it copies else is an operator that it calls.
bool computes(const at::RecordFunction& call) {
  const auto name = call.operator_name();
  if (!name) return std::string(call.name()).rfind("voxgrad::", 0) == 0;
  for (const char* start : {"aten::empty", "aten::new_empty", "aten::resize", "aten::set_", "aten::_unsafe_view",
                            "aten::result_type", "aten::detach"})
    if (name->name.rfind(start, 0) == 0) return false;
  const auto handle = c10::Dispatcher::singleton().findSchema(*name);
  if (!handle || handle->hasKernelForDispatchKey(c10::DispatchKey::CompositeImplicitAutograd)) return false;
  const auto& results = handle->schema().returns();
  return std::none_of(results.begin(), results.end(), [](const c10::Argument& result) {
    return result.alias_info() != nullptr && !result.alias_info()->isWrite();
  });
}

bool known_to_compute(const at::RecordFunction& call) {
  const std::lock_guard lock(ledger->mutex);
  const auto [known, added] = ledger->computes.try_emplace(call.name(), false);
  if (added) known->second = computes(call);
  return known->second;
}

std::unique_ptr<at::ObserverContext> begin(const at::RecordFunction& call) {
  const bool hidden = !calls.empty() && calls.back().hides;
  const bool counted = !hidden && known_to_compute(call);
  calls.push_back(
      {counted, hidden || counted, DeviceMoment(counted ? ledger->device : c10::kCPU), bytes_in(call.inputs())});
  return nullptr;
}

void end(const at::RecordFunction& call, at::ObserverContext*) {
  Call done = std::move(calls.back());
  calls.pop_back();
  if (!done.counted) return;
  DeviceMoment now(ledger->device);
  const std::lock_guard lock(ledger->mutex);
  OperatorCount& count = ledger->counts[call.name()];
  ++count.calls;
  count.bytes += done.bytes + bytes_in(call.outputs());
  ledger->times.push_back({call.name(), std::move(done.start), std::move(now)});
}

}  // namespace

OperatorCounts count_operators(c10::Device device, const std::function<void()>& work) {
  Ledger own{.device = device, .mutex = {}, .counts = {}, .times = {}, .computes = {}};
  ledger = &own;
  const auto handle = at::addGlobalCallback(
      at::RecordFunctionCallback(begin, end).needsInputs(true).needsOutputs(true).scopes({at::RecordScope::FUNCTION}));
  const auto remove = [&] { at::removeCallback(handle), ledger = nullptr; };
  try {
    work();
  } catch (...) {
    remove();
    throw;
  }
  remove();
  for (const Timed& timed : own.times) own.counts[timed.name].ms += timed.end.ms_since(timed.start);
  return own.counts;
}

// ---- memory
// --------------------------------------------------------------------------------------------------------------

namespace {

/// Counts in front of the CPU's allocator; the memory itself is that allocator's.
class CountingAllocator : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    c10::DataPtr data = base_->allocate(bytes);
    if (data.get() && data.compare_exchange_deleter(base_->raw_deleter(), &release)) {
      const std::lock_guard lock(mutex_);
      sizes_[data.get()] = static_cast<int64_t>(bytes);
      ++now_.allocations;
      now_.bytes += static_cast<int64_t>(bytes);
      held_ += static_cast<int64_t>(bytes);
      now_.peak = std::max(now_.peak, held_);
    }
    return data;
  }
  c10::DeleterFnPtr raw_deleter() const override { return &release; }
  void copy_data(void* target, const void* source, size_t bytes) const override {
    base_->copy_data(target, source, bytes);
  }

  void reset() {
    const std::lock_guard lock(mutex_);
    now_ = {};
    now_.peak = before_ = held_;
  }
  AllocationCounts read() {
    const std::lock_guard lock(mutex_);
    AllocationCounts counts = now_;
    counts.peak -= before_;
    counts.growth = held_ - before_;
    return counts;
  }
  /// Lives as long as the process, as the memory that it gave out may.
  static CountingAllocator& installed() {
    static CountingAllocator* const one = [] {
      auto* made = new CountingAllocator;
      c10::SetCPUAllocator(made);
      return made;
    }();
    return *one;
  }

 private:
  static void release(void* data) {
    CountingAllocator& one = installed();
    {
      const std::lock_guard lock(one.mutex_);
      const auto size = one.sizes_.find(data);
      if (size != one.sizes_.end()) {
        one.held_ -= size->second;
        one.sizes_.erase(size);
      }
    }
    one.base_->raw_deleter()(data);
  }

  c10::Allocator* const base_ = c10::GetCPUAllocator();
  std::mutex mutex_;
  std::unordered_map<void*, int64_t> sizes_;
  AllocationCounts now_;
  int64_t held_ = 0, before_ = 0;
};

}  // namespace

AllocationCounts count_allocations(c10::Device device, const std::function<void()>& work) {
  if (device.is_cpu()) {
    CountingAllocator& allocator = CountingAllocator::installed();
    allocator.reset();
    work();
    return allocator.read();
  }
  auto* allocator = dynamic_cast<c10::DeviceAllocator*>(c10::GetAllocator(device.type()));
  if (allocator == nullptr) throw Failure("ERR_DEVICE", "the allocator of " + device.str() + " keeps no statistics");
  constexpr auto all = static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE);
  allocator->resetPeakStats(device.index());
  const auto before = allocator->getDeviceStats(device.index());
  work();
  const auto after = allocator->getDeviceStats(device.index());
  return {after.allocation[all].allocated - before.allocation[all].allocated,
          after.allocated_bytes[all].allocated - before.allocated_bytes[all].allocated,
          after.allocated_bytes[all].peak - before.allocated_bytes[all].current,
          after.allocated_bytes[all].current - before.allocated_bytes[all].current,
          after.segment[all].allocated - before.segment[all].allocated};
}

}  // namespace voxgrad
