#include "tests/unit/gateway/store_fixture.hpp"

#include <soci/soci.h>
#include <soci/sqlite3/soci-sqlite3.h>

namespace culvert {

void run_sql(const std::filesystem::path& path, const std::string& statement) {
  soci::session sql{soci::sqlite3, "db=\"" + path.string() + "\""};
  sql << statement;
}

}  // namespace culvert
