// A file of the numbers of draws as they are in memory: written and read in a tenth of the time of text.
#ifndef STANPOOL_DRIVER_DRAWS_FILE_HPP
#define STANPOOL_DRIVER_DRAWS_FILE_HPP

#include <fstream>
#include <string>
#include <vector>

namespace driver {

// Begins with two lines, the names of the columns that are kept and of those that are passing, each followed by a
// comma. Then come the kept numbers of each draw, one draw after the other, and at the end the passing numbers of the
// last draw. All are doubles in the order of the processor's bytes. The file is whole after each draw.
class DrawsFile {
 public:
  // Columns of the variables `passing` are passing. Throws if the file cannot be written, now or later.
  DrawsFile(std::string path, std::vector<std::string> passing);

  void write_names(const std::string* begin, const std::string* end);
  void write_draw(const double* begin, const double* end);

 private:
  bool is_passing(const std::string& column) const;
  void check();

  std::string path_;
  std::vector<std::string> passing_variables_;
  std::ofstream file_;
  std::vector<bool> is_passing_;  // for each column
  std::vector<double> kept_, passing_;
};

}  // namespace driver

#endif
