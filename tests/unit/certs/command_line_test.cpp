#include <catch2/catch.hpp>

#include <nlohmann/json.hpp>
#include <sstream>

#include "certs/command_line.hpp"
#include "certs/joining_string.hpp"
#include "certs/key_store.hpp"
#include "tests/unit/certs/test_world.hpp"

using namespace culvert;
using namespace culvert::certs;
using namespace culvert::certs::test;
using Catch::Contains;
namespace fs = std::filesystem;

namespace {

CommandResult run(std::vector<std::string> arguments, const std::string& input = {}) {
  std::vector<const char*> argv{"culvert-certs"};
  for (const std::string& argument : arguments) argv.push_back(argument.c_str());
  std::istringstream in{input};
  std::ostringstream out;
  const int code = run_command_line(static_cast<int>(argv.size()), argv.data(), in, out);
  return {code, out.str()};
}

}  // namespace

TEST_CASE("The commands make a working set of authorities, server and site", "[certs][command]") {
  const TemporaryDirectory dir;
  const std::string authorities = (dir.path() / "deep" / "ca").string();
  const std::string gateway = (dir.path() / "gw").string();
  const std::string tokyo = (dir.path() / "tokyo").string();

  const CommandResult made = run({"init-root", "--dir", authorities, "--name", "Example root"});
  CHECK(made.exit_code == 0);
  CHECK(made.output.size() == 96);  // The fingerprint and a newline, nothing else.
  CHECK(run({"issue-server", "--authority", authorities, "--name", "gw.example.net", "--name", "192.0.2.7",
             "--out", gateway})
            .exit_code == 0);
  CHECK(run({"issue-site", "--authority", authorities, "--org", "acme", "--site", "tokyo", "--out", tokyo})
            .exit_code == 0);

  const KeyAndChain server = unwrap(load_pair(gateway, "server"));
  const KeyAndChain site = unwrap(load_pair(tokyo, "site"));
  const Trust trust = RootFingerprint{
      unwrap(parse_thumbprint(std::string_view{made.output}.substr(0, made.output.size() - 1)))};
  CHECK(verify_server(server.chain, trust, "192.0.2.7", utc_now()));
  CHECK(unwrap(verify_site(site.chain, trust, utc_now())) == kTokyo);
  for (const std::string& each : {authorities, gateway, tokyo}) CHECK(run({"check", each}).exit_code == 0);

  // Nothing is ever replaced.
  CHECK(run({"init-root", "--dir", authorities}).exit_code == 1);
  CHECK(run({"issue-server", "--authority", authorities, "--name", "x", "--out", gateway}).exit_code == 1);
  CHECK(unwrap(load_pair(gateway, "server")).chain == server.chain);
}

TEST_CASE("An empty path or name is wrong usage, and nothing is made", "[certs][command]") {
  const TemporaryDirectory dir;
  const std::string authorities = (dir.path() / "ca").string();
  const std::string out = (dir.path() / "out").string();
  REQUIRE(run({"init-root", "--dir", authorities}).exit_code == 0);
  for (const std::vector<std::string>& arguments : std::vector<std::vector<std::string>>{
           {"init-root", "--dir", ""},
           {"init-root", "--dir", out, "--name", ""},
           {"issue-server", "--authority", authorities, "--name", "gw", "--out", ""},
           {"issue-server", "--authority", "", "--name", "gw", "--out", out},
           {"issue-server", "--authority", authorities, "--name", "", "--out", out},
           {"issue-site", "--authority", authorities, "--org", "o", "--site", "s", "--out", ""},
           {"issue-site", "--authority", "", "--org", "o", "--site", "s", "--out", out},
           {"issue-site", "--authority", authorities, "--org", "", "--site", "s", "--out", out},
           {"issue-site", "--authority", authorities, "--org", "o", "--site", "", "--out", out},
           {"issue-site", "--authority", authorities, "--org", "o", "--site", "s", "--request", "", "--out",
            out},
           {"inspect", ""},
           {"check", ""}}) {
    INFO(arguments.front());
    const CommandResult result = run(arguments);
    CHECK(result.exit_code == 2);
    CHECK(result.output.empty());
  }
  CHECK_FALSE(fs::exists(out));
}

TEST_CASE("A site's certificate for a request comes without a key", "[certs][command]") {
  const TemporaryDirectory dir;
  const std::string authorities = (dir.path() / "ca").string();
  REQUIRE(run({"init-root", "--dir", authorities}).exit_code == 0);
  const PrivateKey key = unwrap(PrivateKey::generate());
  const std::string request = dir.file("r.csr", unwrap(EnrolmentRequest::make(key)).pem()).string();
  const std::string out = (dir.path() / "out").string();
  const std::vector<std::string> arguments{"issue-site", "--authority", authorities, "--org", "acme",
                                           "--site",     "tokyo",       "--request", request, "--days",
                                           "7",          "--out",       out};
  CHECK(run(arguments).exit_code == 0);
  CHECK_FALSE(fs::exists(fs::path{out} / "site.key"));
  const auto chain = unwrap(load_chain(fs::path{out} / "site.pem"));
  CHECK(chain.front().matches(key));
  CHECK(chain.front().not_after() - chain.front().not_before() == days(7) + kBackdating);
  CHECK(run(arguments).exit_code == 1);
}

