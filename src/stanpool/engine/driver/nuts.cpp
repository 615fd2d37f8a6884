// The no-U-turn sampler, with each metric, with and without adaptation.

#include "sampling.hpp"

#include <stan/services/sample/hmc_nuts_dense_e.hpp>
#include <stan/services/sample/hmc_nuts_dense_e_adapt.hpp>
#include <stan/services/sample/hmc_nuts_diag_e.hpp>
#include <stan/services/sample/hmc_nuts_diag_e_adapt.hpp>
#include <stan/services/sample/hmc_nuts_unit_e.hpp>
#include <stan/services/sample/hmc_nuts_unit_e_adapt.hpp>

namespace driver {

int sample_nuts(Run& run) {
  namespace services = stan::services::sample;
  const Sampling s(run.args);
  const int depth = run.args.integer("method.sample.algorithm.hmc.engine.nuts.max_depth");
  const std::vector<Context> metrics = initial_metrics(run, s.metric);
  std::vector<CsvWriter> draws = run.csv_writers(run.args.text("output.file"));
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

}  // namespace driver
