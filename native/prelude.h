// Precompiled header of every native target: ATen's tensors and operators, autograd's entry, and the standard library
// that all files use. Nothing of torch/torch.h, which takes 25 s a file.
#pragma once
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>
