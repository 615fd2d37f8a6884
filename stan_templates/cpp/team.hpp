// Threads that share the work of one gradient, on plain doubles: autodiff is not theirs to touch, so that programs need
// no STAN_THREADS. The work is cut into slices by the size of the data alone, and the slices are added up in order: the
// number of threads changes no digit.

#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <functional>
#include <mutex>
#include <thread>

namespace stanpool {

// STAN_NUM_THREADS, as for Stan's own threads.
inline int number_of_threads() {
  static const int number = [] {
    const char* text = std::getenv("STAN_NUM_THREADS");
    const int found = text ? std::atoi(text) : 1;
    return found == -1 ? static_cast<int>(std::thread::hardware_concurrency()) : std::max(found, 1);
  }();
  return number;
}

class Team {
 public:
  explicit Team(int helpers) {
    for (int i = 0; i < helpers; ++i) helpers_.emplace_back([this] { help(); });
  }
  ~Team() {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      is_over_ = true;
    }
    called_.notify_all();
    for (std::thread& helper : helpers_) helper.join();
  }
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;

  // Calls task(0), ..., task(n - 1), whoever comes first. A team that is busy with another call takes no more.
  void run(int n, const std::function<void(int)>& task) {
    std::unique_lock<std::mutex> busy(busy_, std::try_to_lock);
    if (!busy.owns_lock()) {
      for (int i = 0; i < n; ++i) task(i);
      return;
    }
    {
      std::lock_guard<std::mutex> lock(mutex_);
      task_ = &task;
      n_ = n;
      next_ = 0;
      working_ = static_cast<int>(helpers_.size());
      ++call_;
    }
    called_.notify_all();
    work();
    std::unique_lock<std::mutex> lock(mutex_);
    done_.wait(lock, [this] { return working_ == 0; });
  }

 private:
  void work() {
    for (int i = next_++; i < n_; i = next_++) (*task_)(i);
  }

  void help() {
    long heard = 0;
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      called_.wait(lock, [&] { return is_over_ || call_ != heard; });
      if (is_over_) return;
      heard = call_;
      lock.unlock();
      work();
      lock.lock();
      if (--working_ == 0) done_.notify_one();
    }
  }

  std::vector<std::thread> helpers_;
  std::mutex busy_, mutex_;
  std::condition_variable called_, done_;
  const std::function<void(int)>* task_ = nullptr;
  std::atomic<int> next_{0};
  int n_ = 0, working_ = 0;
  long call_ = 0;
  bool is_over_ = false;
};

// Calls task(i) for each slice i.
inline void for_each_slice(int slices, const std::function<void(int)>& task) {
  if (slices == 1 || number_of_threads() == 1) {
    for (int i = 0; i < slices; ++i) task(i);
    return;
  }
  static Team team(number_of_threads() - 1);
  team.run(slices, task);
}

constexpr int kMostSlices = 32;

// How many slices n pieces of work are cut into, none of them with fewer than `least`.
inline int number_of_slices(Eigen::Index n, Eigen::Index least) {
  return static_cast<int>(std::max<Eigen::Index>(1, std::min<Eigen::Index>(kMostSlices, n / least)));
}

// Where slice i begins; slices are whole blocks.
inline Eigen::Index start_of_slice(int i, int slices, Eigen::Index n, int block) {
  return std::min<Eigen::Index>(n, (n / block * i / slices) * block) + (i == slices ? n % block : 0);
}

}  // namespace stanpool
