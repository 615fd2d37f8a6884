// What the samplers share: their settings and their metric.
#ifndef STANPOOL_DRIVER_SAMPLING_HPP
#define STANPOOL_DRIVER_SAMPLING_HPP

#include "run.hpp"

#include <string>
#include <vector>

namespace driver {

struct Sampling {
  int draws;
  int warmup;
  bool save_warmup;
  int thin;
  std::string metric;
  double stepsize;
  double jitter;
  bool adapt;
  double delta;
  double gamma;
  double kappa;
  double t0;
  unsigned int init_buffer;
  unsigned int term_buffer;
  unsigned int window;

  explicit Sampling(const Arguments& args);
};

// The inverse metric from which each chain starts: the user's, else the identity.
std::vector<Context> initial_metrics(const Run& run, const std::string& metric);

// Where the adapted metrics go, if the user wants them.
std::vector<JsonWriter> metric_writers(const Run& run);

}  // namespace driver

#endif
