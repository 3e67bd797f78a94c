#include "bind/replay.h"

#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>

#include "autograd/autocast.h"
#include "autograd/forward.h"
#include "autograd/grad_mode.h"
#include "autograd/node.h"
#include "autograd/saved_tensor.h"
#include "autograd/vmap.h"
#include "base/error.h"
#include "bind/casters.h"
#include "bind/constants.h"
#include "bind/object_state.h"
#include "bind/overrides.h"
#include "compile/recorder.h"
#include "compile/replay.h"
#include "ops/registry.h"
#include "runtime/thread_pool.h"

namespace nb = nanobind;
using namespace nanobind::literals;

namespace flambeau::bind {
namespace {

/// Tuples, lists, dicts and other nodes (utils._pytree) of tensors and other values: arguments, or
/// what a call returns.
struct Tree {
  enum class Kind : uint8_t { Tuple, List, Dict, Node, Tensor, Value } kind = Kind::Value;
  Object value{};                ///< of Value; of Node: (class, context)
  size_t tensor = 0;             ///< of Tensor: its number
  PyTypeObject* type{};          ///< of Tensor: its class
  Object unflatten{};            ///< of Node: makes one of (children, context)
  std::vector<Object> keys{};    ///< of Dict
  std::vector<Tree> children{};  ///< of Tensor: its attributes, if it has any
};

/// Numbers, texts and None: no tensors are in them.
bool is_plain(PyObject* value) {
  return value == Py_None || PyBool_Check(value) || PyLong_CheckExact(value) ||
         PyFloat_CheckExact(value) || PyUnicode_CheckExact(value);
}

/// The attributes that a user gave a tensor, or null.
PyObject* attributes_of(PyObject* tensor) {
  PyObject* const dict = reinterpret_cast<TensorObject*>(tensor)->dict;
  return dict == nullptr || PyDict_GET_SIZE(dict) == 0 ? nullptr : dict;
}

/// (children, (class, context), unflatten) of a node; null of a leaf.
Object take_apart(PyObject* object) {
  static PyObject* const function =
      nb::object(nb::module_::import_("flambeau.utils._pytree").attr("take_apart")).release().ptr();
  Object apart = checked(PyObject_CallOneArg(function, object));
  return apart.get() == Py_None ? Object() : apart;
}

Tree tree_of(PyObject* object, TensorList& tensors) {
  Tree tree;
  if (is_tensor(object)) {
    tree.kind = Tree::Kind::Tensor;
    tree.tensor = tensors.size();
    tree.type = Py_TYPE(object);
    tensors.push_back(tensor_of(object));
    if (PyObject* const attributes = attributes_of(object))
      tree.children.push_back(tree_of(attributes, tensors));
  } else if (PyTuple_CheckExact(object) || PyList_CheckExact(object)) {
    tree.kind = PyTuple_CheckExact(object) ? Tree::Kind::Tuple : Tree::Kind::List;
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(object); ++i)
      tree.children.push_back(tree_of(PySequence_Fast_GET_ITEM(object, i), tensors));
  } else if (PyDict_CheckExact(object)) {
    tree.kind = Tree::Kind::Dict;
    PyObject* key = nullptr;
    PyObject* value = nullptr;
    Py_ssize_t position = 0;
    while (PyDict_Next(object, &position, &key, &value) != 0) {
      tree.keys.push_back(Object::borrow(key));
      tree.children.push_back(tree_of(value, tensors));
    }
  } else if (const Object apart = is_plain(object) ? Object() : take_apart(object)) {
    tree.kind = Tree::Kind::Node;
    PyObject* const children = PyTuple_GET_ITEM(apart.get(), 0);
    tree.value = Object::borrow(PyTuple_GET_ITEM(apart.get(), 1));
    tree.unflatten = Object::borrow(PyTuple_GET_ITEM(apart.get(), 2));
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(children); ++i)
      tree.children.push_back(tree_of(PyList_GET_ITEM(children, i), tensors));
  } else {
    tree.value = Object::borrow(object);
  }
  return tree;
}

