// Starting a training from another run's weights.
#pragma once
#include <string>

#include "engine/network.h"

namespace voxgrad::addon {

/// Copies the weights of a checkpoint of nnU-Net or voxgrad into a network, all but those of the segmentation layers,
/// whose number of classes may differ. Throws Failure(ERR_CHECKPOINT) that names every weight that is missing or has
/// another shape; then nothing has changed. Source: nnU-Net, run/load_pretrained_weights.py.
void load_pretrained(const Network& network, const std::string& path);

}  // namespace voxgrad::addon
