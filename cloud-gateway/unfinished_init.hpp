// What an `init` that was killed half-way leaves, and how the next one tells it from a gateway.
#pragma once

#include <filesystem>

#include "tunnel-core/base/result.hpp"

namespace culvert {

/// In the data directory from the first moment of `init` to the last, when it becomes gateway.toml. With this
/// file and without that one a directory is no gateway yet, and nothing in it was ever in use. Without this
/// file keys and store may be those of a gateway whose gateway.toml was lost: `init` leaves them alone.
constexpr const char* kUnfinishedConfig = "gateway.toml.unfinished";

/// True when an init was interrupted in `dir`, or is at work there.
bool holds_unfinished_init(const std::filesystem::path& dir);

/// @error AlreadyExists naming what is not init's in such a directory; nothing is changed. IoFailed.
Result<void> require_leftovers_only(const std::filesystem::path& dir);

/// Removes the files that init makes, by name, but for kUnfinishedConfig: killed meanwhile, the next one
/// begins again. The caller holds the lock of `dir`. @error IoFailed.
Result<void> remove_leftovers(const std::filesystem::path& dir);

}  // namespace culvert
