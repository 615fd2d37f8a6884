#include "files.hpp"

#include <stan/io/dump.hpp>
#include <stan/io/json/json_data.hpp>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <sstream>
#include <stdexcept>

namespace driver {
namespace {

std::ifstream open(const std::string& path) {
  errno = 0;
  std::ifstream in(path);
  in.peek();  // a folder opens, but cannot be read
  if (in.fail()) throw std::invalid_argument("Cannot read file \"" + path + "\": " + std::strerror(errno));
  in.clear();
  return in;
}

}  // namespace

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, separator);) parts.push_back(part);
  return parts;
}

std::pair<std::string, std::string> split_extension(const std::string& path) {
  const auto name = path.find_last_of("/\\") + 1;  // npos + 1 is 0
  const auto dot = path.find_last_of('.');
  if (dot == std::string::npos || dot <= name || dot + 1 == path.size()) return {path, ""};
  return {path.substr(0, dot), path.substr(dot)};
}

std::vector<std::string> chain_files(const std::string& path, const std::string& tag, const std::string& extension,
                                     unsigned int n, unsigned int id, bool force_extension) {
  auto [base, end] = split_extension(path);
  if (end.empty() || force_extension) end = extension;
  if (n == 1) return {base + tag + end};
  std::vector<std::string> names;
  for (unsigned int i = 0; i < n; ++i) names.push_back(base + tag + "_" + std::to_string(id + i) + end);
  return names;
}

std::unique_ptr<std::ofstream> create(const std::string& path, int sig_figs) {
  errno = 0;
  auto out = std::make_unique<std::ofstream>(path);
  if (!*out) throw std::runtime_error("Cannot write file \"" + path + "\": " + std::strerror(errno));
  // Draws that cannot be written (a full disk) must not be lost in silence.
  out->exceptions(std::ofstream::badbit | std::ofstream::failbit);
  if (sig_figs >= 0) out->precision(sig_figs);
  return out;
}

Context read_variables(const std::string& path) {
  if (path.empty()) {
    std::istringstream nothing;
    return std::make_shared<stan::io::dump>(nothing);
  }
  std::ifstream in = open(path);
  const std::string extension = split_extension(path).second;
  try {
    if (extension == ".json") return std::make_shared<stan::json::json_data>(in);
    if (extension == ".R") return std::make_shared<stan::io::dump>(in);
  } catch (const std::exception& e) {
    throw std::invalid_argument("Error reading file \"" + path + "\": " + e.what());
  }
  throw std::invalid_argument("Files of variables must end in .json or .R, found \"" + path + "\"");
}

std::vector<Context> read_variables(const std::string& path, unsigned int n, unsigned int id) {
  if (n == 1) return {read_variables(path)};
  const std::vector<std::string> files = chain_files(path, "", "", n, id);
  if (path.empty() || !std::ifstream(files.front())) return std::vector<Context>(n, read_variables(path));
  std::vector<Context> contexts;
  for (const std::string& file : files) contexts.push_back(read_variables(file));
  return contexts;
}

std::vector<std::string> read_comments(const std::string& path) {
  std::ifstream in = open(path);
  std::vector<std::string> comments;
  for (std::string line; in.peek() == '#' && std::getline(in, line);) comments.push_back(line);
  return comments;
}

Draws read_draws(const std::string& path, const stan::model::model_base& model) {
  std::vector<std::string> wanted;
  model.constrained_param_names(wanted, false, false);
  if (wanted.empty()) throw std::invalid_argument("Model " + model.model_name() + " has no parameters.");

  std::ifstream in = open(path);
  const auto fail = [&path](const std::string& why) -> void {
    throw std::invalid_argument("Error reading draws from \"" + path + "\": " + why);
  };
  std::size_t columns = 0;
  std::size_t first = 0;
  std::size_t line_number = 0;
  Draws draws;
  for (std::string line; std::getline(in, line);) {
    ++line_number;
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (line.empty() || line.front() == '#') continue;
    if (columns == 0) {
      const std::vector<std::string> names = split(line, ',');
      columns = names.size();
      while (first < columns && is_sampler_column(names[first])) ++first;
      if (columns - first < wanted.size() || !std::equal(wanted.begin(), wanted.end(), names.begin() + first))
        fail("its columns are not the parameters of model " + model.model_name());
      continue;
    }
    draws.emplace_back();
    const char* at = line.c_str();
    for (std::size_t column = 0; column < columns; ++column) {
      char* end = nullptr;
      const double value = std::strtod(at, &end);
      if (end == at || *end != (column + 1 < columns ? ',' : '\0'))
        fail("line " + std::to_string(line_number) + " does not have " + std::to_string(columns) + " numbers");
      if (column >= first && column < first + wanted.size()) draws.back().push_back(value);
      at = end + 1;
    }
  }
  if (columns == 0) fail("it has no header");
  return draws;
}

}  // namespace driver
