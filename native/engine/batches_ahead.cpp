// The second stream, and what orders it with the first.
#include "engine/batches_ahead.h"

#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <utility>

namespace voxgrad {

namespace {
/// Memory that one stream made and another one reads must not be given away before the reader is done.
void keep_for_stream(const at::Tensor& tensor, const c10::Stream& stream) {
  if (tensor.defined() && tensor.device() == stream.device())
    c10::impl::VirtualGuardImpl(stream.device_type()).recordDataPtrOnStream(tensor.storage().data_ptr(), stream);
}
}  // namespace

BatchesAhead::BatchesAhead(at::Device device, uint64_t first, uint64_t last, std::function<Batch(uint64_t)> make,
                           bool overlap)
    : device_(device), step_(first), last_(last), make_(std::move(make)) {
  if (!device.is_cuda()) return;
  const c10::impl::VirtualGuardImpl guard(device.type());
  if (!overlap) return;
  stream_ = guard.getStreamFromGlobalPool(device, /*isHighPriority=*/false);
  // The cases are there when the main stream has come this far; from then on nothing of it is read.
  c10::Event cases(device.type());
  cases.record(guard.getStream(device));
  cases.block(*stream_);
}

BatchesAhead::Made BatchesAhead::make_next() {
  if (!stream_) return {make_(step_++), std::nullopt};
  const c10::StreamGuard on_second(*stream_);
  Made made{make_(step_++), c10::Event(device_.type())};
  made.ready->record(*stream_);
  return made;
}

Batch BatchesAhead::next() {
  if (fault_) std::rethrow_exception(std::exchange(fault_, nullptr));
  Made made = ahead_ ? std::move(*ahead_) : make_next();
  ahead_.reset();
  if (!stream_) return std::move(made.batch);
  const c10::Stream main = c10::impl::VirtualGuardImpl(device_.type()).getStream(device_);
  made.ready->block(main);
  for (const at::Tensor* tensor : {&made.batch.image, &made.batch.labels, &made.batch.dropout})
    keep_for_stream(*tensor, main);
  return std::move(made.batch);
}

void BatchesAhead::launched() {
  if (stream_ && step_ < last_) {
    try {
      ahead_ = make_next();
    } catch (...) {
      fault_ = std::current_exception();
    }
  }
  if (!device_.is_cuda()) return;
  running_.emplace_back(device_.type());
  running_.back().record(c10::impl::VirtualGuardImpl(device_.type()).getStream(device_));
  if (running_.size() <= kStepsAhead) return;
  running_.front().synchronize();
  running_.pop_front();
}

}  // namespace voxgrad
