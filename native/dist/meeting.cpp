// The store, over TCP (c10d's TCPStore).
#include "dist/meeting.h"

#include <map>
#include <mutex>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include "failure.h"

namespace voxgrad {

namespace {
using Store = c10::intrusive_ptr<c10d::Store>;

Store connect(const RanksConfig& config, bool host) {
  c10d::TCPStoreOptions options;
  options.port = static_cast<uint16_t>(config.port);
  options.isServer = host;
  options.waitWorkers = false;
  options.timeout = std::chrono::milliseconds(static_cast<int64_t>(1000 * config.timeoutSeconds));
  // libtorch's calls of libuv would bind to Node's own.
  options.useLibUV = false;
  return c10::make_intrusive<c10d::TCPStore>(config.address, options);
}

Store of_attempt(const RanksConfig& config, const Store& store) {
  return c10::make_intrusive<c10d::PrefixStore>("voxgrad/" + config.attempt, store);
}

template <class Call>
auto with_failures(const RanksConfig& config, const std::string& what, Call&& call) {
  try {
    return call();
  } catch (const std::exception& error) {
    const std::string reason = error.what();
    throw Failure("ERR_RANK", "rank " + std::to_string(config.rank) + " of " + std::to_string(config.ranks) + ": " +
                                  what + " at " + config.address + ":" + std::to_string(config.port) + ": " +
                                  reason.substr(0, reason.find('\n')));
  }
}
}  // namespace

Store store_of(const RanksConfig& config) {
  static std::mutex mutex;
  static std::map<std::string, Store> stores;
  const std::lock_guard lock(mutex);
  Store& store = stores[config.address + ":" + std::to_string(config.port)];
  if (!store)
    store = with_failures(config, "the ranks' meeting place is not reached",
                          [&] { return connect(config, config.hostsStore); });
  return of_attempt(config, store);
}

void leave_text(const RanksConfig& config, const std::string& name, const std::string& text) {
  const Store store = store_of(config);
  with_failures(config, "a message cannot be left",
                [&] { store->set(name, std::vector<uint8_t>(text.begin(), text.end())); });
}

namespace {
std::string read_text(const Store& store, const std::string& name) {
  const std::vector<uint8_t> text = store->get(name);
  return {text.begin(), text.end()};
}
}  // namespace

std::string await_text(const RanksConfig& config, const std::string& name, double seconds) {
  store_of(config);  // where this rank hosts it, it must be open
  return with_failures(config, "a message did not come", [&] {
    // A connection waits for one answer at a time. Those that are free again are kept: making one may look up names,
    // which takes seconds where no name server answers.
    static std::mutex mutex;
    static std::multimap<std::string, Store> free;
    const std::string place = config.address + ":" + std::to_string(config.port);
    Store connection;
    {
      const std::lock_guard lock(mutex);
      if (const auto found = free.find(place); found != free.end()) connection = free.extract(found).mapped();
    }
    if (!connection) connection = connect(config, false);
    const Store store = of_attempt(config, connection);
    store->wait({name}, std::chrono::milliseconds(static_cast<int64_t>(1000 * seconds)));
    const std::string text = read_text(store, name);
    const std::lock_guard lock(mutex);
    free.emplace(place, connection);
    return text;
  });
}

std::optional<std::string> find_text(const RanksConfig& config, const std::string& name) {
  const Store store = store_of(config);
  return with_failures(config, "the ranks' meeting place is gone", [&]() -> std::optional<std::string> {
    if (!store->check({name})) return std::nullopt;
    return read_text(store, name);
  });
}

}  // namespace voxgrad
