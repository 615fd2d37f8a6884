#include "draws_file.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <utility>

namespace driver {
namespace {

std::streamsize bytes(const std::vector<double>& numbers) {
  return static_cast<std::streamsize>(numbers.size() * sizeof(double));
}

void write(std::ofstream& file, const std::vector<double>& numbers) {
  file.write(reinterpret_cast<const char*>(numbers.data()), bytes(numbers));
}

}  // namespace

DrawsFile::DrawsFile(std::string path, std::vector<std::string> passing)
    : path_(std::move(path)), passing_variables_(std::move(passing)), file_(path_, std::ios::binary) {
  check();
}

void DrawsFile::write_names(const std::string* begin, const std::string* end) {
  std::string kept, passing;
  for (const std::string* name = begin; name != end; ++name) {
    is_passing_.push_back(is_passing(*name));
    (is_passing_.back() ? passing : kept) += *name + ',';
  }
  file_ << kept << '\n' << passing << '\n' << std::flush;
  check();
}

void DrawsFile::write_draw(const double* begin, const double* end) {
  file_.seekp(-bytes(passing_), std::ios::cur);  // over those of the draw before
  kept_.clear();
  passing_.clear();
  for (const double* value = begin; value != end; ++value)
    (is_passing_[value - begin] ? passing_ : kept_).push_back(*value);
  write(file_, kept_);
  write(file_, passing_);
  file_.flush();
  check();
}

bool DrawsFile::is_passing(const std::string& column) const {
  const std::string variable = column.substr(0, column.find('.'));
  return std::find(passing_variables_.begin(), passing_variables_.end(), variable) != passing_variables_.end();
}

void DrawsFile::check() {
  if (!file_) throw std::runtime_error("Cannot write file \"" + path_ + "\": " + std::strerror(errno));
}

}  // namespace driver
