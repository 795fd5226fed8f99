// Any bytes as a VIB: taken apart, checked, shown. No crash, no endless work, whatever the file says of
// itself.
#include <cstddef>
#include <cstdint>

#include "firewall-vib/vib_print.hpp"
#include "firewall-vib/vib_reader.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace culvert::firewall;
  const auto report = examine_vib({reinterpret_cast<const char*>(data), size});
  if (!report) return 0;
  const std::string shown = vib_text(*report);
  const std::string json =
      vib_json(*report).dump(0, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  return shown.empty() || json.empty() ? 1 : 0;
}
