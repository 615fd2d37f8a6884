// The command line: what a user may write, and what was written.
#ifndef STANPOOL_DRIVER_ARGUMENTS_HPP
#define STANPOOL_DRIVER_ARGUMENTS_HPP

#include <functional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace driver {

// Thrown for a command line that cannot be understood.
struct UsageError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// A node of the argument tree. A `category` only holds others (`adapt ...`); a `choice` selects one of
// its children by name, which is a category (`algorithm=hmc ...`) or a mere `option` (`metric=diag_e`);
// all others hold one value (`delta=0.9`).
struct Argument {
  enum class Kind { category, choice, option, boolean, integer, real, text };

  std::string name;
  std::string help;
  Kind kind = Kind::category;
  std::string value;     // as text, in the form in which it is printed
  std::string fallback;  // the value that an absent argument has
  std::string valid;     // the condition, in words
  std::function<bool(double)> accepts;
  std::vector<Argument> children;

  const Argument* find(std::string_view child) const;
  bool is_default() const { return value == fallback; }
};

// Parsed arguments, addressed by dotted paths: `args.real("method.sample.adapt.delta")`.
class Arguments {
 public:
  Arguments();

  // Sets the values from the command line without the program's name. Returns false if the user
  // asked for help or information, which is then printed to standard output.
  bool parse(const std::string& program, const std::vector<std::string>& words);

  const std::string& text(std::string_view path) const { return at(path).value; }
  bool flag(std::string_view path) const { return at(path).value == "true"; }
  int integer(std::string_view path) const;
  unsigned int natural(std::string_view path) const;
  double real(std::string_view path) const;
  bool chosen(std::string_view choice, std::string_view value) const { return text(choice) == value; }
  void set(std::string_view path, const std::string& value);

  // The whole tree with the chosen branches, one line for each node.
  std::vector<std::string> lines() const;
  const std::vector<Argument>& tree() const { return root_.children; }

 private:
  const Argument& at(std::string_view path) const;

  Argument root_;
};

}  // namespace driver

#endif
