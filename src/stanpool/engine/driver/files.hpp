// What the driver reads and writes: variables (JSON, R dump), draws (CSV), output files for each chain.
#ifndef STANPOOL_DRIVER_FILES_HPP
#define STANPOOL_DRIVER_FILES_HPP

#include "csv.hpp"

#include <stan/callbacks/json_writer.hpp>
#include <stan/io/var_context.hpp>
#include <stan/model/model_base.hpp>

#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace driver {

using Context = std::shared_ptr<stan::io::var_context>;
using JsonWriter = stan::callbacks::json_writer<std::ofstream>;

// The parts of a text between separators.
std::vector<std::string> split(const std::string& text, char separator);

// The path without its extension, and the extension with its dot; "a.b/c" has none.
std::pair<std::string, std::string> split_extension(const std::string& path);

// The name of one file for each of `n` chains that are numbered from `id`: the path with the tag, and with _<number>
// if there are several, before its extension. A path without an extension gets this one, any path if it is forced.
std::vector<std::string> chain_files(const std::string& path, const std::string& tag, const std::string& extension,
                                     unsigned int n, unsigned int id, bool force_extension = false);

// An open file that writes `sig_figs` significant figures (-1: the stream's six). Throws if it cannot be written.
std::unique_ptr<std::ofstream> create(const std::string& path, int sig_figs);

// Variables from a file, by name; no path means no variables.
Context read_variables(const std::string& path);

// Variables for each of `n` chains: from one file for each (`x_1.json`, ... for `x.json`), or from the one for all.
std::vector<Context> read_variables(const std::string& path, unsigned int n, unsigned int id);

using Draws = std::vector<std::vector<double>>;

// The draws of the model's parameters, on the constrained scale, from a CSV file of draws.
Draws read_draws(const std::string& path, const stan::model::model_base& model);

// The comment lines at the top of a CSV file.
std::vector<std::string> read_comments(const std::string& path);

}  // namespace driver

#endif
