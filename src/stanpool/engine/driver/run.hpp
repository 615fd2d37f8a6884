// One run of the program: its arguments, its model, and where results and messages go.
#ifndef STANPOOL_DRIVER_RUN_HPP
#define STANPOOL_DRIVER_RUN_HPP

#include "arguments.hpp"
#include "files.hpp"

#include <stan/callbacks/interrupt.hpp>
#include <stan/callbacks/stream_logger.hpp>
#include <stan/callbacks/writer.hpp>
#include <stan/model/model_base.hpp>

#include <iostream>
#include <vector>

namespace driver {

struct Run {
  Arguments args;
  stan::model::model_base& model;
  unsigned int seed;
  unsigned int id;       // of the first chain
  unsigned int chains;   // in this process; paths for Pathfinder
  int sig_figs;
  int refresh;

  std::vector<Context> inits;
  double init_radius;

  stan::callbacks::interrupt interrupt;
  stan::callbacks::stream_logger logger{std::cout, std::cout, std::cout, std::cerr, std::cerr};
  std::vector<stan::callbacks::writer> init_writers;

  Run(Arguments arguments, stan::model::model_base& the_model);

  // Output files with the configuration on top, one for each chain. Without a path: writers that write nothing.
  std::vector<CsvWriter> csv_writers(const std::string& path, const std::string& tag = "") const;
  // The output files of chains, and the files of their draws if there are any.
  std::vector<CsvWriter> chain_writers() const;
  std::vector<CsvWriter> diagnostic_writers() const;
  std::vector<JsonWriter> json_writers(const std::string& path, const std::string& tag = "") const;

  void write_configuration(CsvWriter& writer) const;
  void write_configuration(JsonWriter& writer) const;
};

// The number of chains (or paths) that the arguments ask for.
unsigned int number_of_chains(const Arguments& args);

// The methods. Each returns 0 or one of stan::services::error_codes.
int sample(Run& run);
int optimize(Run& run);
int variational(Run& run);
int diagnose(Run& run);
int generate_quantities(Run& run);
int pathfinder(Run& run);
int log_prob(Run& run);
int laplace(Run& run);

}  // namespace driver

#endif
