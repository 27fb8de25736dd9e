// Reads and writes stored zip archives by PKWARE's APPNOTE.TXT (sections 4.3 and 4.5.3).
#include "io/stored_zip.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <string_view>

#include "failure.h"
#include "io/crc32.h"

namespace voxgrad::io {

namespace {

constexpr uint32_t local_signature = 0x04034b50;
constexpr uint32_t central_signature = 0x02014b50;
constexpr uint32_t end_signature = 0x06054b50;
constexpr uint32_t end64_signature = 0x06064b50;
constexpr uint32_t locator64_signature = 0x07064b50;
constexpr size_t local_bytes = 30, central_bytes = 46, end_bytes = 22, end64_bytes = 56, locator64_bytes = 20;
constexpr std::string_view comment_start = "voxgrad crc32 ";
constexpr size_t comment_bytes = comment_start.size() + 8;
constexpr uint32_t in_zip64 = 0xffffffff;
constexpr uint64_t alignment = 64;
constexpr uint64_t most_directory_bytes = uint64_t{1} << 28;

uint64_t number_at(const std::string& bytes, size_t at, size_t count) {
  uint64_t value = 0;
  for (size_t i = 0; i < count; ++i) value |= uint64_t{static_cast<uint8_t>(bytes[at + i])} << (8 * i);
  return value;
}

void put(std::string& bytes, uint64_t value, size_t count) {
  for (size_t i = 0; i < count; ++i) bytes += static_cast<char>(value >> (8 * i));
}

std::string read_part(const InputFile& file, uint64_t at, uint64_t count) {
  if (at > file.size() || count > file.size() - at) throw Failure("ERR_FORMAT", file.path() + " is truncated");
  std::string bytes(count, '\0');
  file.read(at, bytes.data(), count);
  return bytes;
}

/// The archive comment for a file whose bytes before it have this checksum.
std::string comment_of(uint32_t checksum) {
  char digits[9];
  std::snprintf(digits, sizeof digits, "%08x", checksum);
  return std::string(comment_start) + digits;
}

/// Where the central directory lies.
struct Directory {
  uint64_t at, bytes, entries;
};

}  // namespace

void ZipReader::refuse(const std::string& reason) const { throw Failure("ERR_FORMAT", file_.path() + " " + reason); }

uint32_t ZipReader::checksum_of(uint64_t at, uint64_t bytes) const {
  std::string part(std::min<uint64_t>(bytes, uint64_t{1} << 20), '\0');
  uint32_t checksum = 0;
  for (uint64_t done = 0; done < bytes;) {
    const uint64_t count = std::min<uint64_t>(part.size(), bytes - done);
    file_.read(at + done, part.data(), count);
    checksum = crc32(checksum, part.data(), count);
    done += count;
  }
  return checksum;
}

uint64_t ZipReader::find_end() {
  if (file_.size() < end_bytes) refuse("has no table of contents: it is truncated or was not written by torch.save");
  uint64_t end = file_.size() - end_bytes;
  if (file_.size() >= end_bytes + comment_bytes) {
    const uint64_t comment_at = file_.size() - comment_bytes;
    const std::string comment = read_part(file_, comment_at, comment_bytes);
    if (comment.starts_with(comment_start)) {
#ifndef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
      if (comment != comment_of(checksum_of(0, comment_at))) {
        refuse("is damaged: the checksum of the whole file does not match");
      }
#endif
      whole_ = true;
      end = comment_at - end_bytes;
    }
  }
  const std::string record = read_part(file_, end, end_bytes);
  if (number_at(record, 0, 4) != end_signature || number_at(record, 20, 2) != (whole_ ? comment_bytes : 0)) {
    refuse("has no table of contents at its end: it is damaged, truncated or was not written by torch.save");
  }
  return end;
}

ZipReader::ZipReader(const std::string& path) : file_(path) {
  const uint64_t end = find_end();
  const std::string record = read_part(file_, end, end_bytes);
  Directory directory{number_at(record, 16, 4), number_at(record, 12, 4), number_at(record, 10, 2)};
  if (end >= locator64_bytes) {
    const std::string locator = read_part(file_, end - locator64_bytes, locator64_bytes);
    if (number_at(locator, 0, 4) == locator64_signature) {
      const std::string end64 = read_part(file_, number_at(locator, 8, 8), end64_bytes);
      if (number_at(end64, 0, 4) != end64_signature) refuse("has a damaged table of contents");
      directory = {number_at(end64, 48, 8), number_at(end64, 40, 8), number_at(end64, 32, 8)};
    }
  }
  if (directory.bytes > most_directory_bytes || directory.entries > directory.bytes / central_bytes) {
    refuse("has a damaged table of contents");
  }

  const std::string central = read_part(file_, directory.at, directory.bytes);
  size_t at = 0;
  uint64_t total_bytes = 0;
  for (uint64_t i = 0; i < directory.entries; ++i) {
    if (central.size() - at < central_bytes || number_at(central, at, 4) != central_signature) {
      refuse("has a damaged table of contents");
    }
    const size_t name_bytes = number_at(central, at + 28, 2), extra_bytes = number_at(central, at + 30, 2),
                 remark_bytes = number_at(central, at + 32, 2);
    if (central.size() - at - central_bytes < name_bytes + extra_bytes + remark_bytes) {
      refuse("has a damaged table of contents");
    }
    Entry entry{central.substr(at + central_bytes, name_bytes), number_at(central, at + 24, 4),
                static_cast<uint32_t>(number_at(central, at + 16, 4)), number_at(central, at + 42, 4)};
    uint64_t stored_bytes = number_at(central, at + 20, 4);
    const size_t extra_end = at + central_bytes + name_bytes + extra_bytes;
    for (size_t extra = extra_end - extra_bytes; extra + 4 <= extra_end;) {
      const uint64_t id = number_at(central, extra, 2), length = number_at(central, extra + 2, 2);
      size_t field = extra + 4;
      extra = field + length;
      if (id != 1 || extra > extra_end) continue;
      for (uint64_t* value : {&entry.size, &stored_bytes, &entry.header_at}) {
        if (*value == in_zip64 && field + 8 <= extra) {
          *value = number_at(central, field, 8);
          field += 8;
        }
      }
    }
    const uint64_t flags = number_at(central, at + 8, 2), method = number_at(central, at + 10, 2);
    if (method != 0 || (flags & 1) != 0 || stored_bytes != entry.size) {
      refuse("holds the record " + entry.name + " in compressed or encrypted form, which torch.save does not write");
    }
    if (entry.size > file_.size() - total_bytes) refuse("is truncated: its records are larger than the file");
    total_bytes += entry.size;
    entries_.push_back(std::move(entry));
    at = extra_end + remark_bytes;
  }
}

const ZipReader::Entry* ZipReader::find(const std::string& name) const {
  for (const Entry& entry : entries_) {
    if (entry.name == name) return &entry;
  }
  return nullptr;
}

uint64_t ZipReader::data_at(const Entry& entry) const {
  const std::string header = read_part(file_, entry.header_at, local_bytes);
  const uint64_t name_bytes = number_at(header, 26, 2), extra_bytes = number_at(header, 28, 2);
  if (number_at(header, 0, 4) != local_signature || name_bytes != entry.name.size() ||
      read_part(file_, entry.header_at + local_bytes, name_bytes) != entry.name) {
    refuse("is damaged where its record " + entry.name + " should begin");
  }
  const uint64_t at = entry.header_at + local_bytes + name_bytes + extra_bytes;
  if (at > file_.size() || entry.size > file_.size() - at) {
    refuse("is truncated in its record " + entry.name);
  }
  return at;
}

void ZipReader::check_sum(const Entry& entry, uint32_t found) const {
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION  // a mutated record is read on, so that its reader sees it
  (void)entry, (void)found;
#else
  if (found != entry.checksum) refuse("is damaged: the checksum of its record " + entry.name + " does not match");
#endif
}

void ZipReader::read(const Entry& entry, void* bytes) const {
  file_.read(data_at(entry), bytes, entry.size);
  if (!whole_) check_sum(entry, crc32(0, bytes, entry.size));
}

std::string ZipReader::read_text(const Entry& entry) const {
  std::string bytes(entry.size, '\0');
  read(entry, bytes.data());
  return bytes;
}

void ZipReader::verify(const Entry& entry) const {
  if (!whole_) check_sum(entry, checksum_of(data_at(entry), entry.size));
}

namespace {

/// The fields that local and central headers share, from the version that is needed on. Sizes and position stand in the
/// zip64 extra field alone, as readers of any size of file expect them.
void put_common(std::string& bytes, uint32_t checksum, const std::string& name, size_t extra_bytes) {
  put(bytes, 45, 2);            // version 4.5: zip64
  put(bytes, 1 << 11, 2);       // names are UTF-8
  put(bytes, 0, 2);             // stored
  put(bytes, 0, 2);             // time
  put(bytes, (1 << 5) | 1, 2);  // 1980-01-01: the same content always gives the same file
  put(bytes, checksum, 4);
  put(bytes, in_zip64, 4);
  put(bytes, in_zip64, 4);
  put(bytes, name.size(), 2);
  put(bytes, extra_bytes, 2);
}

std::string local_header(const ZipSource& source, uint32_t checksum, uint64_t at) {
  constexpr uint64_t zip64_field = 4 + 16, padding_field = 4;
  const uint64_t unpadded = at + local_bytes + source.name.size() + zip64_field + padding_field;
  const uint64_t padding = (alignment - unpadded % alignment) % alignment;
  std::string bytes;
  put(bytes, local_signature, 4);
  put_common(bytes, checksum, source.name, zip64_field + padding_field + padding);
  bytes += source.name;
  put(bytes, 1, 2);
  put(bytes, 16, 2);
  put(bytes, source.size, 8);
  put(bytes, source.size, 8);
  bytes += "FB";  // PyTorch's own extra field for padding
  put(bytes, padding, 2);
  bytes.append(padding, 'Z');
  return bytes;
}

std::string central_header(const ZipSource& source, uint32_t checksum, uint64_t at) {
  std::string bytes;
  put(bytes, central_signature, 4);
  put(bytes, 45, 2);
  put_common(bytes, checksum, source.name, 4 + 24);
  bytes.append(2 + 2 + 2 + 4, '\0');  // no comment, disk 0, no attributes
  put(bytes, in_zip64, 4);
  bytes += source.name;
  put(bytes, 1, 2);
  put(bytes, 24, 2);
  put(bytes, source.size, 8);
  put(bytes, source.size, 8);
  put(bytes, at, 8);
  return bytes;
}

std::string end_records(uint64_t entries, uint64_t directory_at, uint64_t directory_bytes) {
  const uint64_t end64_at = directory_at + directory_bytes;
  std::string bytes;
  put(bytes, end64_signature, 4);
  put(bytes, end64_bytes - 12, 8);
  put(bytes, 45, 2);
  put(bytes, 45, 2);
  put(bytes, 0, 8);
  put(bytes, entries, 8);
  put(bytes, entries, 8);
  put(bytes, directory_bytes, 8);
  put(bytes, directory_at, 8);
  put(bytes, locator64_signature, 4);
  put(bytes, 0, 4);
  put(bytes, end64_at, 8);
  put(bytes, 1, 4);
  put(bytes, end_signature, 4);
  put(bytes, 0, 4);
  put(bytes, 0xffff, 2);
  put(bytes, 0xffff, 2);
  put(bytes, in_zip64, 4);
  put(bytes, in_zip64, 4);
  put(bytes, comment_bytes, 2);
  return bytes;
}

}  // namespace

void write_zip(const std::string& path, const std::vector<ZipSource>& sources) {
  std::string directory;
  std::vector<std::string> headers;
  uint64_t at = 0;
  for (const ZipSource& source : sources) {
    const uint32_t checksum = crc32(0, source.bytes, source.size);
    headers.push_back(local_header(source, checksum, at));
    directory += central_header(source, checksum, at);
    at += headers.back().size() + source.size;
  }
  const std::string end = end_records(sources.size(), at, directory.size());
  write_atomically(path, at + directory.size() + end.size() + comment_bytes, [&](const Sink& sink) {
    uint32_t checksum = 0;
    const auto write = [&](const void* bytes, size_t count) {
      sink(bytes, count);
      checksum = crc32(checksum, bytes, count);
    };
    for (size_t i = 0; i < sources.size(); ++i) {
      write(headers[i].data(), headers[i].size());
      write(sources[i].bytes, sources[i].size);
    }
    write(directory.data(), directory.size());
    write(end.data(), end.size());
    const std::string comment = comment_of(checksum);
    sink(comment.data(), comment.size());
  });
}

}  // namespace voxgrad::io
