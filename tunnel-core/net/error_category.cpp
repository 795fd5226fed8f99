#include "tunnel-core/net/error_category.hpp"

namespace culvert {
namespace {

// Boost's category has a protected destructor that is not virtual, on purpose: categories are never deleted.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wnon-virtual-dtor"
class ErrcCategory final : public boost::system::error_category {
 public:
  const char* name() const noexcept override { return "culvert"; }
  std::string message(int value) const override { return std::string{errc_name(static_cast<Errc>(value))}; }
};

}  // namespace

const boost::system::error_category& errc_category() {
  static const ErrcCategory category;
  return category;
}

}  // namespace culvert
