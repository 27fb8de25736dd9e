// Devices and threads: what a trainer's thread sets once before its first tensor.
#pragma once
#include <ATen/core/Tensor.h>

#include <string>

#include "engine/config.h"

namespace voxgrad {

/// The device of a configuration: cpu, cuda, cuda:N. Loads libtorch's CUDA library if it is asked for.
/// Throws Failure(ERR_DEVICE) that says what is there.
at::Device open_device(const std::string& name);

/// Autocast type of `precision` on `device`; bfloat16 becomes float16 where the GPU has none.
/// Throws Failure(ERR_CONFIG) for half precision on the CPU.
at::ScalarType open_precision(const std::string& precision, at::Device device);

/// Sets this thread's number of threads and flushes denormal numbers to zero in all of them: they slow convolutions
/// down.
void prepare_thread(int64_t threads, bool deterministic);

/// Prepares a thread that works beside others on whole pieces: its operators use it alone. Flushes denormals, as
/// prepare_thread() does.
void prepare_lone_thread();

}  // namespace voxgrad
