// The Trainer that JavaScript holds: it copies a call's arguments, runs the call as a job on the trainer's own thread
// and makes columns of the result.
#include "addon/benchmark_calls.h"
#include "addon/captured_checkpoint.h"
#include "addon/config_reader.h"
#include "addon/convert.h"
#include "addon/job_thread.h"
#include "addon/pretrained.h"
#include "addon/registers.h"
#include "addon/value_convert.h"
#include "data/case_store.h"
#include "engine/trainer.h"
#include "io/files.h"
#include "io/npy.h"
#include "io/pickle.h"

namespace voxgrad::addon {

namespace {

/// A tensor's values as a Float32Array with its shape.
Napi::Object to_image(Napi::Env env, const at::Tensor& tensor) {
  const float* values = tensor.data_ptr<float>();
  Napi::Object result = Napi::Object::New(env);
  result.Set("data", to_typed_array<Napi::Float32Array>(env, std::vector<float>(values, values + tensor.numel())));
  result.Set("shape", to_js_array(env, tensor.sizes().vec()));
  return result;
}

at::Tensor from_image(const Napi::Value& value) {
  const Napi::Object image = value.As<Napi::Object>();
  const std::vector<int64_t> shape = to_integers(field(image, "shape"));
  const auto data = field(image, "data").As<Napi::Float32Array>();
  at::Tensor tensor = at::empty(shape, at::kFloat);
  if (tensor.numel() != static_cast<int64_t>(data.ElementLength()))
    throw Failure("ERR_CONFIG", "image: data and shape do not fit together");
  std::copy(data.Data(), data.Data() + data.ElementLength(), tensor.data_ptr<float>());
  return tensor;
}

/// The folder of a previous stage's segmentations; empty if the job has none.
std::string to_previous_stage(const Napi::Object& job) {
  const Napi::Value folder = job.Get("previousStage");
  return folder.IsString() ? folder.As<Napi::String>().Utf8Value() : std::string();
}

class TrainerObject : public Napi::ObjectWrap<TrainerObject> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(
        env, "Trainer",
        {InstanceMethod<&TrainerObject::open>("open"), InstanceMethod<&TrainerObject::load_cases>("loadCases"),
         InstanceMethod<&TrainerObject::run_training>("runTraining"),
         InstanceMethod<&TrainerObject::run_validation>("runValidation"),
         InstanceMethod<&TrainerObject::predict>("predict"),
         InstanceMethod<&TrainerObject::predict_case>("predictCase"),
         InstanceMethod<&TrainerObject::capture_checkpoint>("captureCheckpoint"),
         InstanceMethod<&TrainerObject::load_checkpoint>("loadCheckpoint"),
         InstanceMethod<&TrainerObject::load_pretrained_weights>("loadPretrained"),
         InstanceMethod<&TrainerObject::benchmark>("benchmark"),
         InstanceMethod<&TrainerObject::set_position>("setPosition"),
         InstanceMethod<&TrainerObject::device_memory>("deviceMemory"),
         InstanceMethod<&TrainerObject::exchange_report>("exchangeReport"),
         InstanceMethod<&TrainerObject::snapshot>("snapshot"), InstanceMethod<&TrainerObject::stop>("stop"),
         InstanceMethod<&TrainerObject::dispose>("dispose")});
  }

  explicit TrainerObject(const Napi::CallbackInfo& info)
      : Napi::ObjectWrap<TrainerObject>(info), jobs_(info.Env(), [this] {
          const std::lock_guard lock(mutex_);
          if (trainer_) trainer_->stop();
        }) {}

 private:
  static Napi::Object self(const Napi::CallbackInfo& info) { return info.This().As<Napi::Object>(); }

