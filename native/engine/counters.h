// Exact counts of what a piece of work does: operators run, bytes they read and write, memory taken. For benchmarks and
// for tests that hold them fixed; nothing of it is there in a training.
#pragma once
#include <c10/core/Device.h>

#include <cstdint>
#include <functional>
#include <map>
#include <string>

namespace voxgrad {

struct OperatorCount {
  int64_t calls = 0;
  int64_t bytes = 0;  // of all tensors read and written, each once a call
  double ms = 0;
};

/// Operators that compute something, by name: neither views nor allocations nor composites of others; what an operator
/// calls in its kernel is part of it. These are the dispatches that PyTorch's TorchDispatchMode sees.
using OperatorCounts = std::map<std::string, OperatorCount>;

/// Counts operators of all threads while `work` runs; on an accelerator their times are the device's. Not reentrant.
OperatorCounts count_operators(c10::Device device, const std::function<void()>& work);

struct AllocationCounts {
  int64_t allocations = 0;
  int64_t bytes = 0;     // taken, freed or not
  int64_t peak = 0;      // bytes held at once, above what was held before
  int64_t growth = 0;    // bytes held afterwards, above what was held before
  int64_t segments = 0;  // on an accelerator: requests to its driver
};

/// Counts what libtorch's allocator of the device gives out while `work` runs. The first call for the CPU puts a
/// counter in front of its allocator and sees only memory taken since: run the work once before. Throws
/// Failure(ERR_DEVICE) if the device's allocator keeps no statistics.
AllocationCounts count_allocations(c10::Device device, const std::function<void()>& work);

}  // namespace voxgrad
