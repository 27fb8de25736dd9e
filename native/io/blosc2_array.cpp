// Blosc2 NDArray files through c-blosc2, with every header checked before it is used for memory.
#include "io/blosc2_array.h"

#include <ATen/ops/empty.h>
#include <b2nd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <mutex>
#include <string_view>

#include "failure.h"
#include "io/element_types.h"
#include "io/files.h"

namespace voxgrad::io {

namespace {

// Positions in the header of a contiguous frame (c-blosc2, README_CFRAME_FORMAT.rst); numbers there are big-endian.
constexpr size_t header_length_at = 11;
constexpr size_t frame_length_at = 16;
constexpr size_t frame_codec_at = 27;
constexpr size_t compressed_bytes_at = 39;
constexpr size_t frame_filters_at = 70;
constexpr size_t shortest_header = 87;
// Positions in the header of a chunk (README_CHUNK_FORMAT.rst); numbers there are little-endian.
constexpr size_t chunk_flags_at = 2;
constexpr size_t chunk_bytes_at = 4;
constexpr size_t chunk_block_at = 8;
constexpr size_t chunk_filters_at = 16;
constexpr size_t chunk_header_length = 32;
// A constant chunk of 6 MiB (nnU-Net's largest) takes 32 bytes: the highest honest ratio is about 200 000.
constexpr uint64_t largest_ratio = 1 << 18;
// One chunk is decoded at a time, at its whole length, even where the array is smaller.
constexpr uint64_t largest_loose_chunk = 16 << 20;
// An array of constant chunks, which are stored nowhere, may have a large table of chunks in a short file: 8 bytes
// each.
constexpr uint64_t table_of_any_file = 1 << 20, largest_table_ratio = 1 << 8;

struct FreeChunkStore {
  void operator()(blosc2_schunk* store) const { blosc2_schunk_free(store); }
};
struct FreeArray {
  void operator()(b2nd_array_t* array) const { b2nd_free(array); }
};
struct FreeContext {
  void operator()(b2nd_context_t* context) const { b2nd_free_ctx(context); }
};
using ChunkStore = std::unique_ptr<blosc2_schunk, FreeChunkStore>;
using Array = std::unique_ptr<b2nd_array_t, FreeArray>;

void initialize_once() {
  static std::once_flag once;
  std::call_once(once, [] { blosc2_init(); });
}

[[noreturn]] void refuse(const std::string& path, const std::string& reason) {
  throw Failure("ERR_FORMAT", path + " is not a usable Blosc2 array: " + reason + ". Preprocess the case again");
}

template <class Integer>
Integer big_endian(std::string_view bytes, size_t at) {
  Integer value = 0;
  for (size_t i = 0; i < sizeof(Integer); ++i) {
    value = static_cast<Integer>((static_cast<std::make_unsigned_t<Integer>>(value) << 8) | uint8_t(bytes[at + i]));
  }
  return value;
}

/// Only built-in codecs and filters: for any other id c-blosc2 looks for a plugin library and loads it.
bool filter_is_known(uint8_t filter) {
  return filter == BLOSC_NOFILTER || filter == BLOSC_SHUFFLE || filter == BLOSC_BITSHUFFLE ||
         filter == BLOSC_TRUNC_PREC;
}

void check_chunk_header(const std::string& path, const uint8_t* chunk) {
  int32_t bytes = 0, block = 0;
  std::memcpy(&bytes, chunk + chunk_bytes_at, sizeof bytes);
  std::memcpy(&block, chunk + chunk_block_at, sizeof block);
  // c-blosc2 takes memory for a block of any length if the chunk holds nothing.
  if (bytes <= 0 || block <= 0 || block > bytes) refuse(path, "it holds a chunk with blocks of a wrong length");
  const uint8_t flags = chunk[chunk_flags_at];
  if ((flags & (BLOSC_DOSHUFFLE | BLOSC_DOBITSHUFFLE)) != (BLOSC_DOSHUFFLE | BLOSC_DOBITSHUFFLE)) {
    refuse(path, "it holds a chunk of the first Blosc format");
  }
  const int codec = flags >> 5;
  if (codec != BLOSC_BLOSCLZ_FORMAT && codec != BLOSC_LZ4_FORMAT && codec != BLOSC_ZLIB_FORMAT &&
      codec != BLOSC_ZSTD_FORMAT) {
    refuse(path, "it holds a chunk of the unknown codec " + std::to_string(codec));
  }
  for (size_t i = 0; i < BLOSC2_MAX_FILTERS; ++i) {
    if (!filter_is_known(chunk[chunk_filters_at + i])) {
      refuse(path, "it holds a chunk with the unknown filter " + std::to_string(chunk[chunk_filters_at + i]));
    }
  }
}

void check_frame_header(const std::string& path, std::string_view bytes) {
  if (bytes.size() < shortest_header || std::memcmp(bytes.data() + 2, "b2frame", 8) != 0) {
    refuse(path, "it does not begin with a Blosc2 header");
  }
  const uint64_t frame_length = big_endian<uint64_t>(bytes, frame_length_at);
  if (frame_length != bytes.size()) {
    refuse(path,
           "its header says " + std::to_string(frame_length) + " bytes, the file has " + std::to_string(bytes.size()));
  }
  const uint64_t header_length = big_endian<uint32_t>(bytes, header_length_at);
  const uint64_t compressed_bytes = big_endian<uint64_t>(bytes, compressed_bytes_at);
  if (header_length < shortest_header || header_length > bytes.size() ||
      compressed_bytes > bytes.size() - header_length) {
    refuse(path, "its header is damaged");
  }
  const int codec = bytes[frame_codec_at] & 0xf;
  if (codec > BLOSC_ZSTD || codec == 3) refuse(path, "it uses the unknown codec " + std::to_string(codec));
  for (size_t i = 0; i < BLOSC2_MAX_FILTERS; ++i) {
    const uint8_t filter = bytes[frame_filters_at + 1 + i];
    if (!filter_is_known(filter)) refuse(path, "it uses the unknown filter " + std::to_string(filter));
  }
  const size_t offsets_at = header_length + compressed_bytes;
  if (offsets_at + chunk_header_length <= bytes.size()) {
    check_chunk_header(path, reinterpret_cast<const uint8_t*>(bytes.data()) + offsets_at);
  }
}

/// The element type, after all extents of the array were checked against each other and the file's size.
at::ScalarType check_array(const std::string& path, const b2nd_array_t& array, uint64_t file_bytes) {
  std::string_view name = array.dtype == nullptr ? "" : array.dtype;
  if (array.dtype_format != DTYPE_NUMPY_FORMAT || name.size() != 3 || (name[0] != '<' && name[0] != '|')) {
    refuse(path, "its element type \"" + std::string(name.substr(0, 20)) + "\" is none that voxgrad reads");
  }
  const auto type = type_of_numpy_name(name.substr(1));
  if (!type) refuse(path, "its element type \"" + std::string(name) + "\" is none that voxgrad reads");
  const int64_t element_bytes = static_cast<int64_t>(c10::elementSize(*type));
  if (array.sc->typesize != element_bytes) refuse(path, "its element size does not fit its element type");

  const uint64_t limit = file_bytes * largest_ratio;
  uint64_t bytes = element_bytes, chunk_bytes = element_bytes, chunks = 1;
  bool is_loose = false;
  for (int i = 0; i < array.ndim; ++i) {
    const int64_t extent = array.shape[i], chunk = array.chunkshape[i], block = array.blockshape[i];
    if (extent <= 0 || chunk <= 0 || block <= 0 || block > chunk) refuse(path, "its shape is empty or damaged");
    is_loose |= chunk > extent;
    const uint64_t padded = (uint64_t(chunk) + block - 1) / block * block;
    chunks *= (uint64_t(extent) + chunk - 1) / chunk;
    if (uint64_t(extent) > limit / bytes || padded > uint64_t{BLOSC2_MAX_BUFFERSIZE} / chunk_bytes || chunks > limit) {
      refuse(path, "its header says more data than a file of " + std::to_string(file_bytes) + " bytes can hold");
    }
    bytes *= uint64_t(extent);
    chunk_bytes *= padded;
  }
  if (is_loose && chunk_bytes > largest_loose_chunk) refuse(path, "its chunks are larger than the array");
  const uint64_t memory = uint64_t(sysconf(_SC_PHYS_PAGES)) * uint64_t(sysconf(_SC_PAGESIZE));
  if (bytes > memory) {
    throw Failure("ERR_HOST_MEMORY", path + " holds " + std::to_string(bytes) + " bytes of data, this machine has " +
                                         std::to_string(memory) + " bytes of memory");
  }
  if (uint64_t(array.sc->chunksize) != chunk_bytes || uint64_t(array.sc->nchunks) != chunks) {
    refuse(path, "its chunks do not fit its shape");
  }
  return *type;
}

[[noreturn]] void refuse_chunk(const std::string& path, int64_t index) {
  refuse(path, "chunk " + std::to_string(index) + " is damaged");
}

void check_chunk(const std::string& path, blosc2_schunk* store, int64_t index) {
  uint8_t* chunk = nullptr;
  bool owned = false;
  const int length = blosc2_schunk_get_chunk(store, index, &chunk, &owned);
  const std::unique_ptr<uint8_t, decltype(&std::free)> keep(owned ? chunk : nullptr, &std::free);
  int32_t decoded = 0;
  if (length < int(chunk_header_length) || blosc2_cbuffer_sizes(chunk, &decoded, nullptr, nullptr) < 0 ||
      decoded != store->chunksize) {
    refuse_chunk(path, index);
  }
  check_chunk_header(path, chunk);
}

/// Reads the description of the shape before c-blosc2 does, which does not free its copy of a damaged one.
void check_description(const std::string& path, blosc2_schunk* store) {
  uint8_t* content = nullptr;
  int32_t length = 0;
  if (blosc2_meta_get(store, "b2nd", &content, &length) < 0) refuse(path, "it does not describe its shape");
  const std::unique_ptr<uint8_t, decltype(&std::free)> keep(content, &std::free);
  int8_t axes = 0, type_format = 0;
  int64_t shape[B2ND_MAX_DIM];
  int32_t chunks[B2ND_MAX_DIM], blocks[B2ND_MAX_DIM];
  char* type = nullptr;
  if (b2nd_deserialize_meta(content, length, &axes, shape, chunks, blocks, &type, &type_format) < 0)
    refuse(path, "its description of the shape is damaged");
  std::free(type);
}

/// Opens an array in memory, which must outlive it. Its chunks are still to be checked.
std::pair<Array, at::ScalarType> open_array(const std::string& path, char* bytes, size_t size) {
  check_frame_header(path, {bytes, size});
  // The store looks into the bytes, which it neither changes nor frees.
  ChunkStore store(blosc2_schunk_from_buffer(reinterpret_cast<uint8_t*>(bytes), static_cast<int64_t>(size), false));
  if (!store) refuse(path, "its header or its table of chunks is damaged");
  check_description(path, store.get());
  b2nd_array_t* opened = nullptr;
  if (b2nd_from_schunk(store.get(), &opened) < 0 || opened == nullptr)
    refuse(path, "its description of the shape is damaged");
  store.release();
  Array array(opened);
  const at::ScalarType type = check_array(path, *array, size);
  return {std::move(array), type};
}

/// A file of which only some chunks are read. In memory it has its whole length, but pages that nothing is read into
/// take none. Not mapped, because a mapped file that gets shorter ends the process.
class PartOfFile {
 public:
  explicit PartOfFile(const std::string& path) : file_(path) {
    if (file_.size() < shortest_header) refuse(path, "it does not begin with a Blosc2 header");
    void* memory =
        mmap(nullptr, file_.size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    bytes_ = static_cast<char*>(memory);
    try {
      read_all_but_chunks();
    } catch (...) {
      munmap(bytes_, file_.size());
      throw;
    }
  }
  ~PartOfFile() { munmap(bytes_, file_.size()); }
  PartOfFile(const PartOfFile&) = delete;
  PartOfFile& operator=(const PartOfFile&) = delete;

  char* bytes() const { return bytes_; }
  size_t size() const { return file_.size(); }

  /// Reads a chunk, unless it is constant and stored nowhere.
  void read_chunk(int64_t index) {
    if (index >= static_cast<int64_t>(offsets_.size())) refuse_chunk(file_.path(), index);
    if (offsets_[static_cast<size_t>(index)] < 0) return;
    const auto begin = static_cast<uint64_t>(offsets_[static_cast<size_t>(index)]);
    if (begin + chunk_header_length > compressed_bytes_) refuse_chunk(file_.path(), index);
    read(header_length_ + begin, chunk_header_length);
    int32_t length = 0;
    if (blosc2_cbuffer_sizes(bytes_ + header_length_ + begin, nullptr, &length, nullptr) < 0 ||
        length < int(chunk_header_length) || begin + uint64_t(length) > compressed_bytes_) {
      refuse_chunk(file_.path(), index);
    }
    read(header_length_ + begin, static_cast<size_t>(length));
  }

 private:
  void read(uint64_t at, size_t count) { file_.read(at, bytes_ + at, count); }

  void read_all_but_chunks() {
    read(0, shortest_header);
    const std::string_view header(bytes_, shortest_header);
    header_length_ = big_endian<uint32_t>(header, header_length_at);
    compressed_bytes_ = big_endian<uint64_t>(header, compressed_bytes_at);
    const bool fits = header_length_ <= size() && compressed_bytes_ <= size() - header_length_;
    if (fits) {
      read(0, header_length_);
      read(header_length_ + compressed_bytes_, size() - header_length_ - compressed_bytes_);
    }
    check_frame_header(file_.path(), {bytes_, size()});
    read_offsets();
    // c-blosc2 looks at the header of the first chunk when it opens an array.
    if (!offsets_.empty() && offsets_[0] >= 0 && uint64_t(offsets_[0]) + chunk_header_length <= compressed_bytes_)
      read(header_length_ + uint64_t(offsets_[0]), chunk_header_length);
  }

  void read_offsets() {
    const char* table = bytes_ + header_length_ + compressed_bytes_;
    const auto length = static_cast<int32_t>(
        std::min<uint64_t>(size() - header_length_ - compressed_bytes_, std::numeric_limits<int32_t>::max()));
    int32_t decoded = 0;
    if (length < int(chunk_header_length) || blosc2_cbuffer_sizes(table, &decoded, nullptr, nullptr) < 0 ||
        decoded < 0 || uint64_t(decoded) > table_of_any_file + size() * largest_table_ratio) {
      refuse(file_.path(), "its table of chunks is damaged");
    }
    offsets_.resize(static_cast<size_t>(decoded) / sizeof(int64_t));
    const auto bytes = static_cast<int32_t>(offsets_.size() * sizeof(int64_t));
    const std::unique_ptr<blosc2_context, decltype(&blosc2_free_ctx)> context(
        blosc2_create_dctx(BLOSC2_DPARAMS_DEFAULTS), &blosc2_free_ctx);
    if (!context || blosc2_decompress_ctx(context.get(), table, length, offsets_.data(), bytes) != bytes)
      refuse(file_.path(), "its table of chunks is damaged");
  }

  /// Where chunks begin behind the header; negative for one that is stored nowhere.
  std::vector<int64_t> offsets_;
  InputFile file_;
  char* bytes_ = nullptr;
  uint64_t header_length_ = 0, compressed_bytes_ = 0;
};

/// Numbers of the chunks that the box [start, stop) touches.
std::vector<int64_t> chunks_of_box(const b2nd_array_t& array, const std::vector<int64_t>& start,
                                   const std::vector<int64_t>& stop) {
  std::vector<int64_t> numbers{0};
  for (size_t axis = 0; axis < start.size(); ++axis) {
    const int64_t chunk = array.chunkshape[axis], chunks = (array.shape[axis] + chunk - 1) / chunk;
    std::vector<int64_t> longer;
    for (const int64_t number : numbers) {
      for (int64_t at = start[axis] / chunk; at <= (stop[axis] - 1) / chunk; ++at)
        longer.push_back(number * chunks + at);
    }
    numbers = std::move(longer);
  }
  return numbers;
}

/// Compresses into memory. `filter` is BLOSC_NOFILTER or BLOSC_SHUFFLE; `contiguous` makes a frame that can be a file.
Array compress(const at::Tensor& array, const Blosc2Layout& layout, uint8_t filter, bool contiguous) {
  blosc2_cparams compression = BLOSC2_CPARAMS_DEFAULTS;
  compression.compcode = BLOSC_LZ4HC;
  compression.clevel = 5;
  compression.typesize = static_cast<int32_t>(array.element_size());
  compression.nthreads = 1;
  compression.splitmode = BLOSC_AUTO_SPLIT;
  std::fill(std::begin(compression.filters), std::end(compression.filters), uint8_t{BLOSC_NOFILTER});
  compression.filters[0] = filter;
  blosc2_dparams decompression = BLOSC2_DPARAMS_DEFAULTS;
  blosc2_storage storage = BLOSC2_STORAGE_DEFAULTS;
  storage.contiguous = contiguous;
  storage.cparams = &compression;
  storage.dparams = &decompression;

  const std::vector<int64_t> shape = array.sizes().vec();
  const std::vector<int32_t> chunks(layout.chunks.begin(), layout.chunks.end());
  const std::vector<int32_t> blocks(layout.blocks.begin(), layout.blocks.end());
  std::string name(1, array.element_size() == 1 ? '|' : '<');
  name += *numpy_name_of(array.scalar_type());
  const std::unique_ptr<b2nd_context_t, FreeContext> context(
      b2nd_create_ctx(&storage, static_cast<int8_t>(shape.size()), shape.data(), chunks.data(), blocks.data(),
                      name.c_str(), DTYPE_NUMPY_FORMAT, nullptr, 0));
  b2nd_array_t* result = nullptr;
  if (!context || b2nd_from_cbuffer(context.get(), &result, array.const_data_ptr(), int64_t(array.nbytes())) < 0) {
    throw Failure("ERR_INTERNAL",
                  "c-blosc2 could not compress an array of " + std::to_string(array.nbytes()) + " bytes");
  }
  return Array(result);
}

/// NOFILTER or SHUFFLE, whichever compresses the centered slab of at most one chunk better.
/// Source: nnunetv2/training/dataloading/nnunet_dataset.py, nnUNetDatasetBlosc2._select_filter.
uint8_t choose_filter(const at::Tensor& array, const Blosc2Layout& layout) {
  at::Tensor slab = array;
  Blosc2Layout slab_layout;
  for (int64_t axis = 0; axis < array.dim(); ++axis) {
    const int64_t extent = array.size(axis), length = std::min(layout.chunks[axis], extent);
    slab = slab.narrow(axis, (extent - length) / 2, length);
    slab_layout.chunks.push_back(length);
    slab_layout.blocks.push_back(std::clamp<int64_t>(layout.blocks[axis], 1, length));
  }
  slab = slab.contiguous();
  const int64_t plain = compress(slab, slab_layout, BLOSC_NOFILTER, false)->sc->cbytes;
  const int64_t shuffled = compress(slab, slab_layout, BLOSC_SHUFFLE, false)->sc->cbytes;
  return shuffled < plain ? BLOSC_SHUFFLE : BLOSC_NOFILTER;
}

}  // namespace

at::Tensor read_blosc2(const std::string& path) {
  initialize_once();
  std::string bytes = read_file(path);
  const auto [array, type] = open_array(path, bytes.data(), bytes.size());
  for (int64_t i = 0; i < array->sc->nchunks; ++i) check_chunk(path, array->sc, i);
  at::Tensor result = at::empty(std::vector<int64_t>(array->shape, array->shape + array->ndim), type);
  if (b2nd_to_cbuffer(array.get(), result.mutable_data_ptr(), static_cast<int64_t>(result.nbytes())) < 0) {
    refuse(path, "its compressed data are damaged");
  }
  return result;
}

std::vector<int64_t> blosc2_shape(const std::string& path) {
  initialize_once();
  const PartOfFile file(path);
  const auto [array, type] = open_array(path, file.bytes(), file.size());
  return {array->shape, array->shape + array->ndim};
}

at::Tensor read_blosc2_box(const std::string& path, const std::vector<int64_t>& start,
                           const std::vector<int64_t>& stop) {
  initialize_once();
  PartOfFile file(path);
  const auto [array, type] = open_array(path, file.bytes(), file.size());
  std::vector<int64_t> shape;
  bool fits = start.size() == static_cast<size_t>(array->ndim) && stop.size() == start.size();
  for (size_t axis = 0; fits && axis < start.size(); ++axis) {
    fits = start[axis] >= 0 && start[axis] < stop[axis] && stop[axis] <= array->shape[axis];
    shape.push_back(stop[axis] - start[axis]);
  }
  if (!fits) refuse(path, "it has other extents than before");
  for (const int64_t chunk : chunks_of_box(*array, start, stop)) {
    file.read_chunk(chunk);
    check_chunk(path, array->sc, chunk);
  }
  at::Tensor result = at::empty(shape, type);
  if (b2nd_get_slice_cbuffer(array.get(), start.data(), stop.data(), result.mutable_data_ptr(), shape.data(),
                             static_cast<int64_t>(result.nbytes())) < 0) {
    refuse(path, "its compressed data are damaged");
  }
  return result;
}

void write_blosc2(const std::string& path, const at::Tensor& array, const Blosc2Layout& layout) {
  initialize_once();
  const at::Tensor values = array.to(at::kCPU).contiguous();
  const size_t axes = static_cast<size_t>(values.dim());
  if (!numpy_name_of(values.scalar_type()) || axes == 0 || axes > B2ND_MAX_DIM || layout.chunks.size() != axes ||
      layout.blocks.size() != axes || values.numel() == 0) {
    throw Failure("ERR_INTERNAL", "cannot write " + path +
                                      ": an array of numbers with one chunk and block extent per " +
                                      "axis is needed, found " + std::to_string(axes) + " axes, " +
                                      std::to_string(layout.chunks.size()) + " chunk extents");
  }
  const Array compressed = compress(values, layout, choose_filter(values, layout), true);
  uint8_t* frame = nullptr;
  int64_t length = 0;
  bool owned = false;
  if (b2nd_to_cframe(compressed.get(), &frame, &length, &owned) < 0) {
    throw Failure("ERR_INTERNAL", "c-blosc2 could not make a file of an array for " + path);
  }
  const std::unique_ptr<uint8_t, decltype(&std::free)> keep(owned ? frame : nullptr, &std::free);
  write_atomically(path, std::string_view(reinterpret_cast<const char*>(frame), static_cast<size_t>(length)));
}

}  // namespace voxgrad::io
