# bpf_object(NAME SOURCE): compiles SOURCE for BPF and makes the object a C array in NAME.h:
#   alignas(8) inline constexpr unsigned char NAME[];
find_program(BPF_CLANG NAMES clang clang-14 REQUIRED)
find_program(LLVM_STRIP NAMES llvm-strip llvm-strip-14 REQUIRED)
function(bpf_object name source)
  set(object ${CMAKE_CURRENT_BINARY_DIR}/${name}.o)
  set(header ${CMAKE_CURRENT_BINARY_DIR}/${name}.h)
  file(GLOB headers CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.h)
  add_custom_command(
    OUTPUT ${header} ${object}
    COMMAND ${BPF_CLANG} -O2 -g -Wall -Werror -target bpf -I${CMAKE_SOURCE_DIR}
            -idirafter /usr/include/${CMAKE_LIBRARY_ARCHITECTURE} -c ${CMAKE_CURRENT_SOURCE_DIR}/${source} -o ${object}
    COMMAND ${LLVM_STRIP} -g ${object}
    COMMAND ${CMAKE_COMMAND} -DINPUT=${object} -DOUTPUT=${header} -DNAME=${name} -P ${CMAKE_SOURCE_DIR}/tools/cmake/embed.cmake
    DEPENDS ${source} ${headers} ${CMAKE_SOURCE_DIR}/tools/cmake/embed.cmake
    VERBATIM)
  add_custom_target(${name}_object DEPENDS ${header})
endfunction()
