# Imports libtorch_cpu and libc10 directly, because find_package(Torch) of a CUDA wheel fails without the CUDA toolkit.
# LIBTORCH (cache or environment) is a folder that holds include/ and lib/; scripts/setup.mjs finds or fetches it.
if(NOT LIBTORCH)
  set(LIBTORCH "$ENV{LIBTORCH}")
endif()
if(NOT LIBTORCH AND EXISTS "${CMAKE_CURRENT_LIST_DIR}/../.deps/libtorch.txt")
  file(STRINGS "${CMAKE_CURRENT_LIST_DIR}/../.deps/libtorch.txt" LIBTORCH LIMIT_COUNT 1)
endif()
include(FindPackageHandleStandardArgs)
find_path(LIBTORCH_INCLUDE ATen/ATen.h PATHS "${LIBTORCH}/include" NO_DEFAULT_PATH)
find_library(LIBTORCH_CPU torch_cpu PATHS "${LIBTORCH}/lib" NO_DEFAULT_PATH)
find_library(LIBTORCH_C10 c10 PATHS "${LIBTORCH}/lib" NO_DEFAULT_PATH)
if(LIBTORCH_INCLUDE AND EXISTS "${LIBTORCH_INCLUDE}/torch/headeronly/version.h")
  file(STRINGS "${LIBTORCH_INCLUDE}/torch/headeronly/version.h" LIBTORCH_VERSION_LINES REGEX "TORCH_VERSION_(MAJOR|MINOR) [0-9]+")
  string(REGEX REPLACE ".*MAJOR ([0-9]+).*MINOR ([0-9]+).*" "\\1.\\2" Libtorch_VERSION "${LIBTORCH_VERSION_LINES}")
endif()
find_package_handle_standard_args(Libtorch
  REQUIRED_VARS LIBTORCH_CPU LIBTORCH_C10 LIBTORCH_INCLUDE
  FAIL_MESSAGE "no libtorch: run `npm run setup`, or set LIBTORCH to a folder that holds include/ and lib/")

add_library(libtorch::torch INTERFACE IMPORTED)
target_include_directories(libtorch::torch SYSTEM INTERFACE
  "${LIBTORCH_INCLUDE}" "${LIBTORCH_INCLUDE}/torch/csrc/api/include")
target_link_libraries(libtorch::torch INTERFACE "${LIBTORCH_CPU}" "${LIBTORCH_C10}")
target_compile_definitions(libtorch::torch INTERFACE AT_PARALLEL_OPENMP=1)
# Of a CUDA wheel, libtorch_cpu needs libraries that lie in sibling packages; it finds them by its own rpath.
target_link_options(libtorch::torch INTERFACE -Wl,--allow-shlib-undefined)
