#include "bind/source_line.h"

// How Python's frames lie: making objects of them would cost as much as recording an operation.
#define Py_BUILD_CORE
#include "bind/python.h"
#if PY_VERSION_HEX >= 0x030B0000
#include <internal/pycore_frame.h>
#endif
#undef Py_BUILD_CORE

#include <dlfcn.h>

#include <array>
#include <atomic>
#include <mutex>
#include <vector>

#include "base/fork.h"

namespace flambeau::bind {
namespace {

/// "/.../flambeau/": the folder of this module.
const std::string& package_folder() {
  static const std::string folder = [] {
    Dl_info self;
    if (dladdr(reinterpret_cast<const void*>(&package_folder), &self) == 0) return std::string();
    const std::string path = self.dli_fname;
    return path.substr(0, path.rfind('/') + 1);
  }();
  return folder;
}

/// True for code of the package itself and of what starts Python: a line of it tells the user
/// little.
bool is_ours(PyCodeObject* code) {
  struct Known {
    PyCodeObject* code;
    PyObject* file;
    bool ours;
  };
  static constinit std::array<Known, 512> known{};  // under Python's lock
  Known& slot = known[(reinterpret_cast<uintptr_t>(code) >> 4) % known.size()];
  PyObject* const file = code->co_filename;
  if (slot.code == code && slot.file == file) return slot.ours;
  const char* const text = PyUnicode_AsUTF8(file);
  if (text == nullptr) PyErr_Clear();
  const std::string_view path = text == nullptr ? "" : text;
  const bool ours = path.starts_with("<frozen ") ||
                    (!package_folder().empty() && path.starts_with(package_folder()));
  slot = {code, file, ours};
  return ours;
}

/// Code that was let go of by who did not hold Python's lock.
struct Dropped {
  ForkSafe<std::mutex> mutex;
  std::vector<PyObject*> codes;
  std::atomic<bool> any = false;
  static Dropped& global() {
    static auto* const dropped = new Dropped;
    return *dropped;
  }

  void add(PyObject* code) {
    const std::lock_guard lock(mutex);
    codes.push_back(code);
    any = true;
  }
  void release() {
    std::vector<PyObject*> list;
    {
      const std::lock_guard lock(mutex);
      list.swap(codes);
      any = false;
    }
    for (PyObject* code : list) Py_DECREF(code);
  }
};

class PythonLine final : public compiler::SourceLine {
 public:
  PythonLine(Object code, int instruction) : code_(std::move(code)), instruction_(instruction) {}
  ~PythonLine() override {
    if (Py_IsInitialized() != 0 && PyGILState_Check() != 0) return;
    Dropped::global().add(code_.release());
  }
  PythonLine(const PythonLine&) = delete;
  PythonLine& operator=(const PythonLine&) = delete;

  std::string text() const override {
    if (Py_IsInitialized() == 0) return {};
    const PyGILState_STATE state = PyGILState_Ensure();
    auto* const code = reinterpret_cast<PyCodeObject*>(code_.get());
    const char* const file = PyUnicode_AsUTF8(code->co_filename);
    if (file == nullptr) PyErr_Clear();
    std::string result = file == nullptr ? "?" : file;
    result += ':' + std::to_string(PyCode_Addr2Line(code, instruction_));
    PyGILState_Release(state);
    return result;
  }

 private:
  Object code_;
  int instruction_;
};

/// Calls visit(code, instruction) for the frames of this thread, the innermost first, until it
/// returns false.
template <class Visit>
void for_frames(const Visit& visit) {
#if PY_VERSION_HEX >= 0x030B0000
#if PY_VERSION_HEX >= 0x030D0000
  const _PyInterpreterFrame* frame = PyThreadState_Get()->current_frame;
#else
  const _PyInterpreterFrame* frame = PyThreadState_Get()->cframe->current_frame;
#endif
  for (; frame != nullptr; frame = frame->previous) {
#if PY_VERSION_HEX >= 0x030C0000
    if (frame->owner == FRAME_OWNED_BY_CSTACK) continue;
#endif
#if PY_VERSION_HEX >= 0x030D0000
    auto* const code = reinterpret_cast<PyCodeObject*>(frame->f_executable);
    const auto* const next = frame->instr_ptr;
#else
    PyCodeObject* const code = frame->f_code;
    const auto* const next = frame->prev_instr;
#endif
    const auto offset = static_cast<int>(next - _PyCode_CODE(code));
    if (!visit(code, offset * static_cast<int>(sizeof(_Py_CODEUNIT)))) return;
  }
#else
  for (PyFrameObject* frame = PyEval_GetFrame(); frame != nullptr; frame = frame->f_back) {
#if PY_VERSION_HEX >= 0x030A0000
    if (!visit(frame->f_code, frame->f_lasti * 2)) return;
#else
    if (!visit(frame->f_code, frame->f_lasti)) return;
#endif
  }
#endif
}

}  // namespace

void LineOfCall::note() {
  if (Dropped::global().any) Dropped::global().release();
  // The innermost code that is the user's.
  PyCodeObject* found = nullptr;
  int instruction = 0;
  for_frames([&](PyCodeObject* code, int at) {
    if (is_ours(code)) return true;
    found = code;
    instruction = at;
    return false;
  });
  if (found == nullptr) return;
  noted_ = true;
  before_ = compiler::SourceLine::current();
  line_ = make_ref<PythonLine>(Object::borrow(reinterpret_cast<PyObject*>(found)), instruction);
  compiler::SourceLine::set_current(line_.get());
}

}  // namespace flambeau::bind
