// Saves without training, for tests that end or fail the program in the middle of one.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace voxgrad::check {

/// Writes `saves` checkpoints by turns as checkpoint_latest.pth and checkpoint_best.pth of the folder, with the number
/// of the save and tensors of `megabytes` in all, and prints "saved NUMBER latest" or "... best" after each.
void write_saves(const std::string& folder, int64_t saves, int64_t megabytes);

/// Prints what each folder holds: "latest NUMBER", "latest missing" or "latest damaged: reason", and so of best.
void print_saves(const std::vector<std::string>& folders);

}  // namespace voxgrad::check
