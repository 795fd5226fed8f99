// Wrong words on a command line, and one line for them. Apart from cli.hpp, which needs no CLI11.
#pragma once

#include <CLI/CLI.hpp>

#include "tunnel-core/base/error.hpp"

namespace culvert {

/// What is wrong with the words, and the command whose help fits.
/// @param app  the program's, after its parse() has thrown `error`; its name is the program's.
/// @return UsageInvalid
Error usage_error(const CLI::App& app, const CLI::ParseError& error);

/// For ->check(): an empty variable of a script is a mistake, not a wish for the default.
CLI::Validator not_empty();

}  // namespace culvert
