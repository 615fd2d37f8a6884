// A command line for one compiled Stan program, in the terms of CmdStan: `model sample data file=data.json`.

#include "run.hpp"

#include <stan/math/prim/core/init_threadpool_tbb.hpp>
#include <stan/math/rev/core/profiling.hpp>

#include <chrono>

// Emitted by stanc with the program.
stan::model::model_base& new_model(stan::io::var_context& data, unsigned int seed, std::ostream* messages);
stan::math::profile_map& get_stan_profile_data();

namespace driver {
namespace {

constexpr int failure = 1;

using Method = int (*)(Run&);

Method method_named(const std::string& name) {
  const std::pair<const char*, Method> methods[] = {
      {"sample", sample},         {"optimize", optimize},
      {"variational", variational}, {"diagnose", diagnose},
      {"generate_quantities", generate_quantities}, {"pathfinder", pathfinder},
      {"log_prob", log_prob},     {"laplace", laplace},
  };
  for (const auto& [known, method] : methods)
    if (name == known) return method;
  throw std::logic_error("no method " + name);
}

unsigned int seed_from_time() {
  using namespace std::chrono;
  return static_cast<unsigned int>(duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count());
}

// The environment may name the number of threads as well; both must then agree.
void start_threads(Arguments& args) {
  const int in_environment = stan::math::internal::get_num_threads();
  if (args.integer("num_threads") == 1)
    args.set("num_threads", std::to_string(in_environment));
  else if (in_environment != 1 && in_environment != args.integer("num_threads"))
    throw std::invalid_argument("STAN_NUM_THREADS=" + std::to_string(in_environment) + " but argument num_threads=" +
                                args.text("num_threads") + ". Set only one of them, or the same number.");
  stan::math::init_threadpool_tbb(args.integer("num_threads"));
}

void write_profile(const Run& run) {
  const stan::math::profile_map& profiles = get_stan_profile_data();
  if (profiles.empty()) return;
  const auto out = create(run.args.text("output.profile_file"), run.sig_figs);
  *out << "name,thread_id,total_time,forward_time,reverse_time,chain_stack,no_chain_stack,autodiff_calls,"
          "no_autodiff_calls\n";
  for (const auto& [key, profile] : profiles)
    *out << key.first << "," << key.second << "," << profile.get_fwd_time() + profile.get_rev_time() << ","
         << profile.get_fwd_time() << "," << profile.get_rev_time() << "," << profile.get_chain_stack_used() << ","
         << profile.get_nochain_stack_used() << "," << profile.get_num_rev_passes() << ","
         << profile.get_num_no_AD_fwd_passes() << "\n";
}

int run(const std::string& program, const std::vector<std::string>& words) {
  Arguments args;
  if (!args.parse(program, words)) return 0;
  start_threads(args);
  if (args.text("random.seed") == "-1") args.set("random.seed", std::to_string(seed_from_time()));
  for (const std::string& line : args.lines()) std::cout << line << "\n";
  std::cout << std::endl;

  const Context data = read_variables(args.text("data.file"));
  const unsigned int seed = args.natural("random.seed");
  Run run(std::move(args), new_model(*data, seed, &std::cout));
  if (run.args.flag("output.save_cmdstan_config")) {
    JsonWriter config(create(split_extension(run.args.text("output.file")).first + "_config.json", run.sig_figs));
    run.write_configuration(config);
  }
  const int code = method_named(run.args.text("method"))(run);
  try {
    write_profile(run);
  } catch (const std::exception& e) {
    std::cerr << e.what() << std::endl;  // the results are there all the same
  }
  return code == 0 ? 0 : failure;
}

}  // namespace
}  // namespace driver

int main(int argc, char* argv[]) {
  try {
    return driver::run(argv[0], {argv + 1, argv + argc});
  } catch (const driver::UsageError& e) {
    const std::string message = e.what();
    if (!message.empty()) std::cerr << message << "\nFailed to parse command arguments, cannot run model." << std::endl;
  } catch (const std::exception& e) {
    std::cerr << e.what() << std::endl;
  }
  return driver::failure;
}
