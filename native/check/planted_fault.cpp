// A fault on purpose, only in the build of scripts/sanitize.mjs: shows that the sanitizer there catches what it should.
#include <torch/library.h>

#include <vector>

namespace {
/// Writes one of 16 numbers on the heap; the 17th, which is beside them, if the index is 16.
void write_number(int64_t index) {
  std::vector<float> numbers(16);
  static_cast<volatile float*>(numbers.data())[index] = 1;
}
}  // namespace

TORCH_LIBRARY_FRAGMENT(voxgrad, m) { m.def("write_number(int index) -> ()", write_number); }
