// One private thread that runs a trainer's jobs, one at a time, and settles a promise for each.
//
// Lifetime rules. Work runs on the private thread and touches no JavaScript value; what it returns runs on the
// JavaScript thread and makes the result. The thread-safe function is referenced only while a job runs, so that an idle
// trainer keeps no process alive. When the environment goes away (exit, worker end) the running job is stopped, the
// thread joined, and the results of jobs that can no longer be delivered are dropped.
#pragma once
#include <napi.h>

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

namespace voxgrad::addon {

/// Makes a job's result on the JavaScript thread.
using Finish = std::function<Napi::Value(Napi::Env)>;
using Work = std::function<Finish()>;

class JobThread {
 public:
  /// `interrupt` asks the running job to end soon; it may be called from any thread.
  JobThread(Napi::Env env, std::function<void()> interrupt);
  ~JobThread();
  JobThread(const JobThread&) = delete;
  JobThread& operator=(const JobThread&) = delete;

  /// Starts a job; `owner` stays alive until it has ended. The promise is rejected with ERR_BUSY while another job runs
  /// and with ERR_DISPOSED after close().
  Napi::Promise run(Napi::Object owner, Work work);
  /// Whether run() would start a job now.
  bool is_idle();
  /// Interrupts the running job, then runs `last` (which frees what the jobs used) as the final one. Idempotent.
  Napi::Promise close(Napi::Object owner, std::function<void()> last);

 private:
  struct Job {
    Work work;
    Napi::Promise::Deferred deferred;
    Napi::ObjectReference owner;
    bool is_last = false;
  };
  struct Outcome;

  void loop();
  void post(std::unique_ptr<Job> job);
  void shut_down();
  static void leave_environment(void* self);

  std::function<void()> interrupt_;
  Napi::ThreadSafeFunction deliver_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::unique_ptr<Job> next_;
  std::unique_ptr<Job> waiting_close_;
  bool busy_ = false, closed_ = false, leave_ = false;
  Napi::Env env_;
  std::thread thread_;
};

}  // namespace voxgrad::addon
