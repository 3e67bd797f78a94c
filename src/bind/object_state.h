#pragma once
// Snapshots of Python objects: whether what a function uses is what it was.

#include <cstdint>
#include <string>
#include <vector>

#include "bind/python.h"

namespace flambeau::bind {

/// True for the same object, and for equal numbers, texts and None of the same type.
bool is_same_value(PyObject* a, PyObject* b);

/// What objects that may change held. Needs Python's lock.
class ObjectState {
 public:
  /// Takes what they hold now. `holders` is a list of pairs (holder, where), of which a holder is a
  /// dict, a list, a set, a deque, a mappingproxy (items), a class (members), a function (code and
  /// defaults), a threading.local (attributes), a cell or a ContextVar (contents), a weak reference
  /// (whether its object lives), a functools.lru_cache (what it counts), something with a buffer
  /// (bytes), or a tuple (object, name): of a dict an item, else an attribute. `where` says what it
  /// is to the user.
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
    Object key;  ///< of one item or attribute: its name
    std::string where;
    std::vector<Object> keys;  ///< of dicts and classes
    std::vector<Object> values;
    bool has_buffer = false;
    std::string bytes;  ///< of what has a buffer
  };
  /// The first difference, or an empty text; texts are written only if `say`.
  static bool differs(const Holder& holder, std::string* text);

  std::vector<Holder> holders_;
  std::vector<size_t> unversioned_;  // holders of which no number tells that they are unchanged
  /// Of dicts, each once, when all holders were found unchanged; empty: they were not yet.
  struct Version {
    PyObject* dict;
    uint64_t version;
  };
  mutable std::vector<Version> versions_;
};

}  // namespace flambeau::bind
