#include "tests/unit/certs/test_world.hpp"

#include <stdlib.h>
#include <sys/wait.h>

#include <cstdio>
#include <fstream>
#include <stdexcept>

namespace culvert::certs::test {

std::vector<Certificate> World::server_chain(std::vector<std::string> names, UtcTime now) const {
  return server.chain_below(unwrap(server.issue_server(names, key.public_key(), now)));
}

std::vector<Certificate> World::site_chain(UtcTime now) const {
  return sites.chain_below(unwrap(sites.issue_site(kTokyo, key.public_key(), now)));
}

TemporaryDirectory::TemporaryDirectory() {
  std::string name = (std::filesystem::temp_directory_path() / "culvert-certs-XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("cannot make a temporary directory");
  path_ = name;
}

TemporaryDirectory::~TemporaryDirectory() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::filesystem::path TemporaryDirectory::file(const std::string& name, std::string_view content) const {
  std::ofstream{path_ / name, std::ios::binary} << content;
  return path_ / name;
}

CommandResult openssl(const std::string& arguments) {
  FILE* pipe = popen(("openssl " + arguments + " 2>/dev/null").c_str(), "r");
  if (pipe == nullptr) throw std::runtime_error("cannot run openssl");
  CommandResult result{};
  char buffer[4096];
  for (std::size_t n = 0; (n = fread(buffer, 1, sizeof buffer, pipe)) > 0;) result.output.append(buffer, n);
  const int status = pclose(pipe);
  result.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return result;
}

}  // namespace culvert::certs::test
