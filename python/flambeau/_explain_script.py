"""`flambeau explain`: runs a script as Python does, then tells of the programs that ran."""

from __future__ import annotations

import _thread
import builtins
import contextlib
import importlib.machinery
import io
import os
import pkgutil
import runpy
import sys
import types
from collections.abc import Callable, Iterator

from . import _C, _script
from ._collected import reports
from ._explain import Explanation, Programs

_INTERVAL = 0.05  # seconds


def run(page: str, script: str, arguments: list[str]) -> int:
    """Runs the script as `__main__` and prints its programs, also where it ends by an exception, as by
    sys.exit() and Ctrl-C, which is raised again. `page` is written, too, unless it is empty. Returns
    the exit status: 1 where nobody can be told. Of a script that cannot begin only that is told."""
    process = os.getpid()
    programs = Programs()
    ended: BaseException | None = None
    try:
        main = _main_of(script, arguments)
    except BaseException:
        _show_as_scripts_own()
        raise
    with reports.told_to(programs.add), _told_in_parts():
        try:
            main()
            _C._compile_flush("the script's end")
        except BaseException as error:
            ended = error
    try:
        told = os.getpid() != process or _tell_of(programs.explanation(), page)
    except BrokenPipeError:  # who read has seen enough, as `head`
        told = False
        ended = None if isinstance(ended, BrokenPipeError) else ended
    succeeded = isinstance(ended, SystemExit) and ended.code in (None, 0)
    if ended is None or (succeeded and not told):
        return 0 if told else 1
    _show_as_scripts_own()
    raise ended


def _show_as_scripts_own() -> None:
    """What is raised from now on is shown without frames of this file."""
    hook = sys.excepthook

    def is_ours(traceback: types.TracebackType) -> bool:
        return traceback.tb_frame.f_code.co_filename in (__file__, _script.EXPLAINED)

    def show(
        kind: type[BaseException], error: BaseException, traceback: types.TracebackType | None
    ) -> None:
        while traceback and is_ours(traceback):
            traceback = traceback.tb_next
        last = traceback
        while last and last.tb_next:
            if is_ours(last.tb_next):  # Ctrl-C came where the script was asked.
                last.tb_next = None
            last = last.tb_next
        hook(kind, error.with_traceback(traceback), traceback)

    sys.excepthook = show


@contextlib.contextmanager
def _told_in_parts() -> Iterator[None]:
    """The programs are told of now and then, so that long scripts need no more memory."""
    stop = _thread.allocate_lock()
    stop.acquire()

    def ask() -> None:
        while not stop.acquire(timeout=_INTERVAL):
            reports.tell()

    _thread.start_new_thread(ask, ())  # No threading.Thread: the script would see it.
    try:
        yield
    finally:
        stop.release()


def _main_of(script: str, arguments: list[str]) -> Callable[[], object]:
    """What `python script arguments` runs, in a process that has begun already."""
    path = os.path.abspath(script)
    main = types.ModuleType("__main__")
    main.__file__ = path
    main.__loader__ = importlib.machinery.SourceFileLoader("__main__", path)
    main.__dict__.update(__annotations__={}, __builtins__=builtins, __cached__=None)
    sys.modules["__main__"] = main
    sys.argv = [script, *arguments]
    archive = pkgutil.get_importer(path)  # or a folder
    if not getattr(sys.flags, "safe_path", False):
        sys.path[0] = path if archive else os.path.dirname(os.path.realpath(path))
    if archive:
        found = archive.find_spec("__main__")
        if found is None or found.loader is None:
            sys.exit(f"{sys.executable}: can't find '__main__' module in {path!r}")
        found.loader.get_code("__main__")  # type: ignore[attr-defined] # its errors come now
        return lambda: runpy._run_module_as_main("__main__", alter_argv=False)  # type: ignore[attr-defined]
    with io.open_code(path) as file:
        source = file.read()
    code = pkgutil.read_code(io.BytesIO(source))  # of a .pyc
    if code is None:
        code = compile(source, path, "exec", dont_inherit=True)
    return lambda: exec(code, main.__dict__)


def _tell_of(explanation: Explanation, page: str) -> bool:
    """False where the page that is wanted is not written."""
    if explanation.programs:
        _tell(str(explanation))
    else:
        _tell(f"{explanation}: does the script call flambeau.compile?")
    if not page:
        return True
    try:
        explanation.save(page)
    except OSError as error:
        _tell(f"flambeau: explain: '{page}' is not written: {error.strerror or error}", error=True)
        return False
    _tell(f"wrote {page}")
    return True


def _tell(text: str, error: bool = False) -> None:
    """Writes to the output that the script was given, whatever it has made of sys.stdout; to that for
    errors where the first is closed or full. BrokenPipeError if nobody reads it; nor do they then
    what is left to be written."""
    with contextlib.suppress(Exception):
        sys.stdout.flush()
    for stream in (sys.__stderr__,) if error else (sys.__stdout__, sys.__stderr__):
        if not isinstance(stream, io.TextIOWrapper):  # None: closed when Python began
            continue
        try:
            stream.flush()
            stream.buffer.write((text + "\n").encode(stream.encoding, "backslashreplace"))
            stream.buffer.flush()
            return
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
            raise
        except (OSError, ValueError):
            continue
