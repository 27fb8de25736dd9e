// NumPy's and torch.save's names of element types, and ATen's.
#pragma once
#include <c10/core/ScalarType.h>

#include <optional>
#include <string>
#include <string_view>

namespace voxgrad::io {

/// "f4" -> Float; nothing for what has no fixed numeric layout (objects, text, complex numbers, dates).
std::optional<at::ScalarType> type_of_numpy_name(std::string_view name);
/// Float -> "f4"; nothing for types that NumPy lacks (bfloat16).
std::optional<std::string> numpy_name_of(at::ScalarType type);

/// "FloatStorage" -> Float; nothing for other names.
std::optional<at::ScalarType> type_of_storage_name(std::string_view name);
/// Float -> "FloatStorage"; nothing for types that torch.save stores otherwise.
std::optional<std::string> storage_name_of(at::ScalarType type);

}  // namespace voxgrad::io
