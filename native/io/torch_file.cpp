// torch.save's container: data.pkl, whose tensors refer to storages, and one record a storage.
#include "io/torch_file.h"

#include <ATen/ops/empty.h>

#include <map>
#include <set>

#include "failure.h"
#include "io/element_types.h"
#include "io/pickle.h"

namespace voxgrad::io {

namespace {

[[noreturn]] void refuse(const std::string& path, const std::string& reason) {
  throw Failure("ERR_FORMAT", path + " " + reason);
}

Value read_records(const std::string& path) {
  const ZipReader zip(path);
  std::string top;
  for (const ZipReader::Entry& entry : zip.entries()) {
    const size_t slash = entry.name.find('/');
    if (slash != std::string::npos && entry.name.substr(slash + 1) == "data.pkl") top = entry.name.substr(0, slash + 1);
  }
  const ZipReader::Entry* pickle = zip.find(top + "data.pkl");
  if (pickle == nullptr) refuse(path, "holds no data.pkl: it was not written by torch.save");

  std::set<const ZipReader::Entry*> verified;
  const auto read_text = [&](const ZipReader::Entry* entry) {
    verified.insert(entry);
    return zip.read_text(*entry);
  };
  if (const auto* order = zip.find(top + "byteorder"); order != nullptr && read_text(order) != "little") {
    refuse(path, "was written on a big-endian machine");
  }

  std::map<std::string, at::Tensor> storages;
  const auto read_storage = [&](const std::string& type_name, const std::string& key, int64_t count) {
    const at::ScalarType type = *type_of_storage_name(type_name);
    at::Tensor& storage = storages[key];
    if (!storage.defined()) {
      const ZipReader::Entry* entry = zip.find(top + "data/" + key);
      if (entry == nullptr) refuse(path, "lacks its record data/" + key);
      if (entry->size % c10::elementSize(type) != 0 || entry->size / c10::elementSize(type) != uint64_t(count)) {
        refuse(path, "has the wrong size in its record data/" + key + ": expected " + std::to_string(count) +
                         " elements of " + c10::toString(type) + ", found " + std::to_string(entry->size) + " bytes");
      }
      storage = at::empty({count}, type);
      zip.read(*entry, storage.mutable_data_ptr());
      verified.insert(entry);
    }
    if (storage.scalar_type() != type || storage.numel() != count) {
      refuse(path, "describes its record data/" + key + " in two ways");
    }
    return storage;
  };
  Value value = read_pickle(read_text(pickle), path + ", record data.pkl", read_storage);
  for (const ZipReader::Entry& entry : zip.entries()) {
    if (!verified.contains(&entry)) zip.verify(entry);
  }
  return value;
}

/// "checkpoint_final" of "folder/checkpoint_final.pth": torch.save's name for the top folder.
std::string stem_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  const std::string name = slash == std::string::npos ? path : path.substr(slash + 1);
  const size_t dot = name.rfind('.');
  return dot == std::string::npos || dot == 0 ? name : name.substr(0, dot);
}

/// Numbers the distinct tensors of a tree and keeps their bytes. Two tensors are the same if they look at the same
/// memory in the same way.
class StorageCollector {
 public:
  /// The tensor's key.
  std::string add(const at::Tensor& tensor) {
    const auto [entry, is_new] =
        keys_.try_emplace({tensor.const_data_ptr(), tensor.scalar_type(), tensor.sizes().vec(), tensor.strides().vec()},
                          storages_.size());
    if (is_new) storages_.push_back(tensor.detach().to(at::kCPU).contiguous());
    return std::to_string(entry->second);
  }

  const std::vector<at::Tensor>& storages() const { return storages_; }

 private:
  using Identity = std::tuple<const void*, at::ScalarType, std::vector<int64_t>, std::vector<int64_t>>;
  std::map<Identity, size_t> keys_;
  std::vector<at::Tensor> storages_;
};

}  // namespace

Value read_torch_file(const std::string& path) {
  try {
    return read_records(path);
  } catch (const Failure& failure) {
    throw Failure(failure.code() == "ERR_FORMAT" ? "ERR_CHECKPOINT" : failure.code(), failure.what());
  }
}

TorchFile::TorchFile(const Value& value) {
  StorageCollector collector;
  pickle_ = write_pickle(value, [&](const at::Tensor& tensor) { return collector.add(tensor); });
  storages_ = collector.storages();
}

std::vector<ZipSource> TorchFile::records(const std::string& path) const {
  static constexpr std::string_view byte_order = "little", version = "3\n";
  const std::string top = stem_of(path) + "/";
  std::vector<ZipSource> records{{top + "data.pkl", pickle_.data(), pickle_.size()},
                                 {top + "byteorder", byte_order.data(), byte_order.size()}};
  for (size_t i = 0; i < storages_.size(); ++i) {
    records.push_back({top + "data/" + std::to_string(i), storages_[i].const_data_ptr(), storages_[i].nbytes()});
  }
  records.push_back({top + "version", version.data(), version.size()});
  return records;
}

uint64_t TorchFile::bytes() const {
  uint64_t bytes = pickle_.size();
  for (const at::Tensor& storage : storages_) bytes += storage.nbytes();
  return bytes;
}

void TorchFile::write(const std::string& path) const { write_zip(path, records(path)); }

void write_torch_file(const std::string& path, const Value& value) { TorchFile(value).write(path); }

}  // namespace voxgrad::io
