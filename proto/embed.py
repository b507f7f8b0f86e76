#!/usr/bin/env python3
"""A file as a `struct bytes` of C: embed.py INPUT OUTPUT.c NAME"""
import sys

source, target, name = sys.argv[1:]
with open(source, "rb") as file:
    data = file.read()
lines = [", ".join(str(byte) for byte in data[at : at + 16]) + ",\n" for at in range(0, len(data), 16)]
with open(target, "w", encoding="ascii") as out:
    out.write('#include "base/util.h"\n\n')
    out.write(f"static const uint8_t data[] = {{\n{''.join(lines)}}};\n\n")
    out.write(f"extern const struct bytes {name};\n")
    out.write(f"const struct bytes {name} = {{ data, sizeof(data) }};\n")
