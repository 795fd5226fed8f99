#include "firewall-vib/depot_revision.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "tunnel-core/daemon/files.hpp"

namespace culvert::firewall {

namespace {

using nlohmann::json;

struct Kept {
  unsigned revision = 0;
  std::string ports;
};

Result<Kept> read_kept(const std::filesystem::path& file) {
  const auto text = read_file(file);
  if (!text) {
    if (text.error().code() == Errc::NotFound) return Kept{};
    return text.error();
  }
  const json object = json::parse(*text, nullptr, /*allow_exceptions=*/false);
  const bool good = object.is_object() && object.contains("revision") &&
                    object["revision"].is_number_unsigned() && object["revision"] <= 1'000'000'000 &&
                    object.contains("ports") && object["ports"].is_string();
  if (good) return Kept{object["revision"].get<unsigned>(), object["ports"].get<std::string>()};
  return Error{
      Errc::ConfigInvalid,
      fmt::format(
          "{} is not what the agent wrote; write {{\"revision\": N, \"ports\": \"\"}} into it with an N that "
          "is at least the number behind the dash of the VIB's version on your hosts",
          file.string())};
}

}  // namespace

Result<unsigned> revision_for(const std::filesystem::path& file, const PortRanges& ports) {
  const auto kept = read_kept(file);
  if (!kept) return kept.error();
  return kept->revision > 0 && kept->ports == ports_text(ports) ? kept->revision : kept->revision + 1;
}

Result<unsigned> keep_revision(const std::filesystem::path& file, const PortRanges& ports) {
  const auto revision = revision_for(file, ports);
  if (!revision) return revision;
  const auto kept = read_kept(file);
  if (kept && kept->revision == *revision) return revision;
  const json object{{"revision", *revision}, {"ports", ports_text(ports)}};
  if (auto written = write_file(file, object.dump() + "\n", 0600); !written)
    return std::move(written).error();
  return revision;
}

}  // namespace culvert::firewall
