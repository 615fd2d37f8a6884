// Markov chains: the no-U-turn sampler, and Hamiltonian Monte Carlo with a static integration time,
// with each metric, with and without adaptation; and fixed parameters.

#include "run.hpp"

#include <stan/services/sample/fixed_param.hpp>
#include <stan/services/sample/hmc_nuts_dense_e.hpp>
#include <stan/services/sample/hmc_nuts_dense_e_adapt.hpp>
#include <stan/services/sample/hmc_nuts_diag_e.hpp>
#include <stan/services/sample/hmc_nuts_diag_e_adapt.hpp>
#include <stan/services/sample/hmc_nuts_unit_e.hpp>
#include <stan/services/sample/hmc_nuts_unit_e_adapt.hpp>
#include <stan/services/sample/hmc_static_dense_e.hpp>
#include <stan/services/sample/hmc_static_dense_e_adapt.hpp>
#include <stan/services/sample/hmc_static_diag_e.hpp>
#include <stan/services/sample/hmc_static_diag_e_adapt.hpp>
#include <stan/services/sample/hmc_static_unit_e.hpp>
#include <stan/services/sample/hmc_static_unit_e_adapt.hpp>
#include <stan/services/util/create_unit_e_dense_inv_metric.hpp>
#include <stan/services/util/create_unit_e_diag_inv_metric.hpp>

#include <string>
#include <vector>

namespace driver {
namespace {

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

