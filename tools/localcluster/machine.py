"""A machine of its own for one real node: namespaces of mounts, processes, network, host name and IPC.

Run as `python -I -S machine.py init FOLDER HOSTNAME` (the machine) or `python -I -S machine.py enter PID PROGRAM
ARGUMENTS…` (a program on the machine whose `init` has that pid).

All processes and mounts of a kubelet, a container runtime and their containers are inside. When `init` ends, also by
SIGKILL, the kernel ends all of them and removes mounts, interfaces and iptables rules with the namespaces.
"""

import ctypes
import errno
import os
import select
import signal
import socket
import sys
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_NEW_MOUNTS, _NEW_UTS, _NEW_IPC, _NEW_PID, _NEW_NET = 0x20000, 0x4000000, 0x8000000, 0x20000000, 0x40000000
_NAMESPACES = ("ipc", "uts", "net", "pid_for_children", "mnt")  # mnt last: /proc changes with it
_NOSUID, _NODEV, _NOEXEC, _BIND, _RECURSIVE, _PRIVATE, _SHARED = 2, 4, 8, 0x1000, 0x4000, 1 << 18, 1 << 20

# A kubelet sets these below /proc/sys if they differ (setupKernelTunables in pkg/kubelet/cm). They are
# settings of the whole host, so the machine sees files of its own with the right values.
_TUNABLES = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}

_libc = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    """Becomes a machine or enters one; failures are one sentence on standard error."""
    verb, *arguments = sys.argv[1:]
    try:
        if verb == "init":
            _init(Path(arguments[0]), arguments[1])
        else:
            _enter(int(arguments[0]), arguments[1:])
    except OSError as error:
        sys.exit(f"{verb} {arguments[0]}: {error}")


def _init(folder: Path, hostname: str) -> None:
    _check(_libc.unshare(_NEW_MOUNTS | _NEW_UTS | _NEW_IPC | _NEW_PID | _NEW_NET), "unshare")
    child = _fork()
    if child:
        # SIGKILL, because the first process of a PID namespace ignores every other signal, also from outside.
        sys.exit(_wait(child, signal.SIGKILL))
    _mount_own_file_system(folder)
    socket.sethostname(hostname)
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # orphans, shims among them, are reaped by the kernel
    (folder / "up").touch()
    while True:
        signal.pause()


def _mount_own_file_system(folder: Path) -> None:
    # Private first, so that mounts are not visible outside; then shared among the machine's containers.
    _mount("none", "/", None, _RECURSIVE | _PRIVATE)
    _mount("none", "/", None, _RECURSIVE | _SHARED)
    _mount("proc", "/proc", "proc", _NOSUID | _NODEV | _NOEXEC)
    _mount("run", "/run", "tmpfs", _NOSUID | _NODEV, "mode=755")
    for target in ("/var/lib", "/var/log"):
        _mount(str(folder / target[1:].replace("/", "-")), target, None, _BIND)
    for name, value in _TUNABLES.items():
        file = folder / "tunables" / name.replace("/", ".")
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"{value}\n")
        if os.path.exists(f"/proc/sys/{name}"):
            _mount(str(file), f"/proc/sys/{name}", None, _BIND)


def _enter(pid: int, command: list[str]) -> None:
    folder = os.getcwd()
    for descriptor in [os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY) for name in _NAMESPACES]:
        _check(_libc.setns(descriptor, 0), "setns")
        os.close(descriptor)
    os.chdir(folder)
    child = _fork()
    if child:
        sys.exit(_wait(child, signal.SIGTERM))
    os.execv(command[0], command)  # noqa: S606 - a shell is what must not be here


def _fork() -> int:
    """Forks a child that the kernel kills with this process; returns its pid, 0 in the child."""
    read, write = os.pipe()
    child = os.fork()
    if child:
        os.close(read)  # `write` stays open as long as this process lives
        return child
    os.close(write)
    _check(_libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "prctl")
    # The parent may have ended before the call above. Its pid is unknown in a namespace of our own.
    if select.select([read], [], [], 0)[0]:
        os._exit(128 + signal.SIGKILL)
    os.close(read)
    return 0


def _wait(child: int, on_terminate: int) -> int:
    """Waits for a child, forwards SIGTERM as another signal, and returns the exit code as a shell does."""
    signal.signal(signal.SIGTERM, lambda _number, _frame: os.kill(child, on_terminate))
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return code if code >= 0 else 128 - code


def _mount(source: str, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    encoded = [None if text is None else text.encode() for text in (source, target, kind, data)]
    result = _libc.mount(encoded[0], encoded[1], encoded[2], ctypes.c_ulong(flags), encoded[3])
    _check(result, f"mounting {source} on {target}")


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        hint = "; this needs root with CAP_SYS_ADMIN" if number == errno.EPERM else ""
        raise OSError(number, f"{what} failed: {os.strerror(number)}{hint}")


if __name__ == "__main__":
    main()
