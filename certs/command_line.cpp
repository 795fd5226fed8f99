#include "certs/command_line.hpp"

#include <CLI/CLI.hpp>
#include <filesystem>
#include <istream>
#include <ostream>
#include <string>
#include <vector>

#include "certs/directory_check.hpp"
#include "certs/inspection.hpp"
#include "certs/key_store.hpp"
#include "tunnel-core/daemon/cli.hpp"
#include "tunnel-core/daemon/data_dir.hpp"
#include "tunnel-core/daemon/files.hpp"
#include "tunnel-core/daemon/json_text.hpp"
#include "tunnel-core/daemon/usage_error.hpp"

namespace culvert::certs {

namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr const char* kProgram = "culvert-certs";
constexpr std::size_t kJoiningInputMax = 4096;  // Three times the longest joining string.

/// What the options of all commands are stored in.
struct Options {
  fs::path dir;
  fs::path out;
  fs::path file;
  fs::path request;
  std::string root_name = "Culvert root";
  std::vector<std::string> names;
  SiteIdentity identity;
  long days = 0;
  bool json = false;
};

Result<void> make_out_dir(const fs::path& dir) {
  std::error_code failed;
  if (fs::is_directory(dir, failed)) return {};
  return create_data_dir(dir);
}

Result<void> init_root(const Options& options, std::ostream& out) {
  if (auto created = create_data_dir(options.dir); !created) return created;
  if (auto made = create_authorities(options.dir, options.root_name, utc_now(), days(options.days)); !made) {
    return made;
  }
  const auto chain = load_chain(options.dir / "root.pem");
  if (!chain) return chain.error();
  out << thumbprint_text(chain->front().thumbprint()) << "\n";
  return {};
}

Result<void> issue_server(const Options& options, std::ostream& out) {
  const auto authority = load_authority(options.dir, Purpose::Server);
  if (!authority) return authority.error();
  const auto key = PrivateKey::generate();
  if (!key) return key.error();
  const auto leaf = authority->issue_server(options.names, key->public_key(), utc_now(), days(options.days));
  if (!leaf) return leaf.error();
  if (auto made = make_out_dir(options.out); !made) return made;
  if (auto saved = save_new_pair(options.out, "server", *key, authority->chain_below(*leaf)); !saved)
    return saved;
  out << (options.out / "server.pem").string() << "\n";
  return {};
}

Result<PublicKey> key_of_request(const fs::path& file) {
  const auto pem = read_file(file);
  if (!pem) return pem.error();
  auto request = EnrolmentRequest::from_pem(*pem);
  if (!request) return std::move(request).error().at("read", file.string());
  return request->public_key();
}

Result<void> issue_site(const Options& options, std::ostream& out) {
  const fs::path chain_file[] = {options.out / "site.pem"};
  const bool requested = !options.request.empty();
  const auto authority = load_authority(options.dir, Purpose::Sites);
  if (!authority) return authority.error();
  const auto key = PrivateKey::generate();
  if (!key) return key.error();
  const auto public_key = requested ? key_of_request(options.request) : Result<PublicKey>{key->public_key()};
  if (!public_key) return public_key.error();
  const auto leaf = authority->issue_site(options.identity, *public_key, utc_now(), days(options.days));
  if (!leaf) return leaf.error();
  if (auto made = make_out_dir(options.out); !made) return made;
  const auto chain = authority->chain_below(*leaf);
  if (requested) {
    if (auto absent = check_absent(chain_file); !absent) return absent;
    if (auto saved = save_chain(chain_file[0], chain); !saved) return saved;
  } else if (auto saved = save_new_pair(options.out, "site", *key, chain); !saved) {
    return saved;
  }
  out << chain_file[0].string() << "\n";
  return {};
}

Result<void> inspect(const Options& options, std::ostream& out) {
  auto text = read_file(options.file);
  if (!text) return std::move(text).error();
  const SecretText pem{std::move(*text)};
  auto list = describe_pem(pem.view(), utc_now());
  if (!list) return std::move(list).error().at("inspect", options.file.string());
  if (options.json) {
    out << json_text(*list);
    return {};
  }
  bool first = true;
  for (const Json& object : *list) {
    out << (first ? "" : "\n") << to_lines(object);
    first = false;
  }
  return {};
}

Result<void> check(const Options& options, std::ostream& out) {
  const auto report = check_directory(options.dir, utc_now());
  if (!report) return report.error();
  if (options.json) {
    out << json_text(describe(*report));
  } else {
    for (const Finding& finding : report->findings) {
      out << (finding.severity == Finding::Severity::Problem ? "problem  " : "warning  ")
          << finding.file.string() << ": " << finding.message << "\n";
    }
    out << "looked at " << report->keys << " keys and " << report->certificates << " certificates\n";
  }
  if (report->keys + report->certificates == 0 && report->findings.empty()) {
    return Error{Errc::NotFound, options.dir.string() +
                                     " holds no key and no certificate, so nothing was checked; name the "
                                     "directory they lie in (of a gateway: DIR/certs)"};
  }
  if (report->healthy()) return {};
  return Error{Errc::CertificateInvalid, options.dir.string() + " has problems; see the list"};
}

Result<void> inspect_joining_string(const Options& options, std::istream& in, std::ostream& out) {
  std::string text(kJoiningInputMax + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(in.gcount()));
  if (text.size() > kJoiningInputMax) {
    return Error{Errc::JoiningStringInvalid,
                 "standard input is longer than any joining string; give it one alone"};
  }
  const auto joining = JoiningString::decode(text);
  if (!joining) return joining.error();
  const Json json = describe(*joining, utc_now());
  out << (options.json ? json_text(json) : to_lines(json));
  return {};
}

/// The subcommands, each of which stores the action that was asked for.
using Action = std::function<Result<void>(std::ostream&)>;

void add_issuing_commands(CLI::App& app, Options& options, Action& action) {
  CLI::App* root =
      app.add_subcommand("init-root", "Make a root and its two issuing authorities in a new directory");
  root->add_option("--dir", options.dir, "Directory to create, 0700")->required()->check(not_empty());
  root->add_option("--name", options.root_name, "Name of the root, for people")
      ->capture_default_str()
      ->check(not_empty());
  root->add_option("--days", options.days, "Lifetime of the root in days (default 3653)")
      ->check(CLI::Range(1, 36525));
  root->footer(
      "Prints the root's SHA-256 fingerprint.\n"
      "Example: culvert-certs init-root --dir /root/culvert-ca --name 'Example root'");
  root->callback([&] {
    if (options.days == 0) options.days = kRootLifetime / days(1);
    action = [&](std::ostream& out) { return init_root(options, out); };
  });

  CLI::App* server = app.add_subcommand("issue-server", "Make a key and certificate for a gateway");
  server->add_option("--authority", options.dir, "Directory made by init-root")
      ->required()
      ->check(not_empty());
  server->add_option("--name", options.names, "Host name or IP address; may be given several times")
      ->required()
      ->check(not_empty());
  server->add_option("--out", options.out, "Directory for server.key and server.pem")
      ->required()
      ->check(not_empty());
  server->add_option("--days", options.days, "Lifetime in days (default 397)")->check(CLI::Range(1, 36525));
  server->footer(
      "Prints the path of the certificate chain.\n"
      "Example: culvert-certs issue-server --authority /root/culvert-ca --name gw.example.net --out ./gw");
  server->callback([&] {
    if (options.days == 0) options.days = kServerLifetime / days(1);
    action = [&](std::ostream& out) { return issue_server(options, out); };
  });

  CLI::App* site =
      app.add_subcommand("issue-site", "Make a certificate for a site, for its request or a new key");
  site->add_option("--authority", options.dir, "Directory made by init-root")->required()->check(not_empty());
  site->add_option("--org", options.identity.org, "Organization")->required()->check(not_empty());
  site->add_option("--site", options.identity.site, "Site")->required()->check(not_empty());
  site->add_option("--request", options.request, "Certificate request (PEM); without it a key is made")
      ->check(not_empty());
  site->add_option("--out", options.out, "Directory for site.pem, and site.key when one is made")
      ->required()
      ->check(not_empty());
  site->add_option("--days", options.days, "Lifetime in days (default 90)")->check(CLI::Range(1, 36525));
  site->footer(
      "Prints the path of the certificate chain. A gateway lets in only sites of its own store.\n"
      "Example: culvert-certs issue-site --authority /root/culvert-ca --org acme --site tokyo --out ./tokyo");
  site->callback([&] {
    if (options.days == 0) options.days = kSiteLifetime / days(1);
    action = [&](std::ostream& out) { return issue_site(options, out); };
  });
}

void add_looking_commands(CLI::App& app, Options& options, Action& action, std::istream& in) {
  CLI::App* show = app.add_subcommand("inspect", "Show certificates, a request, or a key's public half");
  show->add_option("FILE", options.file, "PEM file")->required()->check(not_empty());
  show->add_flag("--json", options.json, "As JSON");
  show->footer("Example: culvert-certs inspect /var/lib/culvert-agent/site.pem --json");
  show->callback([&] { action = [&](std::ostream& out) { return inspect(options, out); }; });

  CLI::App* look =
      app.add_subcommand("check", "Check permissions, validity and matching keys in a directory");
  look->add_option("DIR", options.dir, "Directory with *.key, *.pem, *.crt")->required()->check(not_empty());
  look->add_flag("--json", options.json, "As JSON");
  look->footer(
      "Exit code 1 when there is a problem; warnings alone give 0.\n"
      "Example: culvert-certs check /var/lib/culvert-agent");
  look->callback([&] { action = [&](std::ostream& out) { return check(options, out); }; });

  CLI::App* joining = app.add_subcommand("joining-string", "Look into joining strings");
  joining->require_subcommand(1);
  joining->footer("Example: culvert-certs joining-string inspect < joining-string.txt");
  CLI::App* inside = joining->add_subcommand(
      "inspect", "Show what a joining string on standard input says, without its secret");
  inside->add_flag("--json", options.json, "As JSON");
  inside->footer("Example: culvert-certs joining-string inspect < joining-string.txt");
  inside->callback(
      [&] { action = [&](std::ostream& out) { return inspect_joining_string(options, in, out); }; });
}

}  // namespace

int run_command_line(int argc, const char* const* argv, std::istream& in, std::ostream& out) {
  CLI::App app{"Certificates of Culvert: authorities, servers, sites", kProgram};
  app.set_version_flag("--version", std::string{kProgram} + " " CULVERT_VERSION);
  app.require_subcommand(1);
  app.footer("Example: culvert-certs inspect /var/lib/culvert-agent/site.pem");
  Options options;
  Action action;
  add_issuing_commands(app, options, action);
  add_looking_commands(app, options, action, in);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    std::ostringstream help, problem;
    const bool asked_for_help = app.exit(error, help, problem) == 0;
    out << help.str();
    if (asked_for_help) return kExitDone;
    return report_error(kProgram, Error{Errc::UsageInvalid, std::string{error.what()} + "; see --help"});
  }
  if (const auto done = action(out); !done) return report_error(kProgram, done.error());
  out.flush();
  return out.good()
             ? kExitDone
             : report_error(kProgram, Error{Errc::IoFailed, "cannot write the result to standard output"});
}

}  // namespace culvert::certs
