// Fuzz target: Python pickles, with tensors whose storages lie elsewhere.
#include "io/pickle.h"

#include <ATen/ops/zeros.h>

#include "fuzz.h"
#include "io/element_types.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace voxgrad;
  const auto storage = [](const std::string& type, const std::string&, int64_t count) {
    if (count > 4096) throw Failure("ERR_FORMAT", "a storage of the wrong size");
    return at::zeros({count}, *io::type_of_storage_name(type));
  };
  fuzz::read([&] { io::read_pickle({reinterpret_cast<const char*>(data), size}, "input", storage); });
  return 0;
}
