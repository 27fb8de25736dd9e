// fingerprintCase, intensityStatistics, preprocessToFolder, preprocessForPrediction, exportSegmentation,
// exportProbabilities and writeProperties. All run on libuv's pool and read the images where JavaScript holds them.
#include "addon/convert.h"
#include "addon/registers.h"
#include "addon/value_convert.h"
#include "preprocess/case.h"
#include "preprocess/case_files.h"
#include "preprocess/class_locations.h"
#include "preprocess/export.h"
#include "preprocess/export_probabilities.h"
#include "preprocess/fingerprint.h"

namespace voxgrad::addon {

namespace {

using namespace preprocess;  // NOLINT: this file is that namespace's door

std::array<int64_t, 3> to_three(const Napi::Value& value, const char* name) {
  const std::vector<int64_t> numbers = to_integers(value);
  if (numbers.size() != 3)
    throw Failure("ERR_CONFIG",
                  std::string("expected 3 numbers in ") + name + ", found " + std::to_string(numbers.size()));
  return {numbers[0], numbers[1], numbers[2]};
}

Spacing3 to_spacing(const Napi::Value& value) {
  const std::vector<double> numbers = to_doubles(value);
  if (numbers.size() != 3)
    throw Failure("ERR_CONFIG", "expected 3 numbers in spacing, found " + std::to_string(numbers.size()));
  return {numbers[0], numbers[1], numbers[2]};
}

std::array<int, 3> to_axes(const Napi::Value& value) {
  const auto axes = to_three(value, "transposeForward");
  std::array<int, 3> seen{};
  for (const int64_t axis : axes)
    if (axis < 0 || axis > 2 || seen[axis]++)
      throw Failure("ERR_PLANS", "expected a permutation of 0, 1, 2 in transpose_forward of the plan");
  return {static_cast<int>(axes[0]), static_cast<int>(axes[1]), static_cast<int>(axes[2])};
}

ResamplingRule to_rule(const Napi::Value& value) {
  const auto object = value.As<Napi::Object>();
  ResamplingRule rule;
  rule.is_segmentation = field(object, "isSegmentation").ToBoolean();
  rule.order = field(object, "order").ToNumber();
  rule.order_z = field(object, "orderZ").ToNumber();
  if (rule.order < 0 || rule.order > 5 || rule.order_z < 0 || rule.order_z > 5)
    throw Failure("ERR_PLANS", "expected spline orders from 0 to 5 in the resampling of the plan, found " +
                                   std::to_string(rule.order) + " and " + std::to_string(rule.order_z));
  const Napi::Value force = field(object, "forceSeparateZ");
  if (!force.IsNull() && !force.IsUndefined()) rule.force_separate_z = force.ToBoolean().Value();
  return rule;
}

IntensityProperties to_properties(const Napi::Value& value) {
  const auto object = value.As<Napi::Object>();
  const auto number = [&](const char* name) { return field(object, name).ToNumber().DoubleValue(); };
  return {number("max"),
          number("mean"),
          number("median"),
          number("min"),
          number("percentile_00_5"),
          number("percentile_99_5"),
          number("std")};
}

Napi::Object to_js(Napi::Env env, const IntensityProperties& properties) {
  Napi::Object result = Napi::Object::New(env);
  result.Set("max", properties.max);
  result.Set("mean", properties.mean);
  result.Set("median", properties.median);
  result.Set("min", properties.min);
  result.Set("percentile_00_5", properties.percentile_00_5);
  result.Set("percentile_99_5", properties.percentile_99_5);
  result.Set("std", properties.std);
  return result;
}

PreprocessingPlan to_plan(const Napi::Value& value) {
  const auto object = value.As<Napi::Object>();
  PreprocessingPlan plan;
  plan.transpose_forward = to_axes(field(object, "transposeForward"));
  plan.target_spacing = to_doubles(field(object, "targetSpacing"));
  const std::vector<std::string> schemes = to_strings(field(object, "normalizationSchemes"));
  const auto masks = field(object, "useMaskForNormalization").As<Napi::Array>();
  const auto properties = field(object, "intensityProperties").As<Napi::Array>();
  if (masks.Length() != schemes.size() || properties.Length() != schemes.size())
    throw Failure("ERR_PLANS",
                  "expected one entry per channel in normalization_schemes, use_mask_for_norm and "
                  "foreground_intensity_properties_per_channel of the plan, found " +
                      std::to_string(schemes.size()) + ", " + std::to_string(masks.Length()) + " and " +
                      std::to_string(properties.Length()));
  for (uint32_t c = 0; c < schemes.size(); ++c)
    plan.channels.push_back({schemes[c], masks.Get(c).ToBoolean(), to_properties(properties.Get(c))});
  plan.image_resampling = to_rule(field(object, "imageResampling"));
  plan.segmentation_resampling = to_rule(field(object, "segmentationResampling"));
  return plan;
}

/// A NativeImage whose values stay in JavaScript's memory; `array` must be kept while it is used.
struct BorrowedImage {
  Napi::Float32Array array;
  std::span<const float> values;
  int64_t channels;
  Shape3 shape;
};

BorrowedImage to_image(const Napi::Value& value) {
  const auto object = value.As<Napi::Object>();
  const auto array = field(object, "data").As<Napi::Float32Array>();
  const std::vector<int64_t> shape = to_integers(field(object, "shape"));
  const std::span<const float> values(array.Data(), array.ElementLength());
  if (shape.size() != 4 || shape[0] * shape[1] * shape[2] * shape[3] != static_cast<int64_t>(values.size()))
    throw Failure("ERR_INTERNAL", "expected an image with a shape of 4 extents that multiply to its " +
                                      std::to_string(values.size()) + " values");
  return {array, values, shape[0], {shape[1], shape[2], shape[3]}};
}

Napi::Object to_js(Napi::Env env, Volume<float>&& volume) {
  Napi::Object result = Napi::Object::New(env);
  const std::vector<int64_t> shape{volume.channels, volume.shape[0], volume.shape[1], volume.shape[2]};
  result.Set("data", to_typed_array<Napi::Float32Array>(env, std::move(volume.values)));
  result.Set("shape", to_js_array(env, shape));
  return result;
}

std::vector<int64_t> to_vector(const Shape3& shape) { return {shape.begin(), shape.end()}; }

Napi::Object to_js(Napi::Env env, const CaseProperties& properties) {
  Napi::Object result = Napi::Object::New(env);
  Napi::Array box = Napi::Array::New(env, 3);
  for (uint32_t axis = 0; axis < 3; ++axis)
    box.Set(axis,
            to_js_array(env, std::vector<int64_t>{properties.crop_box.begin[axis], properties.crop_box.end[axis]}));
  result.Set("spacing", to_js_array(env, std::vector<double>(properties.spacing.begin(), properties.spacing.end())));
  result.Set("shapeBeforeCropping", to_js_array(env, to_vector(properties.shape_before_cropping)));
  result.Set("boundingBox", box);
  result.Set("shapeAfterCropping", to_js_array(env, to_vector(properties.crop_box.shape())));
  return result;
}

CaseProperties to_case_properties(const Napi::Value& value) {
  const auto object = value.As<Napi::Object>();
  CaseProperties properties;
  properties.spacing = to_spacing(field(object, "spacing"));
  properties.shape_before_cropping = to_three(field(object, "shapeBeforeCropping"), "shapeBeforeCropping");
  const auto box = field(object, "boundingBox").As<Napi::Array>();
  for (uint32_t axis = 0; axis < 3; ++axis) {
    const std::vector<int64_t> range = to_integers(box.Get(axis));
    if (range.size() != 2 || range[0] < 0 || range[0] >= range[1] || range[1] > properties.shape_before_cropping[axis])
      throw Failure("ERR_FORMAT", "expected a crop box inside the image in boundingBox, axis " + std::to_string(axis));
    properties.crop_box.begin[axis] = range[0];
    properties.crop_box.end[axis] = range[1];
  }
  return properties;
}

/// Labels, and arrays of labels for regions, in the order in which their voxels are drawn.
std::vector<LocationKey> to_keys(const Napi::Value& value) {
  const auto array = value.As<Napi::Array>();
  std::vector<LocationKey> keys;
  for (uint32_t i = 0; i < array.Length(); ++i) {
    const Napi::Value entry = array.Get(i);
    if (entry.IsArray())
      keys.push_back({to_integers(entry), true});
    else
      keys.push_back({{entry.ToNumber().Int64Value()}, false});
  }
  return keys;
}

/// A reader's geometry as nnU-Net pickles it: numbers are floats, lists of them tuples, lists of lists a NumPy matrix.
io::Value to_geometry(const io::Value& value) {
  if (value.is<int64_t>()) return static_cast<double>(value.as<int64_t>());
  if (value.is<io::Dict>()) {
    io::Dict result;
    for (const auto& [key, item] : value.as<io::Dict>().items) result.items.emplace_back(key, to_geometry(item));
    return result;
  }
  if (!value.is<io::List>()) return value;
  const std::vector<io::Value>& items = value.sequence();
  if (items.empty() || !items.front().is<io::List>()) {
    io::Tuple result;
    for (const io::Value& item : items) result.items.push_back(to_geometry(item));
    return result;
  }
  std::vector<double> matrix;
  for (const io::Value& row : items)
    for (const io::Value& item : row.sequence()) matrix.push_back(item.number());
  return io::NumpyArray{at::tensor(matrix, at::kDouble).view({static_cast<int64_t>(items.size()), -1})};
}

Napi::Value fingerprint_case_call(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  const auto job = info[0].As<Napi::Object>();
  BorrowedImage image = to_image(field(job, "image"));
  auto segmentation = field(job, "segmentation").As<Napi::Float32Array>();
  const std::span<const float> labels(segmentation.Data(), segmentation.ElementLength());
  if (static_cast<int64_t>(labels.size()) != voxel_count(image.shape))
    throw Failure("ERR_DATASET", "expected a segmentation with as many voxels as the image has");
  const int64_t samples = field(job, "samples").ToNumber().Int64Value();
  return run_in_pool<CaseFingerprint>(
      env,
      [values = image.values, channels = image.channels, shape = image.shape, labels, samples] {
        return fingerprint_case(values, channels, shape, labels, samples);
      },
      [](Napi::Env env, CaseFingerprint&& fingerprint) -> Napi::Value {
        Napi::Object result = Napi::Object::New(env);
        result.Set("shapeAfterCrop", to_js_array(env, to_vector(fingerprint.shape_after_crop)));
        result.Set("relativeSizeAfterCrop", fingerprint.relative_size_after_crop);
        Napi::Array intensities = Napi::Array::New(env, fingerprint.intensities.size());
        for (uint32_t c = 0; c < fingerprint.intensities.size(); ++c)
          intensities.Set(c, to_typed_array<Napi::Float32Array>(env, std::move(fingerprint.intensities[c])));
        result.Set("intensities", intensities);
        return result;
      },
      {image.array, segmentation});
}

Napi::Value intensity_statistics_call(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  const auto arrays = info[0].As<Napi::Array>();
  std::vector<std::span<const float>> draws;
  std::vector<Napi::Object> keep;
  for (uint32_t i = 0; i < arrays.Length(); ++i) {
    auto array = arrays.Get(i).As<Napi::Float32Array>();
    draws.emplace_back(array.Data(), array.ElementLength());
    keep.push_back(array);
  }
  return run_in_pool<IntensityProperties>(
      env, [draws = std::move(draws)] { return intensity_statistics(draws); },
      [](Napi::Env env, IntensityProperties&& properties) -> Napi::Value { return to_js(env, properties); },
      std::move(keep));
}

Napi::Value preprocess_to_folder_call(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  const auto job = info[0].As<Napi::Object>();
  BorrowedImage image = to_image(field(job, "image"));
  auto segmentation = field(job, "segmentation").As<Napi::Float32Array>();
  const CaseInput input{image.values,
                        image.channels,
                        image.shape,
                        {segmentation.Data(), segmentation.ElementLength()},
                        to_spacing(field(job, "spacing"))};
  if (input.segmentation.empty()) throw Failure("ERR_DATASET", "expected a segmentation, found an empty one");
  const io::Value geometry = to_geometry(to_value(field(job, "geometry")));
  if (!geometry.is<io::Dict>()) throw Failure("ERR_INTERNAL", "expected an object in geometry");
  return run_in_pool<Shape3>(
      env,
      [input, plan = to_plan(field(job, "plan")), keys = to_keys(field(job, "labels")),
       patch_size = to_integers(field(job, "patchSize")), folder = field(job, "folder").ToString().Utf8Value(),
       case_id = field(job, "caseId").ToString().Utf8Value(), geometry] {
        const PreparedCase prepared = prepare_case(input, plan);
        write_case(folder, case_id, prepared, keys, patch_size, geometry);
        return prepared.image.shape;
      },
      [](Napi::Env env, Shape3&& shape) -> Napi::Value {
        Napi::Object result = Napi::Object::New(env);
        result.Set("shape", to_js_array(env, to_vector(shape)));
        return result;
      },
      {image.array, segmentation});
}

Napi::Value preprocess_for_prediction_call(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  const auto job = info[0].As<Napi::Object>();
  BorrowedImage image = to_image(field(job, "image"));
  CaseInput input{image.values, image.channels, image.shape, {}, to_spacing(field(job, "spacing"))};
  std::vector<Napi::Object> keep{image.array};
  int64_t labels = 0;
  if (const Napi::Value previous = job.Get("previousStage"); previous.IsObject()) {
    const auto segmentation = field(previous.As<Napi::Object>(), "segmentation").As<Napi::Float32Array>();
    labels = field(previous.As<Napi::Object>(), "labels").ToNumber().Int64Value();
    input.segmentation = {segmentation.Data(), segmentation.ElementLength()};
    keep.push_back(segmentation);
  }
  return run_in_pool<PreparedCase>(
      env,
      [input, labels, plan = to_plan(field(job, "plan"))] {
        PreparedCase prepared = prepare_case(input, plan);
        append_one_hot(prepared.image, prepared.segmentation, labels);
        return prepared;
      },
      [](Napi::Env env, PreparedCase&& prepared) -> Napi::Value {
        Napi::Object result = Napi::Object::New(env);
        result.Set("properties", to_js(env, prepared.properties));
        result.Set("image", to_js(env, std::move(prepared.image)));
        return result;
      },
      std::move(keep));
}

/// Empty without regions.
std::vector<int64_t> to_region_labels(const Napi::Value& value) {
  return value.IsNull() ? std::vector<int64_t>{} : to_integers(value);
}

Napi::Value export_segmentation_call(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  const auto job = info[0].As<Napi::Object>();
  BorrowedImage logits = to_image(field(job, "logits"));
  return run_in_pool<ExportedLabels>(
      env,
      [values = logits.values, classes = logits.channels, shape = logits.shape,
       properties = to_case_properties(field(job, "properties")),
       target_spacing = to_doubles(field(job, "targetSpacing")),
       transpose_forward = to_axes(field(job, "transposeForward")), rule = to_rule(field(job, "resampling")),
       region_labels = to_region_labels(field(job, "regionLabels"))] {
        return export_segmentation(values, classes, shape, properties, target_spacing, transpose_forward, rule,
                                   region_labels);
      },
      [](Napi::Env env, ExportedLabels&& labels) -> Napi::Value {
        Napi::Object result = Napi::Object::New(env);
        if (auto* bytes = std::get_if<Volume<uint8_t>>(&labels)) {
          result.Set("shape", to_js_array(env, to_vector(bytes->shape)));
          result.Set("labels", to_typed_array<Napi::Uint8Array>(env, std::move(bytes->values)));
        } else {
          auto& words = std::get<Volume<uint16_t>>(labels);
          result.Set("shape", to_js_array(env, to_vector(words.shape)));
          result.Set("labels", to_typed_array<Napi::Uint16Array>(env, std::move(words.values)));
        }
        return result;
      },
      {logits.array});
}

Napi::Value export_probabilities_call(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  const auto job = info[0].As<Napi::Object>();
  BorrowedImage logits = to_image(field(job, "logits"));
  return run_in_pool<Volume<float>>(
      env,
      [values = logits.values, classes = logits.channels, shape = logits.shape,
       properties = to_case_properties(field(job, "properties")),
       target_spacing = to_doubles(field(job, "targetSpacing")),
       transpose_forward = to_axes(field(job, "transposeForward")), rule = to_rule(field(job, "resampling")),
       overlapping = field(job, "overlapping").ToBoolean().Value()] {
        return export_probabilities(values, classes, shape, properties, target_spacing, transpose_forward, rule,
                                    overlapping);
      },
      [](Napi::Env env, Volume<float>&& probabilities) -> Napi::Value { return to_js(env, std::move(probabilities)); },
      {logits.array});
}

Napi::Value write_properties_call(const Napi::CallbackInfo& info) {
  const auto job = info[0].As<Napi::Object>();
  const io::Value geometry = to_geometry(to_value(field(job, "geometry")));
  if (!geometry.is<io::Dict>()) throw Failure("ERR_INTERNAL", "expected an object in geometry");
  return run_in_pool<bool>(
      info.Env(),
      [path = field(job, "path").ToString().Utf8Value(), geometry,
       properties = to_case_properties(field(job, "properties"))] {
        write_properties(path, properties, geometry);
        return true;
      },
      [](Napi::Env env, bool&&) -> Napi::Value { return env.Undefined(); }, {});
}

Napi::Value export_next_stage_call(const Napi::CallbackInfo& info) {
  const auto job = info[0].As<Napi::Object>();
  BorrowedImage logits = to_image(field(job, "logits"));
  return run_in_pool<bool>(
      info.Env(),
      [values = logits.values, classes = logits.channels, shape = logits.shape,
       properties = to_case_properties(field(job, "properties")),
       target_spacing = to_doubles(field(job, "targetSpacing")), next_spacing = to_doubles(field(job, "nextSpacing")),
       transpose_forward = to_axes(field(job, "transposeForward")), rule = to_rule(field(job, "resampling")),
       region_labels = to_region_labels(field(job, "regionLabels")), patch_size = to_integers(field(job, "patchSize")),
       file = field(job, "file").ToString().Utf8Value()] {
        write_next_stage(file, values, classes, shape, properties, target_spacing, next_spacing, transpose_forward,
                         rule, region_labels, patch_size);
        return true;
      },
      [](Napi::Env env, bool&&) -> Napi::Value { return env.Undefined(); }, {logits.array});
}

template <Napi::Value (*call)(const Napi::CallbackInfo&)>
void add(Napi::Env env, Napi::Object exports, const char* name) {
  const auto safe = [](const Napi::CallbackInfo& info) { return guarded(info.Env(), [&] { return call(info); }); };
  exports.Set(name, Napi::Function::New(env, safe, name));
}

}  // namespace

void register_preprocess(Napi::Env env, Napi::Object exports) {
  add<fingerprint_case_call>(env, exports, "fingerprintCase");
  add<intensity_statistics_call>(env, exports, "intensityStatistics");
  add<preprocess_to_folder_call>(env, exports, "preprocessToFolder");
  add<preprocess_for_prediction_call>(env, exports, "preprocessForPrediction");
  add<export_segmentation_call>(env, exports, "exportSegmentation");
  add<export_probabilities_call>(env, exports, "exportProbabilities");
  add<write_properties_call>(env, exports, "writeProperties");
  add<export_next_stage_call>(env, exports, "exportNextStage");
}

}  // namespace voxgrad::addon