  explicit Sampling(const Arguments& args)
      : draws(args.integer("method.sample.num_samples")),
        warmup(args.integer("method.sample.num_warmup")),
        save_warmup(args.flag("method.sample.save_warmup")),
        thin(args.integer("method.sample.thin")),
        metric(args.text("method.sample.algorithm.hmc.metric")),
        stepsize(args.real("method.sample.algorithm.hmc.stepsize")),
        jitter(args.real("method.sample.algorithm.hmc.stepsize_jitter")),
        adapt(args.flag("method.sample.adapt.engaged")),
        delta(args.real("method.sample.adapt.delta")),
        gamma(args.real("method.sample.adapt.gamma")),
        kappa(args.real("method.sample.adapt.kappa")),
        t0(args.real("method.sample.adapt.t0")),
        init_buffer(args.natural("method.sample.adapt.init_buffer")),
        term_buffer(args.natural("method.sample.adapt.term_buffer")),
        window(args.natural("method.sample.adapt.window")) {}
};

// The inverse metric from which each chain starts: the user's, else the identity.
std::vector<Context> initial_metrics(const Run& run, const std::string& metric) {
  using namespace stan::services::util;
  using stan::io::array_var_context;
  const std::string& file = run.args.text("method.sample.algorithm.hmc.metric_file");
  if (!file.empty() && metric != "unit_e") return read_variables(file, run.chains, run.id);
  const std::size_t size = run.model.num_params_r();
  const array_var_context identity =
      metric == "dense_e" ? create_unit_e_dense_inv_metric(size) : create_unit_e_diag_inv_metric(size);
  return std::vector<Context>(run.chains, std::make_shared<array_var_context>(identity));
}

// Where the adapted metrics go, if the user wants them.
std::vector<JsonWriter> metric_writers(const Run& run) {
  const bool wanted = run.args.flag("method.sample.adapt.save_metric");
  if (wanted && !run.args.flag("method.sample.adapt.engaged"))
    throw std::invalid_argument("save_metric=1 saves the adapted metric: it needs adapt engaged=1.");
  return run.json_writers(wanted ? run.args.text("output.file") : "", "_metric");
}

int sample_nuts(Run& run) {
  namespace services = stan::services::sample;
  const Sampling s(run.args);
  const int depth = run.args.integer("method.sample.algorithm.hmc.engine.nuts.max_depth");
  const std::vector<Context> metrics = initial_metrics(run, s.metric);
  std::vector<CsvWriter> draws = run.chain_writers();
  std::vector<CsvWriter> diagnostics = run.diagnostic_writers();
  std::vector<JsonWriter> adapted = metric_writers(run);

  if (s.metric == "unit_e")
    return s.adapt ? services::hmc_nuts_unit_e_adapt(
                         run.model, run.chains, run.inits, run.seed, run.id, run.init_radius, s.warmup, s.draws, s.thin,
                         s.save_warmup, run.refresh, s.stepsize, s.jitter, depth, s.delta, s.gamma, s.kappa, s.t0,
                         run.interrupt, run.logger, run.init_writers, draws, diagnostics, adapted)
                   : services::hmc_nuts_unit_e(
                         run.model, run.chains, run.inits, run.seed, run.id, run.init_radius, s.warmup, s.draws, s.thin,
                         s.save_warmup, run.refresh, s.stepsize, s.jitter, depth, run.interrupt, run.logger,
                         run.init_writers, draws, diagnostics);
  if (s.metric == "diag_e")
    return s.adapt ? services::hmc_nuts_diag_e_adapt(
                         run.model, run.chains, run.inits, metrics, run.seed, run.id, run.init_radius, s.warmup,
                         s.draws, s.thin, s.save_warmup, run.refresh, s.stepsize, s.jitter, depth, s.delta, s.gamma,
                         s.kappa, s.t0, s.init_buffer, s.term_buffer, s.window, run.interrupt, run.logger,
                         run.init_writers, draws, diagnostics, adapted)
                   : services::hmc_nuts_diag_e(
                         run.model, run.chains, run.inits, metrics, run.seed, run.id, run.init_radius, s.warmup,
                         s.draws, s.thin, s.save_warmup, run.refresh, s.stepsize, s.jitter, depth, run.interrupt,
                         run.logger, run.init_writers, draws, diagnostics);
  return s.adapt ? services::hmc_nuts_dense_e_adapt(
                       run.model, run.chains, run.inits, metrics, run.seed, run.id, run.init_radius, s.warmup, s.draws,
                       s.thin, s.save_warmup, run.refresh, s.stepsize, s.jitter, depth, s.delta, s.gamma, s.kappa, s.t0,
                       s.init_buffer, s.term_buffer, s.window, run.interrupt, run.logger, run.init_writers, draws,
                       diagnostics, adapted)
                 : services::hmc_nuts_dense_e(
                       run.model, run.chains, run.inits, metrics, run.seed, run.id, run.init_radius, s.warmup, s.draws,
                       s.thin, s.save_warmup, run.refresh, s.stepsize, s.jitter, depth, run.interrupt, run.logger,
                       run.init_writers, draws, diagnostics);
}

// One chain for each process.
int sample_static(Run& run) {
  namespace services = stan::services::sample;
  if (run.chains > 1) throw std::invalid_argument("num_chains > 1 is not available with engine=static.");
  if (run.args.flag("method.sample.adapt.save_metric"))
    throw std::invalid_argument("save_metric=1 is not available with engine=static.");
  const Sampling s(run.args);
  const double time = run.args.real("method.sample.algorithm.hmc.engine.static.int_time");
  const stan::io::var_context& init = *run.inits[0];
  const std::vector<Context> metrics = initial_metrics(run, s.metric);
  CsvWriter draws = std::move(run.chain_writers()[0]);
  CsvWriter diagnostics = std::move(run.diagnostic_writers()[0]);
  stan::callbacks::writer& inits = run.init_writers[0];

  if (s.metric == "unit_e")
    return s.adapt ? services::hmc_static_unit_e_adapt(
                         run.model, init, run.seed, run.id, run.init_radius, s.warmup, s.draws, s.thin, s.save_warmup,
                         run.refresh, s.stepsize, s.jitter, time, s.delta, s.gamma, s.kappa, s.t0, run.interrupt,
                         run.logger, inits, draws, diagnostics)
                   : services::hmc_static_unit_e(run.model, init, run.seed, run.id, run.init_radius, s.warmup, s.draws,
                                                 s.thin, s.save_warmup, run.refresh, s.stepsize, s.jitter, time,
                                                 run.interrupt, run.logger, inits, draws, diagnostics);
  if (s.metric == "diag_e")
    return s.adapt ? services::hmc_static_diag_e_adapt(
                         run.model, init, *metrics[0], run.seed, run.id, run.init_radius, s.warmup, s.draws, s.thin,
                         s.save_warmup, run.refresh, s.stepsize, s.jitter, time, s.delta, s.gamma, s.kappa, s.t0,
                         s.init_buffer, s.term_buffer, s.window, run.interrupt, run.logger, inits, draws, diagnostics)
                   : services::hmc_static_diag_e(run.model, init, *metrics[0], run.seed, run.id, run.init_radius,
                                                 s.warmup, s.draws, s.thin, s.save_warmup, run.refresh, s.stepsize,
                                                 s.jitter, time, run.interrupt, run.logger, inits, draws, diagnostics);
  return s.adapt ? services::hmc_static_dense_e_adapt(
                       run.model, init, *metrics[0], run.seed, run.id, run.init_radius, s.warmup, s.draws, s.thin,
                       s.save_warmup, run.refresh, s.stepsize, s.jitter, time, s.delta, s.gamma, s.kappa, s.t0,
                       s.init_buffer, s.term_buffer, s.window, run.interrupt, run.logger, inits, draws, diagnostics)
                 : services::hmc_static_dense_e(run.model, init, *metrics[0], run.seed, run.id, run.init_radius,
                                                s.warmup, s.draws, s.thin, s.save_warmup, run.refresh, s.stepsize,
                                                s.jitter, time, run.interrupt, run.logger, inits, draws, diagnostics);
}

int sample_fixed(Run& run) {
  const Sampling s(run.args);
  std::vector<CsvWriter> draws = run.chain_writers();
  std::vector<CsvWriter> diagnostics = run.diagnostic_writers();
  return stan::services::sample::fixed_param(run.model, run.chains, run.inits, run.seed, run.id, run.init_radius,
                                             s.draws, s.thin, run.refresh, run.interrupt, run.logger, run.init_writers,
                                             draws, diagnostics);
}

}  // namespace

int sample(Run& run) {
  if (run.args.chosen("method.sample.algorithm", "fixed_param")) return sample_fixed(run);
  if (run.model.num_params_r() == 0) {
    run.logger.info("Model contains no parameters, running fixed_param sampler, no updates to Markov chain");
    return sample_fixed(run);
  }
  if (run.args.flag("method.sample.adapt.engaged") && run.args.integer("method.sample.num_warmup") == 0)
    throw std::invalid_argument(
        "The number of warmup samples (num_warmup) must be greater than zero if adaptation is enabled.");
  return run.args.chosen("method.sample.algorithm.hmc.engine", "nuts") ? sample_nuts(run) : sample_static(run);
}

}  // namespace driver
