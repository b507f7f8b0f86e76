"""Runs a command in a world without one address family: seccomp.py FAMILY COMMAND...

socket(FAMILY, ...) fails with EAFNOSUPPORT, as on a kernel that was booted
without it.
"""
import ctypes
import os
import struct
import sys

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, MODE_FILTER = 38, 22, 2
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06  # BPF: load a word, jump if equal, return
ALLOW, ERRNO, EAFNOSUPPORT = 0x7FFF0000, 0x00050000, 97
SOCKET = {"x86_64": 41, "aarch64": 198}


def program(family):
    instructions = [
        (LOAD, 0, 0, 0),  # the number of the call
        (EQUAL, 0, 3, SOCKET[os.uname().machine]),
        (LOAD, 0, 0, 16),  # its first argument
        (EQUAL, 0, 1, family),
        (RETURN, 0, 0, ERRNO | EAFNOSUPPORT),
        (RETURN, 0, 0, ALLOW),
    ]
    return b"".join(struct.pack("HBBI", *instruction) for instruction in instructions), len(instructions)


def main():
    code, length = program(int(sys.argv[1]))
    buffer = ctypes.create_string_buffer(code, len(code))
    header = struct.pack("HxxxxxxP", length, ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(PR_SET_SECCOMP, MODE_FILTER, header, 0, 0):
        sys.exit(f"prctl: {os.strerror(ctypes.get_errno())}")
    os.execvp(sys.argv[2], sys.argv[2:])


if __name__ == "__main__":
    main()