/// True if `object` is what `tree` describes, but for the tensors, which `tensors` gets.
bool matches(const Tree& tree, PyObject* object, TensorList& tensors) {
  const auto items_match = [&](PyObject* sequence) {
    if (static_cast<size_t>(PySequence_Fast_GET_SIZE(sequence)) != tree.children.size())
      return false;
    PyObject** const items = PySequence_Fast_ITEMS(sequence);
    for (size_t i = 0; i < tree.children.size(); ++i)
      if (!matches(tree.children[i], items[i], tensors)) return false;
    return true;
  };
  switch (tree.kind) {
    case Tree::Kind::Tensor: {
      if (Py_TYPE(object) != tree.type) return false;
      tensors[tree.tensor] = tensor_of(object);
      PyObject* const attributes = attributes_of(object);
      if (tree.children.empty()) return attributes == nullptr;
      return attributes != nullptr && matches(tree.children[0], attributes, tensors);
    }
    case Tree::Kind::Tuple:
      return PyTuple_CheckExact(object) && items_match(object);
    case Tree::Kind::List:
      return PyList_CheckExact(object) && items_match(object);
    case Tree::Kind::Dict: {
      if (!PyDict_CheckExact(object) ||
          static_cast<size_t>(PyDict_GET_SIZE(object)) != tree.children.size())
        return false;
      PyObject* key = nullptr;
      PyObject* value = nullptr;
      Py_ssize_t position = 0;
      for (size_t i = 0; PyDict_Next(object, &position, &key, &value) != 0; ++i)
        if (!is_same_value(key, tree.keys[i].get()) || !matches(tree.children[i], value, tensors))
          return false;
      return true;
    }
    case Tree::Kind::Node: {
      if (reinterpret_cast<PyObject*>(Py_TYPE(object)) != PyTuple_GET_ITEM(tree.value.get(), 0))
        return false;
      const Object apart = take_apart(object);
      if (!apart) return false;
      const int same =
          PyObject_RichCompareBool(PyTuple_GET_ITEM(apart.get(), 1), tree.value.get(), Py_EQ);
      checked(same);
      return same == 1 && items_match(PyTuple_GET_ITEM(apart.get(), 0));
    }
    case Tree::Kind::Value:
      return is_same_value(tree.value.get(), object);
  }
  return false;
}

Object object_of(const Tree& tree, const TensorList& tensors) {
  const auto list = [&] {
    Object result = checked(PyList_New(static_cast<Py_ssize_t>(tree.children.size())));
    for (size_t i = 0; i < tree.children.size(); ++i)
      PyList_SET_ITEM(result.get(), static_cast<Py_ssize_t>(i),
                      object_of(tree.children[i], tensors).release());
    return result;
  };
  switch (tree.kind) {
    case Tree::Kind::Tensor:
      return checked(wrap(tensors[tree.tensor]));
    case Tree::Kind::Tuple: {
      Object result = checked(PyTuple_New(static_cast<Py_ssize_t>(tree.children.size())));
      for (size_t i = 0; i < tree.children.size(); ++i)
        PyTuple_SET_ITEM(result.get(), static_cast<Py_ssize_t>(i),
                         object_of(tree.children[i], tensors).release());
      return result;
    }
    case Tree::Kind::List:
      return list();
    case Tree::Kind::Dict: {
      Object result = checked(PyDict_New());
      for (size_t i = 0; i < tree.children.size(); ++i)
        checked(PyDict_SetItem(result.get(), tree.keys[i].get(),
                               object_of(tree.children[i], tensors).get()));
      return result;
    }
    case Tree::Kind::Node: {
      const Object children = list();
      return checked(PyObject_CallFunctionObjArgs(tree.unflatten.get(), children.get(),
                                                  PyTuple_GET_ITEM(tree.value.get(), 1), nullptr));
    }
    case Tree::Kind::Value:
      return tree.value;
  }
  return {};
}

