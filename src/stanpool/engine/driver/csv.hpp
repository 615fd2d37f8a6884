// A CSV file of draws with comments, in the format of Stan.
#ifndef STANPOOL_DRIVER_CSV_HPP
#define STANPOOL_DRIVER_CSV_HPP

#include <stan/callbacks/writer.hpp>

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
  void operator()(const Eigen::Ref<Eigen::Matrix<double, -1, -1>>& values) override;  // a column for each row
  void operator()(const std::string& comment) override;
  void operator()() override { (*this)(std::string()); }

 private:
  void add(double value);
  void write_line();

  std::string path_;
  std::ofstream file_;
  int precision_ = 6;
  std::string line_;
};

}  // namespace driver

#endif
