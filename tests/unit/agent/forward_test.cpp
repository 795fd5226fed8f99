#include "tunnel-agent/forward.hpp"

#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <fstream>
#include <initializer_list>

#include "tests/unit/gateway/temp_dir.hpp"

using namespace culvert;

namespace {

Forward sample() {
  Forward forward;
  forward.name = "dr-db";
  forward.target = "dr-db";
  forward.port = 10003;
  forward.bind = {IpAddress::parse("127.0.0.1").value(), IpAddress::parse("::1").value()};
  forward.allow_from = {Network::parse("10.0.0.0/8").value()};
  forward.close_when_down = true;
  forward.weight = 9;
  return forward;
}

}  // namespace

TEST_CASE("Forward: what was saved is loaded again, from a file that only its owner reads", "[agent]") {
  const TempDir dir;
  const auto directory = dir / "forwards.d";
  REQUIRE(save_forward(directory, sample()));
  const auto loaded = load_forwards(directory);
  REQUIRE(loaded);
  REQUIRE(loaded->size() == 1);
  REQUIRE(loaded->at(0).forward);
  CHECK(*loaded->at(0).forward == sample());
  struct stat status {};
  REQUIRE(::stat((directory / "dr-db.toml").c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0600);
}

TEST_CASE("Forward: a directory that is not there holds none, and removing one that is not there says so",
          "[agent]") {
  const TempDir dir;
  CHECK(load_forwards(dir / "forwards.d")->empty());
  const auto removed = remove_forward(dir / "forwards.d", "dr-db");
  REQUIRE_FALSE(removed);
  CHECK(removed.error().code() == Errc::NotFound);
}

TEST_CASE("Forward: a broken file is named with its line, and the others are loaded", "[agent]") {
  const auto [text, line, part] = GENERATE(table<std::string, std::string, std::string>({
      {"port = 70000\n", ":1", "port"},
      {"\nport = \"x\"\n", ":2", "port"},
      {"port = 1\nprot = 2\n", ":2", "did you mean 'port'"},
      {"target = \"db\"\nprot = 24600\n", ":2", "unknown key 'prot'; did you mean 'port'?"},
      {"port = 1\nbind = [\"eth0\"]\n", ":2", "eth0"},
      {"port = 1\nbind = [\"::1\", \"127.0.0.1\", \"0:0::1\"]\n", ":2", "bind names ::1 twice"},
      {"port = 1\n\nallow_from = [\"10.0.0.1/8\"]\n", ":3", "behind its prefix"},
      {"port = 1\ntarget = \"No Name\"\n", ":2", "No Name"},
      {"port = 1\nweight = 17\n", ":2", "weight"},
      {"port = [\n", ":", ""},
      {"", ".toml", "port is missing"},
  }));
  const TempDir dir;
  REQUIRE(save_forward(dir.path(), sample()));
  std::ofstream{dir / "broken.toml"} << text;
  const auto files = load_forwards(dir.path());
  REQUIRE(files);
  REQUIRE(files->size() == 2);
  CHECK(files->at(0).name == "broken");
  REQUIRE_FALSE(files->at(0).forward);
  const std::string message = files->at(0).forward.error().to_string();
  CAPTURE(message);
  CHECK(message.find("broken.toml" + (line[0] == ':' ? line : std::string{})) != std::string::npos);
  CHECK(message.find(part) != std::string::npos);
  CHECK(files->at(1).forward);
}

TEST_CASE("Forward: bind names each address once, and none beside the wildcard of its family", "[agent]") {
  const auto checked = [](std::initializer_list<const char*> texts) {
    std::vector<IpAddress> bind;
    for (const char* text : texts) bind.push_back(IpAddress::parse(text).value());
    const auto good = check_bind(bind);
    return good ? std::string{"good"} : good.error().message();
  };
  CHECK(checked({}) == "good");
  CHECK(checked({"127.0.0.1", "127.0.0.2", "::1"}) == "good");
  CHECK(checked({"0.0.0.0", "::"}) == "good");
  CHECK(checked({"0.0.0.0", "::1"}) == "good");
  CHECK_THAT(checked({"127.0.0.1", "::1", "127.0.0.1"}), Catch::Contains("names 127.0.0.1 twice"));
  CHECK_THAT(checked({"0.0.0.0", "127.0.0.1"}), Catch::Contains("names 127.0.0.1 beside 0.0.0.0"));
  CHECK_THAT(checked({"::1", "::"}), Catch::Contains("names ::1 beside ::"));
}

TEST_CASE("Forward: a file whose name is no name is refused, and the others are loaded", "[agent]") {
  const std::string name = GENERATE(".hid", "Bad Name", "-x");
  const TempDir dir;
  REQUIRE(save_forward(dir.path(), sample()));
  std::ofstream{dir / (name + ".toml")} << "target = \"dr-db\"\nport = 10004\n";
  const auto files = load_forwards(dir.path());
  REQUIRE(files);
  REQUIRE(files->size() == 2);
  for (const ForwardFile& file : *files) {
    CHECK(file.forward.has_value() == (file.name == "dr-db"));
    if (file.name == name) CHECK(file.forward.error().message().find("rename the file") != std::string::npos);
  }
}

TEST_CASE("Forward: without allow_from everybody may connect, with it only who is named", "[agent]") {
  Forward forward = sample();
  CHECK(forward.allows(IpAddress::parse("10.1.2.3").value()));
  CHECK_FALSE(forward.allows(IpAddress::parse("192.0.2.1").value()));
  forward.allow_from.clear();
  CHECK(forward.allows(IpAddress::parse("192.0.2.1").value()));
}
