# Writes file INPUT as the bytes of a C array NAME into OUTPUT.
file(READ ${INPUT} hex HEX)
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
file(WRITE ${OUTPUT} "// Generated from the object of the same name.\n#pragma once\n"
  "alignas(8) inline constexpr unsigned char ${NAME}[] = {${bytes}};\n")
