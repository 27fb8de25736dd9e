// A pretend accelerator for tests: libtorch's PrivateUse1 device with memory on the host. Every operator runs on the
// CPU, but a tensor left on the wrong device raises as it would on CUDA, and every copy to the host and every dispatch
// is counted.
#pragma once
#include <cstdint>
#include <map>
#include <string>

namespace voxgrad::check {

struct DeviceCounts {
  int64_t host_reads = 0;        // copies from the device to the host, .item() included
  int64_t host_writes = 0;       // copies from the host to the device
  int64_t bytes_written = 0;     // by them
  int64_t reads_behind = 0;      // copies to pinned memory of the host, for which nobody waits when they begin
  int64_t replays = 0;           // of graphs
  int64_t copies_in_graphs = 0;  // host reads and writes within them, which a real graph could not make
  int64_t dispatches = 0;        // operators run on the device, views left out
  std::map<std::string, int64_t> operators;
};

/// Makes at::Device("pretend") usable, also by ranks, over Gloo. Idempotent.
void register_pretend_device();
/// Lets every capture of a graph fail from now on, or not.
void fail_captures(bool fail);

/// What happened since the last call of reset_device_counts().
DeviceCounts device_counts();
void reset_device_counts();

}  // namespace voxgrad::check
