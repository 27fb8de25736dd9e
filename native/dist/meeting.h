// Texts that the ranks of a group leave for each other, on the store where they meet.
#pragma once
#include <optional>
#include <string>
#include <torch/csrc/distributed/c10d/Store.hpp>

#include "dist/config.h"

namespace voxgrad {

/// The store of a group, connected: the first call on the rank that hosts it opens it. It lives as long as the process.
/// Throws Failure(ERR_RANK) where it cannot be reached within the group's timeout.
c10::intrusive_ptr<c10d::Store> store_of(const RanksConfig& config);

void leave_text(const RanksConfig& config, const std::string& name, const std::string& text);
/// Waits for a text, on a connection of its own. Throws Failure(ERR_RANK) where it does not come in time, or the store
/// is gone.
std::string await_text(const RanksConfig& config, const std::string& name, double seconds);
/// A text, if it is there by now. Throws Failure(ERR_RANK) where the store is gone.
std::optional<std::string> find_text(const RanksConfig& config, const std::string& name);

}  // namespace voxgrad
