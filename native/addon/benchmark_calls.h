// Jobs of a trainer that measure it; see engine/benchmark.h.
#pragma once
#include <napi.h>

#include <functional>

#include "addon/job_thread.h"
#include "engine/trainer.h"

namespace voxgrad::addon {

/// The work that a job { what, ... } of NativeTrainer.benchmark asks for. Throws Failure(ERR_CONFIG) for an unknown
/// one.
std::function<Finish(Trainer&)> benchmark_work(const Napi::Object& job);

}  // namespace voxgrad::addon
