#include "arguments.hpp"

#include <stan/version.hpp>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <limits>
#include <utility>

namespace driver {
namespace {

using Kind = Argument::Kind;

constexpr double infinity = std::numeric_limits<double>::infinity();

// The shortest decimal text that reads back as the same number.
std::string as_text(double value) {
  char text[32];
  for (int digits : {6, 15, 16, 17}) {
    std::snprintf(text, sizeof text, "%.*g", digits, value);
    if (std::strtod(text, nullptr) == value) break;
  }
  return text;
}

// The condition on a value: in words, where `#` stands for the argument's name, and as a function.
struct Condition {
  std::string words;
  std::function<bool(double)> holds;
};

Condition above(double low) {
  return {as_text(low) + " < #", [low](double x) { return x > low && x < infinity; }};
}

Condition at_least(double low) {
  return {as_text(low) + " <= #", [low](double x) { return x >= low && x < infinity; }};
}

Condition between(double low, double high) {
  return {as_text(low) + " <= # <= " + as_text(high), [low, high](double x) { return x >= low && x <= high; }};
}

Condition strictly_between(double low, double high) {
  return {as_text(low) + " < # < " + as_text(high), [low, high](double x) { return x > low && x < high; }};
}

Argument category(std::string name, std::string help, std::vector<Argument> children = {}) {
  Argument a;
  a.name = std::move(name);
  a.help = std::move(help);
  a.children = std::move(children);
  return a;
}

Argument valued(Kind kind, std::string name, std::string help, std::string value, Condition condition) {
  Argument a = category(std::move(name), std::move(help));
  a.kind = kind;
  a.value = a.fallback = std::move(value);
  for (auto at = condition.words.find('#'); at != std::string::npos; at = condition.words.find('#'))
    condition.words.replace(at, 1, a.name);
  a.valid = std::move(condition.words);
  a.accepts = std::move(condition.holds);
  return a;
}

Argument choice(std::string name, std::string help, std::string value, std::vector<Argument> children) {
  std::string names;
  for (const Argument& child : children) names += (names.empty() ? "" : ", ") + child.name;
  Argument a = valued(Kind::choice, std::move(name), std::move(help), std::move(value), {names, nullptr});
  a.children = std::move(children);
  return a;
}

// A value of a choice that has no settings of its own.
Argument option(std::string name, std::string help) {
  Argument a = category(std::move(name), std::move(help));
  a.kind = Kind::option;
  return a;
}

Argument boolean(std::string name, std::string help, bool value) {
  return valued(Kind::boolean, std::move(name), std::move(help), value ? "true" : "false",
                {"[0, 1, false, true]", nullptr});
}

Argument integer(std::string name, std::string help, int value, Condition condition) {
  return valued(Kind::integer, std::move(name), std::move(help), std::to_string(value), std::move(condition));
}

Argument real(std::string name, std::string help, double value, Condition condition) {
  return valued(Kind::real, std::move(name), std::move(help), as_text(value), std::move(condition));
}

Argument text(std::string name, std::string help, std::string value, std::string valid) {
  return valued(Kind::text, std::move(name), std::move(help), std::move(value), {std::move(valid), nullptr});
}

// The settings of BFGS, which L-BFGS and Pathfinder share.
std::vector<Argument> bfgs_settings() {
  return {
      real("init_alpha", "Step size of the first line search", 0.001, above(0)),
      real("tol_obj", "Convergence tolerance on changes of the objective", 1e-12, at_least(0)),
      real("tol_rel_obj", "Convergence tolerance on relative changes of the objective", 1e4, at_least(0)),
      real("tol_grad", "Convergence tolerance on the norm of the gradient", 1e-8, at_least(0)),
      real("tol_rel_grad", "Convergence tolerance on the relative norm of the gradient", 1e7, at_least(0)),
      real("tol_param", "Convergence tolerance on changes of the parameters", 1e-8, at_least(0)),
  };
}

std::vector<Argument> lbfgs_settings(std::vector<Argument> more = {}) {
  std::vector<Argument> settings = bfgs_settings();
  settings.push_back(integer("history_size", "Number of updates that L-BFGS remembers", 5, above(0)));
  for (Argument& a : more) settings.push_back(std::move(a));
  return settings;
}

Argument jacobian(bool value) {
  return boolean("jacobian", "Include the change-of-variables adjustment of constrained parameters?", value);
}

Argument input_file(std::string name, std::string help) {
  return text(std::move(name), std::move(help), "", "path of an existing file");
}

Argument output_file(std::string name, std::string help, std::string value) {
  return text(std::move(name), std::move(help), std::move(value), "path of a file that can be written");
}

Condition threads() {
#ifdef STAN_THREADS
  return {"0 < # or # == -1 (all cores)", [](double x) { return x > 0 || x == -1; }};
#else
  return {"# == 1 (compile the model with STAN_THREADS=true for more)", [](double x) { return x == 1; }};
#endif
}

constexpr double largest_seed = std::numeric_limits<unsigned int>::max();

std::vector<Argument> argument_tree() {
  return {
      choice("method", "Analysis method (`method=` may be left out)", "sample",
        {category("sample", "Bayesian inference with Markov chain Monte Carlo",
           {integer("num_samples", "Number of sampling iterations", 1000, at_least(0)),
            integer("num_warmup", "Number of warmup iterations", 1000, at_least(0)),
            boolean("save_warmup", "Write the warmup draws too?", false),
            integer("thin", "Period between saved draws", 1, above(0)),
            category("adapt", "Warmup adaptation",
              {boolean("engaged", "Adapt?", true),
               real("gamma", "Adaptation regularization scale", 0.05, above(0)),
               real("delta", "Target acceptance statistic", 0.8, strictly_between(0, 1)),
               real("kappa", "Adaptation relaxation exponent", 0.75, above(0)),
               real("t0", "Adaptation iteration offset", 10, above(0)),
               integer("init_buffer", "Width of the initial fast adaptation interval", 75, at_least(0)),
               integer("term_buffer", "Width of the final fast adaptation interval", 50, at_least(0)),
               integer("window", "Initial width of the slow adaptation interval", 25, at_least(0)),
               boolean("save_metric", "Save the adapted metric as JSON?", false)}),
            choice("algorithm", "Sampling algorithm", "hmc",
              {category("hmc", "Hamiltonian Monte Carlo",
                 {choice("engine", "Engine of Hamiltonian Monte Carlo", "nuts",
                    {category("static", "Static integration time",
                       {real("int_time", "Total integration time, by default 2 pi", 8 * std::atan(1.0), above(0))}),
                     category("nuts", "The no-U-turn sampler",
                       {integer("max_depth", "Maximum depth of the tree", 10, above(0))})}),
                  choice("metric", "Geometry of the base manifold", "diag_e",
                    {option("unit_e", "Euclidean manifold with unit metric"),
                     option("diag_e", "Euclidean manifold with diagonal metric"),
                     option("dense_e", "Euclidean manifold with dense metric")}),
                  input_file("metric_file", "Inverse metric to start from"),
                  real("stepsize", "Step size of the discrete evolution", 1, above(0)),
                  real("stepsize_jitter", "Uniform random jitter of the step size, as a fraction", 0, between(0, 1))}),
               option("fixed_param", "Fixed parameters")}),
            integer("num_chains", "Number of chains in this process", 1, above(0))}),
         category("optimize", "Point estimation",
           {choice("algorithm", "Optimization algorithm", "lbfgs",
              {category("bfgs", "BFGS with line search", bfgs_settings()),
               category("lbfgs", "L-BFGS with line search", lbfgs_settings()),
               category("newton", "Newton's method")}),
            jacobian(false),
            integer("iter", "Maximum number of iterations", 2000, above(0)),
            boolean("save_iterations", "Write the iterations too?", false)}),
         category("variational", "Variational inference",
           {choice("algorithm", "Variational family", "meanfield",
              {category("meanfield", "Independent normal approximation"),
               category("fullrank", "Multivariate normal approximation")}),
            integer("iter", "Maximum number of iterations", 10000, above(0)),
            integer("grad_samples", "Number of draws for the gradient", 1, above(0)),
            integer("elbo_samples", "Number of draws for the ELBO", 100, above(0)),
            real("eta", "Scale of the step size", 1, above(0)),
            category("adapt", "Adaptation of eta",
              {boolean("engaged", "Adapt?", true),
               integer("iter", "Number of iterations of the adaptation", 50, above(0))}),
            real("tol_rel_obj", "Relative convergence tolerance", 0.01, at_least(0)),
            integer("eval_elbo", "Number of iterations between ELBO evaluations", 100, above(0)),
            integer("output_samples", "Number of approximate posterior draws", 1000, above(0))}),
         category("diagnose", "Model diagnostics",
           {choice("test", "Diagnostic test", "gradient",
              {category("gradient", "Compare the gradient with finite differences",
                 {real("epsilon", "Step size of the finite differences", 1e-6, above(0)),
                  real("error", "Largest difference that passes", 1e-6, above(0))})})}),
         category("generate_quantities", "Generate quantities of interest",
           {input_file("fitted_params", "CSV file of draws of the parameters; for several chains _1, _2, ... is added "
                                        "to its name"),
            integer("num_chains", "Number of chains", 1, above(0))}),
         category("pathfinder", "Pathfinder variational inference",
           lbfgs_settings({
             integer("num_psis_draws", "Number of draws after importance resampling", 1000, above(0)),
             integer("num_paths", "Number of single paths", 4, above(0)),
             boolean("save_single_paths", "Write the draws of each path too?", false),
             boolean("psis_resample", "Resample the draws of all paths by their importance?", true),
             boolean("calculate_lp", "Calculate the log density of all draws? Needed for resampling.", true),
             integer("max_lbfgs_iters", "Maximum number of L-BFGS iterations", 1000, above(0)),
             integer("num_draws", "Number of approximate posterior draws of each path", 1000, above(0)),
             integer("num_elbo_draws", "Number of draws for the ELBO", 25, above(0))})),
         category("log_prob", "Log density up to a constant, and its gradient, at given parameters",
           {input_file("unconstrained_params", "File (JSON or R dump) of parameters on the unconstrained scale"),
            input_file("constrained_params", "File (JSON, R dump or CSV) of parameters on the constrained scale"),
            jacobian(true)}),
         category("laplace", "Draws from a Laplace approximation",
           {input_file("mode", "File (JSON or CSV) of the mode on the constrained scale"),
            jacobian(true),
            integer("draws", "Number of draws", 1000, above(0)),
            boolean("calculate_lp", "Calculate the log density of all draws?", true)})}),
      integer("id", "Identifier of the process or of its first chain", 1, at_least(0)),
      category("data", "Input data", {input_file("file", "Input data (JSON or R dump)")}),
      text("init", "Initial values: a number x draws them from (-x, x), 0 sets them to 0, anything else is a file (for "
                   "several chains also a name to which _1, _2, ... is added)", "2",
           "a number or the path of an existing file"),
      category("random", "Random number generation",
        {integer("seed", "Seed of the random number generator, -1 for one from the time", -1,
                 {"0 <= # <= 4294967295, or -1", [](double x) { return x >= -1 && x <= largest_seed; }})}),
      category("output", "Output",
        {output_file("file", "Output file; for several chains _1, _2, ... is added to its name", "output.csv"),
         output_file("draws_file", "Binary file of the draws of sample, without the sampler's variables, which alone are "
                                   "then in the output file", ""),
         text("passing", "Variables, separated by commas, of which draws_file has the last draw only", "",
              "names of variables"),
         output_file("diagnostic_file", "File of further diagnostics", ""),
         integer("refresh", "Number of iterations between progress messages", 100, at_least(0)),
         integer("sig_figs", "Number of significant figures of the output, -1 for 6", -1, between(-1, 18)),
         output_file("profile_file", "File of the profiling information", "profile.csv"),
         boolean("save_cmdstan_config", "Save the configuration as JSON?", false)}),
      integer("num_threads", "Number of threads", 1, threads()),
  };
}

std::pair<std::string, std::string> split(const std::string& word) {
  const auto at = word.find('=');
  if (at == std::string::npos) return {word, ""};
  return {word.substr(0, at), word.substr(at + 1)};
}

std::string type_name(Kind kind) {
  switch (kind) {
    case Kind::choice: return "list_element";
    case Kind::boolean: return "boolean";
    case Kind::integer: return "int";
    case Kind::real: return "double";
    default: return "string";
  }
}

// The value in canonical form, or an exception if it is not one of this argument.
std::string checked(const Argument& a, const std::string& word) {
  const auto refuse = [&]() -> std::string {
    throw UsageError(word + " is not a valid value for \"" + a.name + "\"\n  Valid values: " + a.valid);
  };
  switch (a.kind) {
    case Kind::choice:
      return a.find(word) ? word : refuse();
    case Kind::boolean:
      if (word == "1" || word == "true") return "true";
      if (word == "0" || word == "false") return "false";
      return refuse();
    case Kind::integer:
    case Kind::real: {
      char* end = nullptr;
      const double x = std::strtod(word.c_str(), &end);
      if (word.empty() || *end != '\0' || !a.accepts(x)) return refuse();
      if (a.kind == Kind::real) return as_text(x);
      if (x != std::floor(x) || word.find_first_not_of("+-0123456789") != std::string::npos) return refuse();
      if (std::abs(x) > std::numeric_limits<int>::max() && a.name != "seed") return refuse();
      return std::to_string(static_cast<long long>(x));
    }
    default:
      return word;
  }
}

bool has_value(const Argument& a) { return a.kind != Kind::category && a.kind != Kind::option; }

void print_help(const Argument& a, bool all, int depth = 0) {
  const std::string indent(2 * depth, ' ');
  std::cout << indent << a.name << (has_value(a) ? "=<" + type_name(a.kind) + ">" : "") << "\n"
            << indent << "  " << a.help << "\n";
  if (has_value(a))
    std::cout << indent << "  Valid values: " << a.valid << "\n" << indent << "  Defaults to " << a.fallback << "\n";
  if (a.kind == Kind::category && !a.children.empty()) {
    std::cout << indent << "  Valid subarguments:";
    for (const Argument& child : a.children) std::cout << (&child == &a.children.front() ? " " : ", ") << child.name;
    std::cout << "\n";
  }
  std::cout << "\n";
  if (all)
    for (const Argument& child : a.children) print_help(child, true, depth + 1);
}

void print_usage(const std::string& program, const std::vector<Argument>& tree) {
  const auto list = [](const Argument& a) { std::cout << "  " << a.name << "  " << a.help << "\n"; };
  std::cout << "Usage: " << program
            << " <arg1> <subarg1_1> ... <subarg1_m> ... <arg_n> <subarg_n_1> ... <subarg_n_m>\n\n"
            << "Begin by selecting amongst the following inference methods and diagnostics,\n";
  for (const Argument& method : tree.front().children) list(method);
  std::cout << "\nOr see help information with\n  help  Prints help\n  help-all  Prints the entire argument tree\n"
            << "  info  Prints the version and the compile options\n\n"
            << "Additional configuration available by specifying\n";
  for (auto a = tree.begin() + 1; a != tree.end(); ++a) list(*a);
  std::cout << "\nSee " << program << " <arg1> [ help | help-all ] for details on individual arguments.\n\n";
}

void print_info() {
  const auto enabled = [](bool on) { return on ? "true" : "false"; };
#ifdef STAN_THREADS
  constexpr bool threads = true;
#else
  constexpr bool threads = false;
#endif
#ifdef STAN_NO_RANGE_CHECKS
  constexpr bool no_range_checks = true;
#else
  constexpr bool no_range_checks = false;
#endif
#ifdef STAN_CPP_OPTIMS
  constexpr bool cpp_optims = true;
#else
  constexpr bool cpp_optims = false;
#endif
  std::cout << "stan_version_major = " << stan::MAJOR_VERSION << "\n"
            << "stan_version_minor = " << stan::MINOR_VERSION << "\n"
            << "stan_version_patch = " << stan::PATCH_VERSION << "\n"
            << "STAN_THREADS=" << enabled(threads) << "\n"
            << "STAN_MPI=false\nSTAN_OPENCL=false\n"
            << "STAN_NO_RANGE_CHECKS=" << enabled(no_range_checks) << "\n"
            << "STAN_CPP_OPTIMS=" << enabled(cpp_optims) << "\n";
}

// Where in the tree an argument of this name may stand, for the message about a misplaced one.
void find_paths(const std::vector<Argument>& tree, const std::string& name, const std::string& prefix,
                std::string& paths) {
  for (const Argument& a : tree) {
    const bool named = a.name == name;
    if (!has_value(a)) {
      if (named) paths += "\n  " + prefix + a.name + (a.children.empty() ? "" : " <subarg1> ... <subargn>");
      find_paths(a.children, name, prefix + a.name + " ", paths);
    } else {
      if (named) paths += "\n  " + prefix + a.name + "=<" + type_name(a.kind) + ">";
      find_paths(a.children, name, prefix + a.name + "=", paths);
    }
  }
}

// Reads words into the tree. An argument takes the words that follow it as long as they belong to it;
// the first that does not is left to the arguments around it.
class Reader {
 public:
  Reader(const std::vector<std::string>& words, std::vector<Argument>& tree) : words_(words), tree_(tree) {}

