// The table of compiled kernels, which launch.cpp asks.
#include <cstring>
#include <map>
#include <string>

#include "kernels/launch.cuh"

namespace voxgrad {

namespace {
std::map<std::string, CudaLauncher>& table() {
  static std::map<std::string, CudaLauncher> launchers;
  return launchers;
}
}  // namespace

CudaRegistration::CudaRegistration(const std::type_info& type, CudaLauncher launcher) {
  table()[type.name()] = launcher;
}

}  // namespace voxgrad

extern "C" __attribute__((visibility("default"))) voxgrad::CudaLauncher voxgrad_find_launcher(const char* type_name) {
  const auto found = voxgrad::table().find(type_name);
  return found == voxgrad::table().end() ? nullptr : found->second;
}
