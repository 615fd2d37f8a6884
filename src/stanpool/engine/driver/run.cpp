#include "run.hpp"

#include <stan/version.hpp>

#include <ctime>

namespace driver {
namespace {

std::string utc_now() {
  const std::time_t now = std::time(nullptr);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", std::gmtime(&now));
  return text;
}

void write_version(CsvWriter& writer, const stan::model::model_base& model) {
  writer("stan_version_major = " + stan::MAJOR_VERSION);
  writer("stan_version_minor = " + stan::MINOR_VERSION);
  writer("stan_version_patch = " + stan::PATCH_VERSION);
  writer("model = " + model.model_name());
}

void write_json(JsonWriter& writer, const Arguments& args, const std::vector<Argument>& tree, const std::string& path) {
  for (const Argument& a : tree) {
    const std::string here = path + a.name;
    switch (a.kind) {
      case Argument::Kind::category:
        writer.begin_record(a.name);
        write_json(writer, args, a.children, here + ".");
        writer.end_record();
        break;
      case Argument::Kind::choice:
        writer.begin_record(a.name);
        writer.write("value", a.value);
        if (const Argument* chosen = a.find(a.value); chosen->kind == Argument::Kind::category)
          write_json(writer, args, {*chosen}, here + ".");
        writer.end_record();
        break;
      case Argument::Kind::option: break;
      case Argument::Kind::boolean: writer.write(a.name, args.flag(here)); break;
      case Argument::Kind::integer: writer.write(a.name, std::stoll(a.value)); break;
      case Argument::Kind::real: writer.write(a.name, args.real(here)); break;
      case Argument::Kind::text: writer.write(a.name, a.value); break;
    }
  }
}

std::pair<std::string, std::string> split_setting(const std::string& line) {
  const auto at = line.find(" = ");
  return at == std::string::npos ? std::pair(line, std::string()) : std::pair(line.substr(0, at), line.substr(at + 3));
}

// The radius in which initial values are drawn, or a file that holds them.
std::pair<double, std::string> initial_values(const std::string& init) {
  char* end = nullptr;
  const double radius = std::strtod(init.c_str(), &end);
  if (init.empty() || *end != '\0') return {2.0, init};
  if (!(radius >= 0)) throw std::invalid_argument("init must be a file or a number >= 0, found " + init);
  return {radius, ""};
}

}  // namespace

unsigned int number_of_chains(const Arguments& args) {
  const std::string& method = args.text("method");
  if (method == "sample") return args.natural("method.sample.num_chains");
  if (method == "generate_quantities") return args.natural("method.generate_quantities.num_chains");
  if (method == "pathfinder") return args.natural("method.pathfinder.num_paths");
  return 1;
}

Run::Run(Arguments arguments, stan::model::model_base& the_model)
    : args(std::move(arguments)),
      model(the_model),
      seed(args.natural("random.seed")),
      id(args.natural("id")),
      chains(number_of_chains(args)),
      sig_figs(args.integer("output.sig_figs")),
      refresh(args.integer("output.refresh")),
      init_writers(chains) {
  const auto [radius, file] = initial_values(args.text("init"));
  init_radius = radius;
  inits = read_variables(file, chains, id);
}

std::vector<CsvWriter> Run::csv_writers(const std::string& path, const std::string& tag) const {
  if (path.empty()) return std::vector<CsvWriter>(chains);
  std::vector<CsvWriter> writers;
  for (const std::string& file : chain_files(path, tag, ".csv", chains, id)) {
    writers.emplace_back(file, sig_figs);
    write_configuration(writers.back());
  }
  return writers;
}

std::vector<CsvWriter> Run::chain_writers() const {
  std::vector<CsvWriter> writers = csv_writers(args.text("output.file"));
  const std::string& path = args.text("output.draws_file");
  if (path.empty()) return writers;
  const std::vector<std::string> passing = split(args.text("output.passing"), ',');
  const std::vector<std::string> files = chain_files(path, "", "", chains, id);
  for (unsigned int i = 0; i < chains; ++i) writers[i].write_others_to(DrawsFile(files[i], passing));
  return writers;
}

std::vector<CsvWriter> Run::diagnostic_writers() const {
  const std::string& path = args.text("output.diagnostic_file");
  if (path.empty()) return csv_writers("");
  std::vector<CsvWriter> writers;
  for (const std::string& file : chain_files(path, "", ".csv", chains, id)) {
    writers.emplace_back(file, sig_figs);
    write_version(writers.back(), model);
    for (const std::string& line : args.lines()) writers.back()(line);
  }
  return writers;
}

std::vector<JsonWriter> Run::json_writers(const std::string& path, const std::string& tag) const {
  std::vector<JsonWriter> writers;
  writers.reserve(chains);
  if (path.empty()) {
    for (unsigned int i = 0; i < chains; ++i) writers.emplace_back();
    return writers;
  }
  for (const std::string& file : chain_files(path, tag, ".json", chains, id, true))
    writers.emplace_back(create(file, sig_figs));
  return writers;
}

void Run::write_configuration(CsvWriter& writer) const {
  write_version(writer, model);
  writer("start_datetime = " + utc_now());
  for (const std::string& line : args.lines()) writer(line);
  for (const std::string& line : model.model_compile_info()) writer(line);
}

void Run::write_configuration(JsonWriter& writer) const {
  writer.begin_record();
  writer.write("stan_major_version", stan::MAJOR_VERSION);
  writer.write("stan_minor_version", stan::MINOR_VERSION);
  writer.write("stan_patch_version", stan::PATCH_VERSION);
  writer.write("model_name", model.model_name());
  writer.write("start_datetime", utc_now());
  write_json(writer, args, args.tree(), "");
  writer.write("mpi_enabled", false);
  for (const std::string& line : model.model_compile_info()) {
    const auto [key, value] = split_setting(line);
    writer.write(key, value);
  }
  writer.end_record();
}

}  // namespace driver
