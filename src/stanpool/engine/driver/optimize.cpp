// Point estimates, and draws from the normal approximation around them.

#include "run.hpp"

#include <stan/services/optimize/bfgs.hpp>
#include <stan/services/optimize/laplace_sample.hpp>
#include <stan/services/optimize/lbfgs.hpp>
#include <stan/services/optimize/newton.hpp>

#include <algorithm>

namespace driver {
namespace {

using stan::model::model_base;

template <bool jacobian>
int optimize_with(Run& run) {
  namespace services = stan::services::optimize;
  const std::string& algorithm = run.args.text("method.optimize.algorithm");
  const std::string settings = "method.optimize.algorithm." + algorithm + ".";
  const auto setting = [&](const char* name) { return run.args.real(settings + name); };
  const int iterations = run.args.integer("method.optimize.iter");
  const bool save_iterations = run.args.flag("method.optimize.save_iterations");
  const stan::io::var_context& init = *run.inits[0];
  stan::callbacks::writer& inits = run.init_writers[0];
  CsvWriter estimates = std::move(run.csv_writers(run.args.text("output.file"))[0]);

  if (algorithm == "newton")
    return services::newton<model_base, jacobian>(run.model, init, run.seed, run.id, run.init_radius, iterations,
                                                  save_iterations, run.interrupt, run.logger, inits, estimates);
  if (algorithm == "bfgs")
    return services::bfgs<model_base, jacobian>(
        run.model, init, run.seed, run.id, run.init_radius, setting("init_alpha"), setting("tol_obj"),
        setting("tol_rel_obj"), setting("tol_grad"), setting("tol_rel_grad"), setting("tol_param"), iterations,
        save_iterations, run.refresh, run.interrupt, run.logger, inits, estimates);
  return services::lbfgs<model_base, jacobian>(
      run.model, init, run.seed, run.id, run.init_radius, run.args.integer(settings + "history_size"),
      setting("init_alpha"), setting("tol_obj"), setting("tol_rel_obj"), setting("tol_grad"), setting("tol_rel_grad"),
      setting("tol_param"), iterations, save_iterations, run.refresh, run.interrupt, run.logger, inits, estimates);
}

Eigen::VectorXd unconstrained_mode(const std::string& file, const model_base& model) {
  const std::string extension = split_extension(file).second;
  Eigen::VectorXd mode(model.num_params_r());
  if (extension == ".json") {
    model.transform_inits(*read_variables(file), mode, &std::cout);
    return mode;
  }
  if (extension != ".csv") throw std::invalid_argument("Mode file must be CSV or JSON, found \"" + file + "\"");
  const std::vector<std::string> comments = read_comments(file);
  const bool optimized = std::any_of(comments.begin(), comments.end(), [](const std::string& line) {
    return line.find("method = optimize") != std::string::npos;
  });
  if (!optimized) throw std::invalid_argument("Mode file \"" + file + "\" is not the output of method optimize");
  const Draws estimates = read_draws(file, model);
  if (estimates.empty()) throw std::invalid_argument("Mode file \"" + file + "\" holds no estimate");
  std::vector<double> unconstrained;
  model.unconstrain_array(estimates.front(), unconstrained, &std::cout);
  return Eigen::Map<Eigen::VectorXd>(unconstrained.data(), unconstrained.size());
}

template <bool jacobian>
int laplace_with(Run& run) {
  const std::string& file = run.args.text("method.laplace.mode");
  if (file.empty()) throw std::invalid_argument("Missing argument mode: a file with the parameters at the mode.");
  const Eigen::VectorXd mode = unconstrained_mode(file, run.model);
  CsvWriter draws = std::move(run.csv_writers(run.args.text("output.file"))[0]);
  JsonWriter hessian = std::move(run.json_writers(run.args.text("output.diagnostic_file"))[0]);
  return stan::services::laplace_sample<jacobian>(run.model, mode, run.args.integer("method.laplace.draws"),
                                                  run.args.flag("method.laplace.calculate_lp"), run.seed, run.refresh,
                                                  run.interrupt, run.logger, draws, hessian);
}

}  // namespace

int optimize(Run& run) {
  return run.args.flag("method.optimize.jacobian") ? optimize_with<true>(run) : optimize_with<false>(run);
}

int laplace(Run& run) {
  return run.args.flag("method.laplace.jacobian") ? laplace_with<true>(run) : laplace_with<false>(run);
}

}  // namespace driver