  // Returns false if help was asked for, and printed.
  bool read() {
    std::vector<std::string> seen;
    while (!done()) {
      const std::string word = words_[next_];
      const bool bare_method = tree_.front().find(word) != nullptr && !given(seen, "method");
      const std::string name = bare_method ? "method" : split(word).first;
      Argument* a = given(seen, name) ? nullptr : among(tree_, bare_method ? "method=" + word : word);
      if (a == nullptr) refuse(word);
      seen.push_back(name);
      if (bare_method)
        choose(*a, word);
      else
        take(*a);
      if (help_) return false;
    }
    if (!given(seen, "method")) throw UsageError("A method must be specified!");
    return true;
  }

 private:
  bool done() const { return help_ || next_ >= words_.size(); }

  static bool given(const std::vector<std::string>& seen, const std::string& name) {
    for (const std::string& s : seen)
      if (s == name) return true;
    return false;
  }

  // The argument among these that the word names: `adapt` a category, `delta=0.9` a value.
  static Argument* among(std::vector<Argument>& arguments, const std::string& word) {
    const auto [name, value] = split(word);
    for (Argument& a : arguments)
      if (a.name == name && has_value(a) == (word != name)) return &a;
    return nullptr;
  }

  void take(Argument& a) {
    const std::string value = split(words_[next_]).second;
    if (a.kind == Kind::category) {
      ++next_;
      take_children(a);
    } else if (a.kind == Kind::choice) {
      choose(a, value);
    } else {
      a.value = checked(a, value);
      ++next_;
    }
  }

