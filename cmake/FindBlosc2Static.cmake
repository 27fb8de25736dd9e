# Finds the headers and the static library of c-blosc2 in the Python package blosc2, which scripts/setup.mjs fetches.
# BLOSC2 (cache or environment) is a folder that holds include/ and lib/.
if(NOT BLOSC2)
  set(BLOSC2 "$ENV{BLOSC2}")
endif()
if(NOT BLOSC2)
  set(BLOSC2 "${CMAKE_CURRENT_LIST_DIR}/../.deps/python/blosc2")
endif()
include(FindPackageHandleStandardArgs)
find_path(BLOSC2_INCLUDE b2nd.h PATHS "${BLOSC2}/include" NO_DEFAULT_PATH)
find_library(BLOSC2_LIBRARY libblosc2.a PATHS "${BLOSC2}/lib" "${BLOSC2}/lib64" NO_DEFAULT_PATH)
find_package_handle_standard_args(Blosc2Static
  REQUIRED_VARS BLOSC2_LIBRARY BLOSC2_INCLUDE
  FAIL_MESSAGE "no c-blosc2: run `npm run setup`, or set BLOSC2 to a folder that holds include/ and lib/")
find_package(Threads REQUIRED)
add_library(blosc2::static INTERFACE IMPORTED)
target_include_directories(blosc2::static SYSTEM INTERFACE "${BLOSC2_INCLUDE}")
target_link_libraries(blosc2::static INTERFACE "${BLOSC2_LIBRARY}" Threads::Threads ${CMAKE_DL_LIBS} m)
