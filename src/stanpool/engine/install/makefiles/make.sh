#!/bin/sh
# Build Stan programs with stanpool's embedded engine:
#
#     make [NAME=VALUE | NAME+=VALUE]... [TARGET]...
#
# TARGET.stan becomes the executable TARGET. Several are compiled together, in as many files as -j says: the templates that
# programs have in common, most of what is to be compiled, are in each file once. The target `build` compiles what all
# programs share into the folder that INTO names. The other variables are those of CmdStan's makefile: STANCFLAGS, STAN_THREADS, STAN_NO_RANGE_CHECKS, USER_HEADER, CPPFLAGS, CXXFLAGS,
# LDFLAGS, O. GNU make passes them through the environment (--exported); where there is none, cmdstanpy calls this
# program in its place.
set -euf
cd "$(dirname "$0")/.."
libraries=$(cd lib && pwd -P)
. make/compiler # defines KIND and cxx()

fail() {
  echo "$*" >&2
  exit 2
}

if [ "${1-}" = --exported ]; then
  shift
else
  unset STANCFLAGS CPPFLAGS CXXFLAGS LDFLAGS O
fi
targets=
jobs=1
for word; do
  case $word in
    -j[1-9]*) jobs=${word#-j} ;;
    -*) ;;
    STANCFLAGS+=*) STANCFLAGS="${STANCFLAGS-} ${word#*=}" ;;
    CPPFLAGS+=*) CPPFLAGS="${CPPFLAGS-} ${word#*=}" ;;
    CXXFLAGS+=*) CXXFLAGS="${CXXFLAGS-} ${word#*=}" ;;
    LDFLAGS+=*) LDFLAGS="${LDFLAGS-} ${word#*=}" ;;
    STANCFLAGS=* | CPPFLAGS=* | CXXFLAGS=* | LDFLAGS=* | O=* | STAN_*=* | USER_HEADER=* | INTO=*) export "$word" ;;
    [A-Z]*=*) ;;
    *) targets="$targets$word
" ;;
  esac
done

[ -z "${STAN_OPENCL-}${STAN_MPI-}" ] ||
  fail "stanpool's embedded engine has no OpenCL and no MPI. Install CmdStan: stanpool setup --official"

variant=plain
flags="-std=c++17 -O3 -w -D_REENTRANT -DBOOST_DISABLE_ASSERTS"
if [ -n "${STAN_THREADS-}" ]; then
  variant=threads
  flags="$flags -DSTAN_THREADS"
fi
own="${CPPFLAGS-} ${CXXFLAGS-}"
[ -z "${STAN_NO_RANGE_CHECKS-}" ] || own="$own -DSTAN_NO_RANGE_CHECKS"
[ "${O-3}" = 3 ] || own="$own -O$O"
shared=build/$variant

# What all programs share, the precompiled header and the driver, is compiled once for each variant. A link to its
# process number says who does it; the others wait.
build_shared() {
  owner=build/.$variant.owner
  partial=build/.$variant.partial-$$
  waited=0
  while [ ! -d "build/$variant" ]; do
    if ln -s $$ "$owner" 2>/dev/null; then
      mkdir "$partial"
      compile_shared "$partial"
      [ -d "build/$variant" ] || mv "$partial" "build/$variant"
      rm -rf "$partial" "$owner"
    elif [ $waited -lt 900 ] && kill -0 "$(readlink "$owner")" 2>/dev/null; then
      sleep 1
      waited=$((waited + 1)) # the number may be another process's by now
    else
      rm -rf "build/.$variant.partial-$(readlink "$owner")" "$owner" # it was killed
      [ -w build ] || fail "cannot write to '$PWD/build': set STANPOOL_CACHE to a folder that you can write to"
    fi
  done
}

compile_shared() { # FOLDER
  echo '--- Compiling what all programs share: a precompiled header and the driver ---'
  shared=$1
  mkdir -p "$shared/taken" "$shared/stan/model/model_header.hpp.gch"
  cp include/stan/model/model_header.hpp "$shared/stan/model/" # gcc wants to see it beside the compiled one
  case $KIND in
    gcc) header=$shared/stan/model/model_header.hpp.gch/header ;;
    *) header=$shared/model_header.pch ;;
  esac
  # Meanwhile link something: a compiler that comes without its C++ library compiled does that now.
  echo 'int main() { return 0; }' | cxx -x c++ - -o "$shared/taken/linked" &
  linked=$!
  cxx $flags -Iinclude -x c++-header include/stan/model/model_header.hpp -o "$header"
  wait $linked
  workers=
  for number in $(seq "$(cores)"); do
    work &
    workers="$workers $!"
  done
  for worker in $workers; do
    wait "$worker"
  done
  rm -r "$shared/taken"
  shared=build/$variant
}

cores() {
  found=$(nproc 2>/dev/null || getconf _NPROCESSORS_ONLN)
  [ "$found" -le 4 ] || found=4 # each compiler takes up to 1.5 GB of memory
  echo "$found"
}

