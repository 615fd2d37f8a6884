// Automatic differentiation variational inference.

#include "run.hpp"

#include <stan/services/experimental/advi/fullrank.hpp>
#include <stan/services/experimental/advi/meanfield.hpp>

namespace driver {

using stan::model::model_base;

int variational(Run& run) {
  namespace services = stan::services::experimental::advi;
  const Arguments& args = run.args;
  CsvWriter draws = std::move(run.csv_writers(args.text("output.file"))[0]);
  CsvWriter diagnostics = std::move(run.diagnostic_writers()[0]);
  const auto family = args.chosen("method.variational.algorithm", "fullrank") ? services::fullrank<model_base>
                                                                              : services::meanfield<model_base>;
  return family(run.model, *run.inits[0], run.seed, run.id, run.init_radius,
                args.integer("method.variational.grad_samples"), args.integer("method.variational.elbo_samples"),
                args.integer("method.variational.iter"), args.real("method.variational.tol_rel_obj"),
                args.real("method.variational.eta"), args.flag("method.variational.adapt.engaged"),
                args.integer("method.variational.adapt.iter"), args.integer("method.variational.eval_elbo"),
                args.integer("method.variational.output_samples"), run.interrupt, run.logger, run.init_writers[0],
                draws, diagnostics);
}

}  // namespace driver
