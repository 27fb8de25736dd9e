// Small cases and a small configuration made in memory, for the engine's own checks and benchmarks.
#pragma once
#include <vector>

#include "data/case_store.h"
#include "engine/config.h"

namespace voxgrad::check {

/// `count` cases of two touching bright ellipsoids (labels 1 and 2) in noise, `shape` voxels each.
std::vector<Case> synthetic_cases(int64_t count, std::array<int64_t, 3> shape, uint64_t seed, at::Device device);

/// Writes cases into a folder as preprocessing does, with chunks that suit patches of this size.
void write_cases(const std::string& folder, const std::vector<Case>& cases, const std::vector<int64_t>& patch_size);

/// nnU-Net's defaults with the features of the `tiny` preset on a patch that can be halved twice.
TrainerConfig synthetic_config(const std::string& device, std::vector<int64_t> patch_size,
                               std::vector<int64_t> features);

/// Adds to a chain whatever DA5 has more than the default one, often enough to meet all of it in a few steps.
void add_da5_transforms(augment::AugmentationConfig& config);

/// Gives the network the cases' own labels as a previous stage's, with all that training does to them.
void make_cascade(TrainerConfig& config, std::vector<Case>& cases);

/// Turns the labels into two overlapping regions, and label 3 into one that is not annotated.
void make_sparse_regions(TrainerConfig& config, std::vector<Case>& cases);

}  // namespace voxgrad::check
