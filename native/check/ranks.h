// Two ranks as processes of their own, without Node: for the pretend accelerator and for machines with two GPUs.
#pragma once
#include <functional>
#include <string>
#include <vector>

namespace voxgrad::check {

struct RankFinding {
  bool good;
  std::string what, found;
};

/// Starts the second rank as a child of this process, which must not have used libtorch or the device yet: `devices`
/// are the two ranks'. They train with a graph and without, stop each other, and count what they exchange.
std::vector<RankFinding> check_ranks(const std::vector<std::string>& devices);

}  // namespace voxgrad::check
