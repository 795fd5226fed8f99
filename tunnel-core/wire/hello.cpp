#include "tunnel-core/wire/hello.hpp"

#include <algorithm>

#include "tunnel-core/base/byte_cursor.hpp"
#include "tunnel-core/wire/tlv.hpp"

namespace culvert {

Bytes encode_hello(const Hello& hello) {
  Bytes bytes(1 + 4 + 4 + 8 + hello.proof.size());
  Writer out{bytes};
  out.u8(hello.version);
  out.u32(hello.epoch);
  out.u32(hello.lane.value);
  out.u64(hello.replay_memory.value);
  out.put(hello.proof);
  return bytes;
}

Result<Hello> decode_hello(ByteSpan bytes) {
  Reader in{bytes};
  Hello hello;
  hello.version = in.u8();
  hello.epoch = in.u32();
  hello.lane = LaneId{in.u32()};
  hello.replay_memory = ByteCount{in.u64()};
  const ByteSpan proof = in.take(hello.proof.size());
  const ByteSpan tlvs = in.rest();
  if (in.failed()) return Error{Errc::FrameMalformed, "HELLO is cut off"};
  if (hello.epoch == 0 || hello.lane.value == 0)
    return Error{Errc::FrameMalformed, "HELLO has epoch or lane 0"};
  std::ranges::copy(proof, hello.proof.begin());
  if (const auto list = TlvList::decode(tlvs); !list) return list.error();
  return hello;
}

Bytes proof_subject(SessionId session, std::uint32_t epoch, LaneId lane) {
  Bytes bytes(8 + 4 + 4);
  Writer out{bytes};
  out.u64(session.value);
  out.u32(epoch);
  out.u32(lane.value);
  return bytes;
}

}  // namespace culvert
