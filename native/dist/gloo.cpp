// Gloo, c10d's backend of the CPU. Compiled with Gloo's headers where they are installed (Debian: libgloo-dev).
#include "dist/meeting.h"
#include "dist/process_group.h"
#include "failure.h"

#ifdef USE_C10D_GLOO
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#endif

namespace voxgrad {

bool has_gloo() {
#ifdef USE_C10D_GLOO
  return true;
#else
  return false;
#endif
}

c10::intrusive_ptr<c10d::Backend> join_gloo(const RanksConfig& config) {
#ifdef USE_C10D_GLOO
  const auto timeout = std::chrono::milliseconds(static_cast<int64_t>(1000 * config.timeoutSeconds));
  const auto gloo = c10d::ProcessGroupGloo::Options::create(timeout);
  gloo->devices = {config.address == "127.0.0.1" ? c10d::ProcessGroupGloo::createDeviceForHostname("127.0.0.1")
                                                 : c10d::ProcessGroupGloo::createDefaultDevice()};
  return c10::make_intrusive<c10d::ProcessGroupGloo>(store_of(config), static_cast<int>(config.rank),
                                                     static_cast<int>(config.ranks), gloo);
#else
  throw Failure("ERR_CONFIG",
                "devices: expected 1, found " + std::to_string(config.ranks) +
                    ", because this build is without Gloo. Install its headers (apt-get install libgloo-dev) and set "
                    "voxgrad up again");
#endif
}

}  // namespace voxgrad
