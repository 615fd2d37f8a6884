// The program at given parameters: its generated quantities, its log density, a test of its gradient.

#include "run.hpp"

#include <stan/model/log_prob_grad.hpp>
#include <stan/services/diagnose/diagnose.hpp>
#include <stan/services/util/create_rng.hpp>
#include <stan/services/util/gq_writer.hpp>

namespace driver {
namespace {

// Unconstrained parameters, a vector for each evaluation.
Draws unconstrained_from_vector(const std::string& file, const stan::model::model_base& model) {
  const Context variables = read_variables(file);
  const std::vector<double> values = variables->vals_r("params_r");
  const std::vector<std::size_t> dims = variables->dims_r("params_r");
  if (values.empty()) throw std::invalid_argument("File \"" + file + "\" has no values of the variable 'params_r'");
  const std::size_t size = dims.back();
  if (dims.size() > 2 || size != model.num_params_r())
    throw std::invalid_argument("Incorrect number of unconstrained parameters in \"" + file + "\": the model has " +
                                std::to_string(model.num_params_r()) + " parameters but " + std::to_string(size) +
                                " were found");
  // Variables come in column-major order.
  const std::size_t n = values.size() / size;
  Draws parameters(n, std::vector<double>(size));
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < size; ++j) parameters[i][j] = values[i + j * n];
  return parameters;
}

Draws unconstrained_from_constrained(const std::string& file, const stan::model::model_base& model) {
  Draws parameters;
  if (split_extension(file).second == ".csv") {
    for (const std::vector<double>& draw : read_draws(file, model)) {
      parameters.emplace_back();
      model.unconstrain_array(draw, parameters.back(), &std::cout);
    }
    return parameters;
  }
  std::vector<int> no_integers;
  parameters.emplace_back(model.num_params_r());
  model.transform_inits(*read_variables(file), no_integers, parameters.back(), &std::cout);
  return parameters;
}

}  // namespace

int generate_quantities(Run& run) {
  const std::string& file = run.args.text("method.generate_quantities.fitted_params");
  if (file.empty())
    throw std::invalid_argument("Missing argument fitted_params: a CSV file of draws of the parameters.");
  std::vector<Draws> draws;
  for (const std::string& name : chain_files(file, "", ".csv", run.chains, run.id)) {
    if (split_extension(name).second != ".csv") throw std::invalid_argument("Fitted params file must be a CSV file.");
    if (name == run.args.text("output.file"))
      throw std::invalid_argument("Fitted params file \"" + name + "\" cannot be the output file too.");
    draws.push_back(read_draws(name, run.model));
  }
  std::vector<std::string> parameters;
  std::vector<std::string> quantities;
  run.model.constrained_param_names(parameters, false, false);
  run.model.constrained_param_names(quantities, false, true);
  if (quantities.size() == parameters.size())
    throw std::invalid_argument("Model doesn't generate any quantities of interest.");

  // What stan::services::standalone_generate does, but for several chains its rows hold the parameters too.
  std::vector<CsvWriter> writers = run.csv_writers(run.args.text("output.file"));
  for (unsigned int chain = 0; chain < run.chains; ++chain) {
    stan::services::util::gq_writer writer(writers[chain], run.logger, static_cast<int>(parameters.size()));
    writer.write_gq_names(run.model);
    stan::rng_t rng = stan::services::util::create_rng(run.seed, chain + 1);
    for (const std::vector<double>& draw : draws[chain]) {
      std::vector<double> unconstrained;
      run.model.unconstrain_array(draw, unconstrained, &std::cout);
      writer.write_gq_values(run.model, rng, unconstrained);
    }
  }
  return 0;
}

int log_prob(Run& run) {
  const std::string& unconstrained = run.args.text("method.log_prob.unconstrained_params");
  const std::string& constrained = run.args.text("method.log_prob.constrained_params");
  if (unconstrained.empty() == constrained.empty())
    throw std::invalid_argument("Give the file of either the constrained or the unconstrained parameter values.");
  const Draws parameters = unconstrained.empty() ? unconstrained_from_constrained(constrained, run.model)
                                                 : unconstrained_from_vector(unconstrained, run.model);
  CsvWriter writer = std::move(run.csv_writers(run.args.text("output.file"))[0]);
  std::vector<std::string> names;
  run.model.unconstrained_param_names(names, false, false);
  for (std::string& name : names) name = "g_" + name;
  names.insert(names.begin(), "lp__");
  writer(names);

  using stan::model::log_prob_grad;
  const bool jacobian = run.args.flag("method.log_prob.jacobian");
  std::vector<int> no_integers;
  for (std::vector<double> at : parameters) {
    std::vector<double> row;  // the gradient, then the density before it
    const double value = jacobian ? log_prob_grad<true, true>(run.model, at, no_integers, row, &std::cout)
                                  : log_prob_grad<true, false>(run.model, at, no_integers, row, &std::cout);
    row.insert(row.begin(), value);
    writer(row);
  }
  return 0;
}

int diagnose(Run& run) {
  CsvWriter writer = std::move(run.csv_writers(run.args.text("output.file"))[0]);
  return stan::services::diagnose::diagnose(run.model, *run.inits[0], run.seed, run.id, run.init_radius,
                                            run.args.real("method.diagnose.test.gradient.epsilon"),
                                            run.args.real("method.diagnose.test.gradient.error"), run.interrupt,
                                            run.logger, run.init_writers[0], writer);
}

}  // namespace driver
