#include "tunnel-core/daemon/config_reader.hpp"

#include <spdlog/fmt/fmt.h>
#include <toml++/toml.h>

#include <algorithm>
#include <limits>
#include <numeric>
#include <utility>

#include "tunnel-core/daemon/files.hpp"
#include "tunnel-core/daemon/quantity.hpp"
#include "tunnel-core/obs/log_line.hpp"

namespace culvert {

namespace {

namespace fs = std::filesystem;

constexpr std::size_t kShownCharacters = 60;

/// The value as the file has it, short enough for one line.
std::string describe(const toml::node& node) {
  if (const auto* text = node.as_string()) {
    std::string shown = escape_controls(std::string_view{text->get()}.substr(0, kShownCharacters));
    return "\"" + shown + (text->get().size() > kShownCharacters ? "…\"" : "\"");
  }
  if (const auto* number = node.as_integer()) return std::to_string(number->get());
  if (const auto* number = node.as_floating_point()) return fmt::format("{}", number->get());
  if (const auto* flag = node.as_boolean()) return flag->get() ? "true" : "false";
  if (node.is_array()) return "a list";
  if (node.is_table()) return "a table";
  return "a date or time";
}

std::string joined(const std::vector<std::string>& names, std::string_view last_word) {
  std::string text;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (i > 0) text += i + 1 == names.size() ? fmt::format(" {} ", last_word) : ", ";
    text += names[i];
  }
  return text;
}

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i + 1);
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row.back();
}

/// The candidate a person may have meant, or nothing when all are too far.
std::optional<std::string> nearest(std::string_view name, const std::vector<std::string>& candidates) {
  std::size_t best = std::max<std::size_t>(2, name.size() / 3) + 1;
  std::optional<std::string> found;
  for (const std::string& candidate : candidates) {
    // Two letters changed in a word of two letters are another word.
    const std::size_t distance = edit_distance(name, candidate);
    if (distance < best && distance < std::max(name.size(), candidate.size())) {
      best = distance;
      found = candidate;
    }
  }
  return found;
}

std::string last_part(const std::string& key) {
  return key.substr(key.rfind('.') + 1);
}

std::vector<std::string> without_repeats(std::vector<std::string> names) {
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

}  // namespace

struct ConfigReader::Impl {
  fs::path path;
  toml::table root;
  std::vector<std::string> known;  ///< Every dotted key asked for.
  std::optional<Error> mistake;

  const toml::node* ask(std::string_view key);
  void refuse(std::string_view key, const toml::node& node, std::string_view must);
  Error error_at(toml::source_index line, std::string_view what) const {
    return {Errc::ConfigInvalid, fmt::format("{}:{}: {}", path.string(), line, what)};
  }

  const toml::node* find(std::string_view key) const;
  std::vector<std::string> names_in(std::string_view prefix) const;
  std::vector<std::string> tables_known() const;
  void look_for_unknown(const toml::table& table, const std::string& prefix);
  void note(const toml::key& key, std::string text);
  std::string hint_for(std::string_view name, bool is_table, std::string_view prefix) const;

  std::optional<std::pair<toml::source_index, std::string>> unknown;  ///< The one with the lowest line.
};

/// Marks `key` as known. Null when it is absent, or when an earlier mistake has made all later values
/// pointless.
const toml::node* ConfigReader::Impl::ask(std::string_view key) {
  known.emplace_back(key);
  return mistake ? nullptr : find(key);
}

const toml::node* ConfigReader::Impl::find(std::string_view key) const {
  const toml::table* table = &root;
  for (;;) {
    const std::size_t dot = key.find('.');
    const toml::node* node = table->get(key.substr(0, dot));
    if (node == nullptr || dot == std::string_view::npos) return node;
    table = node->as_table();
    if (table == nullptr) return nullptr;
    key.remove_prefix(dot + 1);
  }
}

void ConfigReader::Impl::refuse(std::string_view key, const toml::node& node, std::string_view must) {
  mistake =
      error_at(node.source().begin.line, fmt::format("{} is {}, must be {}", key, describe(node), must));
}

/// What may stand directly in the table `prefix` ("" or "limits."): keys and tables.
std::vector<std::string> ConfigReader::Impl::names_in(std::string_view prefix) const {
  std::vector<std::string> names;
  for (const std::string& key : known) {
    if (!key.starts_with(prefix)) continue;
    const std::string_view rest = std::string_view{key}.substr(prefix.size());
    names.emplace_back(rest.substr(0, rest.find('.')));
  }
  return without_repeats(std::move(names));
}