TEST_CASE("inspect shows certificates, keys and requests as lines and as JSON, and no key",
          "[certs][command]") {
  const World world;
  const TemporaryDirectory dir;
  const std::string file = dir.file("c.pem", chain_to_pem(world.site_chain())).string();
  CHECK_THAT(run({"inspect", file}).output, Contains("uri                 culvert://org/acme/site/tokyo"));
  const auto json = nlohmann::json::parse(run({"inspect", file, "--json"}).output);
  REQUIRE(json.size() == 3);
  CHECK(json[0]["site"] == "tokyo");
  CHECK(json[0]["usage"] == nlohmann::json{"client"});
  CHECK(json[2]["thumbprint"] == thumbprint_text(world.root.certificate().thumbprint()));

  const SecretText pem = world.key.to_pem();
  const CommandResult key = run({"inspect", dir.file("k.key", pem.view()).string()});
  CHECK_THAT(key.output,
             Contains("private key") && Contains(thumbprint_text(world.key.public_key().fingerprint())));
  CHECK_THAT(key.output, !Contains(std::string{pem.view().substr(30, 20)}));
  const CommandResult request =
      run({"inspect", dir.file("r", unwrap(EnrolmentRequest::make(world.key)).pem()).string()});
  CHECK_THAT(request.output, Contains("certificate request"));
  CHECK(run({"inspect", dir.file("g", "garbage").string()}).exit_code == 1);
  CHECK(run({"inspect", (dir.path() / "missing").string()}).exit_code == 1);
}

TEST_CASE("check fails when there is a problem and lists it on standard output", "[certs][command]") {
  const World world;
  const TemporaryDirectory dir;
  dir.file("site.pem", "damaged");
  const CommandResult checked = run({"check", dir.path().string()});
  CHECK(checked.exit_code == 1);
  CHECK_THAT(checked.output, Contains("problem") && Contains("site.pem"));
  const auto json = nlohmann::json::parse(run({"check", "--json", dir.path().string()}).output);
  CHECK(json["healthy"] == false);
  CHECK(json["findings"].size() == 1);
}

TEST_CASE("check as JSON replaces bytes of a file name that are not UTF-8", "[certs][command]") {
  const TemporaryDirectory dir;
  dir.file("\xff.pem", "damaged");
  const CommandResult checked = run({"check", "--json", dir.path().string()});
  CHECK(checked.exit_code == 1);
  CHECK(nlohmann::json::parse(checked.output)["findings"].size() == 1);
}

TEST_CASE("check of a directory without keys and certificates does not look like all is well",
          "[certs][command]") {
  const TemporaryDirectory dir;
  dir.file("notes.txt", "no certificate");
  CHECK(run({"check", dir.path().string()}).exit_code == 1);
}

TEST_CASE("joining-string inspect reads standard input and never shows the secret",
          "[certs][command][joining]") {
  JoiningString joining;
  joining.gateway_url = "https://gw.example.net:443";
  joining.org = "acme";
  joining.site = "tokyo";
  joining.expires_at = utc_now() + days(1);
  joining.secret = new_joining_secret();
  const std::string text = unwrap(joining.encode());
  for (const std::string option : {"", "--json"}) {
    std::vector<std::string> arguments{"joining-string", "inspect"};
    if (!option.empty()) arguments.push_back(option);
    const CommandResult shown = run(arguments, text + "\n");
    CHECK(shown.exit_code == 0);
    CHECK_THAT(shown.output,
               Contains("https://gw.example.net:443") && Contains("tokyo") && Contains("valid"));
    CHECK_THAT(shown.output, !Contains(text.substr(text.size() - 30)) && !Contains("secret") &&
                                 !Contains(joining_secret_hash(joining.secret)));
  }
  joining.expires_at = utc_now() - days(1);
  CHECK_THAT(run({"joining-string", "inspect"}, unwrap(joining.encode())).output, Contains("expired"));
  CHECK(run({"joining-string", "inspect"}, text.substr(1)).exit_code == 2);
  CHECK(run({"joining-string", "inspect"}, std::string(100000, 'x')).exit_code == 2);
  CHECK(run({"joining-string", "inspect", text}).exit_code == 2);  // Not on the command line.
}

TEST_CASE("Wrong usage exits with 2, and every command has help with an example", "[certs][command]") {
  for (const std::vector<std::string>& arguments :
       std::vector<std::vector<std::string>>{{},
                                             {"nonsense"},
                                             {"init-root"},
                                             {"inspect"},
                                             {"check"},
                                             {"joining-string"},
                                             {"issue-server", "--days", "0"},
                                             {"issue-site", "--authority", "x"}}) {
    const CommandResult result = run(arguments);
    CHECK(result.exit_code == 2);
    CHECK(result.output.empty());
  }
  for (const std::vector<std::string>& command :
       std::vector<std::vector<std::string>>{{},
                                             {"init-root"},
                                             {"issue-server"},
                                             {"issue-site"},
                                             {"inspect"},
                                             {"check"},
                                             {"joining-string"},
                                             {"joining-string", "inspect"}}) {
    std::vector<std::string> arguments = command;
    arguments.push_back("--help");
    const CommandResult result = run(arguments);
    CHECK(result.exit_code == 0);
    CHECK_THAT(result.output, Contains("Example: culvert-certs"));
  }
}
