// Between JavaScript values and io::Value trees.
#pragma once
#include <napi.h>

#include "io/value.h"

namespace voxgrad::addon {

/// Integral numbers become integers, others doubles; arrays lists; plain objects dicts with text keys in their order
/// (fields that are undefined are left out); null and undefined None; typed arrays 1-D NumPy arrays (copied).
/// Throws Failure(ERR_CONFIG) that names the place of anything else.
io::Value to_value(const Napi::Value& value);

/// Dicts become objects (keys that are no text as Python spells them: "1", "(1, 2)"), lists and tuples arrays, tensors
/// and NumPy arrays { data, shape } (half and bfloat16 as float32), devices their name. Integers beyond 2^53 become
/// bigints.
Napi::Value to_js(Napi::Env env, const io::Value& value);

/// { data: typed array, shape }, the form of NativeTensor. The array takes over the tensor's memory (the caller must
/// not write to it any more); only a view of a larger or shared storage is copied.
Napi::Object tensor_to_js(Napi::Env env, const at::Tensor& tensor);

}  // namespace voxgrad::addon