std::vector<std::string> ConfigReader::Impl::tables_known() const {
  std::vector<std::string> tables;
  for (const std::string& key : known) {
    if (const std::size_t dot = key.rfind('.'); dot != std::string::npos)
      tables.push_back(key.substr(0, dot));
  }
  return without_repeats(std::move(tables));
}

void ConfigReader::Impl::look_for_unknown(const toml::table& table, const std::string& prefix) {
  for (const auto& [key, node] : table) {
    const std::string full = prefix + std::string{key.str()};
    // A quoted key may hold a dot; it is no path into a table, and no key of ours looks like that.
    const bool plain = key.str().find('.') == std::string_view::npos;
    if (plain && std::find(known.begin(), known.end(), full) != known.end()) continue;
    const bool table_known = plain && std::any_of(known.begin(), known.end(), [&](const std::string& k) {
                               return k.starts_with(full + ".");
                             });
    if (table_known && node.is_table()) {
      look_for_unknown(*node.as_table(), full + ".");
    } else if (table_known) {
      note(key, fmt::format("{} is {}, must be a table: write [{}]", full, describe(node), full));
    } else {
      const std::string name = escape_controls(key.str().substr(0, kShownCharacters));
      const std::string where = prefix.empty() ? "" : " in [" + prefix.substr(0, prefix.size() - 1) + "]";
      note(key, fmt::format("unknown {} '{}'{}; {}", node.is_table() ? "table" : "key", name, where,
                            hint_for(name, node.is_table(), prefix)));
    }
  }
}

void ConfigReader::Impl::note(const toml::key& key, std::string text) {
  const toml::source_index line = key.source().begin.line;
  if (!unknown || line < unknown->first) unknown = {line, std::move(text)};
}

std::string ConfigReader::Impl::hint_for(std::string_view name, bool is_table,
                                         std::string_view prefix) const {
  const std::vector<std::string> here = names_in(prefix);
  if (const auto near = nearest(name, is_table && prefix.empty() ? tables_known() : here)) {
    return fmt::format("did you mean '{}'?", *near);
  }
  // Right word, wrong table?
  std::vector<std::string> words;
  for (const std::string& key : known) words.push_back(last_part(key));
  if (const auto near = nearest(name, words)) {
    const std::string& key =
        known[static_cast<std::size_t>(std::find(words.begin(), words.end(), *near) - words.begin())];
    const std::size_t dot = key.rfind('.');
    return dot == std::string::npos ? fmt::format("did you mean '{}' above the first table?", key)
                                    : fmt::format("did you mean '{}' in [{}]?", *near, key.substr(0, dot));
  }
  return here.empty() ? "remove it" : fmt::format("known there: {}", joined(here, "and"));
}

Result<ConfigReader> ConfigReader::open(const fs::path& path) {
  auto content = read_file(path);
  if (!content && content.error().code() == Errc::NotFound) {
    return Error{
        Errc::NotFound,
        fmt::format("there is no configuration at {}; give its place with --config PATH", path.string())};
  }
  if (!content) return std::move(content).error();
  auto impl = std::make_unique<Impl>();
  impl->path = path;
  try {
    impl->root = toml::parse(*content, path.string());
  } catch (const toml::parse_error& error) {
    const auto& at = error.source().begin;
    return Error{Errc::ConfigInvalid, fmt::format("{}:{}:{}: {}", path.string(), at.line, at.column,
                                                  escape_controls(error.description()))};
  }
  return ConfigReader{std::move(impl)};
}

