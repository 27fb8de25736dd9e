// The lists of all .cu files, compiled for the host. A file that is missing here is found like a kernel that is missing
// there: what it lists is launched and not compiled.
#include "check/compiled_kernels.h"

#include <cxxabi.h>

#include <cstdlib>
#include <memory>

#include "kernels/accumulate.cu"
#include "kernels/clip.cu"
#include "kernels/dice_counts.cu"
#include "kernels/gather.cu"
#include "kernels/instance_norm.cu"
#include "kernels/intensity.cu"
#include "kernels/loss.cu"
#include "kernels/normal_field.cu"

namespace {
std::set<std::string>& names() {
  static std::set<std::string> found;
  return found;
}
}  // namespace

namespace voxgrad {

CudaRegistration::CudaRegistration(const std::type_info& type, CudaLauncher) { names().insert(type.name()); }

std::set<std::string> check::compiled_functors() { return names(); }

std::string check::readable(const std::string& type_name) {
  int status = 0;
  const std::unique_ptr<char, decltype(&std::free)> name(
      abi::__cxa_demangle(type_name.c_str(), nullptr, nullptr, &status), std::free);
  return status == 0 ? name.get() : type_name;
}

}  // namespace voxgrad
