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

// The path without its extension, and the extension with its dot; "a.b/c" has none.
std::pair<std::string, std::string> split_extension(const std::string& path);

// The name of one file for each of `n` chains that are numbered from `id`: with one chain the path with
// the tag before its extension, with several a comma-separated list as given, or the path with the
// tag and _<number>. A path without an extension, or with another than `extension` when that is
// forced, gets it.
std::vector<std::string> chain_files(const std::string& path, const std::string& tag, const std::string& extension,
                                     unsigned int n, unsigned int id, bool force_extension = false);

// An open file that writes `sig_figs` significant figures (-1: the stream's six). Throws if it cannot be written.
std::unique_ptr<std::ofstream> create(const std::string& path, int sig_figs);

// Variables from a file, by name; no path means no variables.
Context read_variables(const std::string& path);

// Variables for each of `n` chains: from a list of files, from one file for each chain (`x_1.json`, ...
// for `x.json`), or from the one file for all.
std::vector<Context> read_variables(const std::string& path, unsigned int n, unsigned int id);

// The draws of the model's parameters, on the constrained scale, from a CSV file of draws: a row for each draw.
Eigen::MatrixXd read_draws(const std::string& path, const stan::model::model_base& model);

// The comment lines at the top of a CSV file.
std::vector<std::string> read_comments(const std::string& path);

}  // namespace driver

#endif
