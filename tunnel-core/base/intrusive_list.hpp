// A list whose links live in its elements: joining and leaving cost no allocation and no search.
#pragma once

#include <cstddef>

namespace culvert {

/// One membership. An object has a hook for each list it can be in; the destructor leaves the list.
class ListHook {
 public:
  ListHook() = default;
  ListHook(const ListHook&) = delete;
  ListHook& operator=(const ListHook&) = delete;
  ~ListHook() { unlink(); }

  bool linked() const { return next_ != nullptr; }
  void unlink() {
    if (!linked()) return;
    previous_->next_ = next_;
    next_->previous_ = previous_;
    previous_ = next_ = nullptr;
  }

 private:
  template <class T, ListHook T::*>
  friend class IntrusiveList;

  ListHook* previous_ = nullptr;
  ListHook* next_ = nullptr;
  void* owner_ = nullptr;
};

/// Does not own its elements. Elements may be destroyed while they are in it.
template <class T, ListHook T::*Hook>
class IntrusiveList {
 public:
  IntrusiveList() { end_.previous_ = end_.next_ = &end_; }
  ~IntrusiveList() {
    while (!empty()) end_.next_->unlink();
    end_.previous_ = end_.next_ = nullptr;
  }

  bool empty() const { return end_.next_ == &end_; }
  T* front() const { return empty() ? nullptr : static_cast<T*>(end_.next_->owner_); }
  T* next(T& element) const {
    ListHook* const hook = (element.*Hook).next_;
    // NOLINTNEXTLINE(clang-analyzer-core.NullDereference): a linked element has a successor.
    return hook == &end_ ? nullptr : static_cast<T*>(hook->owner_);
  }

  /// Nothing happens when the element is in the list already.
  void push_back(T& element) {
    ListHook& hook = element.*Hook;
    if (hook.linked()) return;
    hook.owner_ = &element;
    hook.next_ = &end_;
    hook.previous_ = end_.previous_;
    end_.previous_->next_ = &hook;
    end_.previous_ = &hook;
  }

  void move_to_back(T& element) {
    (element.*Hook).unlink();
    push_back(element);
  }

 private:
  ListHook end_;
};

}  // namespace culvert
