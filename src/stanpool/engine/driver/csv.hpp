// A CSV file of draws with comments, in the format of Stan.
#ifndef STANPOOL_DRIVER_CSV_HPP
#define STANPOOL_DRIVER_CSV_HPP

#include <stan/callbacks/writer.hpp>
#include <stan/version.hpp>

#include <fstream>
#include <string>
#include <vector>

namespace driver {

// Writes the text that Stan's own writers write, and faster: a stream takes most of its time on settings that never
// change. Each line is in the file when the call returns, so that others can follow the progress.
class CsvWriter final : public stan::callbacks::writer {
 public:
  // Writes nothing.
  CsvWriter() = default;

  // Writes `sig_figs` significant figures, six if -1. Throws if the file cannot be written, now or later.
  CsvWriter(std::string path, int sig_figs);

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

  std::string path_;
  std::ofstream file_;
  int precision_ = 6;
  std::string line_;
};

}  // namespace driver

#endif