  void choose(Argument& a, const std::string& value) {
    a.value = checked(a, value);
    ++next_;
    for (Argument& child : a.children)
      if (child.name == a.value) take_children(child);
  }

  void take_children(Argument& a) {
    while (!done()) {
      const std::string& word = words_[next_];
      if (word == "help" || word == "help-all") {
        print_help(a, word == "help-all");
        help_ = true;
        return;
      }
      Argument* child = among(a.children, word);
      if (child == nullptr) return;
      take(*child);
    }
  }

  [[noreturn]] void refuse(const std::string& word) const {
    std::string paths;
    find_paths(tree_, split(word).first, "", paths);
    if (!paths.empty()) paths = "\nPerhaps you meant one of the following valid configurations?" + paths;
    throw UsageError(word + " is either mistyped or misplaced." + paths);
  }

  const std::vector<std::string>& words_;
  std::vector<Argument>& tree_;
  std::size_t next_ = 0;
  bool help_ = false;
};

void add_lines(const std::vector<Argument>& tree, int depth, std::vector<std::string>& lines) {
  const std::string indent(2 * depth, ' ');
  for (const Argument& a : tree) {
    if (a.kind == Kind::category) {
      lines.push_back(indent + a.name);
      add_lines(a.children, depth + 1, lines);
    } else {
      lines.push_back(indent + a.name + " = " + a.value + (a.is_default() ? " (Default)" : ""));
    }
    if (a.kind != Kind::choice) continue;
    const Argument& chosen = *a.find(a.value);
    if (chosen.kind == Kind::category) add_lines({chosen}, depth + 1, lines);
  }
}

}  // namespace

const Argument* Argument::find(std::string_view child) const {
  for (const Argument& c : children)
    if (c.name == child) return &c;
  return nullptr;
}

Arguments::Arguments() : root_(category("", "", argument_tree())) {}

bool Arguments::parse(const std::string& program, const std::vector<std::string>& words) {
  if (words.empty()) {
    print_usage(program, tree());
    throw UsageError("");
  }
  if (words.front() == "info") {
    print_info();
    return false;
  }
  if (words.front() == "help" || words.front() == "help-all") {
    if (words.front() == "help-all")
      for (const Argument& a : tree()) print_help(a, true);
    print_usage(program, tree());
    return false;
  }
  return Reader(words, root_.children).read();
}

const Argument& Arguments::at(std::string_view path) const {
  const Argument* a = &root_;
  for (std::string_view rest = path; !rest.empty();) {
    const auto dot = rest.find('.');
    a = a->find(rest.substr(0, dot));
    if (a == nullptr) throw std::logic_error("no argument " + std::string(path));
    rest = dot == std::string_view::npos ? std::string_view() : rest.substr(dot + 1);
  }
  return *a;
}

void Arguments::set(std::string_view path, const std::string& value) { const_cast<Argument&>(at(path)).value = value; }

int Arguments::integer(std::string_view path) const { return std::stoi(text(path)); }

unsigned int Arguments::natural(std::string_view path) const {
  return static_cast<unsigned int>(std::stoull(text(path)));
}

double Arguments::real(std::string_view path) const { return std::strtod(text(path).c_str(), nullptr); }

std::vector<std::string> Arguments::lines() const {
  std::vector<std::string> lines;
  add_lines(tree(), 0, lines);
  return lines;
}

}  // namespace driver