# Compile the sources of the driver that nobody else has taken; making a folder is taking.
work() {
  for name in $DRIVER; do
    mkdir "$shared/taken/$name" 2>/dev/null || continue
    compile "driver/$name.cpp" "$shared/$name.o"
  done
}

compile() { # SOURCE OBJECT [FLAG]...
  source=$1
  object=$2
  shift 2
  if [ "$KIND" = gcc ]; then # ignores a precompiled header that was made with other flags
    # It collects garbage through all of the header: a tenth of the time, to save a tenth of the memory.
    set -- --param ggc-min-heapsize=2097152 "-I$shared" -Iinclude -include stan/model/model_header.hpp "$@"
  elif [ -z "${own# }" ]; then
    set -- -Iinclude -include-pch "$shared/model_header.pch" "$@"
  else
    set -- -Iinclude -include stan/model/model_header.hpp "$@"
  fi
  cxx $flags "$@" -c -x c++ "$source" -o "$object"
}

build_programs() { # PROGRAM...
  for program; do
    [ -f "$program.stan" ] || fail "no rule to make '$program': there is no file '$program.stan'"
  done
  echo '--- Translating Stan model to C++ code ---'
  for program; do
    translate "$program" $#
  done
  echo '--- Compiling C++ code ---'
  if [ $# = 1 ]; then
    compile "$1.hpp" "$1.o" ${USER_HEADER:+-include "$USER_HEADER"} $own
    link "$1" "$1.o"
    return
  fi
  workers=
  for number in $(seq "$jobs"); do
    build_together "$number" "$@" &
    workers="$workers $!"
  done
  for worker in $workers; do
    wait "$worker"
  done
}

translate() { # PROGRAM PROGRAMS
  program=$1
  several=$(($2 > 1))
  word=
  set --
  for part in ${STANCFLAGS-}; do # words end at blanks that no backslash escapes
    case $part in
      *\\) word="$word${part%?} " ;;
      *)
        set -- "$@" "$word$part"
        word=
        ;;
    esac
  done
  [ $several = 0 ] || set -- "$@" "--filename-in-msg=${program##*/}.stan"
  bin/stanc "$@" --o="$program.hpp" "$program.stan"
}

# Compile every $jobs-th program, from this number on, as one file, and link each with a choice of its own.
build_together() { # NUMBER PROGRAM...
  first=$1
  shift
  together=$1.together-$first
  position=0
  chosen=
  for program; do
    position=$((position + 1))
    is_ours || continue
    chosen="$chosen $position"
    namespace=$(sed -n 's/^namespace \([A-Za-z0-9_]*\) {$/\1/p' "$program.hpp" | head -n 1)
    { # Programs may have one name, and all have functions that the driver calls.
      for name in $namespace stan_model new_model get_stan_profile_data; do
        echo "#define $name ${name}_$position"
      done
      cat "$program.hpp"
      echo
      for name in $namespace stan_model new_model get_stan_profile_data; do
        echo "#undef $name"
      done
    } >>"$together.hpp"
  done
  choose $chosen >>"$together.hpp"
  compile "$together.hpp" "$together.o" ${USER_HEADER:+-include "$USER_HEADER"} $own
  position=0
  for program; do
    position=$((position + 1))
    is_ours || continue
    echo "extern const int chosen; const int chosen = $position;" | cxx -x c++ -c - -o "$program.o"
    link "$program" "$program.o" "$together.o"
  done
  rm -f "$together.hpp" "$together.o"
}

is_ours() {
  [ $((position % jobs)) = $((first % jobs)) ]
}

# Write the driver's functions as those of the program that an executable is linked for.
choose() { # POSITION...
  echo 'extern const int chosen;'
  echo 'stan::model::model_base& new_model(stan::io::var_context& data, unsigned int seed, std::ostream* messages) {'
  for position; do
    echo "  if (chosen == $position) return new_model_$position(data, seed, messages);"
  done
  echo '  std::abort();'
  echo '}'
  echo 'stan::math::profile_map& get_stan_profile_data() {'
  for position; do
    echo "  if (chosen == $position) return get_stan_profile_data_$position();"
  done
  echo '  std::abort();'
  echo '}'
}

link() { # PROGRAM OBJECT...
  program=$1
  shift
  echo '--- Linking model ---'
  for name in $DRIVER; do
    set -- "$@" "$shared/$name.o"
  done
  cxx -O3 "$@" ${LDFLAGS-} \
    lib/libsundials_nvecserial.a lib/libsundials_cvodes.a lib/libsundials_idas.a lib/libsundials_kinsol.a \
    -Llib -ltbb -lpthread -Xlinker -rpath -Xlinker "$libraries" -o "$program.partial"
  mv "$program.partial" "$program"
  rm -f "$program.o"
}

IFS='
'
set -- $targets
unset IFS
case ${1-clean-all} in
  clean-all) ;;
  build) compile_shared "$INTO" ;;
  *)
    [ "$jobs" -le $# ] || jobs=$#
    build_shared
    build_programs "$@"
    ;;
esac
