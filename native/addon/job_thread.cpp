// The private thread of a trainer.
#include "addon/job_thread.h"

#include <pthread.h>

#include "addon/convert.h"

namespace voxgrad::addon {

struct JobThread::Outcome {
  std::unique_ptr<Job> job;
  Finish finish;
  std::optional<FailureReport> failure;
};

JobThread::JobThread(Napi::Env env, std::function<void()> interrupt) : interrupt_(std::move(interrupt)), env_(env) {
  deliver_ = Napi::ThreadSafeFunction::New(env, Napi::Function::New(env, [](const Napi::CallbackInfo&) {}),
                                           "voxgrad-trainer", 0, 1);
  deliver_.Unref(env);
  napi_add_env_cleanup_hook(env_, &JobThread::leave_environment, this);
  thread_ = std::thread([this] { loop(); });
}

JobThread::~JobThread() {
  // Does nothing where the hook has run; node-addon-api's own hook object would free its memory a second time then.
  napi_remove_env_cleanup_hook(env_, &JobThread::leave_environment, this);
  shut_down();
}

void JobThread::leave_environment(void* self) { static_cast<JobThread*>(self)->shut_down(); }

void JobThread::shut_down() {
  if (!thread_.joinable()) return;
  interrupt_();
  {
    const std::lock_guard lock(mutex_);
    leave_ = closed_ = true;
  }
  wake_.notify_all();
  thread_.join();
  deliver_.Abort();
}

Napi::Promise JobThread::run(Napi::Object owner, Work work) {
  const Napi::Env env = owner.Env();
  auto job = std::make_unique<Job>(Job{std::move(work), Napi::Promise::Deferred::New(env), Napi::Persistent(owner)});
  const Napi::Promise promise = job->deferred.Promise();
  {
    const std::lock_guard lock(mutex_);
    if (closed_ || busy_) {
      const FailureReport report = closed_ ? FailureReport{"ERR_DISPOSED", "this trainer was disposed of", ""}
                                           : FailureReport{"ERR_BUSY", "this trainer is running another job", ""};
      job->deferred.Reject(to_js_error(env, report).Value());
      return promise;
    }
  }
  deliver_.Ref(env);
  post(std::move(job));
  return promise;
}

bool JobThread::is_idle() {
  const std::lock_guard lock(mutex_);
  return !busy_ && !closed_;
}

Napi::Promise JobThread::close(Napi::Object owner, std::function<void()> last) {
  const Napi::Env env = owner.Env();
  auto job = std::make_unique<Job>(Job{[last = std::move(last)] {
                                         last();
                                         return [](Napi::Env e) { return e.Undefined(); };
                                       },
                                       Napi::Promise::Deferred::New(env), Napi::Persistent(owner), true});
  const Napi::Promise promise = job->deferred.Promise();
  bool now = false;
  {
    const std::lock_guard lock(mutex_);
    if (closed_) {
      job->deferred.Resolve(env.Undefined());
      return promise;
    }
    closed_ = true;
    now = !busy_;
    if (!now) waiting_close_ = std::move(job);
  }
  deliver_.Ref(env);
  interrupt_();
  if (now) post(std::move(job));
  return promise;
}

void JobThread::post(std::unique_ptr<Job> job) {
  {
    const std::lock_guard lock(mutex_);
    busy_ = true;
    next_ = std::move(job);
  }
  wake_.notify_all();
}

void JobThread::loop() {
  pthread_setname_np(pthread_self(), "voxgrad-trainer");
  while (true) {
    std::unique_ptr<Job> job;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return next_ || leave_; });
      if (leave_) return;
      job = std::move(next_);
    }
    const bool is_last = job->is_last;
    auto* outcome = new Outcome{nullptr, nullptr, std::nullopt};
    try {
      outcome->finish = job->work();
    } catch (...) {
      outcome->failure = describe_current_exception();
    }
    job->work = nullptr;  // what the work holds is freed here, where it was used
    outcome->job = std::move(job);
    {
      const std::lock_guard lock(mutex_);
      busy_ = false;
      if (waiting_close_) {
        busy_ = true;
        next_ = std::move(waiting_close_);
      }
    }
    const auto status = deliver_.NonBlockingCall(outcome, [this](Napi::Env env, Napi::Function, Outcome* done) {
      const std::unique_ptr<Outcome> owner(done);
      if (static_cast<napi_env>(env) == nullptr) return;
      deliver_.Unref(env);
      if (done->failure) {
        done->job->deferred.Reject(to_js_error(env, *done->failure).Value());
        return;
      }
      try {
        done->job->deferred.Resolve(done->finish(env));
      } catch (const Napi::Error& error) {
        done->job->deferred.Reject(error.Value());
      }
    });
    // Not delivered: the environment is gone, and with it the right to free JavaScript references. They end with the
    // process.
    if (status != napi_ok || is_last) return;
  }
}

}  // namespace voxgrad::addon
