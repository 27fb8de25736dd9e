// Wall time of a part of a step, as the host sees it.
#pragma once
#include <chrono>

namespace voxgrad {

class Stopwatch {
 public:
  /// Milliseconds since it was made.
  float ms() const {
    return std::chrono::duration<float, std::milli>(std::chrono::steady_clock::now() - start_).count();
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

}  // namespace voxgrad
