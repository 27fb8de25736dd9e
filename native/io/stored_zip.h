// Zip archives whose entries are stored uncompressed: the container of torch.save. With zip64 for large files.
// Ours end with an archive comment, "voxgrad crc32 1a2b3c4d": the CRC-32 of all bytes before the comment. It covers
// what the records' own checksums leave out (headers, names, padding, the table of contents), so that no damaged bit,
// missing end or appended byte passes. Readers of zip files ignore the comment.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "io/files.h"

namespace voxgrad::io {

/// An archive open for reading: verified as a whole if it has our comment, else record by record as they are read. A
/// file that ends with anything but our comment or an end record without one is refused. All functions throw
/// Failure(ERR_FORMAT) that names the file and the entry.
class ZipReader {
 public:
  struct Entry {
    std::string name;
    uint64_t size;
    uint32_t checksum;
    uint64_t header_at;
  };

  explicit ZipReader(const std::string& path);

  const std::vector<Entry>& entries() const { return entries_; }
  /// The entry of this name, or nullptr.
  const Entry* find(const std::string& name) const;
  /// Reads the entry's `size` bytes and verifies its checksum, unless the whole file's was.
  void read(const Entry& entry, void* bytes) const;
  std::string read_text(const Entry& entry) const;
  /// The same for an entry that nobody reads.
  void verify(const Entry& entry) const;

 private:
  uint64_t data_at(const Entry& entry) const;
  /// Where the end record begins, after the check of the whole file.
  uint64_t find_end();
  uint32_t checksum_of(uint64_t at, uint64_t bytes) const;
  [[noreturn]] void refuse(const std::string& reason) const;
  void check_sum(const Entry& entry, uint32_t found) const;

  InputFile file_;
  bool whole_ = false;  // verified by the comment
  std::vector<Entry> entries_;
};

/// What is to be written; `bytes` must live until the archive is written.
struct ZipSource {
  std::string name;
  const void* bytes;
  uint64_t size;
};

/// Writes atomically, each entry's data at a multiple of 64 bytes, as torch.save aligns storages.
void write_zip(const std::string& path, const std::vector<ZipSource>& sources);

}  // namespace voxgrad::io
