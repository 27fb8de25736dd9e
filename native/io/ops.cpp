// The ops by which tests reach the writers: what they read back must be what was written.
#include <torch/library.h>

#include "io/blosc2_array.h"
#include "io/files.h"
#include "io/npy.h"
#include "io/pickle.h"
#include "io/torch_file.h"

namespace voxgrad::io {

namespace {
at::Tensor chunks_and_blocks(at::IntArrayRef shape, at::IntArrayRef patch, int64_t element_bytes) {
  const Blosc2Layout layout = blosc2_layout(shape.vec(), patch.vec(), element_bytes);
  std::vector<int64_t> both = layout.chunks;
  both.insert(both.end(), layout.blocks.begin(), layout.blocks.end());
  return at::tensor(both).view({2, 4});
}

at::Tensor write_blosc2_file(const at::Tensor& array, c10::string_view path, at::IntArrayRef patch) {
  write_blosc2(std::string(path), array, blosc2_layout(array.sizes().vec(), patch.vec(), array.element_size()));
  return read_blosc2(std::string(path));
}

at::Tensor read_box(c10::string_view stem, at::IntArrayRef start, at::IntArrayRef stop) {
  return read_case_box(std::string(stem), start.vec(), stop.vec());
}

void rewrite_pickle(c10::string_view from, c10::string_view to) {
  write_atomically(std::string(to), write_pickle(read_pickle(read_file(std::string(from)), std::string(from))));
}

void rewrite_torch_file(c10::string_view from, c10::string_view to) {
  write_torch_file(std::string(to), read_torch_file(std::string(from)));
}
}  // namespace

TORCH_LIBRARY_IMPL(voxgrad, CompositeImplicitAutograd, m) {
  m.impl("blosc2_layout", chunks_and_blocks);
  m.impl("write_blosc2", write_blosc2_file);
  m.impl("read_case_box", read_box);
  m.impl("rewrite_pickle", rewrite_pickle);
  m.impl("rewrite_torch_file", rewrite_torch_file);
}

}  // namespace voxgrad::io