/// Values that are the same whoever holds them: no results of the call hide in them. `sources` come
/// back as they are; other tensors get new objects.
void check_results(const Tree& tree, const TensorList& tensors, const TensorList& sources) {
  const auto is_source = [&] {
    return std::any_of(sources.begin(), sources.end(),
                       [&](const Tensor& source) { return source.is_same(tensors[tree.tensor]); });
  };
  if (tree.kind == Tree::Kind::Tensor) {
    if (is_source()) return;
    check(tree.type == tensor_type && tree.children.empty(), [&] {
      return concat("compile: replay=True: the function returns a ", tree.type->tp_name,
                    tree.children.empty() ? "" : " with attributes",
                    " that it made; expected a plain Tensor");
    });
  }
  for (const Tree& child : tree.children) check_results(child, tensors, sources);
  if (tree.kind != Tree::Kind::Value) return;
  PyObject* const value = tree.value.get();
  check(is_plain(value), [&] {
    return concat("compile: replay=True: the function returns a ", type_name(value),
                  "; expected tensors, numbers, texts and None, in tuples, lists, dicts and what "
                  "else utils._pytree takes apart");
  });
}

int traverse(const Tree& tree, visitproc visit, void* arg) {
  Py_VISIT(tree.value.get());
  Py_VISIT(tree.unflatten.get());
  for (const Object& key : tree.keys) Py_VISIT(key.get());
  for (const Tree& child : tree.children)
    if (const int status = traverse(child, visit, arg)) return status;
  return 0;
}

/// Whether something here sees each operation, or changes what it means: no call of this thread is
/// recorded to be replayed, or replayed.
bool is_watched() {
  return compiler::Recorder::of_thread().is_capturing() || override_state.modes ||
         !saved_tensor_hooks().empty() || vmap_depth > 0 || carries_tangents() || anomaly_enabled();
}

/// What is the same of a tensor in every call.
struct TensorKind {
  explicit TensorKind(const Tensor& tensor)
      : info(tensor.info()),
        requires_grad(flambeau::requires_grad(tensor)),
        is_inference(tensor->is_inference),
        hooks(hooks_of_leaf(tensor)) {}
  bool fits(const Tensor& tensor) const {
    return !tensor.is_meta() && info.dtype == tensor.dtype() && info.sizes == tensor.sizes() &&
           info.strides == tensor.strides() &&
           requires_grad == (tensor->requires_grad || flambeau::requires_grad(tensor)) &&
           (!requires_grad || is_leaf(tensor)) && is_inference == tensor->is_inference &&
           hooks == hooks_of_leaf(tensor);
  }
  TensorInfo info;
  bool requires_grad;
  bool is_inference;
  std::vector<int64_t> hooks;
};

/// What of the thread changes what calls do.
struct Modes {
  bool grad = grad_enabled();
  bool inference = inference_mode_enabled();
  DType dtype = ops::default_dtype();
  std::string device = default_device();
  int threads = get_num_threads();
  AutocastState autocast = autocast_state;
  friend bool operator==(const Modes&, const Modes&) = default;
};

