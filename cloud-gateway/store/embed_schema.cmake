# Called with OUTPUT (a .cpp) and FILES (a list of .sql): writes the migrations as an array of string literals.
set(text "// Made by embed_schema.cmake.\n#include \"cloud-gateway/store/schema.hpp\"\n\nnamespace culvert {\n\n")
string(APPEND text "std::vector<std::string_view> schema_migrations() {\n  return {\n")
foreach(file IN LISTS FILES)
  file(READ ${file} sql)
  string(APPEND text "R\"sql_text(${sql})sql_text\",\n")
endforeach()
string(APPEND text "  };\n}\n\n}  // namespace culvert\n")
file(WRITE ${OUTPUT} "${text}")
