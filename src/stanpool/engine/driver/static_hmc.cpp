// Hamiltonian Monte Carlo with a static integration time, one chain for each process.

#include "sampling.hpp"

#include <stan/services/sample/hmc_static_dense_e.hpp>
#include <stan/services/sample/hmc_static_dense_e_adapt.hpp>
#include <stan/services/sample/hmc_static_diag_e.hpp>
#include <stan/services/sample/hmc_static_diag_e_adapt.hpp>
#include <stan/services/sample/hmc_static_unit_e.hpp>
#include <stan/services/sample/hmc_static_unit_e_adapt.hpp>

namespace driver {

int sample_static(Run& run) {
  namespace services = stan::services::sample;
  if (run.chains > 1) throw std::invalid_argument("num_chains > 1 is not available with engine=static.");
  if (run.args.flag("method.sample.adapt.save_metric"))
    throw std::invalid_argument("save_metric=1 is not available with engine=static.");
  const Sampling s(run.args);
  const double time = run.args.real("method.sample.algorithm.hmc.engine.static.int_time");
  const stan::io::var_context& init = *run.inits[0];
  const std::vector<Context> metrics = initial_metrics(run, s.metric);
  CsvWriter draws = std::move(run.csv_writers(run.args.text("output.file"))[0]);
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

}  // namespace driver