/// What a call takes from outside: tensors of its arguments, then those that it uses, then the
/// gradients that either have.
class Surroundings {
 public:
  Surroundings(PyObject* arguments, PyObject* holders, TensorList used)
      : given_(Object::borrow(arguments)),
        arguments_(tree_of(arguments, sources_)),
        argument_count_(sources_.size()),
        state_(holders),
        used_(std::move(used)) {
    sources_.insert(sources_.end(), used_.begin(), used_.end());
    const size_t count = sources_.size();
    for (size_t i = 0; i < count; ++i) {
      kinds_.emplace_back(sources_[i]);
      check(!kinds_[i].requires_grad || is_leaf(sources_[i]), [&] {
        return concat(
            "compile: replay=True: a tensor that the function is given or uses, ",
            info(sources_[i].dtype()).name, list_text(sources_[i].sizes()),
            ", has a history (grad_fn), which a replayed call cannot go back to; detach() it");
      });
      Tensor gradient = grad(sources_[i]);
      has_grad_.push_back(gradient.defined());
      if (gradient.defined()) sources_.push_back(std::move(gradient));
    }
    for (size_t i = count; i < sources_.size(); ++i) kinds_.emplace_back(sources_[i]);
    for (const Tensor& source : sources_)
      windows_.push_back({source->storage.get(), source->offset});
  }
  /// What the call did to what it takes beside writing values: that would not be done again.
  void add_changes(std::vector<std::string>& changes) const {
    PyObject* const positional = PyTuple_GET_ITEM(given_.get(), 0);
    const std::vector<Tree>& trees = arguments_.children[0].children;
    for (size_t i = 0; i < trees.size(); ++i)
      if (!is_as_given(trees[i], PyTuple_GET_ITEM(positional, static_cast<Py_ssize_t>(i))))
        changes.push_back(concat("argument ", i, " is not what it was"));
    const Tree& named = arguments_.children[1];
    for (size_t i = 0; i < named.keys.size(); ++i) {
      PyObject* const name = named.keys[i].get();
      if (!is_as_given(named.children[i],
                       PyDict_GetItemWithError(PyTuple_GET_ITEM(given_.get(), 1), name)))
        changes.push_back(concat("argument ", PyUnicode_AsUTF8(name), " is not what it was"));
    }
    for (size_t i = 0; i < sources_.size(); ++i) {
      const Tensor& now = sources_[i];
      const TensorInfo& then = kinds_[i].info;
      const bool moved =
          now->storage.get() != windows_[i].storage || now->offset != windows_[i].offset;
      if (!moved && kinds_[i].fits(now)) continue;
      const std::string text = concat(info(then.dtype).name, list_text(then.sizes), " is ",
                                      info(now.dtype()).name, list_text(now.sizes()));
      const char* const what = moved ? ", in other memory"
                               : now.sizes() == then.sizes && now.strides() == then.strides
                                   ? ", and requires_grad has changed"
                                   : ", changed in place";
      changes.push_back(concat("a tensor that it is given or uses, ", text, what));
    }
  }
  /// True if the call is like this one; `sources` are what it takes.
  bool find(PyObject* arguments, TensorList& sources) {
    if (!(modes_ == Modes()) || !state_.is_unchanged()) return false;
    sources = take_idle();
    if (!matches(arguments_, arguments, sources)) return false;
    const size_t count = sources.size();
    for (size_t i = 0; i < count; ++i) {
      if (!kinds_[i].fits(sources[i])) return false;
      Tensor gradient = grad(sources[i]);
      if (gradient.defined() != has_grad_[i]) return false;
      if (gradient.defined()) sources.push_back(std::move(gradient));
    }
    for (size_t i = count; i < sources.size(); ++i)
      if (!kinds_[i].fits(sources[i])) return false;
    return true;
  }

  /// Takes back the list of find(), for the next call; it holds nothing that the call alone holds.
  void put_back(TensorList&& sources) {
    if (sources.size() < leaf_count()) return;
    sources.resize(leaf_count());
    for (size_t i = 0; i < argument_count_; ++i) sources[i] = Tensor();
    idle_ = std::move(sources);
  }

  const TensorList& sources() const { return sources_; }
  size_t leaf_count() const { return has_grad_.size(); }
  bool has_grad(size_t source) const { return has_grad_[source]; }
  const ObjectState& state() const { return state_; }
  ObjectState& state() { return state_; }
  /// The recording stays; the tensors of the call may go.
  void let_go() {
    sources_.clear();
    given_ = Object();
  }
  int traverse_objects(visitproc visit, void* arg) const {
    if (const int status = traverse(arguments_, visit, arg)) return status;
    return state_.traverse(visit, arg);
  }

 private:
  /// True if the argument has the structure and the tensors that it had before the call.
  bool is_as_given(const Tree& tree, PyObject* argument) const {
    TensorList now(argument_count_);
    if (!matches(tree, argument, now)) return false;
    for (size_t i = 0; i < now.size(); ++i)
      if (now[i].defined() && !now[i].is_same(sources_[i])) return false;
    return true;
  }

  /// What every call uses, behind room for its arguments.
  TensorList take_idle() {
    if (!idle_.empty()) return std::exchange(idle_, {});
    TensorList sources(argument_count_);
    sources.insert(sources.end(), used_.begin(), used_.end());
    return sources;
  }

  Modes modes_;
  TensorList sources_;
  Object given_;  // the arguments, while the call is recorded
  Tree arguments_;
  size_t argument_count_;
  ObjectState state_;
  TensorList used_;
  TensorList idle_;  // of the call before, or empty
  std::vector<TensorKind> kinds_;
  struct Window {
    const Storage* storage;
    int64_t offset;
  };
  std::vector<Window> windows_;  // of the sources before the call
  std::vector<bool> has_grad_;
};

