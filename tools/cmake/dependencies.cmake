# Everything comes from Debian 12; ./tools/setup installs it.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
find_package(Protobuf REQUIRED)
find_package(gRPC CONFIG REQUIRED)
find_package(absl CONFIG REQUIRED)
find_package(ZLIB REQUIRED)
find_package(GTest REQUIRED)
find_package(benchmark REQUIRED)
pkg_check_modules(LIBBPF REQUIRED IMPORTED_TARGET libbpf)
pkg_check_modules(LIBMNL REQUIRED IMPORTED_TARGET libmnl)
pkg_check_modules(LIBNFTABLES REQUIRED IMPORTED_TARGET libnftables)
pkg_check_modules(LIBDPDK REQUIRED libdpdk)

# Protobuf messages are made of many small pieces: glibc takes a third more time for them, and keeps more memory. Sanitizers
# have an allocator of their own.
add_library(sluice_allocator INTERFACE)
if(NOT SLUICE_SANITIZE)
  pkg_check_modules(TCMALLOC REQUIRED IMPORTED_TARGET libtcmalloc_minimal)
  target_link_libraries(sluice_allocator INTERFACE PkgConfig::TCMALLOC)
endif()

# DPDK as a SYSTEM include, without the -march=corei7 its .pc file carries.
add_library(sluice_dpdk INTERFACE)
set(DPDK_CFLAGS ${LIBDPDK_CFLAGS_OTHER})
list(FILTER DPDK_CFLAGS EXCLUDE REGEX "^-march=")
target_include_directories(sluice_dpdk SYSTEM INTERFACE ${LIBDPDK_INCLUDE_DIRS})
target_compile_options(sluice_dpdk INTERFACE ${DPDK_CFLAGS})
target_link_directories(sluice_dpdk INTERFACE ${LIBDPDK_LIBRARY_DIRS})
target_link_libraries(sluice_dpdk INTERFACE ${LIBDPDK_LIBRARIES} Threads::Threads)