ConfigReader::ConfigReader(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ConfigReader::ConfigReader(ConfigReader&&) noexcept = default;
ConfigReader::~ConfigReader() = default;

void ConfigReader::text(std::string_view key, std::string& out) {
  const toml::node* node = impl_->ask(key);
  if (node == nullptr) return;
  const auto* text = node->as_string();
  if (text == nullptr) return impl_->refuse(key, *node, "text in quotes");
  out = text->get();
}

void ConfigReader::path(std::string_view key, fs::path& out) {
  const toml::node* node = impl_->ask(key);
  if (node == nullptr) return;
  const auto* text = node->as_string();
  if (text == nullptr) return impl_->refuse(key, *node, "a path in quotes");
  if (text->get().find('\0') != std::string::npos)
    return impl_->refuse(key, *node, "a path without a zero byte");
  out = text->get().empty() ? fs::path{} : (impl_->path.parent_path() / text->get()).lexically_normal();
}

void ConfigReader::flag(std::string_view key, bool& out) {
  const toml::node* node = impl_->ask(key);
  if (node == nullptr) return;
  const auto* flag = node->as_boolean();
  if (flag == nullptr) return impl_->refuse(key, *node, "true or false, without quotes");
  out = flag->get();
}

void ConfigReader::number(std::string_view key, std::uint64_t& out, std::uint64_t min, std::uint64_t max) {
  const toml::node* node = impl_->ask(key);
  if (node == nullptr) return;
  const auto* number = node->as_integer();
  const auto value = number == nullptr ? std::uint64_t{0} : static_cast<std::uint64_t>(number->get());
  if (number == nullptr || number->get() < 0 || value < min || value > max) {
    return impl_->refuse(key, *node, fmt::format("a whole number between {} and {}", min, max));
  }
  out = value;
}

void ConfigReader::bytes(std::string_view key, ByteCount& out, ByteCount min, ByteCount max) {
  const toml::node* node = impl_->ask(key);
  if (node == nullptr) return;
  std::optional<ByteCount> value;
  if (const auto* text = node->as_string()) value = parse_bytes(text->get());
  if (const auto* number = node->as_integer(); number != nullptr && number->get() >= 0) {
    value = ByteCount{static_cast<std::uint64_t>(number->get())};
  }
  const std::string range = fmt::format("between {} and {}", format_bytes(min), format_bytes(max));
  if (!value) {
    return impl_->refuse(key, *node, "a size such as \"64 MiB\" (B, KiB, MiB, GiB), " + range);
  }
  if (*value < min || *value > max) return impl_->refuse(key, *node, range);
  out = *value;
}

void ConfigReader::duration(std::string_view key, Duration& out, Duration min, Duration max) {
  const toml::node* node = impl_->ask(key);
  if (node == nullptr) return;
  std::optional<Duration> value;
  if (const auto* text = node->as_string()) value = parse_duration(text->get());
  const std::string range = fmt::format("between {} and {}", format_duration(min), format_duration(max));
  if (!value) {
    return impl_->refuse(key, *node, "a time such as \"30 s\" (ms, s, min, h, d), " + range);
  }
  if (*value < min || *value > max) return impl_->refuse(key, *node, range);
  out = *value;
}

void ConfigReader::choice(std::string_view key, std::string& out, std::vector<std::string> allowed) {
  const toml::node* node = impl_->ask(key);
  if (node == nullptr) return;
  for (std::string& word : allowed) word = "\"" + word + "\"";
  const auto* text = node->as_string();
  if (text == nullptr ||
      std::find(allowed.begin(), allowed.end(), "\"" + text->get() + "\"") == allowed.end()) {
    return impl_->refuse(key, *node, joined(allowed, "or"));
  }
  out = text->get();
}

void ConfigReader::text_list(std::string_view key, std::vector<std::string>& out) {
  const toml::node* node = impl_->ask(key);
  if (node == nullptr) return;
  constexpr std::string_view kMust = "a list of texts, such as [\"one\", \"two\"]";
  const auto* list = node->as_array();
  if (list == nullptr) return impl_->refuse(key, *node, kMust);
  std::vector<std::string> texts;
  for (const toml::node& element : *list) {
    const auto* text = element.as_string();
    if (text == nullptr)
      return impl_->refuse(fmt::format("{} number {}", key, texts.size() + 1), element, "text in quotes");
    texts.push_back(text->get());
  }
  out = std::move(texts);
}

void ConfigReader::reject(std::string_view key, std::string_view why_and_what_to_do) {
  if (impl_->mistake) return;
  const toml::node* node = impl_->find(key);
  const std::string text = fmt::format("{} {}", key, why_and_what_to_do);
  if (node != nullptr) {
    impl_->mistake = impl_->error_at(node->source().begin.line, text);
  } else {
    // A default, or a value that is missing and should not be.
    impl_->mistake = Error{Errc::ConfigInvalid, fmt::format("{}: {}", impl_->path.string(), text)};
  }
}

Result<void> ConfigReader::finish() {
  // First, because a mistyped key explains the one that is missing.
  impl_->look_for_unknown(impl_->root, "");
  if (impl_->unknown) return impl_->error_at(impl_->unknown->first, impl_->unknown->second);
  if (impl_->mistake) return *impl_->mistake;
  return {};
}

}  // namespace culvert
