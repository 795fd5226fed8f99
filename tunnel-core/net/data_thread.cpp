#include "tunnel-core/net/data_thread.hpp"

#include "tunnel-core/net/session_driver.hpp"

namespace culvert {
namespace {

constexpr auto kHousekeepEvery = std::chrono::seconds{2};
constexpr std::size_t kAlwaysKeep = 64;  ///< Free slabs: 1 MiB, so that small bursts touch no new memory.

}  // namespace

Result<std::unique_ptr<DataThread>> DataThread::create(SlabArena& arena, std::size_t slab_bytes) {
  auto region = arena.take(slab_bytes);
  if (!region) return std::move(region).error();
  return std::make_unique<DataThread>(arena, *region);
}

DataThread::DataThread(SlabArena& arena, MutableByteSpan region)
    : arena_(arena), slabs_(region), work_(boost::asio::make_work_guard(io_)), timer_(io_) {}

void DataThread::run() {
  housekeep();
  io_.run();
}

void DataThread::stop() {
  io_.stop();
}

void DataThread::housekeep() {
  beats_.fetch_add(1, std::memory_order_relaxed);
  for (SessionDriver* const driver : drivers_) driver->housekeep();
  // What was in use at the worst moment since the last turn may be so again; the rest goes back.
  const std::size_t peak = slabs_.take_peak();
  slabs_.trim(std::max(kAlwaysKeep, peak - std::min(peak, slabs_.in_use())),
              [this](std::byte* slab) { arena_.release(slab); });
  timer_.expires_after(kHousekeepEvery);
  timer_.async_wait([this](error_code error) {
    if (!error) housekeep();
  });
}

}  // namespace culvert
