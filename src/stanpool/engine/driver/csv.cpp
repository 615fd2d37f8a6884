#include "csv.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <utility>

// Not all libraries that have the fast conversion say so.
#include <charconv>
#if defined(__cpp_lib_to_chars) || (defined(_LIBCPP_VERSION) && _LIBCPP_VERSION >= 14000 && !defined(__APPLE__))
#define STANPOOL_HAS_TO_CHARS
#endif

namespace driver {

bool is_sampler_column(const std::string& name) {
  return name.size() > 2 && name.compare(name.size() - 2, 2, "__") == 0;
}

CsvWriter::CsvWriter(std::string path, int sig_figs)
    : path_(std::move(path)), file_(path_), precision_(sig_figs < 0 ? 6 : sig_figs) {
  if (!file_) throw std::runtime_error("Cannot write file \"" + path_ + "\": " + std::strerror(errno));
}

void CsvWriter::operator()(const std::vector<std::string>& names) {
  if (path_.empty() || names.empty()) return;
  const auto first = std::find_if_not(names.begin(), names.end(), is_sampler_column);
  sampler_columns_ = first - names.begin();
  for (std::size_t column = 0; column < in_csv(names); ++column) {
    if (column > 0) line_ += ',';
    line_ += names[column];
  }
  write_line();
  if (others_) others_->write_names(names.data() + sampler_columns_, names.data() + names.size());
}

void CsvWriter::operator()(const std::vector<double>& values) {
  if (path_.empty() || values.empty()) return;
  for (std::size_t column = 0; column < in_csv(values); ++column) {
    if (column > 0) line_ += ',';
    add(values[column]);
  }
  write_line();
  if (others_) others_->write_draw(values.data() + sampler_columns_, values.data() + values.size());
}

void CsvWriter::write_columns(const Eigen::Ref<const Eigen::MatrixXd>& values) {
  if (path_.empty()) return;
  for (Eigen::Index column = 0; column < values.cols(); ++column) {
    for (Eigen::Index row = 0; row < values.rows(); ++row) {
      if (row > 0) line_ += ", ";
      add(values(row, column));
    }
    write_line();
  }
}

void CsvWriter::operator()(const std::string& comment) {
  if (path_.empty()) return;
  line_ += "# ";
  line_ += comment;
  write_line();
}

void CsvWriter::add(double value) {
  char text[64];
#ifdef STANPOOL_HAS_TO_CHARS
  line_.append(text, std::to_chars(text, text + sizeof text, value, std::chars_format::general, precision_).ptr);
#else
  line_.append(text, std::snprintf(text, sizeof text, "%.*g", precision_, value));
#endif
}

void CsvWriter::write_line() {
  line_ += '\n';
  errno = 0;
  file_.write(line_.data(), static_cast<std::streamsize>(line_.size())).flush();
  line_.clear();
  if (!file_) throw std::runtime_error("Cannot write file \"" + path_ + "\": " + std::strerror(errno));
}

}  // namespace driver
