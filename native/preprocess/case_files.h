// A prepared case as the three files that nnU-Net's training reads: CASE.b2nd, CASE_seg.b2nd, CASE.pkl.
#pragma once
#include <string>
#include <vector>

#include "io/value.h"
#include "preprocess/case.h"
#include "preprocess/class_locations.h"

namespace voxgrad::preprocess {

/// Draws the class locations and writes the three files into an existing folder, the pickle last.
/// `patch_size` decides chunks and blocks of the arrays. `geometry` is a Dict whose entries go into the pickle as they
/// are (sitk_stuff or nibabel_stuff). Throws Failure(ERR_DISK). Source: nnU-Net, default_preprocessor.py,
/// run_case_save; training/dataloading/nnunet_dataset.py, save_case.
void write_case(const std::string& folder, const std::string& case_id, const PreparedCase& prepared,
                const std::vector<LocationKey>& keys, const std::vector<int64_t>& patch_size,
                const io::Value& geometry);

/// Writes the pickle of a case that was predicted: what is known of its grid, without class locations. Throws
/// Failure(ERR_DISK).
void write_properties(const std::string& path, const CaseProperties& properties, const io::Value& geometry);

}  // namespace voxgrad::preprocess
