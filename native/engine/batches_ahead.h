// Batches made while the step before them still runs: on a stream of their own, where a device has streams.
#pragma once
#include <c10/core/Event.h>
#include <c10/core/Stream.h>

#include <deque>
#include <exception>
#include <functional>
#include <optional>

#include "engine/batch.h"

namespace voxgrad {

class BatchesAhead {
 public:
  /// `make(step)` for steps first to last - 1, in order. `overlap`: one batch ahead, if the device has streams.
  BatchesAhead(at::Device device, uint64_t first, uint64_t last, std::function<Batch(uint64_t)> make, bool overlap);

  /// The batch of the next step, ready for the current stream. Starts the one after it.
  Batch next();
  /// To be called when a step has been launched. Waits until no more than kStepsAhead of them have yet to be finished,
  /// so that a stop is heeded soon and memory is bounded; it reads nothing.
  void launched();

 private:
  static constexpr size_t kStepsAhead = 2;
  struct Made {
    Batch batch;
    std::optional<c10::Event> ready;
  };
  Made make_next();

  at::Device device_;
  uint64_t step_, last_;
  std::function<Batch(uint64_t)> make_;
  std::optional<c10::Stream> stream_;
  std::optional<Made> ahead_;
  std::exception_ptr fault_;  // of the batch ahead, thrown where that would have been given
  std::deque<c10::Event> running_;
};

}  // namespace voxgrad
