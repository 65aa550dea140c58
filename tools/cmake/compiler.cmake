# Language, warnings, CPU baseline and sanitizers, the same for every target.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_CXX_FLAGS_RELEASE "-O3 -DNDEBUG -g1")
add_link_options(-Wl,--as-needed)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)

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
  # vptr checks need the RTTI that dataplane/ and schedulers/ do without.
  add_compile_options(-fsanitize=${SLUICE_SANITIZE} -fno-sanitize=vptr -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${SLUICE_SANITIZE})
endif()

# A folder of dataplane/ or schedulers/: no exceptions, no RTTI.
function(sluice_dataplane_options target)
  target_link_libraries(${target} PUBLIC sluice_flags)
  target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-fno-exceptions -fno-rtti>)
endfunction()
