# Language, warnings, CPU baseline and sanitizers, the same for every target.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
# The data path and the schedulers ask for -O3, tests for -O1.
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG -g1")
add_link_options(-fuse-ld=lld -Wl,--as-needed)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)

# Most of a file's compile time goes into headers. Together: a target's sources are compiled in batches, so that a batch
# reads them once, and what several targets include is precompiled. Names of anonymous namespaces must be unique within a
# target. The preset `separate` compiles every file by itself.
option(SLUICE_TOGETHER "Compile sources in batches, with precompiled headers" ON)
set(CMAKE_UNITY_BUILD ${SLUICE_TOGETHER})
set(CMAKE_UNITY_BUILD_BATCH_SIZE 12)

# x86-64-v2 (SSE4.2) is the least that Debian's DPDK runs on.
if(SLUICE_NATIVE)
  set(SLUICE_ARCH -march=native)
else()
  set(SLUICE_ARCH -march=x86-64-v2)
endif()

add_library(sluice_flags INTERFACE)
target_include_directories(sluice_flags INTERFACE ${CMAKE_SOURCE_DIR})
target_compile_options(sluice_flags INTERFACE ${SLUICE_ARCH} -Wall -Wextra -Wno-unused-parameter
  -fno-strict-aliasing -fno-omit-frame-pointer)
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  target_compile_options(sluice_flags INTERFACE -Wthread-safety -Werror=thread-safety -Wno-missing-field-initializers
    -Wno-gnu-zero-variadic-macro-arguments)
else()
  target_compile_options(sluice_flags INTERFACE -Wshadow=local -Wno-missing-field-initializers)
endif()
if(SLUICE_SANITIZE)
  set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O1 -g1 -DNDEBUG")
  # vptr checks need the RTTI that dataplane/ and schedulers/ do without.
  add_compile_options(-fsanitize=${SLUICE_SANITIZE} -fno-sanitize=vptr -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${SLUICE_SANITIZE})
endif()

# Which lines were run, by clang: llvm-cov tells.
option(SLUICE_COVERAGE "Count runs of every line (with clang)" OFF)
if(SLUICE_COVERAGE)
  add_compile_options(-fprofile-instr-generate -fcoverage-mapping)
  add_link_options(-fprofile-instr-generate)
endif()

# A folder of dataplane/ or schedulers/: no exceptions, no RTTI, and all the optimisation there is.
function(sluice_dataplane_options target)
  target_link_libraries(${target} PUBLIC sluice_flags)
  target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-fno-exceptions -fno-rtti> $<$<CONFIG:Release>:-O3>)
endfunction()

# sluice_precompile(NAME HEADERS ... LIBRARIES ... [OPTIONS ...]): headers that several targets include, compiled once.
function(sluice_precompile name)
  cmake_parse_arguments(ARG "" "" "HEADERS;LIBRARIES;OPTIONS" ${ARGN})
  if(NOT SLUICE_TOGETHER)
    return()
  endif()
  set(empty ${CMAKE_CURRENT_BINARY_DIR}/${name}.cc)
  file(GENERATE OUTPUT ${empty} CONTENT "")
  add_library(${name} OBJECT ${empty})
  target_link_libraries(${name} PRIVATE sluice_flags Threads::Threads ${ARG_LIBRARIES})
  target_compile_options(${name} PRIVATE ${ARG_OPTIONS})
  target_precompile_headers(${name} PRIVATE ${ARG_HEADERS})
endfunction()

# The target's sources see what sluice_precompile(NAME ...) has compiled.
function(sluice_use_precompiled target name)
  if(SLUICE_TOGETHER)
    target_precompile_headers(${target} REUSE_FROM ${name})
  endif()
endfunction()
