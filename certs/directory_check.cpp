#include "certs/directory_check.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <optional>

#include "certs/key_store.hpp"

namespace culvert::certs {

namespace {

namespace fs = std::filesystem;
using Severity = Finding::Severity;

class Inspection {
 public:
  explicit Inspection(UtcTime now) : now_(now) {}

  void look_at_directory(const fs::path& dir) {
    struct stat status {};
    if (stat(dir.c_str(), &status) == 0 && (status.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
      problem(dir, "others can put files here; run: chmod go-w '" + dir.string() + "'");
    }
  }

  void look_at(const fs::path& file) {
    if (file.extension() == ".key") {
      look_at_key(file);
    } else if (file.extension() == ".pem" || file.extension() == ".crt") {
      look_at_chain(file);
    }
  }

  DirectoryReport report() && { return std::move(report_); }

 private:
  void look_at_key(const fs::path& file) {
    ++report_.keys;
    const auto key = load_key(file);
    if (!key) return problem(file, key.error().message());
    fs::path chain_file = file;
    chain_file.replace_extension(".pem");
    const auto chain = load_chain(chain_file);
    if (chain && !chain->front().matches(*key)) {
      return problem(file, "is not the private key of " + chain_file.filename().string() +
                               "; put back the pair that was made together");
    }
    if (!chain && chain.error().code() == Errc::NotFound) {
      warning(file, "has no certificate beside it; expected " + chain_file.filename().string());
    }
  }

  void look_at_chain(const fs::path& file) {
    const auto chain = load_chain(file);
    if (!chain) return problem(file, chain.error().message());
    report_.certificates += chain->size();
    for (const Certificate& certificate : *chain) look_at_validity(file, certificate);
  }

  void look_at_validity(const fs::path& file, const Certificate& certificate) {
    const std::string who = "the certificate of '" + certificate.subject() + "' ";
    const UtcTime end = certificate.not_after();
    if (now_ < certificate.not_before()) {
      problem(file, who + "is valid from " + utc_text(certificate.not_before()) + " on and the clock says " +
                        utc_text(now_) + "; set the clock");
    } else if (now_ >= end) {
      problem(file, who + "expired at " + utc_text(end) + "; renew it");
    } else if (now_ >= end - (end - certificate.not_before()) / 3) {
      warning(file, who + "expires at " + utc_text(end) + "; renew it before");
    }
  }

  void problem(const fs::path& file, std::string message) {
    const std::string name =
        file.string() + " ";  // Errors about files begin with it, findings have it apart.
    if (message.starts_with(name)) message.erase(0, name.size());
    report_.findings.push_back({Severity::Problem, file, std::move(message)});
  }
  void warning(const fs::path& file, std::string message) {
    report_.findings.push_back({Severity::Warning, file, std::move(message)});
  }

  UtcTime now_;
  DirectoryReport report_;
};

}  // namespace

bool DirectoryReport::healthy() const {
  return std::none_of(findings.begin(), findings.end(),
                      [](const Finding& finding) { return finding.severity == Severity::Problem; });
}

Result<DirectoryReport> check_directory(const fs::path& dir, UtcTime now) {
  std::error_code failed;
  if (!fs::is_directory(dir, failed)) {
    return Error{Errc::NotFound,
                 dir.string() + " is not a directory; name the one that holds keys and certificates"};
  }
  std::vector<fs::path> files;
  for (fs::directory_iterator it{dir, failed}, end; !failed && it != end; it.increment(failed)) {
    files.push_back(it->path());
  }
  if (failed) {
    return Error{Errc::FileUnreadable,
                 "cannot list " + dir.string() + ": " + failed.message() + "; run as its owner or as root"};
  }
  std::sort(files.begin(), files.end());  // The same report for the same directory.
  Inspection inspection{now};
  inspection.look_at_directory(dir);
  for (const fs::path& file : files) inspection.look_at(file);
  return std::move(inspection).report();
}

}  // namespace culvert::certs
