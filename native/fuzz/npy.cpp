// Fuzz target: NumPy's .npy files, read as a whole and in part.
#include "io/npy.h"

#include "fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace voxgrad;
  const fuzz::File file(data, size);
  fuzz::read([&] { io::read_npy(file.path()); });
  fuzz::read([&] { io::read_npy_box(file.path(), {0, 0, 1, 1}, {1, 2, 2, 2}); });
  return 0;
}
