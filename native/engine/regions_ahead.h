// Regions of coming samples, read by a few threads while steps run. What a sample is made of follows from its address,
// so that it is known ahead; which thread reads it, and when, changes nothing.
#pragma once
#include <condition_variable>
#include <exception>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include "engine/batch.h"

namespace voxgrad {

class RegionsAhead {
 public:
  /// Of steps first to last - 1, in order. Threads are there only for cases on disk, or on the host of a device with a
  /// memory of its own. `maker` and `cases` must outlive it.
  RegionsAhead(const BatchMaker& maker, const CaseStore& cases, bool training, uint64_t first, uint64_t last);
  ~RegionsAhead();
  RegionsAhead(const RegionsAhead&) = delete;
  RegionsAhead& operator=(const RegionsAhead&) = delete;

  /// Those of the next step's samples, on the device. Throws what reading them threw.
  std::vector<Region> next();

 private:
  struct Read {
    Region region;
    std::exception_ptr fault;
  };
  Region read(uint64_t number) const;
  void work();

  const BatchMaker& maker_;
  const CaseStore& cases_;
  const bool training_;
  const uint64_t first_, count_;  // step; samples in all

  std::mutex mutex_;
  std::condition_variable changed_;
  bool ended_ = false;
  uint64_t begun_ = 0, taken_ = 0;  // samples
  std::map<uint64_t, Read> done_;
  std::vector<std::thread> threads_;
};

}  // namespace voxgrad
