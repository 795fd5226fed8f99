# Called with OUTPUT (a .cpp) and FILE (ports.toml): writes the catalogue as string literals. Several, because a
# compiler need not take one of more than 65,536 characters.
file(READ ${FILE} toml)
string(REPLACE "\n\n[[row]]" ")ports_text\"\nR\"ports_text(\n\n[[row]]" toml "${toml}")
file(WRITE ${OUTPUT} "// Made by embed_catalogue.cmake.
#include \"firewall-vib/catalogue_data.hpp\"

namespace culvert::firewall {

std::string_view catalogue_toml() {
  return R\"ports_text(${toml})ports_text\";
}

}  // namespace culvert::firewall
")
