#include "sampling.hpp"

#include <stan/services/sample/fixed_param.hpp>
#include <stan/services/util/create_unit_e_dense_inv_metric.hpp>
#include <stan/services/util/create_unit_e_diag_inv_metric.hpp>

namespace driver {
namespace {

int sample_fixed(Run& run) {
  const Sampling s(run.args);
  std::vector<CsvWriter> draws = run.csv_writers(run.args.text("output.file"));
  std::vector<CsvWriter> diagnostics = run.diagnostic_writers();
  return stan::services::sample::fixed_param(run.model, run.chains, run.inits, run.seed, run.id, run.init_radius,
                                             s.draws, s.thin, run.refresh, run.interrupt, run.logger, run.init_writers,
                                             draws, diagnostics);
}

}  // namespace

Sampling::Sampling(const Arguments& args)
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

std::vector<JsonWriter> metric_writers(const Run& run) {
  const bool wanted = run.args.flag("method.sample.adapt.save_metric");
  if (wanted && !run.args.flag("method.sample.adapt.engaged"))
    throw std::invalid_argument("save_metric=1 saves the adapted metric: it needs adapt engaged=1.");
  return run.json_writers(wanted ? run.args.text("output.file") : "", "_metric");
}

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
