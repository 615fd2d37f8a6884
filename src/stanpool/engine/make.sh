#!/bin/sh
# Build Stan programs with stanpool's embedded engine:
#
#     make [NAME=VALUE | NAME+=VALUE]... [TARGET]...
#
# TARGET.stan becomes the executable TARGET; the target `build` compiles what all programs share. The variables are
# those of CmdStan's makefile: STANCFLAGS, STAN_THREADS, STAN_NO_RANGE_CHECKS, USER_HEADER, CPPFLAGS, CXXFLAGS,
# LDFLAGS, O. GNU make passes them through the environment (--exported); where there is none, cmdstanpy calls this
# program in its place.
set -euf
cd "$(dirname "$0")/.."
home=$(pwd)
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
for word; do
  case $word in
    -*) ;;
    */* | [!A-Za-z_]*) targets="$targets$word
" ;;
    STANCFLAGS+=*) STANCFLAGS="${STANCFLAGS-} ${word#*=}" ;;
    CPPFLAGS+=*) CPPFLAGS="${CPPFLAGS-} ${word#*=}" ;;
    CXXFLAGS+=*) CXXFLAGS="${CXXFLAGS-} ${word#*=}" ;;
    LDFLAGS+=*) LDFLAGS="${LDFLAGS-} ${word#*=}" ;;
    STANCFLAGS=* | CPPFLAGS=* | CXXFLAGS=* | LDFLAGS=* | O=* | STAN_*=* | USER_HEADER=*) export "$word" ;;
    *=*) ;;
    *) targets="$targets$word
" ;;
  esac
done

[ -z "${STAN_OPENCL-}${STAN_MPI-}" ] ||
  fail "stanpool's embedded engine has no OpenCL and no MPI. Install CmdStan: stanpool setup --official"

variant=plain
flags="-std=c++17 -O${O-3} -w -D_REENTRANT -DBOOST_DISABLE_ASSERTS"
if [ -n "${STAN_THREADS-}" ]; then
  variant=threads
  flags="$flags -DSTAN_THREADS"
fi
own="${CPPFLAGS-} ${CXXFLAGS-}"
[ -z "${STAN_NO_RANGE_CHECKS-}" ] || own="$own -DSTAN_NO_RANGE_CHECKS"

# What all programs share, the precompiled header and the driver's objects, is compiled once for each variant, by as
# many workers as there are cores. A worker takes a job by making its folder.
build_shared() {
  [ ! -d "build/$variant" ] || return 0
  echo '--- Compiling what all programs share: a precompiled header and the driver ---'
  partial=build/.$variant.$$
  rm -rf "$partial"
  mkdir -p "$partial/taken" "$partial/stan/model/model_header.hpp.gch"
  cp include/stan/model/model_header.hpp "$partial/stan/model/" # gcc wants to see it beside the compiled one
  workers=
  for number in $(seq "$(cores)"); do
    work &
    workers="$workers $!"
  done
  for worker in $workers; do
    wait "$worker"
  done
  [ -d "build/$variant" ] || mv "$partial" "build/$variant"
  rm -rf "$partial"
}

cores() {
  found=$(nproc 2>/dev/null || getconf _NPROCESSORS_ONLN)
  [ "$found" -le 4 ] || found=4 # each compiler takes up to 1.5 GB of memory
  echo "$found"
}

work() {
  for job in header $DRIVER; do
    mkdir "$partial/taken/$job" 2>/dev/null || continue
    case $KIND-$job in
      gcc-header) compile_header "$partial/stan/model/model_header.hpp.gch/header" ;;
      *-header) compile_header "$partial/model_header.pch" ;;
      *) cxx $flags -Iinclude -Idriver -c "driver/$job.cpp" -o "$partial/$job.o" ;;
    esac
  done
}

compile_header() {
  cxx $flags -Iinclude -x c++-header include/stan/model/model_header.hpp -o "$1"
}

build_program() {
  [ -f "$1.stan" ] || fail "no rule to make '$1': there is no file '$1.stan'"
  echo '--- Translating Stan model to C++ code ---'
  program=$1
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
  bin/stanc "$@" --o="$program.hpp" "$program.stan"

  echo '--- Compiling C++ code ---'
  set -- -include stan/model/model_header.hpp
  if [ "$KIND" = gcc ]; then # ignores the header when the flags differ
    set -- "-Ibuild/$variant" "$@"
  elif [ -z "${own# }" ] && [ "${O-3}" = 3 ]; then
    set -- -include-pch "build/$variant/model_header.pch"
  fi
  [ -z "${USER_HEADER-}" ] || set -- "$@" -include "$USER_HEADER"
  cxx $flags $own "$@" -Iinclude -c -x c++ "$program.hpp" -o "$program.o"

  echo '--- Linking model ---'
  set --
  for source in $DRIVER; do
    set -- "$@" "build/$variant/$source.o"
  done
  cxx -O3 "$program.o" "$@" ${LDFLAGS-} \
    lib/libsundials_nvecserial.a lib/libsundials_cvodes.a lib/libsundials_idas.a lib/libsundials_kinsol.a \
    -Llib -ltbb -lpthread -Xlinker -rpath -Xlinker "$home/lib" -o "$program.partial"
  mv "$program.partial" "$program"
  rm -f "$program.o"
}

IFS='
'
set -- $targets
unset IFS
for target; do
  case $target in
    clean-all) ;;
    build) build_shared ;;
    *)
      build_shared
      build_program "$target"
      ;;
  esac
done
