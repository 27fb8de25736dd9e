// The ledger of bytes against the kernels themselves.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace voxgrad::check {

struct TrafficCount {
  std::string name;
  int64_t stated, counted;
};

/// Runs every kernel of activations, logits and tiles on elements that count how often they are read and written, and
/// compares with kernels/traffic.h. In elements.
std::vector<TrafficCount> count_traffic();

struct MemoryCount {
  std::string name;
  int64_t allowed, found;
};

/// Bytes that the ops' forward passes keep for backward, and that backward takes, beside its result.
std::vector<MemoryCount> count_memory();

}  // namespace voxgrad::check
