// Ring<T>: a double-ended queue in one allocation, empty until used. std::deque allocates 576 bytes for
// nothing, which counts when ten thousand idle streams own four of them.
#pragma once

#include <cstddef>
#include <memory>
#include <utility>

#include "tunnel-core/base/assert.hpp"

namespace culvert {

template <class T>
class Ring {
 public:
  Ring() = default;
  Ring(Ring&& other) noexcept { swap(other); }
  Ring& operator=(Ring&& other) noexcept {
    swap(other);
    return *this;
  }
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;
  ~Ring() { clear(); }

  bool empty() const { return size_ == 0; }
  std::size_t size() const { return size_; }
  T& operator[](std::size_t i) { return slots_[(head_ + i) & (capacity_ - 1)]; }
  const T& operator[](std::size_t i) const { return slots_[(head_ + i) & (capacity_ - 1)]; }
  T& front() { return (*this)[0]; }
  const T& front() const { return (*this)[0]; }
  T& back() { return (*this)[size_ - 1]; }
  const T& back() const { return (*this)[size_ - 1]; }

  void push_back(T value) {
    if (size_ == capacity_) grow();
    std::construct_at(&(*this)[size_], std::move(value));
    ++size_;
  }

  void pop_front() {
    TUNNEL_ASSERT(size_ > 0);
    std::destroy_at(&front());
    head_ = (head_ + 1) & (capacity_ - 1);
    --size_;
  }

  void pop_back() {
    TUNNEL_ASSERT(size_ > 0);
    std::destroy_at(&back());
    --size_;
  }

  /// Destroys all elements and gives the storage back.
  void clear() {
    while (size_ > 0) pop_front();
    if (slots_ != nullptr) std::allocator<T>{}.deallocate(slots_, capacity_);
    slots_ = nullptr;
    capacity_ = head_ = 0;
  }

  std::size_t storage_bytes() const { return capacity_ * sizeof(T); }

 private:
  void grow() {
    const std::size_t capacity = capacity_ == 0 ? 8 : capacity_ * 2;
    T* const slots = std::allocator<T>{}.allocate(capacity);
    for (std::size_t i = 0; i < size_; ++i) {
      std::construct_at(slots + i, std::move((*this)[i]));
      std::destroy_at(&(*this)[i]);
    }
    if (slots_ != nullptr) std::allocator<T>{}.deallocate(slots_, capacity_);
    slots_ = slots;
    capacity_ = capacity;
    head_ = 0;
  }

  void swap(Ring& other) noexcept {
    std::swap(slots_, other.slots_);
    std::swap(capacity_, other.capacity_);
    std::swap(head_, other.head_);
    std::swap(size_, other.size_);
  }

  T* slots_ = nullptr;  ///< capacity_ slots, of which size_ from head_ on hold objects.
  std::size_t capacity_ = 0;
  std::size_t head_ = 0;
  std::size_t size_ = 0;
};

}  // namespace culvert