/// A gradient that a call leaves.
struct GradEffect {
  size_t source;
  int result;  ///< number of the tensor that it is, -1: there is none any more
};

void leave_gradients(const std::vector<GradEffect>& effects, std::span<const Tensor> sources,
                     const TensorList& results) {
  for (const GradEffect& effect : effects)
    set_grad(sources[effect.source],
             effect.result < 0 ? Tensor() : results[static_cast<size_t>(effect.result)]);
}

/// A call that can be replayed, and when.
struct PythonReplay {
  std::unique_ptr<Surroundings> around;
  std::shared_ptr<const compiler::Replay> replay;
  Tree results;
  std::vector<GradEffect> gradients;

  /// The call's results; NotImplemented if it is another call.
  Object call(PyObject* arguments) const {
    TensorList sources;
    if (around == nullptr) return Object::borrow(Py_NotImplemented);
    const bool found = around->find(arguments, sources) && replay->fits(sources);
    TensorList tensors;
    if (found) {
      tensors = replay->run(sources);
      leave_gradients(gradients, sources, tensors);
    }
    around->put_back(std::move(sources));
    return found ? object_of(results, tensors) : Object::borrow(Py_NotImplemented);
  }
};

/// The calls of a function that can be replayed, the one used last first.
class PythonReplays {
 public:
  explicit PythonReplays(size_t most) : most_(most) {}

  /// The results of the call that is like this one; NotImplemented if none is, or is_watched().
  Object call(PyObject* arguments) {
    if (is_watched()) return Object::borrow(Py_NotImplemented);
    for (size_t i = 0; i < replays_.size(); ++i) {
      const Object replay = replays_[i];  // others may change the list while it runs
      Object results = nb::inst_ptr<PythonReplay>(replay.get())->call(arguments);
      if (results.get() == Py_NotImplemented) continue;
      if (i > 0) {
        const auto it = std::find_if(replays_.begin(), replays_.end(),
                                     [&](const Object& r) { return r.get() == replay.get(); });
        if (it != replays_.end()) std::rotate(replays_.begin(), it, it + 1);
      }
      return results;
    }
    return Object::borrow(Py_NotImplemented);
  }

  void keep(PyObject* replay) {
    replays_.insert(replays_.begin(), Object::borrow(replay));
    if (replays_.size() <= most_) return;
    const Object last = std::move(replays_.back());  // what it holds may call this in its end
    replays_.pop_back();
  }

  int traverse(visitproc visit, void* arg) const {
    for (const Object& replay : replays_) Py_VISIT(replay.get());
    return 0;
  }
  void clear() { const std::vector<Object> gone = std::exchange(replays_, {}); }

 private:
  size_t most_;
  std::vector<Object> replays_;
};

/// A call while it is recorded.
class PythonCapture {
 public:
  PythonCapture(nb::handle arguments, nb::handle holders, const std::vector<Tensor>& used)
      : around_(std::make_unique<Surroundings>(arguments.ptr(), holders.ptr(), used)) {}

  /// The call begins. False, and it does not, if tensors without memory (meta) are among what it
  /// uses: there is nothing to run.
  bool begin() {
    const TensorList& sources = around_->sources();
    if (std::any_of(sources.begin(), sources.end(), [](const Tensor& t) { return t.is_meta(); }))
      return false;
    captured_ = std::make_unique<compiler::CapturedCall>(sources);
    return true;
  }

  /// Takes what the call returned out of the list `box`. What the call did beside tensors.
  std::vector<std::string> close(nb::handle box) {
    TensorList tensors;
    results_ = tree_of(PyList_GetItem(box.ptr(), 0), tensors);
    check_results(results_, tensors, around_->sources());
    checked(PyList_SetSlice(box.ptr(), 0, 1, nullptr));
    std::vector<std::string> changes = around_->state().changes();
    const size_t before_tensors = changes.size();
    around_->add_changes(changes);
    for (Tensor& tensor : tensors) tensor = captured_->add_result(tensor);
    if (changes.size() > before_tensors) return changes;  // gradients may not fit any more
    size_t next = tensors.size();
    size_t next_grad = around_->leaf_count();
    for (size_t i = 0; i < around_->leaf_count(); ++i) {
      const Tensor& source = around_->sources()[i];
      const Tensor gradient = grad(source);
      const Tensor before = around_->has_grad(i) ? around_->sources()[next_grad++] : Tensor();
      if (gradient.is_same(before) || is_seen_before(i)) continue;
      if (!gradient.defined()) {
        gradients_.push_back({i, -1});
        continue;
      }
      gradients_.push_back({i, static_cast<int>(next++)});
      set_grad(source, captured_->add_result(gradient));
    }
    return changes;
  }

