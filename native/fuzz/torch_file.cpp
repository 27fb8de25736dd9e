// Fuzz target: torch.save's zip archives with their pickle and their storages.
#include "io/torch_file.h"

#include "fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace voxgrad;
  const fuzz::File file(data, size);
  fuzz::read([&] { io::read_torch_file(file.path()); });
  return 0;
}
