// Fuzz target: Blosc2 arrays, read as a whole and in part.
#include <functional>
#include <numeric>

#include "fuzz.h"
#include "io/blosc2_array.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace voxgrad;
  const fuzz::File file(data, size);
  fuzz::read([&] {
    const std::vector<int64_t> shape = io::blosc2_shape(file.path());
    // Of constant values, a small file may rightly hold a large array; that costs the memory of the array.
    if (std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>()) > 1 << 17) return;
    std::vector<int64_t> start;
    for (const int64_t extent : shape) start.push_back(extent / 2);
    io::read_blosc2_box(file.path(), start, shape);
    io::read_blosc2(file.path());
  });
  return 0;
}
