// Pathfinder: variational inference along the path of an optimizer.

#include "run.hpp"

#include <stan/services/pathfinder/multi.hpp>
#include <stan/services/pathfinder/single.hpp>

namespace driver {

int pathfinder(Run& run) {
  namespace services = stan::services::pathfinder;
  const Arguments& args = run.args;
  const auto real = [&](const char* name) { return args.real(std::string("method.pathfinder.") + name); };
  const auto integer = [&](const char* name) { return args.integer(std::string("method.pathfinder.") + name); };
  const auto flag = [&](const char* name) { return args.flag(std::string("method.pathfinder.") + name); };
  if (run.model.num_params_r() == 0) throw std::invalid_argument("Model has 0 parameters, cannot run Pathfinder.");

  const std::string& output = args.text("output.file");
  const std::string& diagnostic = args.text("output.diagnostic_file");
  const bool several = run.chains > 1;
  const bool save_paths = flag("save_single_paths") || !diagnostic.empty();
  const std::string path_diagnostics = diagnostic.empty() && save_paths ? output : diagnostic;
  const std::string tag = several ? "_path" : "";
  // From 2.36 on, Stan writes the draws of single paths only where they are not resampled.
  const bool is_resampled = STAN_MINOR >= 36 && flag("calculate_lp") && flag("psis_resample");
  std::vector<CsvWriter> path_draws = run.csv_writers(several && (!save_paths || is_resampled) ? "" : output, tag);
  std::vector<JsonWriter> path_iterations = run.json_writers(path_diagnostics, tag);

  if (!several)
    return services::pathfinder_lbfgs_single(
        run.model, *run.inits[0], run.seed, run.id, run.init_radius, integer("history_size"), real("init_alpha"),
        real("tol_obj"), real("tol_rel_obj"), real("tol_grad"), real("tol_rel_grad"), real("tol_param"),
        integer("max_lbfgs_iters"), integer("num_elbo_draws"), integer("num_draws"), save_paths, run.refresh,
        run.interrupt, run.logger, run.init_writers[0], path_draws[0], path_iterations[0], flag("calculate_lp"));

  if (integer("num_psis_draws") > integer("num_draws") * static_cast<int>(run.chains))
    run.logger.warn(
        "Warning: Number of PSIS draws is larger than the total number of draws returned by the single Pathfinders. "
        "This is likely unintentional and leads to re-sampling from the same draws.");
  CsvWriter draws(chain_files(output, "", ".csv", 1, run.id)[0], run.sig_figs);
  run.write_configuration(draws);
  JsonWriter unused;
  return services::pathfinder_lbfgs_multi(
      run.model, run.inits, run.seed, run.id, run.init_radius, integer("history_size"), real("init_alpha"),
      real("tol_obj"), real("tol_rel_obj"), real("tol_grad"), real("tol_rel_grad"), real("tol_param"),
      integer("max_lbfgs_iters"), integer("num_elbo_draws"), integer("num_draws"), integer("num_psis_draws"),
      static_cast<int>(run.chains), save_paths, run.refresh, run.interrupt, run.logger, run.init_writers, path_draws,
      path_iterations, draws, unused, flag("calculate_lp"), flag("psis_resample"));
}

}  // namespace driver