  /// open(config): makes the network; the other calls follow it. src/native/load.ts calls it in createTrainer.
  Napi::Value open(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&] {
      TrainerConfig config;
      read_config(info[0], "", config);
      return jobs_.run(self(info), [this, config]() -> Finish {
        auto trainer = std::make_unique<Trainer>(config);
        const std::lock_guard lock(mutex_);
        trainer_ = std::move(trainer);
        return [](Napi::Env env) { return env.Undefined(); };
      });
    });
  }

  /// Runs `work(trainer)` as a job.
  Napi::Value run(const Napi::CallbackInfo& info, std::function<Finish(Trainer&)> work) {
    if (jobs_.is_idle()) {
      const std::lock_guard lock(mutex_);
      if (trainer_) trainer_->clear_stop();
    }
    return jobs_.run(self(info), [this, work = std::move(work)] { return work(*trainer_); });
  }

  Napi::Value load_cases(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&] {
      const Napi::Object job = info[0].As<Napi::Object>();
      CaseSource source{field(job, "folder").ToString().Utf8Value(), to_strings(field(job, "training")),
                        to_strings(field(job, "validation")), to_integers(field(job, "labels")),
                        to_previous_stage(job)};
      if (const Napi::Value place = job.Get("place"); !place.IsUndefined()) source.place = place.ToString().Utf8Value();
      if (const Napi::Value half = job.Get("half"); !half.IsUndefined()) source.half = half.ToBoolean();
      if (const Napi::Value free = job.Get("freeHostMemory"); !free.IsUndefined())
        source.free_on_host = free.ToNumber().Int64Value();
      return run(info, [source](Trainer& trainer) {
        const CaseStorage storage = trainer.load_cases(source);
        return [storage](Napi::Env env) -> Napi::Value {
          constexpr const char* places[] = {"device", "host", "disk"};
          Napi::Object result = Napi::Object::New(env);
          result.Set("place", places[static_cast<int>(storage.place)]);
          result.Set("bytes", static_cast<double>(storage.bytes));
          result.Set("free", static_cast<double>(storage.free));
          return result;
        };
      });
    });
  }

  Napi::Value run_training(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&] {
      const Napi::Object job = info[0].As<Napi::Object>();
      const auto rates = to_vector(field(job, "learningRates").As<Napi::Float64Array>());
      int64_t most_skipped = std::numeric_limits<int64_t>::max();
      if (const Napi::Value most = job.Get("mostSkipped"); !most.IsUndefined()) {
        most_skipped = most.ToNumber().Int64Value();
        if (most_skipped < 1) throw Failure("ERR_CONFIG", "mostSkipped: expected at least 1");
      }
      return run(info, [rates, most_skipped](Trainer& trainer) {
        auto chunk = std::make_shared<TrainingChunk>(trainer.run_training(rates, most_skipped));
        return [chunk](Napi::Env env) -> Napi::Value {
          Napi::Object result = Napi::Object::New(env);
          result.Set("reason", chunk->reason);
          result.Set("graphFault", chunk->graph_fault);
          result.Set("stoppedElsewhere", chunk->stopped_elsewhere);
          result.Set("firstStep", static_cast<double>(chunk->first_step));
          result.Set("steps", static_cast<double>(chunk->loss.size()));
          result.Set("loss", to_typed_array<Napi::Float32Array>(env, std::move(chunk->loss)));
          result.Set("gradientNorm", to_typed_array<Napi::Float32Array>(env, std::move(chunk->gradient_norm)));
          result.Set("skipped", to_typed_array<Napi::Uint8Array>(
                                    env, std::vector<uint8_t>(chunk->skipped.begin(), chunk->skipped.end())));
          result.Set("stepMs", to_typed_array<Napi::Float32Array>(env, std::move(chunk->step_ms)));
          result.Set("dataMs", to_typed_array<Napi::Float32Array>(env, std::move(chunk->data_ms)));
          return result;
        };
      });
    });
  }

  Napi::Value run_validation(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&] {
      const int64_t steps = field(info[0].As<Napi::Object>(), "steps").ToNumber().Int64Value();
      return run(info, [steps](Trainer& trainer) {
        auto chunk = std::make_shared<ValidationChunk>(trainer.run_validation(steps));
        return [chunk](Napi::Env env) -> Napi::Value {
          Napi::Object result = Napi::Object::New(env);
          result.Set("reason", chunk->stopped ? "stopped" : "completed");
          result.Set("steps", static_cast<double>(chunk->loss.size()));
          result.Set("loss", to_typed_array<Napi::Float32Array>(env, std::move(chunk->loss)));
          result.Set("truePositives", to_typed_array<Napi::Float64Array>(env, std::move(chunk->true_positives)));
          result.Set("falsePositives", to_typed_array<Napi::Float64Array>(env, std::move(chunk->false_positives)));
          result.Set("falseNegatives", to_typed_array<Napi::Float64Array>(env, std::move(chunk->false_negatives)));
          return result;
        };
      });
    });
  }

  struct Window {
    double tile_step;
    bool gaussian;
    std::vector<int64_t> mirror_axes;
    explicit Window(const Napi::Object& job)
        : tile_step(field(job, "tileStep").ToNumber()),
          gaussian(field(job, "gaussian").ToBoolean()),
          mirror_axes(to_integers(field(job, "mirrorAxes"))) {}
    at::Tensor predict(Trainer& trainer, const at::Tensor& image) const {
      const at::Tensor logits = trainer.predict(image, tile_step, gaussian, mirror_axes);
      if (!logits.defined()) throw Failure("ERR_STOPPED", "the prediction was stopped");
      return logits;
    }
  };

  Napi::Value predict(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&] {
      const Napi::Object job = info[0].As<Napi::Object>();
      return run(info, [image = from_image(field(job, "image")), window = Window(job)](Trainer& trainer) {
        const at::Tensor logits = window.predict(trainer, image);
        return [logits](Napi::Env env) { return to_image(env, logits); };
      });
    });
  }

  Napi::Value predict_case(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&] {
      const Napi::Object job = info[0].As<Napi::Object>();
      const std::string case_id = field(job, "caseId").ToString().Utf8Value();
      const std::string base = field(job, "folder").ToString().Utf8Value() + "/" + case_id;
      return run(info, [base, case_id, previous_stage = to_previous_stage(job),
                        window = Window(job)](Trainer& trainer) {
        const std::string properties_file = base + ".pkl";
        auto properties = std::make_shared<io::Value>(io::read_pickle(io::read_file(properties_file), properties_file));
        at::Tensor image = io::read_case_array(base).to(at::kFloat);
        if (!previous_stage.empty()) {
          const int64_t labels = trainer.config().previousStageLabels;
          image = at::cat(
              {image,
               one_hot_labels(read_previous_stage(previous_stage, case_id, image.sizes().slice(1), labels), labels)});
        }
        const at::Tensor logits = window.predict(trainer, image);
        return
            [logits, properties](Napi::Env env) -> Napi::Value { return to_case_prediction(env, logits, *properties); };
      });
    });
  }

  static Napi::Value to_case_prediction(Napi::Env env, const at::Tensor& logits, const io::Value& properties) {
    Napi::Object crop = Napi::Object::New(env), geometry = Napi::Object::New(env), result = Napi::Object::New(env);
    crop.Set("spacing", to_js(env, properties.at("spacing")));
    crop.Set("shapeBeforeCropping", to_js(env, properties.at("shape_before_cropping")));
    crop.Set("boundingBox", to_js(env, properties.at("bbox_used_for_cropping")));
    crop.Set("shapeAfterCropping", to_js(env, properties.at("shape_after_cropping_and_before_resampling")));
    for (const char* reader : {"sitk_stuff", "nibabel_stuff"}) {
      if (const io::Value* stuff = properties.find(reader)) geometry.Set(reader, to_js(env, *stuff));
    }
    result.Set("logits", to_image(env, logits));
    result.Set("properties", crop);
    result.Set("geometry", geometry);
    return result;
  }

  Napi::Value capture_checkpoint(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&] {
      const Napi::Object job = info[0].As<Napi::Object>();
      auto entries = std::make_shared<io::Value>(to_value(field(job, "entries")));
      return run(info, [entries, rate = field(job, "learningRate").ToNumber().DoubleValue()](Trainer& trainer) {
        auto checkpoint = std::make_shared<const io::TorchFile>(trainer.capture_checkpoint(*entries, rate));
        return [checkpoint](Napi::Env env) -> Napi::Value { return to_js(env, checkpoint); };
      });
    });
  }

  Napi::Value load_pretrained_weights(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&] {
      const Napi::Object job = info[0].As<Napi::Object>();
      return run(info, [path = field(job, "path").ToString().Utf8Value()](Trainer& trainer) {
        load_pretrained(trainer.network(), path);
        return [](Napi::Env env) -> Napi::Value { return env.Undefined(); };
      });
    });
  }

  Napi::Value load_checkpoint(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&] {
      const Napi::Object job = info[0].As<Napi::Object>();
      const bool everything = field(job, "what").ToString().Utf8Value() == "everything";
      return run(info, [everything, path = field(job, "path").ToString().Utf8Value()](Trainer& trainer) {
        auto rest = std::make_shared<io::Value>(trainer.load_checkpoint(path, everything));
        return [rest](Napi::Env env) { return to_js(env, *rest); };
      });
    });
  }

  Napi::Value benchmark(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&] { return run(info, benchmark_work(info[0].As<Napi::Object>())); });
  }

  void set_position(const Napi::CallbackInfo& info) {
    guarded(info.Env(), [&] {
      const Napi::Object position = info[0].As<Napi::Object>();
      const auto number = [&](const char* name) {
        return static_cast<uint64_t>(field(position, name).ToNumber().Int64Value());
      };
      const std::lock_guard lock(mutex_);
      if (!trainer_) return;
      if (!jobs_.is_idle()) throw Failure("ERR_BUSY", "the position cannot change while a job runs");
      trainer_->set_position(number("step"), number("redraws"));
    });
  }

  Napi::Value device_memory(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&]() -> Napi::Value {
      std::optional<DeviceMemory> memory;
      {
        const std::lock_guard lock(mutex_);
        if (trainer_) memory = trainer_->device_memory();
      }
      if (!memory) return info.Env().Null();
      Napi::Object result = Napi::Object::New(info.Env());
      result.Set("allocated", static_cast<double>(memory->allocated));
      result.Set("peak", static_cast<double>(memory->peak));
      return result;
    });
  }

  Napi::Value exchange_report(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&] {
      return run(info, [](Trainer& trainer) {
        return [report = trainer.exchange_report()](Napi::Env env) -> Napi::Value {
          if (!report) return env.Null();
          Napi::Object result = Napi::Object::New(env);
          result.Set("collectives", static_cast<double>(report->traffic.collectives));
          result.Set("bytes", static_cast<double>(report->traffic.bytes));
          result.Set("arrivedWhenSent", to_js_array(env, report->arrived_when_sent));
          result.Set("gradients", static_cast<double>(report->gradients));
          return result;
        };
      });
    });
  }

  Napi::Value snapshot(const Napi::CallbackInfo& info) {
    Snapshot now;
    {
      const std::lock_guard lock(mutex_);
      if (trainer_) now = trainer_->snapshot();
    }
    Napi::Object result = Napi::Object::New(info.Env());
    result.Set("job", now.job);
    result.Set("done", static_cast<double>(now.done));
    result.Set("total", static_cast<double>(now.total));
    result.Set("step", static_cast<double>(now.step));
    result.Set("lossOfLastStep", now.last_loss);
    result.Set("waitsForRanks", now.waits_for_ranks);
    return result;
  }

  void stop(const Napi::CallbackInfo&) {
    const std::lock_guard lock(mutex_);
    if (trainer_) trainer_->stop();
  }

  Napi::Value dispose(const Napi::CallbackInfo& info) {
    return jobs_.close(self(info), [this] {
      std::unique_ptr<Trainer> trainer;
      const std::lock_guard lock(mutex_);
      trainer = std::move(trainer_);
    });
  }

  std::mutex mutex_;  // guards the pointer; the trainer itself belongs to the job thread
  std::unique_ptr<Trainer> trainer_;
  JobThread jobs_;
};

}  // namespace

void register_trainer(Napi::Env env, Napi::Object exports) {
  exports.Set("Trainer", TrainerObject::define(env));
  exports.Set("describeConfig", Napi::Function::New(env, [](const Napi::CallbackInfo& info) {
                return describe_config<TrainerConfig>(info.Env());
              }));
}

}  // namespace voxgrad::addon
