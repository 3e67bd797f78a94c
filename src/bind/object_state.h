#pragma once
// Snapshots of Python objects: whether what a function uses is what it was.

#include <cstdint>
#include <string>
#include <vector>

#include "bind/python.h"

namespace flambeau::bind {

/// True for the same object, and for equal numbers, texts and None of the same type.
bool is_same_value(PyObject* a, PyObject* b);

/// What dicts, lists, closures' cells and global names held. Needs Python's lock.
class ObjectState {
 public:
  /// Takes what they hold now. `holders` is a list of pairs (holder, where), of which a holder is a
  /// dict, a list, a cell or a tuple (dict, key); `where` says what it is to the user.
  explicit ObjectState(PyObject* holders);

  bool is_unchanged() const;
  /// What has changed: "optimizer.state: has 3 items instead of 0".
  std::vector<std::string> changes() const;
  /// For Python's collector of cycles.
  int traverse(visitproc visit, void* arg) const;
  void clear() { holders_.clear(); }

 private:
  struct Holder {
    Object object;
    Object key;  ///< of a name in a dict: that
    std::string where;
    std::vector<Object> keys;  ///< of a dict
    std::vector<Object> values;
    mutable uint64_t version = 0;  ///< of a dict that was found unchanged; 0: not known
  };
  /// The first difference, or an empty text; texts are written only if `say`.
  static bool differs(const Holder& holder, std::string* text);

  std::vector<Holder> holders_;
};

}  // namespace flambeau::bind
