// The threads that read regions.
#include "engine/regions_ahead.h"

#include <algorithm>

#include "engine/device.h"

namespace voxgrad {

namespace {
constexpr uint64_t threads = 3, steps_ahead = 3;
}

RegionsAhead::RegionsAhead(const BatchMaker& maker, const CaseStore& cases, bool training, uint64_t first,
                           uint64_t last)
    : maker_(maker),
      cases_(cases),
      training_(training),
      first_(first),
      count_((last - first) * static_cast<uint64_t>(maker.share().count)) {
  if (!cases.reads_regions()) return;
  for (uint64_t i = 0; i < std::min(threads, count_); ++i) threads_.emplace_back([this] { work(); });
}

RegionsAhead::~RegionsAhead() {
  {
    const std::lock_guard lock(mutex_);
    ended_ = true;
  }
  changed_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

std::vector<Region> RegionsAhead::next() {
  std::vector<Region> result;
  for (int64_t sample = 0; sample < maker_.share().count; ++sample) {
    if (threads_.empty()) {
      result.push_back(read(taken_++));
      continue;
    }
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return done_.count(taken_) > 0; });
    Read found = std::move(done_.extract(taken_++).mapped());
    lock.unlock();
    changed_.notify_all();
    if (found.fault) std::rethrow_exception(found.fault);
    result.push_back(cases_.to_device(std::move(found.region)));
  }
  return result;
}

Region RegionsAhead::read(uint64_t number) const {
  const auto count = static_cast<uint64_t>(maker_.share().count);
  const auto sample = maker_.share().first + static_cast<int64_t>(number % count);
  return maker_.region(cases_, maker_.address(first_ + number / count, sample, training_), training_);
}

void RegionsAhead::work() {
  prepare_lone_thread();
  while (true) {
    uint64_t number;
    {
      std::unique_lock lock(mutex_);
      const uint64_t most = steps_ahead * static_cast<uint64_t>(maker_.share().count);
      changed_.wait(lock, [&] { return ended_ || (begun_ < count_ && begun_ < taken_ + most); });
      if (ended_) return;
      number = begun_++;
    }
    Read found;
    try {
      found.region = read(number);
    } catch (...) {
      found.fault = std::current_exception();
    }
    {
      const std::lock_guard lock(mutex_);
      done_.emplace(number, std::move(found));
    }
    changed_.notify_all();
  }
}

}  // namespace voxgrad
