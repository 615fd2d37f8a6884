// Stan programs at given parameters, in plain doubles: for tests, many programs in one file.
//
//     EXECUTABLE PROGRAM DATA.json PARAMETERS.json
//
// writes the log density without Jacobian, and all that the program declares, as a header and a row of CSV. Without
// autodiff and optimisation a program takes a twentieth of the time to compile that its executable for cmdstanpy takes.

#include <stan/model/model_header.hpp>

#include <stan/io/json/json_data.hpp>

#include <map>

namespace stan::model {

// In place of Stan's base of all models, whose virtual functions ask for every kind of density.
template <typename Model>
struct doubles_only {
  explicit doubles_only(std::size_t) {}
  std::size_t num_params_r__ = 0;
  std::vector<std::pair<int, int>> param_ranges_i__;
};

}  // namespace stan::model

#define model_base_crtp doubles_only
#define final     // there are no virtual functions to override
#define USING_R   // stanc leaves out what only one program of an executable can have

using Evaluation = void (*)(stan::io::var_context& data, const stan::io::var_context& parameters);

template <typename Model>
void evaluate(stan::io::var_context& data, const stan::io::var_context& parameters) {
  Model model(data, 1, &std::cerr);
  std::vector<double> unconstrained, values;
  std::vector<int> no_integers;
  model.transform_inits(parameters, no_integers, unconstrained, &std::cerr);
  const double density = model.template log_prob<false, false>(unconstrained, no_integers, &std::cerr);
  stan::rng_t rng = stan::services::util::create_rng(1, 1);
  model.write_array(rng, unconstrained, no_integers, values, true, true, &std::cerr);
  std::vector<std::string> names;
  model.constrained_param_names(names, true, true);

  std::cout.precision(17);
  std::cout << "lp__";
  for (const std::string& name : names) std::cout << ',' << name;
  std::cout << '\n' << density;
  for (const double value : values) std::cout << ',' << value;
  std::cout << '\n';
}

int run(const std::map<std::string, Evaluation>& programs, char** arguments) {
  std::ifstream data(arguments[2]), parameters(arguments[3]);
  stan::json::json_data given(data);
  programs.at(arguments[1])(given, stan::json::json_data(parameters));
  return 0;
}
