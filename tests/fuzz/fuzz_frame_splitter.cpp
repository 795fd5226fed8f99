// Any bytes, cut anywhere, give the same frames and the same refusal as when they come in one piece.
// Input: a byte for the number of cuts, two bytes for each cut, then the stream of frames.
#include <algorithm>
#include <string>
#include <vector>

#include "tests/support/slab_region.hpp"
#include "tunnel-core/wire/frame_splitter.hpp"
#include "tunnel-core/wire/hello.hpp"
#include "tunnel-core/wire/open_info.hpp"

namespace culvert {
namespace {

struct Outcome {
  std::vector<std::string> frames;
  std::string refusal;

  bool operator==(const Outcome&) const = default;
};

Outcome split(SlabPool& pool, ByteSpan bytes, const std::vector<std::size_t>& cuts) {
  Outcome outcome;
  FrameSplitter splitter{pool};
  std::size_t from = 0;
  for (std::size_t i = 0; i <= cuts.size() && outcome.refusal.empty(); ++i) {
    const std::size_t to = i < cuts.size() ? cuts[i] : bytes.size();
    while (from < to && outcome.refusal.empty()) {
      const std::size_t n = std::min(to - from, kSlabSize);
      const SlabRef slab = pool.allocate();
      std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(from), n, slab.data());
      const auto done =
          splitter.split(slab, {slab.data(), n}, [&](const Frame& frame, const SlabRef&) -> Result<void> {
            outcome.frames.push_back(dump(frame.header) + std::string{as_text(frame.payload)});
            return {};
          });
      if (!done) outcome.refusal = done.error().to_string();
      from += n;
    }
  }
  return outcome;
}

void decode_messages(ByteSpan bytes) {
  if (const auto info = decode_open(bytes)) {
    const auto again = decode_open(encode_open(*info));
    TUNNEL_ASSERT(again && *again == *info);
  }
  if (const auto hello = decode_hello(bytes)) {
    const Bytes encoded = encode_hello(*hello);
    TUNNEL_ASSERT(std::equal(encoded.begin(), encoded.end(), bytes.begin()));
  }
}

}  // namespace
}  // namespace culvert

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  using namespace culvert;
  static const SlabRegion region{8};
  SlabPool pool{region.span()};
  ByteSpan bytes = std::as_bytes(std::span{data, size});
  decode_messages(bytes);
  if (bytes.empty()) return 0;
  std::size_t count = std::to_integer<std::size_t>(bytes[0]) % 32;
  bytes = bytes.subspan(1);
  count = std::min(count, bytes.size() / 2);
  const ByteSpan places = bytes.first(2 * count);
  bytes = bytes.subspan(2 * count);
  std::vector<std::size_t> cuts;
  for (std::size_t i = 0; i < count; ++i) {
    const auto at =
        std::to_integer<std::size_t>(places[2 * i]) << 8 | std::to_integer<std::size_t>(places[2 * i + 1]);
    cuts.push_back(bytes.empty() ? 0 : at % (bytes.size() + 1));
  }
  std::sort(cuts.begin(), cuts.end());
  TUNNEL_ASSERT(split(pool, bytes, cuts) == split(pool, bytes, {}));
  TUNNEL_ASSERT(pool.in_use() == 0);
  return 0;
}