  /// True if the source is an argument, too, or twice among them.
  bool is_seen_before(size_t source) const {
    const TensorList& all = around_->sources();
    return std::any_of(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(source),
                       [&](const Tensor& earlier) { return earlier.is_same(all[source]); });
  }

  std::vector<std::string> held() { return captured_->held_by_others(); }
  void check_refused() const { captured_->check_refused(); }

  /// What the call returns, what replays it or None, and why not.
  nb::tuple finish() {
    std::shared_ptr<const compiler::Replay> replay;
    std::string why;
    const TensorList tensors = captured_->finish(replay, why);
    const Object returned = object_of(results_, tensors);
    nb::object program = nb::none();
    if (replay != nullptr) {
      around_->let_go();
      program = nb::cast(PythonReplay{std::move(around_), std::move(replay), std::move(results_),
                                      std::move(gradients_)});
    }
    return nb::make_tuple(nb::borrow(returned.get()), program, why);
  }

  void abort() { captured_.reset(); }

 private:
  std::unique_ptr<Surroundings> around_;
  std::unique_ptr<compiler::CapturedCall> captured_;
  Tree results_;
  std::vector<GradEffect> gradients_;
};

int traverse_replay(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  if (!nb::inst_ready(self)) return 0;
  const PythonReplay& replay = *nb::inst_ptr<PythonReplay>(self);
  if (replay.around != nullptr)
    if (const int status = replay.around->traverse_objects(visit, arg)) return status;
  return traverse(replay.results, visit, arg);
}

int clear_replay(PyObject* self) {
  if (nb::inst_ready(self)) nb::inst_ptr<PythonReplay>(self)->around = nullptr;
  return 0;
}

int traverse_replays(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  return nb::inst_ready(self) ? nb::inst_ptr<PythonReplays>(self)->traverse(visit, arg) : 0;
}

int clear_replays(PyObject* self) {
  if (nb::inst_ready(self)) nb::inst_ptr<PythonReplays>(self)->clear();
  return 0;
}

PyType_Slot replay_slots[] = {{Py_tp_traverse, reinterpret_cast<void*>(traverse_replay)},
                              {Py_tp_clear, reinterpret_cast<void*>(clear_replay)},
                              {0, nullptr}};
PyType_Slot replays_slots[] = {{Py_tp_traverse, reinterpret_cast<void*>(traverse_replays)},
                               {Py_tp_clear, reinterpret_cast<void*>(clear_replays)},
                               {0, nullptr}};

}  // namespace

void add_replay(nb::module_& module) {
  const nb::class_<PythonReplay> replay_type(module, "_Replay", nb::type_slots(replay_slots));
  nb::class_<PythonReplays>(module, "_Replays", nb::type_slots(replays_slots))
      .def(nb::init<size_t>(), "most"_a)
      .def("call",
           [](PythonReplays& self, nb::handle arguments) {
             return nb::steal(self.call(arguments.ptr()).release());
           })
      .def("keep",
           [](PythonReplays& self, nb::handle_t<PythonReplay> replay) { self.keep(replay.ptr()); });
  nb::class_<PythonCapture>(module, "_Capture")
      .def(nb::init<nb::handle, nb::handle, const std::vector<Tensor>&>(), "arguments"_a,
           "holders"_a, "used"_a)
      .def("begin", &PythonCapture::begin)
      .def("close", &PythonCapture::close)
      .def("held", &PythonCapture::held)
      .def("check_refused", &PythonCapture::check_refused)
      .def("finish", &PythonCapture::finish)
      .def("abort", &PythonCapture::abort);
  module.def("_replay_is_watched", is_watched);
}

}  // namespace flambeau::bind
