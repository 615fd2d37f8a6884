// A CSV file of draws with comments, in the format of Stan.
#ifndef STANPOOL_DRIVER_CSV_HPP
#define STANPOOL_DRIVER_CSV_HPP

#include "draws_file.hpp"

#include <stan/callbacks/writer.hpp>
#include <stan/version.hpp>

#include <fstream>
#include <optional>
#include <string>
#include <vector>

namespace driver {

// Whether a column is of a variable of the sampler, such as lp__.
bool is_sampler_column(const std::string& name);

// Writes the text that Stan's own writers write, and faster: a stream takes most of its time on settings that never
// change. Each line is in the file when the call returns, so that others can follow the progress.
class CsvWriter final : public stan::callbacks::writer {
 public:
  // Writes nothing.
  CsvWriter() = default;

  // Writes `sig_figs` significant figures, six if -1. Throws if the file cannot be written, now or later.
  CsvWriter(std::string path, int sig_figs);

  // Writes only the first columns, those of the sampler, as CSV, and the others into this file.
  void write_others_to(DrawsFile file) { others_ = std::move(file); }

  void operator()(const std::vector<std::string>& names) override;
  void operator()(const std::vector<double>& values) override;
#if STAN_MINOR >= 36
  void operator()(const Eigen::Matrix<double, -1, -1>& values) override { write_columns(values); }
  void operator()(const Eigen::Matrix<double, -1, 1>& values) override { write_columns(values); }
  void operator()(const Eigen::Matrix<double, 1, -1>& values) override { write_columns(values.transpose()); }
#else
  void operator()(const Eigen::Ref<Eigen::Matrix<double, -1, -1>>& values) override { write_columns(values); }
#endif
  void operator()(const std::string& comment) override;
  void operator()() override { (*this)(std::string()); }

 private:
  void write_columns(const Eigen::Ref<const Eigen::MatrixXd>& values);  // each column is a line
  void add(double value);
  void write_line();
  template <typename T>
  std::size_t in_csv(const std::vector<T>& row) const {
    return others_ ? sampler_columns_ : row.size();
  }

  std::string path_;
  std::ofstream file_;
  int precision_ = 6;
  std::string line_;
  std::optional<DrawsFile> others_;
  std::size_t sampler_columns_ = 0;
};

}  // namespace driver

#endif
