// Any VIB, taken apart and checked. What comes in may be foreign, broken or hostile.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "firewall-vib/archive.hpp"
#include "firewall-vib/descriptor.hpp"
#include "firewall-vib/ruleset.hpp"
#include "firewall-vib/signature.hpp"

namespace culvert::firewall {

constexpr std::size_t kMaxVib = std::size_t{1} << 30;  ///< Twice the largest that VMware ships.

struct Finding {
  enum class Weight {
    Fault,    ///< A host refuses it, or it is not what it says.
    Warning,  ///< Some hosts refuse it, or somebody will be surprised.
  } weight;
  std::string text;
};

struct PayloadReport {
  Payload described;
  bool present = false;
  std::uint64_t unpacked_size = 0;
  bool listed = false;            ///< Whether `entries` are known: of a tgz that can be read.
  std::vector<TarEntry> entries;  ///< Without their contents.
};

struct VibReport {
  Descriptor descriptor;
  bool is_signed = false;
  std::optional<SignatureCheck> signature;  ///< When it holds.
  std::vector<PayloadReport> payloads;
  std::vector<Ruleset> rulesets;
  std::vector<Finding> findings;

  bool has_faults() const;
};

/// Reads a file without trusting its size or kind.
/// @error NotFound, FileUnreadable; ReplyInvalid when it is no regular file, empty, or larger than kMaxVib.
Result<std::string> read_vib_file(const std::filesystem::path& path);

/// Looks at everything and says everything that is wrong.
/// @param roots_pem  whom a signature has to come from; empty: anybody.
/// @error ReplyInvalid only when there is nothing to describe: no ar archive, no descriptor that can be read.
Result<VibReport> examine_vib(std::string_view bytes, std::string_view roots_pem = {});

}  // namespace culvert::firewall
