// The libraries that npm run build:cuda makes, where whether one is there must be known without opening it: that would
// make a process of CUDA out of it. find_in_library() in launch.h opens them.
#pragma once
#include <string>

namespace voxgrad {

bool is_library_there(const std::string& library);

}  // namespace voxgrad
