// Gloo, c10d's backend of the CPU. Compiled with Gloo's headers where they are installed (Debian: libgloo-dev).
#include "dist/meeting.h"
#include "dist/process_group.h"
#include "failure.h"

#ifdef USE_C10D_GLOO
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#endif

namespace voxgrad {

bool has_gloo() {
#ifdef USE_C10D_GLOO
  return true;
#else
  return false;
#endif
}

#ifdef USE_C10D_GLOO
namespace {
bool is_loopback(const in_addr& address) { return ntohl(address.s_addr) >> 24 == 127; }

std::string text_of(const in_addr& address) {
  char text[INET_ADDRSTRLEN];
  return inet_ntop(AF_INET, &address, text, sizeof(text));
}

/// This host's IPv4 address that the ranks' meeting place is reached from; empty if there is none. A host's own name
/// often resolves to a loopback address (Debian's 127.0.1.1), which other hosts cannot reach.
std::string address_towards(const std::string& meeting_place) {
  addrinfo hints{}, *found = nullptr;
  hints.ai_family = AF_INET;
  hints.ai_socktype = SOCK_DGRAM;
  if (getaddrinfo(meeting_place.c_str(), "9", &hints, &found) != 0) return "";
  sockaddr_in own{};
  socklen_t length = sizeof(own);
  const int socket = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  // Connecting a datagram socket sends nothing; it only looks up the route.
  const bool is_known = connect(socket, found->ai_addr, found->ai_addrlen) == 0 &&
                        getsockname(socket, reinterpret_cast<sockaddr*>(&own), &length) == 0;
  close(socket);
  freeaddrinfo(found);
  if (!is_known) return "";
  const bool is_meant = meeting_place.rfind("127.", 0) == 0 || meeting_place == "localhost";
  if (!is_loopback(own.sin_addr) || is_meant) return text_of(own.sin_addr);
  ifaddrs* interfaces = nullptr;
  if (getifaddrs(&interfaces) != 0) return "";
  std::string outer;
  for (const ifaddrs* each = interfaces; each && outer.empty(); each = each->ifa_next) {
    if (!each->ifa_addr || each->ifa_addr->sa_family != AF_INET || !(each->ifa_flags & IFF_UP)) continue;
    const in_addr& address = reinterpret_cast<const sockaddr_in*>(each->ifa_addr)->sin_addr;
    if (!is_loopback(address)) outer = text_of(address);
  }
  freeifaddrs(interfaces);
  return outer;
}

/// The network device: GLOO_SOCKET_IFNAME, as everywhere in PyTorch, else the one towards the meeting place.
std::shared_ptr<gloo::transport::Device> open_device(const std::string& meeting_place) {
  using c10d::ProcessGroupGloo;
  if (const char* name = std::getenv("GLOO_SOCKET_IFNAME")) return ProcessGroupGloo::createDeviceForInterface(name);
  const std::string address = address_towards(meeting_place);
  return address.empty() ? ProcessGroupGloo::createDefaultDevice() : ProcessGroupGloo::createDeviceForHostname(address);
}
}  // namespace
#endif

c10::intrusive_ptr<c10d::Backend> join_gloo(const RanksConfig& config, at::Device) {
#ifdef USE_C10D_GLOO
  const auto timeout = std::chrono::milliseconds(static_cast<int64_t>(1000 * config.timeoutSeconds));
  const auto gloo = c10d::ProcessGroupGloo::Options::create(timeout);
  gloo->devices = {open_device(config.address)};
  return c10::make_intrusive<c10d::ProcessGroupGloo>(store_of(config), static_cast<int>(config.rank),
                                                     static_cast<int>(config.ranks), gloo);
#else
  throw Failure("ERR_CONFIG",
                "devices: expected 1, found " + std::to_string(config.ranks) +
                    ", because this build is without Gloo. Install its headers (apt-get install libgloo-dev) and set "
                    "voxgrad up again");
#endif
}

}  // namespace voxgrad
