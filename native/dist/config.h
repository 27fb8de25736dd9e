// Which of the processes that train one network together this one is, as final values.
#pragma once
#include <cstdint>
#include <string>

namespace voxgrad {

/// Spelled as RanksConfig in src/native/binding.ts. With one rank the rest is not looked at.
struct RanksConfig {
  int64_t rank;
  int64_t ranks;
  std::string address;  // where the ranks meet: the host of the store, and its port
  int64_t port;
  bool hostsStore;        // this rank runs the store; otherwise somebody else does
  std::string attempt;    // ranks of another attempt of the same run do not meet these
  double timeoutSeconds;  // the longest wait for the other ranks

  template <class Visitor>
  static void fields(Visitor&& visit) {
    visit("rank", &RanksConfig::rank);
    visit("ranks", &RanksConfig::ranks);
    visit("address", &RanksConfig::address);
    visit("port", &RanksConfig::port);
    visit("hostsStore", &RanksConfig::hostsStore);
    visit("attempt", &RanksConfig::attempt);
    visit("timeoutSeconds", &RanksConfig::timeoutSeconds);
  }
};

}  // namespace voxgrad
